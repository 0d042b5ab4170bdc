"""Toy variants of each kind that is to come: what they need, the core carries without knowing of them.

Two players (adversarial), integer codes with moving averages (VQ), a condition, and a hierarchy of latents. None of
them touches the engine: no train_step, no fit.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae import arrays, divergences, randomness
from keras_vae.core import Player, Terms
from keras_vae.data import batches
from keras_vae.errors import UserError
from keras_vae.models import VAE
from tests import toys
from tests.toys import LATENT, SHAPE, binary, compiled, same, toy

X = binary(64)
LABELS = np.arange(64) % 3


@keras.saving.register_keras_serializable(package="tests")
class ToyAdversarial(VAE):
    """A critic that tells posterior codes from prior draws, and an autoencoder that fools it (AAE, FactorVAE)."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        known = {"mlp": keras.Sequential}
        decay = keras.regularizers.L2(0.1)
        critic = keras.Sequential([keras.layers.Dense(4, "tanh", kernel_regularizer=decay), keras.layers.Dense(1)])
        self.critic = self.make_network("critic", critic, known, (self.latent_dim,), (1,))

    def terms(self, batch, training):
        posterior, prior = self.posterior(batch["x"], training=training), self.prior()
        z = posterior.sample(seed=self.draws.next())
        drawn = prior.sample(ops.shape(batch["x"])[0], seed=self.draws.next())
        log_px = self.likelihood(z, training=training).log_prob(batch["x"])
        return Terms(log_px, divergences.kl(posterior, prior), cache={"z": z, "drawn": drawn})

    def players(self):
        own = self.critic.trainable_variables
        rest = [v for v in self.trainable_variables if not any(v is each for each in own)]
        return [Player("model", self.model_loss, rest), Player("critic", self.critic_loss, own)]

    def model_loss(self, terms, batch):
        return self.objective(terms, self.step) - ops.mean(self.run(self.critic, terms.cache["z"], True))

    def critic_loss(self, terms, batch):
        fake = self.run(self.critic, ops.stop_gradient(terms.cache["z"]), True)
        return ops.mean(fake) - ops.mean(self.run(self.critic, terms.cache["drawn"], True))


SGD = keras.optimizers.SGD


