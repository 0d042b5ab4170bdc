"""Calls that raised errors of other libraries: each is refused with a rule, what was given, and a remedy."""

import numpy as np
import pytest

from keras_vae import data, evaluation, tasks, zoo
from keras_vae.errors import UserError
from keras_vae.export import check, export, read_bundle
from keras_vae.models import VAE, VQVAE
from keras_vae.priors import MixturePrior

SHAPE = (4, 4, 1)


@pytest.fixture(scope="module")
def model():
    network = {"name": "mlp", "hidden": (4,)}
    return VAE(image_shape=SHAPE, latent_dim=2, encoder=network, decoder=network)


@pytest.mark.parametrize(
    "value", [np.int64(-7), np.array([b"a"]), np.array([1, 2]), np.zeros((2, 4)), np.zeros((2, 3), complex)]
)
def test_an_argument_that_a_class_rejects_may_be_an_array(value):
    with pytest.raises(UserError, match="VQVAE does not take latent_dim"):
        VQVAE(latent_dim=value)


@pytest.mark.parametrize("metrics", [False, 1.5, "likelihood.nats", object(), {"likelihood"}])
def test_metrics_are_a_list_of_names(model, metrics):
    with pytest.raises(UserError, match="metrics is a list of names"):
        evaluation.evaluate(model, np.zeros((2, *SHAPE)), metrics=metrics)


@pytest.mark.parametrize("bundle", [np.zeros(2), 7, None, "a\0b", b"out"])
def test_a_bundle_is_a_path(bundle):
    with pytest.raises(UserError, match="A bundle is a folder, by its path"):
        read_bundle(bundle)


@pytest.mark.parametrize("shape", [(), 3, (4, 4), np.float64(2), "abc", (4, 4, 0), (4, 4, 2.5)])
def test_a_mask_is_of_an_image(shape):
    with pytest.raises(UserError, match=r"image_shape (is \(height|must be a whole number)"):
        tasks.half_observed(shape)


def test_a_mask_that_does_not_fit_in_memory_is_refused():
    with pytest.raises(UserError, match="must fit in memory"):
        tasks.half_observed((2**30, 2**30, 1))


@pytest.mark.parametrize("x", [float("inf"), object(), True, "a"])
def test_images_are_checked_before_they_are_counted(model, x):
    for call in (lambda: tasks.traverse(model, x), lambda: tasks.interpolate(model, x, x)):
        with pytest.raises(UserError, match=r"(x|first) must"):
            call()


def test_no_images_are_interpolated_to_none(model):
    none = np.zeros((0, *SHAPE), "float32")
    assert tasks.interpolate(model, none, none, steps=3).shape == (0, 3, *SHAPE)


def test_examples_are_an_array(model, tmp_path):
    with pytest.raises(UserError, match="examples must be an array of numbers"):
        export(model, tmp_path / "out", examples=[[1, 2], [3]])


def test_a_density_that_float32_does_not_hold_is_refused():
    prior = MixturePrior(components=2).fit_codes(np.random.default_rng(0).normal(size=(50, 3)).astype("float32"))
    with pytest.raises(UserError, match="log p must give numbers"):
        prior.log_prob(np.full((2, 3), 1e38, "float32"))


def test_a_name_is_text():
    with pytest.raises(UserError, match=r"is a name: .* Given: ndarray"):
        tasks.half_observed((4, 4, 1), missing=np.zeros(2))


def test_an_unknown_dataset_leaves_nothing_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"Unknown dataset 'mnits'\. Did you mean 'mnist'"):
        data.load("mnits")
    assert not list(tmp_path.rglob("tensorflow_datasets"))


RAGGED = [[1, 2], [3]]


@pytest.mark.parametrize(
    "call",
    [
        lambda model: tasks.impute(model, RAGGED, np.ones(SHAPE, bool)),
        lambda model: tasks.attribute_vector(model, np.zeros((2, *SHAPE)), RAGGED),
        lambda model: MixturePrior(components=2).fit_codes(RAGGED),
        lambda model: tasks.to_plane(RAGGED),
    ],
)
def test_rows_of_different_lengths_are_no_array(model, call):
    with pytest.raises(UserError, match="must be an array of numbers"):
        call(model)


@pytest.mark.parametrize("runtimes", [3.0, object(), "onnxruntime", np.zeros((2, 3))])
def test_runtimes_are_a_list_of_names(runtimes, model, tmp_path):
    bundle = export(model, tmp_path / "out", ("onnx",))
    with pytest.raises(UserError, match="runtimes is a list of names"):
        check(bundle, runtimes)


def test_a_name_too_long_for_a_file_is_unknown():
    with pytest.raises(UserError, match="Unknown model 'AAA"):
        zoo.load("A" * 100_000)


@pytest.mark.parametrize("name", [np.zeros(0), 3, ["mnist"]])
def test_a_dataset_has_a_name(name):
    with pytest.raises(UserError, match="A dataset is named as TFDS names it"):
        data.load(name)


@pytest.mark.parametrize("cutoff", [float("inf"), float("nan"), "a", np.zeros(2)])
def test_a_cutoff_is_a_score(cutoff):
    with pytest.raises(UserError, match="cutoff is a finite score"):
        tasks.detection(np.arange(50.0), np.arange(20.0), cutoff=cutoff)


@pytest.mark.parametrize("source", [len, str, lambda split: None])
def test_a_source_returns_images(source):
    with pytest.raises(UserError, match=r"returns the keras_vae\.data\.sources\.Images of a split"):
        data.load(source)
