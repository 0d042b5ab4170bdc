"""The reduction lattice: at some value of its arguments, each variant is another one, to the last digit.

The same seed and weights, float64: the loss and every gradient of the encoder and the decoder agree to 1e-10.
"""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.models import (
    AAE,
    AE,
    CVAE,
    DIPVAE,
    IWAE,
    RAE,
    VAE,
    VQVAE,
    WAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    FactorVAE,
    FlowVAE,
    HierarchicalVAE,
    InfoVAE,
    ResidualVQVAE,
    SemiSupervisedVAE,
    VampVAE,
)
from keras_vae.schedules import Constant
from tests.test_linear_gaussian import bounded_inverse
from tests.toys import LATENT, binary, mlp, toy

X = binary(12)
CRITIC = mlp()
CONV = {"name": "conv", "filters": (3,), "dense": 6, "activation": "tanh"}


class SampledVAE(VAE):
    """A VAE whose KL is log q(z|x) - log p(z) at its sample."""

    analytic_kl = False


def model_of(cls, **arguments):
    return toy(cls, dtype="float64", **arguments)


def loss_and_gradients(model: Any, y: Any = None) -> Any:
    """Of the player that has the networks: the loss, and its gradients by the encoder's and decoder's variables."""
    batch = {"x": tf.constant(X, "float64")} | ({} if y is None else {"y": tf.constant(y)})
    with model.draws.using((3, 4)), tf.GradientTape() as tape:
        loss = model.players()[0].loss(model.terms(batch, training=True), batch)
    by_network = [[each.value for each in network.trainable_variables] for network in (model.encoder, model.decoder)]
    return loss.numpy(), tape.gradient(loss, by_network)


def assert_equal(model, simpler, y=None, networks=(0, 1)):
    loss, gradients = loss_and_gradients(model, y)
    expected, expected_gradients = loss_and_gradients(simpler)
    np.testing.assert_allclose(loss, expected, rtol=1e-10)
    for network in networks:
        for mine, theirs in zip(gradients[network], expected_gradients[network], strict=True):
            assert np.abs(theirs).max() > 1e-3, "the comparison means something"
            # Sums of some hundred terms of order 1, in another order.
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


TO_VAE = {
    "beta 1": (BetaVAE, {"beta": 1.0}),
    "a constant schedule": (VAE, {"beta": Constant(1.0)}),
    "a schedule that stays": (VAE, {"beta": {"name": "linear", "initial": 1.0, "final": 1.0}}),
    "free bits 0": (VAE, {"free_bits": 0.0, "free_bits_on": "total"}),
    "free bits below the KL": (VAE, {"free_bits": 1e-12}),
    "total free bits below the KL": (VAE, {"free_bits": 1e-12, "free_bits_on": "total"}),
    "FactorVAE gamma 0": (FactorVAE, {"gamma": 0.0, "critic": CRITIC}),
    "InfoVAE alpha 0, scale 1": (InfoVAE, {"alpha": 0.0, "scale": 1.0}),
    "DIPVAE I, weights 0": (DIPVAE, {"kind": "i", "off_diagonal": 0.0, "diagonal": 0.0}),
    "DIPVAE II, weights 0": (DIPVAE, {"kind": "ii", "off_diagonal": 0.0, "diagonal": 0.0}),
    "AnnealedVAE gamma 1, capacity 0": (AnnealedVAE, {"gamma": 1.0, "capacity": 0.0}),
    "HierarchicalVAE of one level": (HierarchicalVAE, {"latent_dims": (LATENT,), "latent_dim": None}),
}
TO_SAMPLED_VAE = {
    "IWAE of one sample": (IWAE, {"importance_samples": 1}),
    "FlowVAE without flows": (FlowVAE, {"depth": 0}),
    "BetaTCVAE stratified": (BetaTCVAE, {"beta": 1.0, "dataset_size": 100}),
    "BetaTCVAE weighted": (BetaTCVAE, {"beta": 1.0, "dataset_size": 100, "estimator": "weighted"}),
}
TO_AE = {
    "WAE scale 0": (WAE, {"scale": 0.0}),
    "AAE weight 0": (AAE, {"weight": 0.0, "critic": CRITIC}),
    "RAE weights 0": (RAE, {"code_weight": 0.0, "decoder_weight": 0.0}),
    "RAE with gradient penalty, weights 0": (
        RAE,
        {"code_weight": 0.0, "decoder_weight": 0.0, "regulariser": "gradient"},
    ),
}
CODES = {"code_shape": (3,), "entries": 5, "embedding_dim": 2, "latent_dim": None}


@pytest.mark.parametrize(
    ("cls", "arguments", "simpler"),
    [
        pytest.param(cls, arguments, simpler, id=f"{name} is {simpler.__name__}")
        for cases, simpler in ((TO_VAE, VAE), (TO_SAMPLED_VAE, SampledVAE), (TO_AE, AE))
        for name, (cls, arguments) in cases.items()
    ],
)
def test_reduces_to(cls, arguments, simpler):
    assert_equal(model_of(cls, **arguments), model_of(simpler))


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_residual_quantisation_of_one_codebook(codebook):
    models = model_of(ResidualVQVAE, depth=1, codebook=codebook, **CODES), model_of(VQVAE, codebook=codebook, **CODES)
    assert_equal(*models)


