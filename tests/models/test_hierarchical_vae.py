"""HierarchicalVAE: L = 1 is a VAE, and two linear-Gaussian levels have a likelihood that is known exactly.

Levels may be maps, and the top one may have a VampPrior: then L = 1 is a VampVAE.
"""

import json
from typing import Any

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from keras_vae import divergences, runtimes
from keras_vae.distributions.ladder import merged
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.models import VAE, VampVAE
from keras_vae.models.hierarchical_vae import HierarchicalVAE
from keras_vae.models.parts.levels import Levels
from keras_vae.networks.ladder import MapNetwork
from tests import toys
from tests.core.test_linear_gaussian import bounded_inverse
from tests.digits import assert_learned, digits, trained
from tests.export.bundles import stirred
from tests.toys import binary, toy

X = binary(6)


def ladder(latent_dims=(3, 2), **arguments):
    """A toy with weights that are not at their initial values: each level's prior depends on those above."""
    defaults = {"image_shape": (4, 4, 1), "hidden": 8, "encoder": {"name": "mlp", "hidden": (8,)}}
    model: Any = HierarchicalVAE(latent_dims, **{"decoder": {"name": "mlp", "hidden": (8,)}, **defaults, **arguments})
    return stirred(model) if model.float_dtype == "float32" else model


def terms_of(model, x=X, seed=(0, 5)):
    with model.draws.using(seed):
        return model.terms({"x": tf.constant(x, model.float_dtype)}, training=False)


class TestOneLevelIsAVAE:
    @pytest.fixture(scope="class")
    @classmethod
    def pair(cls):
        plain = stirred(toy(VAE, latent_dim=3))
        one = HierarchicalVAE(
            (3,), image_shape=(4, 4, 1), encoder=plain.specs["encoder"], decoder=plain.specs["decoder"]
        )
        one.set_weights(plain.get_weights())
        return plain, one

    def test_the_same_terms_and_weights(self, pair):
        plain, one = pair
        mine, theirs = terms_of(one), terms_of(plain)
        np.testing.assert_array_equal(mine.log_px, theirs.log_px)
        np.testing.assert_allclose(mine.kl[:, 0], tf.reduce_sum(theirs.kl, -1), rtol=1e-6)
        np.testing.assert_allclose(one.objective(mine), plain.objective(theirs), rtol=1e-6)
        for seed in (0, 1):
            np.testing.assert_allclose(one.log_weights(X, 5, seed), plain.log_weights(X, 5, seed), rtol=1e-6)

    def test_the_same_codes_images_and_draws(self, pair):
        plain, one = pair
        np.testing.assert_array_equal(one.encode(X)["z1"], plain.encode(X))
        np.testing.assert_array_equal(one.decode({"z1": plain.encode(X)}), plain.reconstruct(X))
        np.testing.assert_array_equal(one.sample(4, seed=3), plain.sample(4, seed=3))


def test_networks_between_levels_take_arguments():
    """Gated, normalised, of several layers; and all come back."""
    model = ladder(between={"activation": "gated", "batch_norm": True, "hidden": [8, 6]})
    plain = ladder()
    for networks, others in ((model.rungs, plain.rungs), (model.prior_networks, plain.prior_networks)):
        for name, network in networks.items():
            assert (network.activation, network.batch_norm, network.hidden) == ("gated", True, (8, 6))
            assert (others[name].activation, others[name].hidden) == ("relu", (8,))
    again = HierarchicalVAE.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.elbo(X), model.elbo(X))
    with pytest.raises(UserError, match=r"has no argument 'activaton'.*'activation'"):
        ladder(between={"activaton": "gated"})


def test_the_merge_is_the_normalised_product_of_two_gaussians():
    own, prior = (np.array([0.3]), np.array([-0.7])), (np.array([-1.1]), np.array([0.4]))
    mean, log_var = merged(*((tf.constant(m), tf.constant(v)) for m, v in (own, prior)))
    z = np.linspace(-12, 12, 20_001)
    product = np.prod([scipy.stats.norm.pdf(z, m, np.exp(v / 2)) for m, v in (own, prior)], axis=0)
    product /= np.trapezoid(product, z)
    np.testing.assert_allclose(mean, np.trapezoid(z * product, z), atol=1e-9)
    np.testing.assert_allclose(np.exp(log_var), np.trapezoid((z - mean.numpy()) ** 2 * product, z), rtol=1e-8)