class TestTwoPlayers:
    def test_each_loss_moves_only_its_own_variables(self):
        for rates, moved in (((0.1, 0.0), (True, False)), ((0.0, 0.1), (False, True))):
            model = compiled(ToyAdversarial, {"model": SGD(rates[0]), "critic": SGD(rates[1])})
            before = [[np.array(v) for v in player.variables] for player in model.players()]
            model.fit(X, batch_size=32, verbose=0)
            after = [[np.array(v) for v in player.variables] for player in model.players()]
            assert tuple(not same(a, b) for a, b in zip(before, after, strict=True)) == moved

    def test_the_update_is_the_gradient_of_the_players_own_loss(self):
        """One SGD step of rate 1 from equal weights: each player's variables move by minus its own loss's gradient."""
        model = compiled(ToyAdversarial, {"model": SGD(1.0), "critic": SGD(1.0)})
        batch = {"x": tf.constant(X)}
        seed = step_seed(model, 0)
        expected = []
        for index in range(2):
            with tf.GradientTape() as tape, model.draws.using(seed):
                terms = model.terms(batch, training=True)
                player = model.players()[index]
                loss = player.loss(terms, batch)
                if index == 1:  # weight decay: keras's L2 is factor * sum(w**2), here of the critic's first kernel
                    loss += 0.1 * tf.reduce_sum(player.variables[0].value ** 2)
            expected += [v - g for v, g in zip(player.variables, tape.gradient(loss, variables(player)), strict=True)]
        model.train_step(batch)
        moved = [variable for player in model.players() for variable in player.variables]
        for variable, value in zip(moved, expected, strict=True):
            np.testing.assert_allclose(variable, value, rtol=1e-4, atol=1e-6)  # float32, sums in another order

    def test_each_optimizer_is_built_on_its_players_variables(self):
        model = compiled(ToyAdversarial, "adam")
        first, second = model.optimizers
        assert first is not second and second.get_config() == first.get_config()
        for optimizer, player in zip(model.optimizers, model.players(), strict=True):
            # Adam: iterations, learning rate, and two moments a variable
            assert len(optimizer.variables) == 2 + 2 * len(player.variables)
        assert len({id(v) for each in model.optimizers for v in each.variables}) == sum(
            len(each.variables) for each in model.optimizers
        )

    def test_a_mapping_names_the_players(self):
        model = compiled(ToyAdversarial, {"critic": SGD(0.5), "model": "adam"})
        assert [type(each).__name__ for each in model.optimizers] == ["Adam", "SGD"]
        for wrong in ({"model": "adam"}, {"model": "adam", "citric": "sgd"}, {}):
            with pytest.raises(UserError, match=r"one optimizer for each of \['model', 'critic'\]\. Given: "):
                toy(ToyAdversarial).compile(wrong)

    def test_logs_name_both_losses(self):
        model = compiled(ToyAdversarial)
        history = model.fit(X, batch_size=32, verbose=0).history
        assert set(history) == {"loss", "critic_loss", "elbo", "log_px", "kl", "beta"}
        assert set(model.evaluate(X, verbose=0, return_dict=True)) == set(history)

    @pytest.mark.parametrize("variables", ["none", "two"])
    def test_every_variable_has_exactly_one_player(self, variables):
        class Wrong(ToyAdversarial):
            def players(self):
                first, second = super().players()
                if variables == "none":
                    return [first]
                return [first, Player("critic", second.loss, [*second.variables, first.variables[0]])]

        owners = {"none": "none", "two": "model and critic"}[variables]
        with pytest.raises(UserError, match=f"belongs to exactly one player.*which belongs to {owners}"):
            toy(Wrong).compile()

    def test_weights_and_both_optimizers_are_saved_and_restored(self, tmp_path):
        model = compiled(ToyAdversarial)
        model.fit(X, batch_size=32, epochs=2, verbose=0)
        model.save_weights(tmp_path / "a.weights.h5")
        other = compiled(ToyAdversarial, seed=5)
        other.load_weights(tmp_path / "a.weights.h5")
        assert same(toys.weights(other), toys.weights(model))
        for mine, theirs in zip(other.optimizers, model.optimizers, strict=True):
            assert same([np.array(v) for v in mine.variables], [np.array(v) for v in theirs.variables])
            assert any(np.abs(np.array(v)).max() > 0 for v in mine.variables[2:]), "moments are not zero"
        assert int(other.step) == 4

    def test_saving_the_whole_model(self, tmp_path):
        """model.save and load_model: class, weights, optimizers, and compile; both go on to equal weights."""
        model = compiled(ToyAdversarial, {"model": SGD(0.1, momentum=0.9), "critic": "adam"})
        model.fit(X, batch_size=32, verbose=0)
        model.save(tmp_path / "a.keras")
        other = keras.models.load_model(tmp_path / "a.keras")
        assert [type(each).__name__ for each in other.optimizers] == ["SGD", "Adam"]
        assert (other.jit_compile, other.steps_per_execution) == (False, 1)
        for each in (model, other):
            each.fit(X, batch_size=32, verbose=0)
        assert same(toys.weights(other), toys.weights(model))

    def test_a_diverging_critic_is_named(self):
        class Aloof(ToyAdversarial):
            def model_loss(self, terms, batch):
                return self.objective(terms, self.step)

        model = compiled(Aloof, {"model": SGD(0.0), "critic": SGD(1e38)})
        model.critic.layers[0].kernel.regularizer = None  # weight decay of all layers is part of every player's loss
        with pytest.raises(UserError, match=r"loss of 'critic' is not finite at step \d"):
            model.fit(X, batch_size=16, epochs=3, verbose=0)


def variables(player):
    return [variable.value for variable in player.variables]


def step_seed(model, step):
    """The seed of a training step on one device, by its documentation: of (seed, step, replica)."""
    return randomness.fold(randomness.seed_of(model.seed, randomness.TRAINING), step, 0)


