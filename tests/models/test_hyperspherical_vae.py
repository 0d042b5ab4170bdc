"""HypersphericalVAE: codes on the sphere, its divergence against quadrature and draws, and what leaves Python."""

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_vae import divergences
from keras_vae.distributions.spherical import PowerSpherical
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.models.hyperspherical_vae import HypersphericalVAE
from tests.digits import assert_learned, trained
from tests.export.bundles import stirred
from tests.toys import binary, degenerate, toy

X = binary(6)


def exact_kl(dimensions, concentration):
    """E[log q(z)] + log area, with t = mean.z of density c (1 + t)**kappa (1 - t**2)**((d - 3) / 2): by quadrature.

    Substituted t = 1 - 2 u**2, which takes the square root out of both ends for d = 2.
    """

    def weight(u, log=False):
        t = 1 - 2 * u * u
        shape = (2 * u) ** (dimensions - 3) * (1 - u * u) ** ((dimensions - 3) / 2) * 4 * u
        value = ((1 + t) / 2) ** concentration * shape
        return value * (concentration * np.log((1 + t) / 2) if log else 1.0)

    edge = min(1.0, 12 / np.sqrt(concentration + 1))
    mass, moment = (scipy.integrate.quad(weight, 0, edge, (log,), epsabs=0, limit=500)[0] for log in (False, True))
    uniform = 2 ** (dimensions - 2) * scipy.special.beta((dimensions - 1) / 2, (dimensions - 1) / 2)
    return moment / mass + np.log(uniform / mass)


@pytest.mark.parametrize("dimensions", [2, 3, 10])
@pytest.mark.parametrize("concentration", [0.01, 1.0, 30.0, 3000.0])
def test_the_divergence_is_exact(dimensions, concentration):
    mean = tf.one_hot([0], dimensions, dtype="float32")
    posterior = PowerSpherical(mean, [concentration])
    given = divergences.kl(posterior, tfd.SphericalUniform(dimensions, dtype=tf.float32))
    assert given.shape == (1, 1)
    assert float(given[0, 0]) == pytest.approx(exact_kl(dimensions, concentration), abs=2e-5)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("dimensions", [2, 10, 20])
