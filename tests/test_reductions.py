"""The reduction lattice: at some value of its arguments, each variant is another one, to the last digit.

The same seed and weights: the loss and every gradient of the encoder and the decoder agree, to 1e-10 in float64 and to
1e-5 in float32. A variant that is registered without a reduction here, or a reason for having none, fails.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_vae.backend import soft_bound
from keras_vae.distributions.quantizers import finite_levels, finite_table
from keras_vae.models import (
    AAE,
    AE,
    CVAE,
    DIPVAE,
    FSQVAE,
    IWAE,
    MODELS,
    RAE,
    VAE,
    VAEGAN,
    VQVAE,
    WAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    FactorVAE,
    FlowPriorVAE,
    FlowVAE,
    HierarchicalVAE,
    InfoVAE,
    LibraryVAE,
    ResidualVQVAE,
    SemiSupervisedVAE,
    SequenceVAE,
    VampVAE,
)
from tests.core.test_linear_gaussian import bounded_inverse
from tests.toys import LATENT, binary, mlp, toy

X = binary(12)
CRITIC = mlp()
CONV = {"name": "conv", "filters": (3,), "dense": 6, "activation": "tanh"}
CODES = {"code_shape": (3,), "latent_dim": None}
UNIT_GAUSSIAN = {"name": "gaussian", "scale": 1.0}

# Relative: of the loss; and of each network's gradients to the largest of them, as small ones are differences of large.
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}
precisions = pytest.mark.parametrize("dtype", TOLERANCES)


class SampledVAE(VAE):
    """A VAE whose KL is log q(z|x) - log p(z) at its sample."""

    analytic_kl = False


def loss_and_gradients(model: Any, y: Any = None, x: Any = X) -> Any:
    """Of the player that has the networks: the loss, and its gradients by the encoder's and decoder's variables."""
    batch = {"x": tf.constant(x, model.x_spec().dtype)} | ({} if y is None else {"y": tf.constant(y)})
    with model.draws.using((3, 4)), tf.GradientTape() as tape:
        loss = model.players()[0].loss(model.terms(batch, training=True))
    by_network = [[each.value for each in network.trainable_variables] for network in (model.encoder, model.decoder)]
    gradients = tape.gradient(loss, by_network, unconnected_gradients="zero")
    return loss.numpy(), [[np.asarray(tf.convert_to_tensor(each)) for each in network] for network in gradients]


@functools.cache
def of_simpler(cls: type[VAE], dtype: str, **arguments: Any) -> Any:
    return loss_and_gradients(toy(cls, dtype=dtype, **arguments))


def assert_equal(found: Any, expected: Any, dtype: str, networks: Any = (0, 1)) -> None:
    """Losses, and gradients of the encoder (0) and the decoder (1)."""
    np.testing.assert_allclose(found[0], expected[0], rtol=TOLERANCES[dtype])
    for network in networks:
        largest = max(np.abs(each).max() for each in expected[1][network])
        assert largest > 1e-2, "the comparison means something"
        for mine, theirs in zip(found[1][network], expected[1][network], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype] * largest)


TO_VAE = {
    "beta 1": (BetaVAE, {"beta": 1.0}),
    "a schedule that stays": (VAE, {"beta": {"name": "linear", "initial": 1.0, "final": 1.0}}),
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
    "FlowPriorVAE without flows": (FlowPriorVAE, {"depth": 0}),
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
ROWS = [(name, *row, simpler) for rows, simpler in ((TO_VAE, VAE), (TO_SAMPLED_VAE, SampledVAE), (TO_AE, AE))
        for name, row in rows.items()]  # fmt: skip

# Models with a reduction; those that have a test of their own below are added by it.
REDUCED: set[type[VAE]] = {cls for _, cls, _, _ in ROWS}
REASONS = {
    "AE": "others reduce to it",
    "HypersphericalVAE": "no value of its arguments takes a code off the sphere; its densities have closed forms",
    "VQVAE": "others reduce to it",
}


def reduction_of(*models: type[VAE]) -> Callable[[Any], Any]:
    REDUCED.update(models)
    return lambda test: test


def test_every_variant_has_a_reduction_or_a_reason():
    missing = set(MODELS) - {cls.__name__ for cls in REDUCED} - set(REASONS)
    assert not missing, f"{missing} need a row in {__file__}"
    assert not {cls.__name__ for cls in REDUCED} & set(REASONS) and set(REASONS) <= set(MODELS)


@precisions
@pytest.mark.parametrize(
    ("cls", "arguments", "simpler"),
    [pytest.param(*row, id=f"{name} is {row[-1].__name__}") for name, *row in ROWS],
)
def test_reduces_to(cls, arguments, simpler, dtype):
    assert_equal(loss_and_gradients(toy(cls, dtype=dtype, **arguments)), of_simpler(simpler, dtype), dtype)


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
        (FlowPriorVAE, {"depth": 1}, SampledVAE),
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
    loss, _ = loss_and_gradients(toy(cls, dtype="float64", **arguments))
    assert abs(loss - of_simpler(simpler, "float64")[0]) > 1e-4


@precisions
@pytest.mark.parametrize("codebook", ["ema", "gradient"])
@reduction_of(ResidualVQVAE)
def test_residual_quantisation_of_one_codebook(codebook, dtype):
    given = {"codebook": codebook, "entries": 5, "embedding_dim": 2, "dtype": dtype, **CODES}
    found, expected = (loss_and_gradients(each) for each in (toy(ResidualVQVAE, depth=1, **given), toy(VQVAE, **given)))
    assert_equal(found, expected, dtype)


class Around(keras.layers.Layer):
    """A network of one model as that of another: between what comes before it and what comes after."""

    def __init__(self, network, before=lambda x: x, after=lambda x: x):
        super().__init__(dtype=network.dtype_policy)
        self.network, self.before, self.after = network, before, after

    def call(self, inputs, training=False):
        return self.after(self.network(self.before(inputs), training=training))


@precisions
@reduction_of(FSQVAE)
def test_finite_scalars_are_a_codebook_that_is_a_grid(dtype):
    """A VQVAE without commitment whose entries are the points, and whose encoder ends by rounding."""
    levels = (4, 3)
    model = toy(FSQVAE, levels=levels, dtype=dtype, **CODES)
    scale = np.array([1 / 2, 1.0])  # the decoder reads points in [-1, 1]

    def points(outputs):
        return finite_levels(outputs, levels) * ops.convert_to_tensor(scale, dtype)

    simpler = toy(VQVAE, encoder=Around(model.encoder, after=points), decoder=model.decoder, entries=12,
                  embedding_dim=2, commitment=0.0, restart_below=0.0, dtype=dtype, **CODES)  # fmt: skip
    simpler.codebook.assign(finite_table(levels) * scale)
    assert len(np.unique(simpler.encode(X))) > 2
    np.testing.assert_array_equal(simpler.encode(X), model.encode(X))
    assert_equal(loss_and_gradients(model), loss_and_gradients(simpler), dtype)


@precisions
@reduction_of(SequenceVAE)
def test_sequences_of_one_token_are_images_of_one_pixel(dtype):
    """Of two tokens: the softmax of two logits is the sigmoid of their difference."""
    gru = {"name": "gru", "units": 6, "embedding_dim": 3}
    model = SequenceVAE(length=1, vocabulary_size=2, latent_dim=LATENT, encoder=gru, decoder=gru, dtype=dtype)
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))

    def tokens_of(pixels):
        return ops.cast(ops.reshape(pixels, (-1, 1)), "int32")

    def nothing_read(z):
        return ops.zeros((ops.shape(z)[0], 1), "int32"), z

    def pixel(logits):
        return ops.reshape(logits[..., 1] - logits[..., 0], (-1, 1, 1, 1))

    networks = Around(model.encoder, before=tokens_of), Around(model.decoder, before=nothing_read, after=pixel)
    simpler = VAE((1, 1, 1), LATENT, *networks, dtype=dtype)
    tokens = np.arange(12, dtype="int32")[:, None] % 2
    found, expected = loss_and_gradients(model, x=tokens), loss_and_gradients(simpler, x=tokens[..., None, None])
    assert_equal(found, expected, dtype)


@precisions
@reduction_of(LibraryVAE)
def test_a_latent_library_size_is_a_decoder_that_adds_its_logarithm_to_those_of_shares(dtype):
    """A VAE of counts, whose decoder undoes the bounds of log means before the likelihood makes them."""
    counts = np.random.default_rng(1).negative_binomial(2, 0.3, (12, 3)).astype(dtype)
    given = {"x_shape": (3,), "dtype": dtype, "likelihood": "negative_binomial"}
    model = toy(LibraryVAE, latent_dim=LATENT + 1, library=(2.5, 0.6), **given)

    class Decoder(Around):
        def call(self, inputs, training=False):
            raw = soft_bound(super().call(inputs, training), -20.0, 20.0)
            log_mean = ops.log_softmax(raw) + soft_bound(2.5 + 0.6 * inputs[:, -1:], -20.0, 40.0)
            bounded = -20.0 + ops.log(ops.expm1(log_mean + 20.0))
            return 20.0 - ops.log(ops.expm1(20.0 - bounded))

    decoder = Decoder(model.decoder, before=lambda z: z[:, :-1])
    simpler = toy(VAE, latent_dim=LATENT + 1, encoder=model.encoder, decoder=decoder, **given)
    found, expected = (loss_and_gradients(each, x=counts) for each in (model, simpler))
    assert_equal(found, expected, dtype)


@precisions
@reduction_of(VAEGAN)
def test_vae_gan_whose_features_are_the_pixels(dtype):
    """The encoder's loss is that of a VAE of Gaussian pixels of scale 1. The decoder also fools the critic."""
    found = loss_and_gradients(
        toy(VAEGAN, critic=keras.layers.Flatten(dtype=dtype), features=X[0].size, likelihood=UNIT_GAUSSIAN, dtype=dtype)
    )
    expected = loss_and_gradients(toy(VAE, likelihood=UNIT_GAUSSIAN, dtype=dtype))
    assert_equal(found, expected, dtype, networks=(0,))