@keras.saving.register_keras_serializable(package="tests")
class ToyVQ(VAE):
    """Integer codes: the nearest of 8 entries for each of `latent_dim` positions, entries moved by averages (EMA)."""

    log_names = ("perplexity",)
    entries, size = 8, 3

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        shape = (self.entries, self.size)
        start = np.random.default_rng(self.seed).normal(size=shape)
        self.codebook = self.add_weight(shape=shape, trainable=False, name="codebook")
        self.codebook.assign(start)

    def network_shapes(self):
        shapes = super().network_shapes()
        wide = (self.latent_dim, self.size)
        return {"encoder": (shapes["encoder"][0], wide), "decoder": (wide, shapes["decoder"][1])}

    def posterior_parameters(self, x, condition=None, training=False):
        outputs = self.run(self.encoder, x, training)
        distances = ops.sum((outputs[:, :, None] - self.codebook) ** 2, axis=-1)
        return {"codes": ops.argmin(distances, axis=-1), "outputs": outputs}

    def code(self, parameters):
        return parameters["codes"]

    def check_code(self, z):
        return arrays.check_codes(z, (self.latent_dim,)).astype("int32")

    def likelihood_parameters(self, z, condition=None, training=False):
        vectors = ops.take(self.codebook, z, axis=0) if z.dtype.is_integer else z
        return super().likelihood_parameters(vectors, condition, training)

    def terms(self, batch, training):
        parameters = self.posterior_parameters(batch["x"], training=training)
        outputs, codes = parameters["outputs"], parameters["codes"]
        vectors = ops.take(self.codebook, codes, axis=0)
        log_px = self.likelihood(outputs + ops.stop_gradient(vectors - outputs), training=training).log_prob(batch["x"])
        count = ops.shape(log_px)[0]
        kl = ops.full((count, 1), self.latent_dim * np.log(self.entries))
        used = ops.one_hot(codes, self.entries)
        shares = ops.mean(used, axis=(0, 1))
        perplexity = ops.exp(-ops.sum(shares * ops.log(shares + 1e-10)))
        commitment = ops.sum((outputs - ops.stop_gradient(vectors)) ** 2, axis=(1, 2))
        logs = {"perplexity": ops.broadcast_to(perplexity, (count,))}
        return Terms(log_px, kl, commitment, logs, {"used": used, "outputs": outputs})

    def after_step(self, terms):
        sums = ops.einsum("bpe,bps->es", terms.cache["used"], terms.cache["outputs"])
        counts = ops.sum(terms.cache["used"], axis=(0, 1))[:, None]
        means = sums / ops.maximum(counts, 1.0)
        self.codebook.assign(ops.where(counts > 0, 0.5 * self.codebook + 0.5 * means, self.codebook))


class TestIntegerCodes:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        model = compiled(ToyVQ)
        before = np.array(model.codebook)
        history = model.fit(X, batch_size=32, epochs=2, verbose=0).history
        assert not np.array_equal(model.codebook, before), "the codebook moves in fit"
        assert all(1 <= value <= 8 for value in history["perplexity"])
        return model

    def test_the_codebook_stays_in_evaluate(self, model):
        before = np.array(model.codebook)
        logs = model.evaluate(X, verbose=0, return_dict=True)
        np.testing.assert_array_equal(model.codebook, before)
        assert logs["kl"] == pytest.approx(LATENT * np.log(8), rel=1e-6)

    def test_the_codebook_is_saved_and_no_optimizer_knows_it(self, model, tmp_path):
        assert not any(variable is model.codebook for player in model.players() for variable in player.variables)
        model.save_weights(tmp_path / "a.weights.h5")
        other = compiled(ToyVQ, seed=3)
        other.load_weights(tmp_path / "a.weights.h5")
        np.testing.assert_array_equal(other.codebook, model.codebook)

    def test_codes_are_integers_and_are_decoded(self, model):
        codes = model.encode(X)
        assert codes.dtype.kind == "i" and codes.shape == (64, LATENT)
        assert codes.min() >= 0 and codes.max() < 8
        np.testing.assert_array_equal(model.decode(codes), model.reconstruct(X))
        np.testing.assert_allclose(model(X), model.reconstruct(X), rtol=1e-5, atol=1e-6)
        with pytest.raises(UserError, match=r"z must have shape \(batch, 2\)"):
            model.decode(codes[:, :1])

    def test_the_averages_run_under_xla_too(self, model):
        jitted, plain = toy(ToyVQ), toy(ToyVQ)
        jitted.compile("sgd", jit_compile=True, steps_per_execution=2)
        plain.compile("sgd", **toys.PLAIN)
        for each in (jitted, plain):
            each.fit(X, batch_size=32, epochs=2, verbose=0)
        np.testing.assert_allclose(jitted.codebook, plain.codebook, rtol=1e-4, atol=1e-5)