@pytest.mark.parametrize(
    ("cls", "arguments", "simpler"),
    [
        (BetaVAE, {"beta": 1.01}, VAE),
        (VAE, {"free_bits": 5.0}, VAE),
        (FactorVAE, {"gamma": 1.0, "critic": CRITIC}, VAE),
        (InfoVAE, {"alpha": 0.0, "scale": 2.0}, VAE),
        (DIPVAE, {"off_diagonal": 1.0, "diagonal": 0.0}, VAE),
        (DIPVAE, {"off_diagonal": 0.0, "diagonal": 1.0}, VAE),
        (AnnealedVAE, {"gamma": 1.0, "capacity": 0.5}, VAE),
        (IWAE, {"importance_samples": 2}, SampledVAE),
        (FlowVAE, {"depth": 1}, SampledVAE),
        (HierarchicalVAE, {"latent_dims": (LATENT, 1), "latent_dim": None}, VAE),
        (BetaTCVAE, {"beta": 1.1, "dataset_size": 100}, SampledVAE),
        (BetaTCVAE, {"beta": 1.0, "alpha": 1.1, "dataset_size": 100}, SampledVAE),
        (BetaTCVAE, {"beta": 1.0, "gamma": 1.1, "dataset_size": 100}, SampledVAE),
        (WAE, {"scale": 1.0}, AE),
        (AAE, {"weight": 1.0, "critic": CRITIC}, AE),
        (RAE, {"code_weight": 1.0, "decoder_weight": 0.0}, AE),
        (RAE, {"code_weight": 0.0, "decoder_weight": 1.0}, AE),
        (RAE, {"code_weight": 0.0, "decoder_weight": 1.0, "regulariser": "gradient"}, AE),
    ],
)
def test_at_other_values_it_is_another_loss(cls, arguments, simpler):
    """Each argument that is 0 or 1 above is one that matters."""
    loss, _ = loss_and_gradients(model_of(cls, **arguments))
    assert abs(loss - loss_and_gradients(model_of(simpler))[0]) > 1e-4


def test_dreg_of_one_sample_has_the_loss_and_the_decoder_gradient():
    """Its encoder gradient leaves out the score, whose mean is 0, and so is another one for each sample."""
    assert_equal(model_of(IWAE, importance_samples=1, gradient="dreg"), model_of(SampledVAE), networks=(1,))


def test_semi_supervised_with_all_labels():
    """The loss of the CVAE, of a label, log 3 nats, and of the classifier; the networks' gradients are the CVAE's."""
    y = np.arange(12, dtype="int32") % 3
    model, simpler = (model_of(cls, num_classes=3) for cls in (SemiSupervisedVAE, CVAE))
    (loss, gradients), (expected, expected_gradients) = (loss_and_gradients(each, y) for each in (model, simpler))
    log_q = np.log(model.classify(X)[np.arange(12), y])
    np.testing.assert_allclose(loss - 50.0 * -log_q.mean(), expected + np.log(3), rtol=1e-10)
    for network in (0, 1):
        for mine, theirs in zip(gradients[network], expected_gradients[network], strict=True):
            assert np.abs(theirs).max() > 1e-3
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


def test_vamp_with_one_standard_pseudo_posterior():
    """q(z|u) = N(0, I): the loss and the decoder's gradient. The encoder's has a further path, through the prior."""
    model, simpler = model_of(VampVAE, pseudo_inputs=1), model_of(SampledVAE)
    last = [layer for layer in model.encoder.stack.layers if isinstance(layer, keras.layers.Dense)][-1]
    u = tf.sigmoid(model.raw_pseudo_inputs.value)
    target = np.concatenate([np.zeros(LATENT), bounded_inverse(np.zeros(LATENT))])
    last.bias.assign(last.bias.numpy() + target - model.encoder(u)[0].numpy())
    simpler.encoder.set_weights(model.encoder.get_weights())
    np.testing.assert_allclose(model.posterior(u).mean(), np.zeros((1, LATENT)), atol=1e-14)
    np.testing.assert_allclose(model.posterior(u).stddev(), np.ones((1, LATENT)), rtol=1e-14)
    assert_equal(model, simpler, networks=(1,))


@pytest.mark.parametrize("encoder", [mlp(activation="tanh"), CONV], ids=["beside the pixels", "as planes"])
@pytest.mark.parametrize(
    ("arguments", "condition"),
    [({"condition_dim": 2}, np.zeros((12, 2))), ({"num_classes": 3}, np.full(12, -1, "int32"))],
    ids=["a vector of zeros", "no label"],
)
def test_cvae_without_a_condition(arguments, condition, encoder):
    """With the VAE's weights where they meet pixels and codes, whatever the others are; their gradient is 0.

    The condition's weights are the last rows of each first kernel: of a dense layer's inputs, or of its channels.
    """
    model, simpler = model_of(CVAE, encoder=encoder, **arguments), model_of(VAE, encoder=encoder)
    size = model.condition_size
    networks = (model.encoder, simpler.encoder), (model.decoder, simpler.decoder)
    for network, simple in networks:
        first, *others = network.weights
        kernel = first.numpy()
        assert np.abs(kernel).min() > 0, "no weight is 0, those of the condition among them"
        kernel[..., :-size, :] = simple.weights[0]
        for mine, value in zip([first, *others], [kernel, *simple.weights[1:]], strict=True):
            mine.assign(value)

    loss, gradients = loss_and_gradients(model, condition)
    expected, simple_gradients = loss_and_gradients(simpler)
    np.testing.assert_allclose(loss, expected, rtol=1e-10)
    for (first, *others), simple in zip(gradients, simple_gradients, strict=True):
        assert np.abs(first[..., -size:, :]).max() == 0
        for mine, theirs in zip([first[..., :-size, :], *others], simple, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)