class TestThreeLevels:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        return ladder((3, 2, 4))

    def test_kl_of_a_level_is_against_its_prior_given_the_levels_above(self, model):
        """In closed form, from the parameters that the networks give for the draws above; not against N(0, I)."""
        terms = terms_of(model)
        z, kl = terms.cache["z"], terms.kl.numpy()
        assert kl.shape == (6, 3)
        posterior, prior = model.posterior(X), model.prior()
        standard = []
        for place, name in enumerate(("z1", "z2", "z3")):
            above = {other: z[other] for other in ("z3", "z2", "z1")[: 2 - place]}
            q, p = posterior.level(name, above).distribution, prior.level(name, above).distribution
            m, s = (np.asarray(q.loc, "float64"), np.asarray(q.scale, "float64"))
            n, t = (np.asarray(p.loc, "float64"), np.asarray(p.scale, "float64"))
            expected = (np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5).sum(-1)
            np.testing.assert_allclose(kl[:, place], expected, rtol=1e-4)
            standard.append((0.5 * (s**2 + m**2 - 1) - np.log(s)).sum(-1))
        assert (np.abs(kl[:, :2] - np.stack(standard[:2], -1)) > 1e-2).any(), "the prior is no N(0, I) below the top"
        np.testing.assert_allclose(kl[:, 2], standard[2], rtol=1e-4)

    def test_the_average_of_log_weights_is_the_elbo(self, model):
        weights = np.asarray(model.log_weights(X[:1], 4000, seed=2))[:, 0]
        elbos = model.elbo(np.repeat(X[:1], 4000, axis=0), seed=1)
        error = np.sqrt(weights.var() / 4000 + elbos.var() / 4000)
        assert abs(weights.mean() - elbos.mean()) < 5 * error
        assert np.logaddexp.reduce(weights) - np.log(4000) > elbos.mean()

    def test_draws_come_from_the_top_down(self, model):
        """Ancestral: the mean of z1 given its own parents is what the network says of them, within standard error."""
        z = model.prior().sample(20_000, seed=(0, 1))
        assert {name: tuple(value.shape) for name, value in z.items()} == {
            "z1": (20_000, 3), "z2": (20_000, 2), "z3": (20_000, 4)
        }  # fmt: skip
        for name, above in (("z1", ("z3", "z2")), ("z2", ("z3",))):
            level = model.prior().level(name, {other: z[other] for other in above}).distribution
            residual = np.asarray((z[name] - level.loc) / level.scale)
            assert (np.abs(residual.mean(0)) < 5 / np.sqrt(20_000)).all()
            assert (np.abs((residual**2).mean(0) - 1) < 5 * np.sqrt(2 / 20_000)).all()
            assert np.asarray(level.loc).std(0).max() > 0.1, "it depends on what is above"

    def test_codes_are_a_dict_and_come_back(self, model):
        codes = model.encode(X)
        assert {name: code.shape for name, code in codes.items()} == {"z1": (6, 3), "z2": (6, 2), "z3": (6, 4)}
        np.testing.assert_allclose(model.decode(codes), model.reconstruct(X), atol=1e-6)
        for name in codes:  # a skip path: x depends on every level
            changed = {**codes, name: codes[name] + 1}
            assert np.abs(model.decode(changed) - model.decode(codes)).max() > 1e-3
        with pytest.raises(UserError, match=r"A code is a mapping of the arrays z1, z2, z3, as encode.*Given: ndarray"):
            model.decode(codes["z1"])
        with pytest.raises(UserError, match=r"z2 must have shape \(batch, 2\)"):
            model.decode({**codes, "z2": codes["z1"]})
        with pytest.raises(UserError, match=r"one batch size\. Given: z1: 6, z2: 6, z3: 2"):
            model.decode({**codes, "z3": codes["z3"][:2]})

    @pytest.mark.slow
    def test_exports(self, model, tmp_path):
        bundle = export(model, tmp_path / "bundle", ("onnx", "saved_model"))
        assert {row.output for row in bundle.parity if row.graph == "encoder"} == {
            f"{kind}z{level}" for kind in ("", "log_var_") for level in (1, 2, 3)
        }
        assert list(bundle.graphs["decoder"]["inputs"]) == ["z1", "z2", "z3"]

    def test_every_variable_gets_a_gradient(self, model):
        with tf.GradientTape() as tape:
            terms = terms_of(model)
            loss = model.objective(terms)
        gradients: Any = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)

    def test_configuration_comes_back(self, model):
        again = HierarchicalVAE.from_config(model.get_config())
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.elbo(X), model.elbo(X))


def test_without_skips_x_depends_on_z1_only():
    model = ladder((3, 2, 4), skip=False)
    codes = model.encode(X)
    changed = {**codes, "z2": codes["z2"] + 1, "z3": codes["z3"] - 1}
    np.testing.assert_array_equal(model.decode(changed), model.decode(codes))
    assert [model.prior_networks[name].stack.layers[1].kernel.shape[0] for name in ("z1", "z2")] == [2, 4]


