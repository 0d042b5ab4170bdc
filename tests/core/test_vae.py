"""The equation and its one step: units, gradients, free bits, annealing, metrics, randomness."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import randomness
from keras_vae.core import Terms
from keras_vae.errors import UserError
from keras_vae.models import VAE, BetaVAE, FlowVAE, HypersphericalVAE, VampVAE
from tests import toys
from tests.toys import LATENT, SHAPE, binary, compiled, degenerate, grey, mlp, same, toy

X = binary(64)
BATCH = {"x": tf.constant(X)}


def terms_of(model, batch=None, seed=(3, 4), training=False):
    with model.draws.using(seed):
        return model.terms(BATCH if batch is None else batch, training)


def constant_kl(values, count=5):
    """Terms whose batch mean of each KL group is `values`, though no example has it."""
    spread = np.linspace(-0.2, 0.2, count)[:, None]
    return Terms(tf.zeros(count), tf.constant(np.array(values) + spread, "float32"))


class TestUnits:
    def test_terms_are_nats_an_example(self):
        """Recomputed in numpy from the parameters alone: sums over pixels and dimensions, nothing averaged."""
        model = toy()
        terms = terms_of(model)
        assert terms.log_px.shape == (64,) and terms.kl.shape == (64, LATENT)
        parameters = {name: value.numpy().astype("float64") for name, value in model.posterior_parameters(X).items()}
        mean, log_var = parameters["mean"], parameters["log_var"]
        np.testing.assert_allclose(terms.kl, 0.5 * (mean**2 + np.exp(log_var) - log_var - 1), rtol=1e-4, atol=1e-6)
        with model.draws.using((3, 4)):
            z = model.posterior(X).sample(seed=model.draws.next())
        p = model.decode(z).astype("float64")
        expected = (X * np.log(p) + (1 - X) * np.log(1 - p)).sum((1, 2, 3))
        np.testing.assert_allclose(terms.log_px, expected, rtol=1e-5)

    def test_the_objective_is_minus_the_elbo(self):
        model = toy()
        terms = terms_of(model)
        elbo = terms.log_px.numpy() - terms.kl.numpy().sum(1)
        assert float(model.objective(terms)) == pytest.approx(-elbo.mean(), rel=1e-6)
        assert float(toy(beta=2.5).objective(terms)) == pytest.approx(
            -(terms.log_px.numpy() - 2.5 * terms.kl.numpy().sum(1)).mean(), rel=1e-6
        )

    def test_the_penalty_is_added_once(self):
        model, terms = toy(), terms_of(toy())
        for penalty in (3.0, tf.fill((64,), 3.0)):
            with_penalty = model.objective(terms._replace(penalty=penalty))
            assert float(with_penalty) == pytest.approx(float(model.objective(terms)) + 3, rel=1e-6)

    @pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", {"name": "gaussian", "scale": "pixel"}])
    def test_twice_the_pixels_is_twice_log_px(self, likelihood):
        """A decoder that gives every pixel the same parameters, on images beside copies of themselves."""
        values = []
        for width in (4, 8):
            model = toy(image_shape=(4, width, 1), likelihood=likelihood, decoder=mlp(hidden=()))
            model.decoder.set_weights([np.zeros_like(weight) for weight in model.decoder.get_weights()])
            values.append(terms_of(model, {"x": np.tile(X, (1, 1, width // 4, 1))}).log_px.numpy())
        np.testing.assert_allclose(values[1], 2 * values[0], rtol=1e-6)

    def test_a_zero_decoder_gives_log_2_a_pixel(self):
        model = toy(decoder=mlp(hidden=()))
        model.decoder.set_weights([np.zeros_like(weight) for weight in model.decoder.get_weights()])
        np.testing.assert_allclose(terms_of(model).log_px, -16 * np.log(2), rtol=1e-6)

    def test_a_permuted_batch_permutes_the_terms(self):
        model = degenerate(toy())
        order = np.random.default_rng(0).permutation(64)
        first, second = terms_of(model), terms_of(model, {"x": X[order]})
        np.testing.assert_allclose(first.log_px.numpy()[order], second.log_px, rtol=1e-3)  # noise of exp(-10)
        np.testing.assert_allclose(first.kl.numpy()[order], second.kl, rtol=1e-6)


class TestGradients:
    def test_beta_4_weighs_the_gradient_of_the_kl_by_4(self):
        model = toy(BetaVAE, dtype="float64", likelihood="gaussian")
        variables = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape(persistent=True) as tape:
            terms = terms_of(model, training=True, batch={"x": tf.constant(grey(8), "float64")})
            loss = model.objective(terms)
            log_px, kl = tf.reduce_mean(terms.log_px), tf.reduce_mean(tf.reduce_sum(terms.kl, 1))
        whole, one, two = (tape.gradient(each, variables, unconnected_gradients="zero") for each in (loss, log_px, kl))
        for gradient, first, second in zip(whole, one, two, strict=True):
            np.testing.assert_allclose(gradient, -first + 4 * second, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"likelihood": {"name": "gaussian", "scale": "global"}},
            {"likelihood": {"name": "gaussian", "scale": "pixel"}, "beta": 2.5},
            {"likelihood": "bernoulli", "free_bits": 0.1},
            {"likelihood": "bernoulli", "free_bits": 0.1, "free_bits_on": "total"},
        ],
    )
    def test_the_whole_loss_against_central_differences(self, arguments):
        """float64, fixed noise, a step of 1e-5: the formula's own error is about 1e-10, rounding 1e-16 / 1e-5."""
        smooth = mlp(hidden=(3,), activation="tanh")
        model = toy(dtype="float64", encoder=smooth, decoder=smooth, **arguments)
        generator = np.random.default_rng(0)
        for variable in model.trainable_variables:
            variable.assign(generator.normal(scale=0.5, size=variable.shape))
        batch = {"x": tf.constant(binary(6), "float64")}

        @tf.function
        def loss_and_gradients():
            with tf.GradientTape() as tape:
                loss = model.objective(terms_of(model, batch, training=True))
            return loss, tape.gradient(loss, [variable.value for variable in model.trainable_variables])

        _, gradients = loss_and_gradients()
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            value = np.array(variable)
            for index in np.ndindex(*value.shape):
                if generator.random() > 0.25 and value.size > 4:
                    continue  # a quarter of the entries of each large variable
                ends = []
                for sign in (1, -1):
                    moved = value.copy()
                    moved[index] += sign * 1e-5
                    variable.assign(moved)
                    ends.append(float(loss_and_gradients()[0]))
                variable.assign(value)
                numeric = (ends[0] - ends[1]) / 2e-5
                assert np.asarray(gradient)[index] == pytest.approx(numeric, rel=1e-6, abs=1e-7), variable.path

    @pytest.mark.parametrize("arguments", [{}, {"likelihood": {"name": "gaussian", "scale": "global"}}])
    def test_every_trainable_variable_gets_a_gradient(self, arguments):
        model = toy(**arguments)
        with tf.GradientTape() as tape:
            loss = model.objective(terms_of(model, training=True))
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            assert gradient is not None and np.abs(gradient).max() > 0, variable.path


