"""Series of real vectors as x: NaN beyond the end of each, and in between for what is missing."""

import keras
import numpy as np
import pytest
import scipy.stats

from keras_vae import data
from keras_vae.errors import UserError
from keras_vae.models import CVAE, IWAE, VAE, VQVAE, BetaVAE, HierarchicalVAE, VampVAE
from tests.conformance import cases
from tests.toys import PLAIN

STEPS, CHANNELS = 7, 2
GENERATOR = np.random.default_rng(0)
LENGTHS = np.array([7, 5, 1, 0, 4, 6] * 4)
WHOLE = np.cumsum(GENERATOR.normal(size=(24, STEPS, CHANNELS)), axis=1).astype("float32")
X = np.where((np.arange(STEPS) < LENGTHS[:, None])[..., None], WHOLE, np.nan).astype("float32")
X[0, 3] = X[1, 2, 1] = np.nan  # missing in between
NETWORKS = {"gru": {"name": "gru", "units": 5}, "causal": {"name": "causal", "channels": 4, "blocks": 3}}


def make(cls=VAE, network="gru", likelihood=None, steps=STEPS, **arguments):
    likelihood = likelihood or {"name": "normal", "scale": "channel", "standardize": "channel"}
    defaults = {"latent_dim": 3, "missing": "mask", "encoder": NETWORKS[network], "decoder": NETWORKS[network]}
    return cls(x_shape=(steps, CHANNELS), likelihood=likelihood, **{**defaults, **arguments})


def longer(x, steps):
    return np.pad(x, ((0, 0), (0, steps - x.shape[1]), (0, 0)), constant_values=np.nan)


LIKELIHOODS = {
    "normal": lambda x, p: scipy.stats.norm.logpdf(x, p["mean"], np.exp(0.5 * p["log_var"])),
    "laplace": lambda x, p: scipy.stats.laplace.logpdf(x, p["mean"], np.exp(p["log_scale"])),
    "student_t": lambda x, p: scipy.stats.t.logpdf(x, 5.0, p["mean"], np.exp(p["log_scale"])),
    "poisson": lambda x, p: scipy.stats.poisson.logpmf(x, p["mean"]),
    "negative_binomial": lambda x, p: scipy.stats.nbinom.logpmf(
        x, np.exp(p["log_dispersion"]), 1 / (1 + p["mean"] / np.exp(p["log_dispersion"]))
    ),
}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("normal", {"scale": "channel", "standardize": "channel"}),
        ("normal", {"scale": "example"}),
        ("student_t", {"scale": "channel"}),
        ("poisson", {}),
        ("negative_binomial", {"dispersion": "channel"}),
    ],
)
def test_log_p_is_the_sum_over_observed_numbers_of_steps(name, arguments):
    x = np.round(np.abs(X)) if name in ("poisson", "negative_binomial") else X
    model = make(likelihood={"name": name, **arguments}, dtype="float64")
    z = np.random.default_rng(1).normal(size=(24, 3))
    parameters = {key: np.asarray(value) for key, value in model.likelihood_parameters(z).items()}
    expected = np.nansum(LIKELIHOODS[name](x.astype("float64"), parameters), axis=(1, 2))
    np.testing.assert_allclose(model.likelihood(z).log_prob(x.astype("float64")), expected, rtol=1e-8, atol=1e-8)
    assert expected[3] == 0


@pytest.mark.parametrize("missing", ["mask", "zero"])
@pytest.mark.parametrize("network", NETWORKS)
def test_more_padding_gives_the_same_codes_and_bound(network, missing):
    """To float64's rounding: a model of 12 steps, its weights those of one of 7."""
    short, long = (make(network=network, missing=missing, dtype="float64", steps=steps) for steps in (STEPS, 12))
    for model in (short, long):
        model.likelihood_family.adapt(X if model is short else longer(X, 12))
    for mine, theirs in zip(long.weights, short.weights, strict=True):
        value = np.random.default_rng(mine.shape[-1]).normal(size=mine.shape) if "step" not in mine.path else None
        if value is not None and "normalisation" not in mine.path:
            mine.assign(0.3 * value)
            theirs.assign(np.asarray(mine)[tuple(map(slice, theirs.shape))])  # of what stands first: the early steps
    np.testing.assert_allclose(long.encode(longer(X, 12)), short.encode(X), rtol=1e-9)
    np.testing.assert_allclose(long.elbo(longer(X, 12), seed=3), short.elbo(X, seed=3), rtol=1e-9)
    assert np.ptp(short.encode(X), axis=0).min() > 1e-3