def test_warm_up_of_each_level():
    rising = {"name": "linear", "final": 1.0, "steps": 10}
    model = ladder(beta=2.0, level_betas=(1.0, rising))
    terms = terms_of(model)
    kl, base = terms.kl.numpy().mean(0), -terms.log_px.numpy().mean()
    for step, weights in ((0, (1, 0)), (5, (1, 0.5)), (50, (1, 1))):
        expected = base + 2 * (kl * weights).sum()
        model.step.assign(step)
        assert float(model.objective(terms)) == pytest.approx(expected, rel=1e-5)
    free = ladder(free_bits=100.0, level_betas=(1.0, 0.5))
    terms = terms_of(free)
    assert float(free.objective(terms)) == pytest.approx(-terms.log_px.numpy().mean() + 150, rel=1e-5)


def test_the_kl_and_the_weight_of_each_level_are_logged():
    """Their sum is the KL; the weights are those of the step."""
    rising = {"name": "linear", "final": 1.0, "steps": 10}
    model = ladder((3, 2, 2), level_betas=(1.0, rising, rising))
    model.compile("sgd", **toys.PLAIN)
    model.step.assign(5)
    logs = model.evaluate(X, batch_size=2, verbose=0, return_dict=True)
    levels = [logs[f"kl_z{level}"] for level in (1, 2, 3)]
    assert min(levels) > 0 and sum(levels) == pytest.approx(logs["kl"], rel=1e-5)
    assert [logs[f"beta_z{level}"] for level in (1, 2, 3)] == pytest.approx([1.0, 0.5, 0.5])
    terms = terms_of(model)
    np.testing.assert_array_equal(terms.logs["kl_z2"], terms.kl[:, 1])
    assert ladder().metric_names == ("kl_z1", "kl_z2")


def test_free_bits_are_for_each_level():
    """kappa for the batch mean of each level's KL, or of their sum; there is no KL of a single dimension."""
    for on, count in (("group", 2), ("total", 1)):
        model = ladder(free_bits=100.0, free_bits_on=on)
        assert float(model.kl_cost(terms_of(model).kl)) == pytest.approx(100.0 * count)
    assert ladder(free_bits=0.1).free_bits_on == "group"


@pytest.mark.slow
def test_learns_digits_and_uses_its_levels():
    model = trained(HierarchicalVAE, latent_dim=None, latent_dims=(8, 4), hidden=64)
    assert_learned(model)
    assert model.sample(3, seed=0).shape == (3, 28, 28, 1)


@pytest.mark.slow
def test_convolutions_and_xla():
    spec = {"name": "conv", "filters": (4, 8), "dense": 16, "batch_norm": True}
    model: Any = HierarchicalVAE((3, 2), hidden=8, encoder=spec, decoder=spec)
    model.compile("adam", steps_per_execution=1)
    history = model.fit(binary(64, (28, 28, 1)), batch_size=32, epochs=2, verbose=0).history
    assert np.isfinite(history["elbo"]).all()


MAPS = ((4, 4, 2), (2, 2, 3), 5)
SHAPES = {"z1": (4, 4, 2), "z2": (2, 2, 3), "z3": (5,)}
RESIDUAL = {"name": "residual", "filters": (4,), "groups": 2}
IMAGES = binary(6, (8, 8, 1))


def maps(latent_dims=MAPS, **arguments):
    defaults = {"image_shape": (8, 8, 1), "hidden": 6, "encoder": RESIDUAL, "decoder": RESIDUAL}
    return ladder(latent_dims, **{**defaults, **arguments})


