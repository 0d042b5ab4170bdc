"""HierarchicalVAE: L = 1 is a VAE, and two linear-Gaussian levels have a likelihood that is known exactly."""

from typing import Any

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.hierarchy import merged
from keras_vae.models import VAE
from keras_vae.models.hierarchical_vae import HierarchicalVAE
from tests.digits import assert_learned, trained
from tests.export.bundles import stirred
from tests.test_linear_gaussian import bounded_inverse
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
        np.testing.assert_allclose(one.objective(mine, 0), plain.objective(theirs, 0), rtol=1e-6)
        for seed in (0, 1):
            np.testing.assert_allclose(one.log_weights(X, 5, seed), plain.log_weights(X, 5, seed), rtol=1e-6)

    def test_the_same_codes_images_and_draws(self, pair):
        plain, one = pair
        np.testing.assert_array_equal(one.encode(X)["z1"], plain.encode(X))
        np.testing.assert_array_equal(one.decode({"z1": plain.encode(X)}), plain.reconstruct(X))
        np.testing.assert_array_equal(one.sample(4, seed=3), plain.sample(4, seed=3))


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

    def test_exports(self, model, tmp_path):
        bundle = export(model, tmp_path / "bundle", ("onnx", "saved_model"))
        assert {row.output for row in bundle.parity if row.graph == "encoder"} == {
            f"{kind}z{level}" for kind in ("", "log_var_") for level in (1, 2, 3)
        }
        assert list(bundle.graphs["decoder"]["inputs"]) == ["z1", "z2", "z3"]

    def test_every_variable_gets_a_gradient(self, model):
        with tf.GradientTape() as tape:
            terms = terms_of(model)
            loss = model.objective(terms, model.step)
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
        assert float(model.objective(terms, tf.constant(step))) == pytest.approx(expected, rel=1e-5)
    free = ladder(free_bits=100.0, level_betas=(1.0, 0.5))
    terms = terms_of(free)
    assert float(free.objective(terms, 0)) == pytest.approx(-terms.log_px.numpy().mean() + 150, rel=1e-5)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dims": ()}, r"There is one level or more"),
        ({"latent_dims": (3, 0)}, r"a size in latent_dims must be a whole number, 1 or more\. Given: 0"),
        ({"level_betas": (1.0,)}, r"as many level_betas\. Given: latent_dims=\(20, 10\), level_betas=\(1\.0,\)"),
        ({"level_betas": (1.0, 1.0), "free_bits": 1.0, "free_bits_on": "total"}, r"level_betas weigh levels apart"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        HierarchicalVAE(**arguments)