@precisions
def test_a_hierarchy_of_one_level_with_a_vamp_prior(dtype):
    arguments = {"latent_dims": (LATENT,), "latent_dim": None, "pseudo_inputs": 3}
    found = loss_and_gradients(toy(HierarchicalVAE, dtype=dtype, **arguments))
    assert_equal(found, loss_and_gradients(toy(VampVAE, pseudo_inputs=3, dtype=dtype)), dtype)


@precisions
def test_dreg_of_one_sample_has_the_loss_and_the_decoder_gradient(dtype):
    """Its encoder gradient leaves out the score, whose mean is 0, and so is another one for each sample."""
    found = loss_and_gradients(toy(IWAE, importance_samples=1, gradient="dreg", dtype=dtype))
    assert_equal(found, of_simpler(SampledVAE, dtype), dtype, networks=(1,))


@precisions
@reduction_of(SemiSupervisedVAE)
def test_semi_supervised_with_all_labels(dtype):
    """The loss of the CVAE, of a label, log 3 nats, and of the classifier; the networks' gradients are the CVAE's."""
    y = np.arange(12, dtype="int32") % 3
    model, simpler = (toy(cls, num_classes=3, dtype=dtype) for cls in (SemiSupervisedVAE, CVAE))
    (loss, gradients), expected = (loss_and_gradients(each, y) for each in (model, simpler))
    log_q = np.log(model.classify(X)[np.arange(12), y])
    assert_equal((loss + 50.0 * log_q.mean() - np.log(3), gradients), expected, dtype)