class TestMaps:
    """Two levels that are maps, below a vector."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        return maps()

    def test_kl_of_a_map_is_summed_by_hand(self, model):
        """Over its places and channels, one Gaussian at a time; a level is not divided by its size."""
        terms = terms_of(model, IMAGES)
        posterior, prior, z = model.posterior(IMAGES), model.prior(), terms.cache["z"]
        assert {name: tuple(value.shape[1:]) for name, value in z.items()} == SHAPES
        assert terms.kl.shape == (6, 3)
        for place, name in enumerate(SHAPES):
            above = {other: z[other] for other in list(SHAPES)[:place:-1]}
            q, p = posterior.level(name, above).distribution, prior.level(name, above).distribution
            m, s, n, t = (np.asarray(value, "float64") for value in (q.loc, q.scale, p.loc, p.scale))
            n, t = (np.broadcast_to(value, m.shape) for value in (n, t))
            for example in range(6):
                total = sum(
                    np.log(t[example][i] / s[example][i])
                    + (s[example][i] ** 2 + (m[example][i] - n[example][i]) ** 2) / (2 * t[example][i] ** 2)
                    - 0.5
                    for i in np.ndindex(SHAPES[name])
                )
                assert float(terms.kl[example, place]) == pytest.approx(total, rel=1e-4)

    def test_the_average_of_log_weights_is_the_elbo(self, model):
        log_weights = np.asarray(model.log_weights(IMAGES[:1], 2000, seed=2))[:, 0]
        elbos = model.elbo(np.repeat(IMAGES[:1], 2000, axis=0), seed=1)
        error = np.sqrt(log_weights.var() / 2000 + elbos.var() / 2000)
        assert abs(log_weights.mean() - elbos.mean()) < 5 * error

    def test_codes_are_maps_and_come_back(self, model):
        codes = model.encode(IMAGES)
        assert {name: code.shape[1:] for name, code in codes.items()} == SHAPES
        np.testing.assert_allclose(model.decode(codes), model.reconstruct(IMAGES), atol=1e-6)
        for name in codes:
            assert np.abs(model.decode({**codes, name: codes[name] + 1}) - model.decode(codes)).max() > 1e-3
        with pytest.raises(UserError, match=r"z1 must have shape \(batch, 4, 4, 2\)"):
            model.decode({**codes, "z1": codes["z1"].reshape(6, -1)})
        assert model.sample(3, seed=0).shape == (3, 8, 8, 1)

    def test_the_prior_of_a_map_depends_on_place_and_on_every_level_above(self, model):
        z = {name: np.zeros((1, *shape), "float32") for name, shape in SHAPES.items()}
        mean = model.prior().level("z1", {"z3": z["z3"], "z2": z["z2"]}).distribution.loc
        assert np.ptp(np.asarray(mean), axis=(1, 2)).max() > 1e-3, "zero padding alone tells places apart"
        for name in ("z2", "z3"):
            changed = {other: z[other] + (other == name) for other in ("z3", "z2")}
            assert np.abs(model.prior().level("z1", changed).distribution.loc - mean).max() > 1e-3

    def test_what_is_above_is_repeated_to_the_size_below(self):
        levels = Levels(MAPS, 6, skip=True)
        generator = np.random.default_rng(0)
        z = {name: generator.normal(size=(2, *shape)).astype("float32") for name, shape in SHAPES.items()}
        joined = np.asarray(levels.joined(z, ["z1", "z2", "z3"]))
        assert joined.shape == (2, 4, 4, 10) == (2, *levels.joined_shape(["z1", "z2", "z3"]))
        for row, column in np.ndindex(4, 4):
            parts = z["z1"][:, row, column], z["z2"][:, row // 2, column // 2], z["z3"]
            np.testing.assert_array_equal(joined[:, row, column], np.concatenate(parts, axis=-1))

    def test_every_variable_gets_a_gradient(self, model):
        with tf.GradientTape() as tape:
            loss = model.objective(terms_of(model, IMAGES))
        gradients: Any = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            assert np.abs(gradient).max() > 0, variable.path

    def test_configuration_and_weights_come_back(self, model, tmp_path):
        again = HierarchicalVAE.from_config(json.loads(json.dumps(model.get_config())))
        model.save_weights(tmp_path / "a.weights.h5")
        again.load_weights(tmp_path / "a.weights.h5")
        assert toys.same(toys.weights(again), toys.weights(model))
        np.testing.assert_array_equal(again.elbo(IMAGES), model.elbo(IMAGES))

    @pytest.mark.slow
    def test_exports(self, model, tmp_path):
        bundle = export(model, tmp_path / "bundle", ("onnx", "saved_model"))
        assert all(row.max_error <= row.tolerance for row in bundle.parity)
        assert {row.format for row in bundle.parity} == {"onnx", "saved_model"}
        assert list(bundle.graphs["decoder"]["inputs"]) == list(SHAPES)
        runtime, codes = runtimes.open(bundle, "onnxruntime"), model.encode(IMAGES)
        np.testing.assert_allclose(runtime.encode(IMAGES), codes["z1"], rtol=0, atol=1e-5)
        images = runtime.decode(codes["z1"], z2=codes["z2"], z3=codes["z3"])
        np.testing.assert_allclose(images, model.decode(codes), rtol=0, atol=1e-5)


def test_without_skips_the_image_depends_on_the_lowest_map_only():
    model = maps(skip=False)
    codes = model.encode(IMAGES)
    changed = {**codes, "z2": codes["z2"] + 1, "z3": codes["z3"] - 1}
    np.testing.assert_array_equal(model.decode(changed), model.decode(codes))
    assert np.abs(model.decode({**codes, "z1": codes["z1"] + 1}) - model.decode(codes)).max() > 1e-3


def test_one_map_is_a_vae_of_that_many_dimensions():
    """With one network, its outputs in the same order: the same log p(x|z) up to the draw's shape, and the same KL."""
    model = maps(((2, 2, 3),), decoder={"name": "mlp"}, encoder={"name": "mlp"})
    terms = terms_of(model, IMAGES)
    mean, log_var = (np.asarray(model.posterior_parameters(IMAGES)[name], "float64") for name in ("z1", "log_var_z1"))
    expected = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum((1, 2, 3))
    np.testing.assert_allclose(terms.kl[:, 0], expected, rtol=1e-4)