@keras.saving.register_keras_serializable(package="tests")
class ToyConditional(VAE):
    """p(x|z, y) and q(z|x, y): the label is appended to what both networks read."""

    conditional = True

    def __init__(self, classes=3, **kwargs):
        self.classes = classes
        super().__init__(**kwargs)

    def network_shapes(self):
        shapes = super().network_shapes()
        height, width, channels = self.image_shape
        return {
            "encoder": ((height, width, channels + self.classes), shapes["encoder"][1]),
            "decoder": ((self.latent_dim + self.classes,), shapes["decoder"][1]),
        }

    def posterior_parameters(self, x, condition=None, training=False):
        label = ops.one_hot(condition, self.classes, dtype=self.float_dtype)
        planes = ops.broadcast_to(label[:, None, None], (*ops.shape(x)[:3], self.classes))
        return super().posterior_parameters(ops.concatenate([x, planes], axis=-1), condition, training)

    def likelihood_parameters(self, z, condition=None, training=False):
        label = ops.one_hot(condition, self.classes, dtype=self.float_dtype)
        return super().likelihood_parameters(ops.concatenate([z, label], axis=-1), condition, training)

    def check_condition(self, condition, count):
        labels = np.asarray([] if condition is None else condition)
        if (
            labels.shape != (count,)
            or labels.dtype.kind not in "iu"
            or labels.min() < 0
            or labels.max() >= self.classes
        ):
            raise UserError(f"condition must be {count} labels from 0 to {self.classes - 1}. Given: {condition!r}.")
        return {"condition": labels.astype("int32")}

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


class TestACondition:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        model = compiled(ToyConditional)
        model.fit(X, LABELS, batch_size=32, epochs=2, verbose=0)
        return model

    def test_the_condition_reaches_every_public_method(self, model):
        for condition in (LABELS, (LABELS + 1) % 3):
            codes = model.encode(X, condition)
            images = model.decode(codes, condition)
            np.testing.assert_array_equal(model.reconstruct(X, condition), images)
            assert model.elbo(X, condition=condition).shape == (64,)
        assert not np.array_equal(model.encode(X, LABELS), model.encode(X, (LABELS + 1) % 3))
        assert not np.array_equal(model.sample(3, condition=[0, 0, 0]), model.sample(3, condition=[1, 1, 1]))
        first, second = (model.elbo(X, condition=c) for c in (LABELS, (LABELS + 1) % 3))
        assert not np.array_equal(first, second)

    def test_importance_weights_repeat_the_condition(self, model):
        """Two examples together get the weights that each gets alone with its own label."""
        together = model.log_prob(X[:2], samples=4_000, condition=[0, 2])
        for index, label in ((0, 0), (1, 2)):
            alone = model.log_prob(X[index : index + 1], samples=4_000, seed=1, condition=[label])
            assert abs(together[index] - alone[0]) < 0.05  # weights vary by less than 1: s.e. below 1/sqrt(4000)

    def test_fit_and_evaluate_check_labels(self, model):
        before = toys.weights(model)
        bad = LABELS.copy()
        bad[-1] = 3
        made = tf.data.Dataset.from_tensor_slices({"x": X, "y": bad}).batch(64)
        for x, y in ((X, None), (X, bad), (made, None), (batches(X, bad, batch_size=8, training=True), None)):
            for method in (model.fit, model.evaluate):
                with pytest.raises(UserError, match=r"condition must be 64 labels from 0 to 2\. Given: "):
                    method(x, y, batch_size=8, verbose=0)
        with pytest.raises(UserError, match="condition must be 64 labels"):
            model.fit(X, LABELS, batch_size=8, validation_data=(X, bad), verbose=0)
        assert same(toys.weights(model), before)

    def test_datasets_carry_labels(self, model):
        pairs = tf.data.Dataset.from_tensor_slices((X, LABELS.astype("int32"))).batch(16)
        logs = model.evaluate(pairs, verbose=0, return_dict=True)
        assert logs == model.evaluate(X, LABELS, batch_size=16, verbose=0, return_dict=True)

    def test_predict_and_the_configuration(self, model):
        images = model.predict({"x": X, "y": LABELS}, verbose=0)
        np.testing.assert_allclose(images, model.reconstruct(X, LABELS), rtol=1e-5, atol=1e-6)
        again = ToyConditional.from_config(model.get_config())
        assert again.classes == 3 and again.encoder.weights[0].shape == model.encoder.weights[0].shape

    def test_a_model_without_condition_refuses_one(self):
        for call in (lambda m: m.encode(X, LABELS), lambda m: m.sample(2, condition=[0, 1])):
            with pytest.raises(UserError, match=r"VAE takes no condition\. Given: condition="):
                call(toy())


