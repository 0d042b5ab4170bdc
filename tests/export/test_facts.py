"""What bundle.json says of an x of numbers: its axes, and the kinds and classes of its columns."""

import json

import numpy as np
import pytest

from keras_vae.errors import CorruptFileError
from keras_vae.export import Examples, export
from keras_vae.export.facts import axes_of
from keras_vae.models import VAE
from keras_vae.runtimes.bundle import read_bundle
from tests.export.bundles import copied, stirred
from tests.runtimes.test_bundle import edited

MLP = {"name": "mlp", "hidden": (8,)}
# An ordered class stands before a category: the decoder's log probabilities have it after.
KINDS = {
    "grade": {"ordinal": ["low", "middle", "high"]}, "size": "positive", "colour": {"categorical": ["red", "blue"]},
    "calls": "count", "many": {"categorical": 4},
}  # fmt: skip


def model(shape, likelihood="normal", network=MLP, **arguments):
    return VAE(x_shape=shape, latent_dim=2, encoder=network, decoder=network, likelihood=likelihood, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"likelihood": {"name": "normal", "scale": "channel"}},
        {"likelihood": {"name": "student_t", "scale": "global", "standardize": "channel"}},
        {"likelihood": {"name": "normal", "scale": "channel"}, "missing": "zero"},
        {"likelihood": {"name": "negative_binomial", "dispersion": "channel"}},
        {"likelihood": {"name": "poisson", "standardize": "channel"}},
        {"network": {"name": "causal", "channels": 4}},
        {"network": {"name": "gru", "units": 4}},
    ],
)
def test_a_series_is_what_the_model_takes_for_one(arguments):
    assert axes_of(model((6, 2), **arguments)) == ["steps", "channels"]


def test_two_axes_alone_are_no_series():
    for likelihood in ("normal", {"name": "normal", "scale": "feature", "standardize": True}, "poisson"):
        assert axes_of(model((6, 2), likelihood)) is None
    assert axes_of(model((3, 4, 2), {"name": "normal", "scale": "channel"})) is None


def test_one_axis_is_a_row():
    for likelihood in ("normal", "poisson", {"name": "normal", "scale": "channel"}):
        assert axes_of(model((6,), likelihood)) == ["columns"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A model of mixed columns, and its bundle."""
    vae = stirred(model((5,), {"name": "mixed", "columns": KINDS}))
    x = np.array([[0, 1.5, 1, 3, 2], [2, 0.5, 0, 0, 3]] * 4, "float32")
    return vae, export(vae, tmp_path_factory.mktemp("mixed") / "out", ("onnx",), Examples(x))


def test_kinds_and_classes_are_said_in_the_order_of_the_columns(mixed):
    said = mixed[1].manifest["preprocessing"]
    assert said["axes"] == ["columns"] and said["columns"] == list(KINDS)
    assert said["kinds"] == ["ordinal", "positive", "categorical", "count", "categorical"]
    assert said["classes"] == {
        "grade": ["low", "middle", "high"], "colour": ["red", "blue"], "many": ["0", "1", "2", "3"]
    }  # fmt: skip


def test_log_probabilities_are_where_the_format_says(mixed):
    """Column after column, the categorical ones first: of a class observed, log p(x|z) rises by its log probability."""
    vae, bundle = mixed
    said = bundle.manifest["preprocessing"]
    z = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    parameters = vae.likelihood_parameters(z)
    log_p = np.asarray(parameters["log_probabilities"])
    x = np.array(vae.decode(z))
    first = 0
    for kind in ("categorical", "ordinal"):
        for column in (place for place, held in enumerate(said["kinds"]) if held == kind):
            count = len(said["classes"][said["columns"][column]])
            part = log_p[:, first : first + count]
            np.testing.assert_allclose(np.exp(part).sum(axis=1), 1, rtol=1e-5)
            np.testing.assert_array_equal(part.argmax(axis=1), x[:, column])  # `mean` is the likeliest
            first += count
            each = []
            for number in range(count):
                x[:, column] = number
                each.append(np.asarray(vae.likelihood(z).log_prob(x)))
            np.testing.assert_allclose(np.diff(each, axis=0).T, np.diff(part, axis=1), atol=1e-4)
    assert first == log_p.shape[1]


def test_a_bundle_without_these_keys_is_read_and_one_with_others_is_not(tmp_path):
    folder = copied("mlp", tmp_path)
    said = json.loads((folder / "bundle.json").read_text())["preprocessing"]
    assert not {"axes", "columns", "kinds"} & said.keys()
    read_bundle(folder)
    edited(folder, reseal=True, preprocessing=said | {"later": 1})
    read_bundle(folder)
    for wrong in ({"axes": "columns"}, {"crop": "yes"}, {"kinds": [1]}, {"classes": {"a": [0, 1]}}, {"columns": None}):
        edited(folder, reseal=True, preprocessing=said | wrong)
        with pytest.raises(
            CorruptFileError, match=rf"does not describe a bundle: it\.preprocessing\.{next(iter(wrong))}"
        ):
            read_bundle(folder)