@pytest.mark.slow
def test_maps_train_under_xla_and_in_bfloat16():
    for dtype, options in (("float32", {"steps_per_execution": 2}), ("mixed_bfloat16", toys.PLAIN)):
        model: Any = HierarchicalVAE(
            MAPS, hidden=6, image_shape=(8, 8, 1), encoder=RESIDUAL, decoder=RESIDUAL, pseudo_inputs=3, dtype=dtype
        )
        model.compile(keras.optimizers.Adam(0.01), **options)
        history = model.fit(binary(64, (8, 8, 1)), batch_size=16, epochs=3, verbose=0).history
        assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]


@pytest.mark.slow
def test_maps_of_digits():
    spec = {"name": "residual", "filters": (8, 16), "groups": 4}
    model = trained(
        HierarchicalVAE, latent_dim=None, latent_dims=((7, 7, 1), 8), hidden=16, encoder=spec, decoder=spec, epochs=4
    )
    assert_learned(model)
    assert (terms_of(model, digits().held_out_x[:100]).kl.numpy().mean(0) > 0.1).all(), "both levels are used"


def test_networks_between_levels():
    """From a vector, and from maps that are smaller, equal and larger by powers of 2."""
    for inputs in ((5,), (2, 3, 2), (8, 12, 1), (32, 48, 3)):
        network = MapNetwork((8, 12, 4), channels=6)
        x = np.random.default_rng(0).normal(size=(2, *inputs)).astype("float32")
        outputs = network(x)
        assert outputs.shape == (2, 8, 12, 4) and np.abs(outputs[0] - outputs[1]).max() > 1e-3
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(network))
        assert again.get_config() == network.get_config()