@keras.saving.register_keras_serializable(package="tests")
class ToyHierarchy(VAE):
    """Two levels: z1 as in VAE, z2 = linear(z1) + noise in q, N(z1 / 2, 1) in p; one KL a level."""

    def posterior_parameters(self, x, condition=None, training=False):
        first = super().posterior_parameters(x, condition, training)
        return {"mean_z1": first["mean"], "log_var_z1": first["log_var"], "mean_z2": 0.7 * first["mean"]}

    def code(self, parameters):
        return {"z1": parameters["mean_z1"], "z2": parameters["mean_z2"]}

    def check_code(self, z):
        return {name: arrays.check_codes(z[name], (self.latent_dim,), name) for name in ("z1", "z2")}

    def likelihood_parameters(self, z, condition=None, training=False):
        return super().likelihood_parameters(z["z1"] + z["z2"], condition, training)

    def terms(self, batch, training):
        parameters = self.posterior_parameters(batch["x"], training=training)

        def normal(mean, log_var):
            return tfd.Independent(tfd.Normal(mean, ops.exp(0.5 * log_var)), 1)

        q1 = normal(parameters["mean_z1"], parameters["log_var_z1"])
        z1 = q1.sample(seed=self.draws.next())
        q2, p2 = normal(0.7 * z1, ops.zeros_like(z1)), normal(0.5 * z1, ops.zeros_like(z1))
        z2 = q2.sample(seed=self.draws.next())
        kl = ops.stack([ops.sum(divergences.kl(*pair), -1) for pair in ((q1, self.prior()), (q2, p2))], axis=-1)
        log_px = self.likelihood_family.distribution(self.likelihood_parameters({"z1": z1, "z2": z2})).log_prob(
            batch["x"]
        )
        return Terms(log_px, kl)


class TestAHierarchy:
    def test_one_kl_a_level_and_free_bits_for_each(self):
        model = compiled(ToyHierarchy, free_bits=0.5)
        with model.draws.using((0, 0)):
            terms = model.terms({"x": tf.constant(X)}, training=False)
        kl = terms.kl.numpy()
        assert kl.shape == (64, 2)
        cost = float(model.objective(terms, model.step)) + float(tf.reduce_mean(terms.log_px))
        assert cost == pytest.approx(np.maximum(kl.mean(0), 0.5).sum(), rel=1e-5)
        history = model.fit(X, batch_size=32, epochs=2, verbose=0).history
        assert np.isfinite(history["loss"]).all()

    def test_codes_are_a_dict_of_levels(self):
        model = toy(ToyHierarchy)
        codes = model.encode(X)
        assert set(codes) == {"z1", "z2"} and all(code.shape == (64, LATENT) for code in codes.values())
        np.testing.assert_allclose(codes["z2"], 0.7 * codes["z1"], rtol=1e-6)
        images = model.decode(codes)
        assert images.shape == (64, *SHAPE)
        np.testing.assert_allclose(images, model.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
        assert model.elbo(X).shape == (64,)
        with pytest.raises(UserError, match=r"z2 must have shape \(batch, 2\)"):
            model.decode({"z1": codes["z1"], "z2": codes["z2"][:, :1]})