@precisions
@reduction_of(VampVAE)
def test_vamp_with_one_standard_pseudo_posterior(dtype):
    """q(z|u) = N(0, I): the loss and the decoder's gradient. The encoder's has a further path, through the prior."""
    model, simpler = toy(VampVAE, pseudo_inputs=1, dtype=dtype), toy(SampledVAE, dtype=dtype)
    last = [layer for layer in model.encoder.stack.layers if isinstance(layer, keras.layers.Dense)][-1]
    u = tf.sigmoid(model.raw_pseudo_inputs.value)
    target = np.concatenate([np.zeros(LATENT), bounded_inverse(np.zeros(LATENT))])
    last.bias.assign(last.bias.numpy() + target - model.encoder(u)[0].numpy())
    simpler.encoder.set_weights(model.encoder.get_weights())
    exact = {"float64": 1e-14, "float32": 1e-6}[dtype]
    np.testing.assert_allclose(model.posterior(u).mean(), np.zeros((1, LATENT)), atol=exact)
    np.testing.assert_allclose(model.posterior(u).stddev(), np.ones((1, LATENT)), rtol=exact)
    assert_equal(loss_and_gradients(model), loss_and_gradients(simpler), dtype, networks=(1,))


@precisions
@pytest.mark.parametrize("encoder", [mlp(activation="tanh"), CONV], ids=["beside the pixels", "as planes"])
@pytest.mark.parametrize(
    ("arguments", "condition"),
    [({"condition_dim": 2}, np.zeros((12, 2))), ({"num_classes": 3}, np.full(12, -1, "int32"))],
    ids=["a vector of zeros", "no label"],
)
@reduction_of(CVAE)
def test_cvae_without_a_condition(arguments, condition, encoder, dtype):
    """With the VAE's weights where they meet pixels and codes, whatever the others are; their gradient is 0.

    The condition's weights are the last rows of each first kernel: of a dense layer's inputs, or of its channels.
    """
    model, simpler = (toy(cls, encoder=encoder, dtype=dtype, **given) for cls, given in ((CVAE, arguments), (VAE, {})))
    size = model.condition_size
    for network, simple in ((model.encoder, simpler.encoder), (model.decoder, simpler.decoder)):
        first, *others = network.weights
        kernel = first.numpy()
        assert np.abs(kernel).min() > 0, "no weight is 0, those of the condition among them"
        kernel[..., :-size, :] = simple.weights[0]
        for mine, value in zip([first, *others], [kernel, *simple.weights[1:]], strict=True):
            mine.assign(value)
    loss, gradients = loss_and_gradients(model, condition)
    assert all(np.abs(network[0][..., -size:, :]).max() == 0 for network in gradients)
    rest = [[network[0][..., :-size, :], *network[1:]] for network in gradients]
    assert_equal((loss, rest), loss_and_gradients(simpler), dtype)
