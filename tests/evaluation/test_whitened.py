"""A ladder's codes as vectors: there and back, densities by the Jacobian, and annealing through a narrow level."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.evaluation import annealed_importance, log_prob_agreement
from keras_vae.evaluation.whitened import Whitened
from keras_vae.models import HierarchicalVAE
from tests.toys import SHAPE, binary, mlp

SHAPES = {"z1": (3,), "z2": (2,)}


def hierarchy(**kwargs):
    return HierarchicalVAE(
        latent_dims=(3, 2), hidden=4, image_shape=SHAPE, encoder=mlp(), decoder=mlp(), dtype="float64", **kwargs
    )


def narrow(model, log_variance):
    """z_1 given z_2 in a sheet that is so thin; its mean depends on z_2."""
    last = model.prior_networks["z1"].trainable_variables[-1]
    last.assign([0.0] * 3 + [log_variance] * 3)
    return model


@pytest.mark.parametrize("pseudo_inputs", [0, 4])
def test_there_and_back_and_the_density_is_that_of_the_codes(pseudo_inputs):
    """log p(vector) = log p(code) + log |det d code / d vector|, the Jacobian by autodiff; at each of three draws."""
    model = narrow(hierarchy(pseudo_inputs=pseudo_inputs), -6.0)
    whitened = Whitened(model.prior(), SHAPES)
    vector = whitened.sample((3,), (1, 2))
    assert vector.shape == (3, 5)
    code = whitened.code(vector)
    np.testing.assert_allclose(whitened.vector(code), vector, atol=1e-9)
    with tf.GradientTape() as tape:
        tape.watch(vector)
        code = whitened.code(vector)
        flat = tf.concat([code["z2"], code["z1"]], axis=-1)
    jacobian = tape.batch_jacobian(flat, vector)
    expected = model.prior().log_prob(code) + tf.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(whitened.log_prob(vector), expected, atol=1e-9)


def test_maps_and_leading_axes():
    residual = {"name": "residual", "filters": (4,), "groups": 2}
    levels = [(2, 2, 1), 2]
    model = HierarchicalVAE(latent_dims=levels, hidden=4, image_shape=SHAPE, encoder=residual, decoder=residual)
    whitened = Whitened(model.prior(), {"z1": (2, 2, 1), "z2": (2,)})
    code = whitened.code(whitened.sample((5, 3), (0, 1)))
    assert {name: tuple(part.shape) for name, part in code.items()} == {"z2": (5, 3, 2), "z1": (5, 3, 2, 2, 1)}
    assert whitened.vector(code).shape == (5, 3, 6) and whitened.log_prob(whitened.vector(code)).shape == (5, 3)


@pytest.mark.parametrize("log_variance", [0.0, -8.0])
def test_annealing_through_levels_is_the_evidence_by_brute_force(log_variance):
    """p(x) as the mean of p(x|z) over 200,000 draws of the prior, whose own error is below 0.01 nats here.

    5 standard errors of both. The encoder is untrained; the second prior is a sheet e**-4 thick.
    """
    model, x = narrow(hierarchy(), log_variance), binary(4)
    log_px = np.concatenate(
        [
            model.log_px_of(tf.constant(x, "float64"), z)
            for z in (broadcast(model.prior().sample((20_000,), (seed, 0)), len(x)) for seed in range(10))
        ]
    )
    weights = np.exp(log_px - log_px.max(0))
    truth = log_px.max(0) + np.log(weights.mean(0))
    error = weights.std(0) / weights.mean(0) / np.sqrt(len(weights))
    assert error.max() < 0.01
    found = annealed_importance(model, x, temperatures=30, chains=32, seed=3)
    assert (np.abs(found["log_prob"] - truth) < 5 * np.hypot(found["standard_error"], error)).all()
    assert found["standard_error"].max() < 0.2 and (found["acceptance"] > 0.6).all()


def broadcast(z, count):
    return {name: tf.repeat(part[:, None], count, axis=1) for name, part in z.items()}


def test_agreement_checks_a_hierarchy():
    found = log_prob_agreement(hierarchy(), binary(4), samples=200, temperatures=20, annealed=3)
    assert "annealed" in found and found["annealed"]["examples"] == 3 and "agrees" in found
