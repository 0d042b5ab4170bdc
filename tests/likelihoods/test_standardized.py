"""Families that standardise: the density is of the data as they are, and what networks see has mean 0 and spread 1."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.models import CVAE, VAE, VAEGAN, HierarchicalVAE, SemiSupervisedVAE, VampVAE
from tests.toys import PLAIN, mlp, same, weights

SHIFT, SPREAD = np.array([100.0, -3.0, 0.0]), np.array([20.0, 0.5, 1.0])
STANDARD = np.random.default_rng(0).normal(size=(64, 3))
STANDARD = ((STANDARD - STANDARD.mean(0)) / STANDARD.std(0)).astype("float32")
RAW = (SHIFT + SPREAD * STANDARD).astype("float32")


def pair(name, **arguments):
    """Two models of the same weights: of data as they are, standardised inside, and of standardised data."""
    made = []
    for standardize in (True, False):
        spec = {"name": name, **arguments} | ({"standardize": True} if standardize else {})
        made.append(VAE(x_shape=(3,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood=spec))
    return made


@pytest.mark.parametrize("name", ["normal", "student_t", "log_normal"])
@pytest.mark.parametrize("scale", ["feature", "global", "example", 0.7])
def test_the_density_is_of_the_data_as_they_are(name, scale):
    """With y = (x - m) / s, p(x|z) = p(y|z) / prod(s); of logarithms so too, each with its Jacobian."""
    inside, outside = pair(name, scale=scale)
    raw, standard, jacobian = RAW, STANDARD, np.log(SPREAD).sum()
    if name == "log_normal":
        raw, standard = np.exp(0.02 * RAW.astype("float64")), np.exp(STANDARD.astype("float64"))
        jacobian = np.log(0.02 * SPREAD).sum() + (np.log(raw) - np.log(standard)).sum(-1)
    inside.likelihood_family.adapt(raw)
    if name != "log_normal":  # whose encoder reads logarithms where it standardises
        np.testing.assert_allclose(inside.encode(raw), outside.encode(standard), atol=1e-4)
    z = inside.prior().sample(64, seed=1)
    first = inside.likelihood(z).log_prob(raw.astype("float32")).numpy()
    second = outside.likelihood(z).log_prob(standard.astype("float32")).numpy()
    np.testing.assert_allclose(first, second - jacobian, rtol=1e-3, atol=1e-2)
    if name != "log_normal":
        np.testing.assert_allclose(inside.decode(z), SHIFT + SPREAD * outside.decode(z), rtol=1e-4, atol=1e-4)


def test_fit_sets_them_once_from_the_training_data():
    model, _ = pair("normal")
    model.compile(**PLAIN)
    model.fit(RAW, batch_size=32, verbose=0)
    family = model.likelihood_family
    np.testing.assert_allclose(family.shift.numpy(), RAW.mean(0, dtype="float64"), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(family.spread.numpy(), RAW.std(0, dtype="float64"), rtol=1e-5)
    model.fit(2 * RAW, batch_size=32, verbose=0)
    np.testing.assert_allclose(family.spread.numpy(), RAW.std(0, dtype="float64"), rtol=1e-5)


def test_training_is_that_of_standardised_data():
    inside, outside = pair("normal")
    for model, x in ((inside, RAW), (outside, STANDARD)):
        model.compile(**PLAIN)
        model.fit(x, batch_size=32, epochs=2, verbose=0)
    kept = [weight for weight in inside.weights if "normalisation" not in weight.path]
    for first, second in zip(kept, outside.weights, strict=True):
        np.testing.assert_allclose(np.asarray(first), np.asarray(second), atol=1e-3)


def test_a_constant_column_has_no_unit():
    model, _ = pair("normal")
    model.likelihood_family.adapt(np.full((5, 3), 7.0))
    np.testing.assert_array_equal(model.likelihood_family.spread.numpy(), 1.0)
    assert np.isfinite(model.elbo(np.full((2, 3), 7.0))).all()


def test_a_stream_has_no_mean():
    model, _ = pair("normal")
    model.compile(**PLAIN)
    with pytest.raises(UserError, match=r"mean and spread of all training examples\. Given: a stream of batches"):
        model.fit(iter([RAW]), verbose=0)


def test_its_configuration_and_weights_are_kept(tmp_path):
    model, _ = pair("student_t")
    model.likelihood_family.adapt(RAW)
    model.save(tmp_path / "m.keras")
    import keras

    again = keras.saving.load_model(tmp_path / "m.keras")
    assert same(weights(again), weights(model))
    np.testing.assert_array_equal(again.encode(RAW), model.encode(RAW))


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (CVAE, {"latent_dim": 2, "num_classes": 3}),
        (SemiSupervisedVAE, {"latent_dim": 2, "num_classes": 3}),
        (HierarchicalVAE, {"latent_dims": (2, 2), "hidden": 4}),
    ],
)
def test_variants_read_standardised_numbers_once(cls, arguments):
    """Moved and stretched data give the same codes as the data themselves."""
    codes = []
    for x in (RAW, 5 + 100 * RAW):
        model = cls(
            x_shape=(3,), encoder=mlp(), decoder=mlp(), likelihood={"name": "normal", "standardize": True}, **arguments
        )
        model.likelihood_family.adapt(x)
        code = model.encode(x, np.arange(64) % 3 if "num_classes" in arguments else None)
        codes.append(code["z1"] if isinstance(code, dict) else code)
    np.testing.assert_allclose(*codes, atol=1e-4)


@pytest.mark.parametrize(
    ("cls", "arguments"), [(VampVAE, {"latent_dim": 2}), (HierarchicalVAE, {"latent_dims": (2, 2), "hidden": 4})]
)
@pytest.mark.parametrize("missing", [None, "mask"])
def test_pseudo_inputs_stand_where_the_data_do(cls, arguments, missing):
    """A prior of standardised data is the same for data that are moved and stretched."""
    spec = {"name": "normal", "standardize": True}
    densities = []
    for x in (RAW, 5 + 100 * RAW):
        model = cls(
            x_shape=(3,), encoder=mlp(), decoder=mlp(), likelihood=spec, pseudo_inputs=4, missing=missing, **arguments
        )
        model.likelihood_family.adapt(x)
        code = model.encode(x)
        prior = model.prior()
        densities.append(np.asarray(prior.log_prob(code)))
    np.testing.assert_allclose(*densities, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["log_normal", "poisson"])
def test_pseudo_inputs_of_positive_numbers_and_counts_are_such(name):
    model = VampVAE(
        x_shape=(3,), latent_dim=2, encoder=mlp(), decoder=mlp(), pseudo_inputs=50,
        likelihood={"name": name, "standardize": True},
    )  # fmt: skip
    x = np.round(np.exp(5 + STANDARD)) + 1
    family = model.likelihood_family
    family.adapt(x)
    inputs = np.asarray(family.placed(np.asarray(model.raw_pseudo_inputs)))
    assert (inputs > 0).all()
    read = np.asarray(family.standardized(inputs))
    np.testing.assert_allclose(read, np.asarray(model.raw_pseudo_inputs), atol=1e-3)


def test_pseudo_inputs_are_no_classes():
    spec = {"name": "mixed", "columns": {"a": "real", "b": "real", "c": {"categorical": 2}}}
    with pytest.raises(UserError, match="Use a FlowPriorVAE"):
        VampVAE(x_shape=(3,), latent_dim=2, likelihood=spec)
    with pytest.raises(UserError, match="The decoder of a VAEGAN"):
        VAEGAN(x_shape=(3,), latent_dim=2, likelihood=spec)


def test_a_critic_reads_standardised_numbers():
    terms = []
    for x in (RAW, 5 + 100 * RAW):
        model = VAEGAN(
            x_shape=(3,), latent_dim=2, encoder=mlp(), decoder=mlp(), critic=mlp(),
            likelihood={"name": "normal", "scale": 1.0, "standardize": True},
        )  # fmt: skip
        model.likelihood_family.adapt(x)
        with model.draws.using((0, 1)):
            terms.append(np.asarray(model.terms({"x": np.float32(x)}, training=False).logs["feature_log_px"]))
    np.testing.assert_allclose(*terms, atol=1e-3)