@pytest.mark.parametrize("network", NETWORKS)
def test_nothing_beyond_the_end_is_read_and_what_is_missing_in_between_is(network):
    model = make(network=network)
    codes = model.encode(X)
    hidden = X.copy()
    hidden[0, -2:] = np.nan
    assert np.abs(model.encode(hidden) - codes).max(axis=1)[0] > 1e-6
    assert (model.encode(hidden)[1:] == codes[1:]).all()
    shown = X.copy()
    shown[0, 3] = 0.0
    assert np.abs(model.encode(shown) - codes).max(axis=1)[0] > 1e-6, "0 is not missing"


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [(VAE, {}), (BetaVAE, {"beta": 4.0}), (IWAE, {}), (CVAE, {"num_classes": 2}), (VampVAE, {"pseudo_inputs": 3}),
     (HierarchicalVAE, {"latent_dims": (3, 2), "hidden": 6}),
     (VQVAE, {"code_shape": (3,), "entries": 5, "embedding_dim": 2})],
)  # fmt: skip
@pytest.mark.parametrize("network", NETWORKS)
def test_models_take_series(cls, arguments, network):
    if cls in (HierarchicalVAE, VQVAE):
        model = cls(x_shape=(STEPS, CHANNELS), missing="mask", encoder=NETWORKS[network], decoder=NETWORKS[network],
                    likelihood={"name": "normal", "standardize": "channel"}, **arguments)  # fmt: skip
    else:
        model = make(cls, network, **arguments)
    y = (np.arange(24) % 2).astype("int32") if model.conditional else None
    with cases.eagerly():
        model.likelihood_family.adapt(X)
        with model.draws.using((0, 1)):
            terms = model.terms({"x": X} if y is None else {"x": X, "y": y}, training=True)
        assert np.isfinite(terms.log_px).all() and np.isfinite(terms.kl).all()
    assert type(model).from_config(model.get_config()).x_shape == (STEPS, CHANNELS)


def test_a_channel_is_standardised_over_its_observed_steps():
    model = make()
    model.compile("adam", **PLAIN)
    model.fit(100 * X + 7, batch_size=12, verbose=0)
    family = model.likelihood_family.family
    assert family.shift.shape == family.spread.shape == family.learned.shape == (CHANNELS,)
    np.testing.assert_allclose(family.shift, np.nanmean(100 * X + 7, axis=(0, 1), dtype="float64"), rtol=1e-5)
    np.testing.assert_allclose(family.spread, np.nanstd(100 * X + 7, axis=(0, 1), dtype="float64"), rtol=1e-5)
    assert type(model).from_config(model.get_config()).likelihood_family.family.standardize == "channel"


@pytest.mark.slow
def test_training_improves_the_bound_of_series_of_every_length():
    model = make(network="causal", seed=1)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    bounds = model.fit(np.repeat(X, 4, axis=0), batch_size=24, epochs=10, verbose=0).history["elbo"]
    assert bounds[-1] > bounds[0] + 1
    assert model.sample(3, seed=0).shape == (3, STEPS, CHANNELS)
    assert np.isfinite(model.reconstruct(X)).all()
    assert np.isfinite(model.log_prob(X, samples=4)).all()


def test_series_of_different_lengths_are_one_array():
    padded = data.series([[1.0, 2.0, 3.0], [4.0], []])
    np.testing.assert_array_equal(padded[..., 0], [[1, 2, 3], [4, np.nan, np.nan], [np.nan] * 3])
    assert padded.dtype == np.float32
    assert data.series([np.ones((2, 3)), np.ones((4, 3))], steps=6).shape == (2, 6, 3)


@pytest.mark.parametrize(
    ("arrays", "steps", "message"),
    [
        ([], None, r"with the same channels in all\. Given: none"),
        ([np.ones((2, 3)), np.ones((2, 4))], None, r"Given: \(2, \d\), \(2, \d\)"),
        ([np.ones((2, 3, 1))], None, r"Given: \(2, 3, 1\)"),
        ([np.ones((5, 3))], 4, r"at most 4 steps\. Given: one of 5"),
        ([["a"]], None, "must be an array of floats"),
    ],
)
def test_what_is_no_series(arrays, steps, message):
    with pytest.raises(UserError, match=message):
        data.series(arrays, steps)


def test_standardize_is_checked():
    with pytest.raises(UserError, match=r"standardize is true, false or 'channel'\. Given: 'step'"):
        make(likelihood={"name": "normal", "standardize": "step"})