class TestVampPrior:
    """The top level's prior is the mixture of its own posteriors at pseudo-inputs."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        model = ladder((3, 2), pseudo_inputs=5)
        brightness = np.linspace(-6, 6, 5)[:, None, None, None]
        model.raw_pseudo_inputs.assign(brightness + np.random.default_rng(0).normal(0, 2, (5, 4, 4, 1)))
        for weight in model.rungs["z2"].weights:
            weight.assign(2.5 * weight)
        return model

    @staticmethod
    def components(model, top="z2"):
        inner = model.posterior(tf.sigmoid(model.raw_pseudo_inputs.value)).level(top, {}).distribution
        return np.asarray(inner.loc, "float64"), np.asarray(inner.scale, "float64")

    def test_one_level_is_a_vamp_vae_bit_for_bit(self):
        plain = stirred(toy(VampVAE, latent_dim=3, pseudo_inputs=4))
        specs = {name: plain.specs[name] for name in ("encoder", "decoder")}
        one: Any = HierarchicalVAE((3,), image_shape=(4, 4, 1), pseudo_inputs=4, **specs)
        one.set_weights(plain.get_weights())
        mine, theirs = terms_of(one), terms_of(plain)
        np.testing.assert_array_equal(mine.log_px, theirs.log_px)
        np.testing.assert_array_equal(mine.kl, theirs.kl)
        losses, gradients = [], []
        for each in (one, plain):
            with tf.GradientTape() as tape:
                losses.append(each.objective(terms_of(each)))
            gradients.append(tape.gradient(losses[-1], [variable.value for variable in each.trainable_variables]))
        np.testing.assert_array_equal(*losses)
        for first, second in zip(*gradients, strict=True):
            assert np.abs(first).max() > 0
            # The tape adds the paths through the posterior and through the components in another order.
            np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(one.log_weights(X, 5, 1), plain.log_weights(X, 5, 1))
        np.testing.assert_array_equal(one.sample(4, seed=3), plain.sample(4, seed=3))

    def test_initial_weights_are_those_of_a_vamp_vae(self):
        plain = toy(VampVAE, latent_dim=3, pseudo_inputs=4, seed=7)
        specs = {name: plain.specs[name] for name in ("encoder", "decoder")}
        one = HierarchicalVAE((3,), image_shape=(4, 4, 1), pseudo_inputs=4, seed=7, **specs)
        assert toys.same(toys.weights(one), toys.weights(plain))

    def test_the_density_by_a_loop(self, model):
        """log p(z2) + log p(z1|z2), the first the logarithm of a mean of five densities."""
        means, scales = self.components(model)
        z = {"z1": np.random.default_rng(1).normal(size=(6, 3)), "z2": np.random.default_rng(2).normal(size=(6, 2))}
        z = {name: value.astype("float32") for name, value in z.items()}
        logs = [[scipy.stats.norm(means[k], scales[k]).logpdf(point).sum() for k in range(5)] for point in z["z2"]]
        assert np.std(logs, axis=1).min() > 0.1, "the components differ"
        inner = model.prior().level("z1", {"z2": z["z2"]}).distribution
        below = scipy.stats.norm(inner.loc, inner.scale).logpdf(z["z1"]).sum(-1)
        expected = scipy.special.logsumexp(logs, axis=1) - np.log(5) + below
        np.testing.assert_allclose(model.prior().log_prob(z), expected, rtol=1e-4)

    def test_the_top_kl_is_at_the_draw_and_the_others_in_closed_form(self, model):
        terms = terms_of(model)
        z, posterior, prior = terms.cache["z"], model.posterior(X), model.prior()
        top = posterior.level("z2", {}).log_prob(z["z2"]) - prior.level("z2", {}).log_prob(z["z2"])
        np.testing.assert_allclose(terms.kl[:, 1], top, rtol=1e-5, atol=1e-5)
        below = (each.level("z1", {"z2": z["z2"]}) for each in (posterior, prior))
        np.testing.assert_allclose(terms.kl[:, 0], tf.reduce_sum(divergences.kl(*below), -1), rtol=1e-5)

    def test_draws_have_the_mixtures_moments(self, model):
        means, scales = self.components(model)
        z = np.asarray(model.prior().sample(50_000, seed=(0, 1))["z2"], "float64")
        expected = (means**2 + scales**2).mean(0)
        assert (np.abs(z.mean(0) - means.mean(0)) < 5 * z.std(0) / np.sqrt(50_000)).all()
        assert (np.abs((z**2).mean(0) - expected) < 5 * (z**2).std(0) / np.sqrt(50_000)).all()
        assert np.abs(expected - 1).min() > 0.02, "which are not those of N(0, I)"

    def test_pseudo_inputs_are_read_with_the_images(self):
        """Where they are the images, they have the images' posteriors: BatchNorm takes one mean and variance."""
        encoder = {"name": "mlp", "hidden": (8,), "activation": "tanh", "batch_norm": True}
        model = ladder(pseudo_inputs=6, encoder=encoder)
        model.raw_pseudo_inputs.assign(np.where(X > 0, 20.0, -20.0))
        posterior, prior = model.posterior_and_prior(X, training=True)
        components = prior.level("z2", {}).components_distribution
        np.testing.assert_allclose(components.mean(), posterior.level("z2", {}).mean(), atol=1e-5)
        still = model.prior().level("z2", {}).components_distribution.mean()
        assert np.abs(components.mean() - still).max() > 1e-2, "the moving averages are others"

    def test_pseudo_inputs_get_a_gradient_and_move_samples(self, model):
        with tf.GradientTape() as tape:
            loss = model.objective(terms_of(model))
        assert np.abs(tape.gradient(loss, model.raw_pseudo_inputs.value)).max() > 0
        before = model.sample(20, seed=1)
        kept = model.raw_pseudo_inputs.numpy()
        model.raw_pseudo_inputs.assign(np.full(kept.shape, 3.0))
        assert np.abs(model.sample(20, seed=1) - before).max() > 1e-3
        model.raw_pseudo_inputs.assign(kept)

    def test_the_top_may_be_a_map(self):
        model = maps(((4, 4, 1), (2, 2, 2)), pseudo_inputs=3)
        means, scales = self.components(model)
        z = model.posterior(IMAGES).sample(seed=(1, 2))
        logs = scipy.stats.norm(means, scales).logpdf(np.asarray(z["z2"])[:, None]).sum((2, 3, 4))
        expected = scipy.special.logsumexp(logs, axis=1) - np.log(3)
        np.testing.assert_allclose(model.prior().level("z2", {}).log_prob(z["z2"]), expected, rtol=1e-4)
        assert model.sample(2, seed=0).shape == (2, 8, 8, 1)

    def test_configuration_comes_back(self, model):
        again = HierarchicalVAE.from_config(json.loads(json.dumps(model.get_config())))
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.elbo(X), model.elbo(X))

    @pytest.mark.slow
    def test_it_learns_digits(self):
        assert_learned(trained(HierarchicalVAE, latent_dim=None, latent_dims=(8, 4), hidden=64, pseudo_inputs=10))


PIXELS, TOP, BOTTOM, SCALE = 6, 2, 3, 0.4