class TestFreeBits:
    @pytest.mark.parametrize(
        ("kappa", "on", "expected"),
        [
            (0.0, "dimension", 0.1 + 0.5 + 2.0),
            (0.4, "dimension", 0.4 + 0.5 + 2.0),
            (1.0, "dimension", 1.0 + 1.0 + 2.0),
            (3.0, "dimension", 9.0),
            (0.0, "total", 2.6),
            (2.0, "total", 2.6),
            (3.0, "total", 3.0),
            (0.4, "group", 0.4 + 0.5 + 2.0),
        ],
    )
    def test_hand_computed_costs(self, kappa, on, expected):
        """The bound acts on the batch mean: single examples of the first dimension lie on both sides of kappa."""
        model = toy(latent_dim=3, free_bits=kappa, free_bits_on=on)
        terms = constant_kl([0.1, 0.5, 2.0])
        assert float(model.kl_cost(terms.kl)) == pytest.approx(expected, rel=1e-6)
        assert float(model.objective(terms)) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize(
        ("on", "kappa", "expected"),
        [("dimension", 0.4, [0, 1, 1]), ("total", 3.0, [0, 0, 0]), ("total", 2.0, [1, 1, 1])],
    )
    def test_the_gradient_is_zero_below_kappa(self, on, kappa, expected):
        model = toy(latent_dim=3, free_bits=kappa, free_bits_on=on)
        kl = constant_kl([0.1, 0.5, 2.0]).kl
        with tf.GradientTape() as tape:
            tape.watch(kl)
            cost = model.kl_cost(kl)
        np.testing.assert_allclose(tape.gradient(cost, kl), np.tile(np.array(expected) / 5, (5, 1)), rtol=1e-6)

    @pytest.mark.parametrize(("group", "expected"), [(1, 0.7 + 0.7 + 0.8 + 2.0), (2, 0.7 + 2.8), (4, 3.4)])
    def test_groups_of_consecutive_dimensions(self, group, expected):
        """(0.1, 0.5, 0.8, 2.0) in pairs: 0.6, which is raised to 0.7, and 2.8."""
        model = toy(latent_dim=4, free_bits=0.7, free_bits_on="group", free_bits_group=group)
        assert float(model.kl_cost(constant_kl([0.1, 0.5, 0.8, 2.0]).kl)) == pytest.approx(expected, rel=1e-6)
        assert type(model).from_config(model.get_config()).free_bits_group == group

    @pytest.mark.parametrize(
        ("cls", "arguments"),
        [
            (VampVAE, {"pseudo_inputs": 3}),
            (FlowVAE, {"depth": 2, "flow_hidden": (4,)}),
            (HypersphericalVAE, {"latent_dim": 3}),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_a_kl_of_one_number_has_no_dimensions(self, cls, arguments):
        """Its free bits are on the total, and anything finer is refused; without free bits nothing is asked."""
        model = toy(cls, free_bits=2.0, **arguments)
        assert model.free_bits_on == "total"
        assert float(model.kl_cost(constant_kl([0.5]).kl)) == 2.0
        for finer in ("dimension", "group"):
            with pytest.raises(
                UserError, match=rf"a {cls.__name__} has none finer than the total\. Given: .*'{finer}'"
            ):
                toy(cls, free_bits=2.0, free_bits_on=finer, **arguments)
        assert toy(cls, free_bits_on="dimension", **arguments).free_bits == 0
        assert toy(FlowVAE, depth=0, free_bits=2.0).free_bits_on == "dimension"

    @pytest.mark.parametrize("wrong", [{"free_bits_group": 3}, {"free_bits_group": 2, "free_bits_on": "total"}])
    def test_groups_that_do_not_fit(self, wrong):
        with pytest.raises(UserError, match=r"free_bits_group divides latent_dim, and goes with free_bits_on='group'"):
            toy(**{"latent_dim": 4, "free_bits": 0.1, "free_bits_on": "group", **wrong})

    def test_the_elbo_that_is_logged_has_no_free_bits(self):
        model = degenerate(compiled(free_bits=1000.0, beta=3.0))
        logs = model.evaluate(X, verbose=0, return_dict=True)
        assert logs["elbo"] == pytest.approx(logs["log_px"] - logs["kl"], rel=1e-6)
        assert logs["loss"] == pytest.approx(-logs["log_px"] + 3 * 2 * 1000, rel=1e-6)


class TestAnnealing:
    SCHEDULE = {"name": "linear", "final": 2.0, "steps": 10}  # noqa: RUF012

    def test_beta_logged_is_the_mean_of_the_schedule_over_the_epochs_steps(self):
        model = compiled(beta=self.SCHEDULE)
        history = model.fit(X, batch_size=16, epochs=4, verbose=0).history["beta"]
        by_hand = [np.mean([min(0.2 * step, 2.0) for step in range(4 * e, 4 * e + 4)]) for e in range(4)]
        np.testing.assert_allclose(history, by_hand, rtol=1e-6)
        assert int(model.step) == 16

    def test_evaluation_does_not_advance_the_step(self):
        model = compiled(beta=self.SCHEDULE)
        model.fit(X, batch_size=16, validation_data=X, verbose=0)
        assert int(model.step) == 4
        logs = model.evaluate(X, verbose=0, return_dict=True)
        model.predict(X, verbose=0), model.elbo(X)
        assert int(model.step) == 4
        assert logs["beta"] == pytest.approx(0.8, rel=1e-6)
        assert logs["loss"] == pytest.approx(-logs["log_px"] + 0.8 * logs["kl"], rel=1e-5)

    def test_the_step_is_saved_with_the_weights(self, tmp_path):
        model = compiled()
        model.fit(X, batch_size=16, verbose=0)
        model.save_weights(tmp_path / "a.weights.h5")
        other = toy()
        other.load_weights(tmp_path / "a.weights.h5")
        assert int(other.step) == 4 and other.step.dtype == "int64"
        assert not any(variable is model.step for variable in model.trainable_variables)


class TestMetrics:
    def test_means_weigh_examples_alike_with_a_last_partial_batch(self):
        """64 examples in batches of 24: the last holds 16. Exact when the posterior draws nothing."""
        model = degenerate(compiled())
        expected = terms_of(model)
        log_px, kl = expected.log_px.numpy().mean(), expected.kl.numpy().sum(1).mean()
        for size in (24, 64, 1, 63):
            logs = model.evaluate(X, batch_size=size, verbose=0, return_dict=True)
            # the noise that is left is exp(-10) of a unit
            assert logs["log_px"] == pytest.approx(log_px, rel=1e-4)
            assert logs["kl"] == pytest.approx(kl, rel=1e-5)
            assert logs["elbo"] == pytest.approx(logs["log_px"] - logs["kl"], rel=1e-5)
            assert logs["loss"] == pytest.approx(-logs["elbo"], rel=1e-5)

    def test_evaluation_at_different_batch_sizes_agrees_within_the_noise(self):
        model = compiled()
        model.fit(X, batch_size=16, epochs=3, verbose=0)
        many = np.tile(X, (10, 1, 1, 1))
        error = model.elbo(many).std() / np.sqrt(len(many))
        values = [model.evaluate(many, batch_size=size, verbose=0, return_dict=True)["elbo"] for size in (32, 100, 640)]
        assert max(values) - min(values) < 5 * np.sqrt(2) * error
        assert len(set(values)) == 3, "the noise does differ"

    def test_evaluation_is_the_same_each_time(self):
        model = compiled()
        first = model.evaluate(X, batch_size=16, verbose=0, return_dict=True)
        assert first == model.evaluate(X, batch_size=16, verbose=0, return_dict=True)
        history = model.fit(X, batch_size=16, validation_data=X, verbose=0).history
        after = model.evaluate(X, batch_size=16, verbose=0, return_dict=True)
        assert {name: history[f"val_{name}"][0] for name in after} == after

    def test_what_is_logged(self):
        model = compiled()
        history = model.fit(X, batch_size=16, epochs=2, validation_data=X, verbose=0).history
        names = {"loss", "elbo", "log_px", "kl", "beta"}
        assert set(history) == names | {f"val_{name}" for name in names}
        np.testing.assert_allclose(history["loss"], -np.array(history["elbo"]), rtol=1e-5)


class TestRandomness:
    def fitted(self, epochs=2, **arguments):
        model = compiled(**arguments)
        model.fit(X, batch_size=16, epochs=epochs, verbose=0)
        return model

    def test_one_seed_one_model(self):
        assert same(toys.weights(toy(seed=4)), toys.weights(toy(seed=4)))
        first, second = (toys.weights(self.fitted(seed=4)) for _ in range(2))
        assert same(first, second)

    def test_another_seed_another_model(self):
        kernels = [toy(seed=seed).encoder.weights[0].numpy() for seed in (0, 1)]
        assert not np.array_equal(*kernels)
        first, second = toy(seed=0), toy(seed=1)
        second.set_weights(first.get_weights())
        for model in (first, second):
            model.compile("adam", **toys.PLAIN)
            model.fit(X, batch_size=64, verbose=0)  # one batch: the order of examples plays no part
        assert not same(toys.weights(first), toys.weights(second)), "the noise of training differs too"

    def test_encoder_and_decoder_start_differently(self):
        model = toy(image_shape=(2, 1, 1), latent_dim=2, encoder=mlp(hidden=(5,)), decoder=mlp(hidden=(5,)))
        assert model.encoder.weights[0].shape == model.decoder.weights[0].shape
        assert not np.array_equal(model.encoder.weights[0], model.decoder.weights[0])

    def test_global_random_states_are_left_alone(self):
        random.seed(1), np.random.seed(1), keras.utils.set_random_seed(1)
        states = random.getstate(), np.random.get_state()[1].copy()
        weights = toys.weights(self.fitted(seed=4))
        assert random.getstate() == states[0]
        np.testing.assert_array_equal(np.random.get_state()[1], states[1])
        random.seed(99), np.random.seed(99), tf.random.set_seed(99)
        assert same(weights, toys.weights(self.fitted(seed=4))), "nor do they play a part"

    @pytest.mark.slow
    def test_training_goes_on_where_it_stopped(self):
        """2 + 2 epochs, compiled anew between them, equal 4: noise and order are functions of seed and step."""
        from keras_vae.data import batches

        whole = compiled(beta={"name": "linear", "steps": 20})
        whole.fit(batches(X, batch_size=16, training=True, seed=5), epochs=4, verbose=0)
        parts = compiled(beta={"name": "linear", "steps": 20})
        parts.fit(batches(X, batch_size=16, training=True, seed=5), epochs=2, verbose=0)
        parts.compile(parts.optimizer, **toys.PLAIN)
        parts.fit(batches(X, batch_size=16, training=True, seed=5, first_epoch=2), epochs=2, verbose=0)
        assert int(parts.step) == 16
        assert same(toys.weights(parts), toys.weights(whole))

    def test_noise_differs_between_steps_draws_replicas_and_purposes(self):
        def draw(*counts, purpose=randomness.TRAINING):
            return tuple(np.asarray(randomness.fold(randomness.seed_of(0, purpose), *counts)))

        seeds = {draw(step, replica, number) for step in range(5) for replica in range(3) for number in range(1, 4)}
        assert len(seeds) == 45
        assert not seeds & {draw(step, 0, 1, purpose=randomness.EVALUATION) for step in range(5)}
        model = toy()
        with model.draws.using((0, 1)):
            first, second = model.draws.next(), model.draws.next()
        with model.draws.using((0, 1)):
            again = model.draws.next()
        assert not np.array_equal(first, second) and np.array_equal(first, again)

    def test_each_step_has_noise_of_its_own(self):
        """Learning rate 0, one batch: only the noise can change the loss from step to step."""
        model = compiled(optimizer=keras.optimizers.SGD(0.0))
        losses = [model.fit(X, batch_size=64, verbose=0).history["log_px"][0] for _ in range(4)]
        assert len(set(losses)) == 4

    def test_drawing_outside_a_step_is_an_error(self):
        with pytest.raises(RuntimeError, match=r"call it inside `with model\.draws\.using\(seed\):`"):
            toy().terms(BATCH, training=False)


class TestSampledKl:
    def test_the_sampled_kl_has_the_analytic_mean(self):
        class Sampled(VAE):
            analytic_kl = False

        model, exact = toy(Sampled), toy()
        many = {"x": np.repeat(X[:4], 5_000, axis=0)}
        sampled = terms_of(model, many).kl.numpy().reshape(4, 5_000, LATENT)
        analytic = terms_of(exact, many).kl.numpy().reshape(4, 5_000, LATENT)[:, 0]
        assert (np.abs(sampled.mean(1) - analytic) < 5 * sampled.std(1) / np.sqrt(5_000)).all()
        assert sampled.std() > 0.01


class TestKeras:
    def test_a_new_model_does_everything_before_any_fit(self, tmp_path, capsys):
        model = toy()
        model.summary()
        assert "mlp" in capsys.readouterr().out
        assert model.built and model.predict(X, verbose=0).shape == (64, *SHAPE)
        model.save_weights(tmp_path / "a.weights.h5")
        other = toy(seed=1)
        other.load_weights(tmp_path / "a.weights.h5")
        assert same(toys.weights(model), toys.weights(other))

    def test_call_takes_arrays_and_batches(self):
        model = toy()
        np.testing.assert_array_equal(model(X), model({"x": X, "y": np.zeros(64)}))
        np.testing.assert_allclose(model(X), model.reconstruct(X), rtol=1e-5, atol=1e-6)

    def test_summary_of_what_is_trained(self):
        model = toy(likelihood={"name": "gaussian", "scale": "global"})
        names = {variable.path.split("/")[-1] for variable in model.trainable_variables}
        assert names == {"kernel", "bias", "raw_log_var"}
        assert len(model.trainable_variables) == 9

    def test_layers_losses_are_added_once(self):
        """L2 on a kernel and an activity penalty, in the loss of fit and of evaluate, and nowhere else."""
        dense = keras.layers.Dense(2 * LATENT, kernel_regularizer=keras.regularizers.L2(0.5),
                                   activity_regularizer=keras.regularizers.L1(0.01))  # fmt: skip
        model = compiled(encoder=keras.Sequential([keras.layers.Flatten(), dense]), optimizer=keras.optimizers.SGD(0.0))
        # Keras divides activity losses by the batch size.
        own = 0.5 * (dense.kernel.numpy() ** 2).sum() + 0.01 * np.abs(dense(X.reshape(64, -1))).sum() / 64
        for logs in (
            {name: values[0] for name, values in model.fit(X, batch_size=64, verbose=0).history.items()},
            model.evaluate(X, batch_size=64, verbose=0, return_dict=True),
            model.evaluate(X, batch_size=64, verbose=0, return_dict=True),
        ):
            assert logs["loss"] + logs["elbo"] == pytest.approx(own, rel=1e-4)