def test_divergence_density_and_gradient_at_high_concentration(dimensions, jit_compile):
    """Against SciPy's closed form in float64, to the highest concentration that a model may have."""
    concentration = np.array([1e-3, 1.0, 100.0, 9_999.0, 3e4, 1e5], "float32")

    def exact(kappa):  # equations 6 and 8 of the paper: log N and the entropy, from the uniform distribution's
        b = (dimensions - 1) / 2
        a, gammaln, digamma = b + kappa, scipy.special.gammaln, scipy.special.digamma
        log_n = (a + b) * np.log(2) + b * np.log(np.pi) + gammaln(a) - gammaln(a + b)
        area = np.log(2) + dimensions / 2 * np.log(np.pi) - gammaln(dimensions / 2)
        return area - log_n + kappa * (np.log(2) + digamma(a) - digamma(a + b)), kappa * np.log(2) - log_n

    @tf.function(jit_compile=jit_compile)
    def computed(kappa):
        with tf.GradientTape() as tape:
            tape.watch(kappa)
            mean = tf.one_hot(tf.zeros(6, "int32"), dimensions)
            posterior = PowerSpherical(mean, kappa)
            kl = divergences.kl(posterior, tfd.SphericalUniform(dimensions, dtype=tf.float32))[:, 0]
        return kl, posterior.log_prob(mean), tape.gradient(kl, kappa)

    kl, mode, gradient = computed(tf.constant(concentration))
    kappa = concentration.astype("float64")
    slope = (exact(1.001 * kappa)[0] - exact(0.999 * kappa)[0]) / (0.002 * kappa)
    np.testing.assert_allclose(kl, exact(kappa)[0], rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(mode, exact(kappa)[1], rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4)


def test_the_divergence_is_the_average_of_draws():
    model = stirred(toy(HypersphericalVAE, latent_dim=4))
    posterior, prior = model.posterior(X), model.prior()
    draws = posterior.sample(20_000, seed=(0, 1))
    np.testing.assert_allclose(np.linalg.norm(draws, axis=-1), 1, atol=1e-5)
    values = np.asarray(posterior.log_prob(draws) - prior.log_prob(draws), "float64")
    kl = np.asarray(divergences.kl(posterior, prior))[:, 0]
    assert (np.abs(values.mean(0) - kl) < 5 * values.std(0) / np.sqrt(20_000)).all() and kl.max() > 0.05
    # The mean of the draws points in the mean direction: E[z] = a mean, a in (0, 1).
    centre = np.asarray(draws).mean(0)
    direction = np.asarray(model.posterior_parameters(X)["mean"])
    across = centre - (centre * direction).sum(-1, keepdims=True) * direction
    assert (np.linalg.norm(across, axis=-1) < 5 * np.sqrt(4 / 20_000)).all()


def test_concentration_and_direction_stay_in_bounds():
    model = toy(HypersphericalVAE, latent_dim=3, maximum_concentration=500.0)
    degenerate(model)  # kernels of zero; the last bias is -60
    for bias in (-1e4, 0.0, 1e4):
        last = model.encoder.weights[-1]
        last.assign(np.array([0, 0, 0, bias]))
        parameters = model.posterior_parameters(X)
        np.testing.assert_allclose(np.linalg.norm(parameters["mean"], axis=-1), 1, atol=1e-6)
        assert (np.asarray(parameters["concentration"]) > 0).all()
        assert (np.asarray(parameters["concentration"]) <= 500).all()
        assert np.isfinite(model.elbo(X)).all()


def test_sampling_is_reparameterised():
    """d E[mean.z] / d concentration, by the gradient of draws, against central differences of the closed form."""
    dimensions = 5

    def closed(concentration):  # E[t] = 2 E[Beta(a, b)] - 1
        b = (dimensions - 1) / 2
        return 2 * (b + concentration) / (2 * b + concentration) - 1

    concentration = tf.fill((40_000,), 4.0)
    mean = tf.one_hot(tf.zeros(40_000, "int32"), dimensions)
    with tf.GradientTape() as tape:
        tape.watch(concentration)
        value = tfd.PowerSpherical(mean, concentration).sample(seed=(0, 2))[:, 0]
    gradient: Any = tape.gradient(value, concentration)
    each = np.asarray(gradient)
    expected = (closed(4.001) - closed(3.999)) / 0.002
    assert abs(each.mean() - expected) < 5 * each.std() / np.sqrt(40_000)


@pytest.mark.slow
def test_exports_direction_and_concentration(tmp_path):
    model = stirred(toy(HypersphericalVAE, latent_dim=4))
    bundle = export(model, tmp_path / "bundle", ("onnx",))
    assert {row.output for row in bundle.parity if row.graph == "encoder"} == {"mean", "concentration"}


def test_codes_have_length_1_and_the_configuration_comes_back():
    model = stirred(toy(HypersphericalVAE, latent_dim=4))
    np.testing.assert_allclose(np.linalg.norm(model.encode(X), axis=-1), 1, atol=1e-6)
    again = HypersphericalVAE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.elbo(X), model.elbo(X))


@pytest.mark.slow
def test_learns_digits_and_draws():
    model = trained(HypersphericalVAE)
    assert_learned(model)
    images = model.sample(5, seed=1)
    assert images.shape == (5, 28, 28, 1) and np.isfinite(images).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 1}, r"A sphere lies in 2 dimensions or more\. Given: latent_dim=1"),
        ({"maximum_concentration": 0}, r"maximum_concentration is a number from 1 to 100000\. Given: 0"),
        ({"maximum_concentration": float("nan")}, r"Given: nan"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        toy(HypersphericalVAE, **arguments)