class TestExactLikelihood:
    """z2 ~ N(0, I), z1 ~ N(A z2 + a, S), x ~ N(W z1 + V z2 + b, s**2 I): x is a Gaussian that is known exactly."""

    @pytest.fixture(scope="class")
    @classmethod
    def truth(cls):
        generator = np.random.default_rng(0)
        linear = {"name": "mlp", "hidden": ()}
        model: Any = HierarchicalVAE(
            (BOTTOM, TOP), hidden=4, image_shape=(2, 3, 1), encoder=linear, decoder=linear,
            likelihood={"name": "gaussian", "scale": SCALE, "bounded_mean": False}, dtype="float64",
        )  # fmt: skip
        a, w, v = (generator.normal(size=shape) * 0.6 for shape in ((BOTTOM, TOP), (PIXELS, BOTTOM), (PIXELS, TOP)))
        offset, b, log_var = (
            generator.normal(size=BOTTOM),
            generator.normal(size=PIXELS) * 0.2,
            np.array([-1.0, -2, 0.3]),
        )
        # The network of z1's prior is made linear: relu(u) - relu(-u) = u, and a log variance that depends on nothing.
        last: Any
        first, last = (
            layer for layer in model.prior_networks["z1"].stack.layers if isinstance(layer, keras.layers.Dense)
        )
        first.kernel.assign(np.pad(np.concatenate([np.eye(TOP), -np.eye(TOP)], 1), ((0, 0), (0, 4 - 2 * TOP))))
        first.bias.assign(np.zeros(4))
        last.kernel.assign(np.pad(np.concatenate([a.T, -a.T]), ((0, 0), (0, BOTTOM))))
        last.bias.assign(np.concatenate([offset, bounded_inverse(log_var)]))
        model.decoder.set_weights([np.concatenate([w, v], 1).T, b])
        joint = np.concatenate([w @ a + v, w * np.exp(log_var / 2)], 1)  # of z2, and of z1's own noise
        law = scipy.stats.multivariate_normal(w @ offset + b, joint @ joint.T + SCALE**2 * np.eye(PIXELS))
        x = generator.uniform(0, 1, (4, 2, 3, 1))
        return model, x, law.logpdf(x.reshape(4, PIXELS)), law

    def test_importance_weights_average_to_the_likelihood(self, truth):
        """E_q[p(x, z) / q(z|x)] = p(x) for any q, through both levels: in the domain of weights, by standard errors."""
        model, x, expected, _ = truth
        # A posterior that is wide enough for weights of finite variance: twice the prior's own freedom.
        for weight in model.encoder.weights:
            weight.assign(np.random.default_rng(2).normal(size=weight.shape) * 0.1)
        log_w = np.concatenate([np.asarray(model.log_weights(tf.constant(x), 25_000, seed=s)) for s in range(2)])
        ratio = np.exp(log_w - expected)
        error = ratio.std(0) / np.sqrt(len(ratio))
        assert (error < 0.05).all() and (np.abs(ratio.mean(0) - 1) < 5 * error).all()

    def test_draws_have_the_covariance_of_the_marginal(self, truth):
        """Means of x given drawn codes, plus pixel noise: mean and covariance of 40000 against the exact ones."""
        model, _, _, law = truth
        z = model.prior().sample(40_000, seed=(0, 7))
        means = np.asarray(model.likelihood_parameters(z)["mean"]).reshape(-1, PIXELS)
        covariance = np.cov(means.T) + SCALE**2 * np.eye(PIXELS)
        scale = np.sqrt(np.diag(law.cov))
        assert (np.abs(means.mean(0) - law.mean) < 5 * scale / np.sqrt(40_000)).all()
        assert (np.abs(covariance - law.cov) < 5 * np.sqrt(2 / 40_000) * np.outer(scale, scale)).all()


