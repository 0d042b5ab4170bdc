"""Models whose numbers are known: an encoder that is a Gaussian channel, and the linear-Gaussian model."""

import numpy as np
import scipy.stats

from keras_vae.models import VAE
from tests.core.test_linear_gaussian import LATENT, SHAPE, bounded_inverse


def linear_model():
    """What `set_exact` of test_linear_gaussian.py gives the truth to."""
    linear = {"name": "mlp", "hidden": ()}
    likelihood = {"name": "gaussian", "scale": 0.3, "bounded_mean": False}
    return VAE(SHAPE, LATENT, linear, linear, likelihood, dtype="float64")


def standard_normal(count):
    """`(count, 2)` quantiles of N(0, I), a Sobol sequence: moments are nearly exact. `count`: a power of 2."""
    points = scipy.stats.qmc.Sobol(2, seed=0).random(count)
    return scipy.stats.norm.ppf(points)


def channel(gain, noise, inputs, dtype="float64"):
    """A model whose encoder is the Gaussian channel z = input @ gain + noise, and the inputs as images of it."""
    gain = np.asarray(gain, "float64")
    linear = {"name": "mlp", "hidden": ()}
    made = VAE((1, 2, 1), 2, linear, linear, {"name": "gaussian", "scale": 1.0}, dtype=dtype)
    kernel = np.concatenate([10 * gain, np.zeros((2, 2))], axis=1)
    log_var = bounded_inverse(np.full(2, 2 * np.log(noise)))
    made.encoder.set_weights([kernel, np.concatenate([-5 * gain.sum(0), log_var])])
    return made, 0.5 + inputs.clip(-5, 5).reshape(-1, 1, 2, 1) / 10