class TestExactPosterior:
    """Without skips and with orthogonal columns, the ladder holds the true posterior of two linear-Gaussian levels.

    Then the ELBO of each image is log p(x), and every importance weight equals p(x): level by level the product of a
    Gaussian of x and the prior, as equations 11 to 13 merge them, is p(z_1|z_2, x), and q(z_2|x) is p(z_2|x).
    """

    @pytest.fixture(scope="class")
    @classmethod
    def truth(cls):
        generator = np.random.default_rng(5)
        linear, d = {"name": "mlp", "hidden": ()}, 2
        model: Any = HierarchicalVAE(
            (d, d), hidden=4, image_shape=(2, 3, 1), encoder=linear, decoder=linear, skip=False,
            likelihood={"name": "gaussian", "scale": SCALE, "bounded_mean": False}, dtype="float64",
        )  # fmt: skip
        w = np.linalg.qr(generator.normal(size=(PIXELS, d)))[0] * 0.8
        a = np.linalg.qr(generator.normal(size=(d, d)))[0] * np.array([0.9, 0.5])
        offset, b, variance = generator.normal(size=d), generator.normal(size=PIXELS) * 0.2, 0.3
        own = SCALE**2 / 0.8**2  # the variance of z_1 given x alone
        top = 1 / (1 + (a**2).sum(0) / (variance + own))  # of z_2 given x
        to_own = w.T / 0.8**2  # from x - b to its mean
        to_top = (top[:, None] * a.T / (variance + own)) @ to_own
        top_bias = -top * (a.T @ (to_own @ b + offset)) / (variance + own)

        def dense(network):
            return [layer for layer in network.stack.layers if isinstance(layer, keras.layers.Dense)]

        def constant(value):
            return bounded_inverse(np.full(d, np.log(value)))

        # What a level hands on passes a ReLU, twice: both signs of it do, and the last layer takes their difference.
        both, difference = np.concatenate([np.eye(d), -np.eye(d)], 1), np.concatenate([np.eye(d), -np.eye(d)])
        zeros = np.zeros((PIXELS, d))
        encoder = (
            np.concatenate([to_own.T, zeros, to_top.T @ both], 1),
            np.concatenate([-to_own @ b, constant(own), top_bias @ both]),
        )
        model.encoder.set_weights(encoder)
        first, last = dense(model.rungs["z2"])
        first.set_weights([np.eye(4), np.zeros(4)])
        last.set_weights(
            [np.pad(difference, ((0, 0), (0, d))), np.concatenate([np.zeros(d), bounded_inverse(np.log(top))])]
        )
        first, last = dense(model.prior_networks["z1"])
        first.set_weights([both, np.zeros(4)])
        last.set_weights([np.pad(difference @ a.T, ((0, 0), (0, d))), np.concatenate([offset, constant(variance)])])
        model.decoder.set_weights([w.T, b])
        covariance = w @ (a @ a.T + variance * np.eye(d)) @ w.T + SCALE**2 * np.eye(PIXELS)
        x = generator.uniform(0, 1, (4, 2, 3, 1))
        return model, x, scipy.stats.multivariate_normal(w @ offset + b, covariance).logpdf(x.reshape(4, PIXELS))

    def test_every_weight_is_the_likelihood(self, truth):
        model, x, expected = truth
        log_w = np.asarray(model.log_weights(tf.constant(x), 50, seed=0))
        np.testing.assert_allclose(log_w, np.broadcast_to(expected, (50, 4)), rtol=1e-9)

    def test_the_elbo_is_the_likelihood(self, truth):
        """Its KLs in closed form, log p(x|z) at the draw: the mean over 20,000 within 5 standard errors."""
        model, x, expected = truth
        for image, log_p in zip(x, expected, strict=True):
            elbos = model.elbo(np.repeat(image[None], 20_000, axis=0), seed=3)
            assert abs(elbos.mean() - log_p) < 5 * elbos.std() / np.sqrt(20_000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dims": ()}, r"There is one level or more"),
        ({"latent_dims": (3, 0)}, r"a size in latent_dims must be a whole number, 1 or more\. Given: 0"),
        (
            {"level_betas": (1.0,)},
            r"level_betas as levels\. Given: latent_dims=\[\(20,\), \(10,\)\], level_betas=\(1\.0,\)",
        ),
        ({"latent_dims": 3}, r"latent_dims is a list of their sizes\. Given: 3"),
        ({"latent_dims": ((7, 7), 3)}, r"A level is a number, or \(height, width, channels\)\. Given: \(7, 7\)"),
        ({"latent_dims": ((7, 0, 4), 3)}, r"a size in latent_dims must be a whole number, 1 or more\. Given: 0"),
        ({"latent_dims": (3, (7, 7, 4))}, r"vectors stand above all maps\. Given: \(7, 7, 4\) above \(3,\)"),
        (
            {"latent_dims": ((6, 6, 1), (2, 2, 1))},
            r"or of 2, 4, 8, .*Given: \(2, 2, 1\) above \(6, 6, 1\)",
        ),
        ({"latent_dims": ((4, 8, 1), (4, 4, 1))}, r"Given: \(4, 4, 1\) above \(4, 8, 1\)"),
        ({"latent_dims": ((4, 4, 1), (8, 8, 1))}, r"Given: \(8, 8, 1\) above \(4, 4, 1\)"),
        ({"pseudo_inputs": -1}, r"pseudo_inputs must be a whole number, 0 or more\. Given: -1"),
        (
            {"free_bits": 0.1, "free_bits_on": "dimension"},
            r"none finer than the group\. .*: group, total\.",
        ),
        ({"free_bits": 0.1, "free_bits_group": 2}, r"free_bits_group .* and a KL in dimensions\. Given: 2, for a Hier"),
        ({"level_betas": (1.0, 1.0), "free_bits": 1.0, "free_bits_on": "total"}, r"level_betas weigh levels apart"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        HierarchicalVAE(**arguments)
