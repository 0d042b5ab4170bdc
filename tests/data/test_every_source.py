"""Every likelihood of pixels is fitted on every source of data, or refuses it by name: one epoch each, at toy size."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import data
from keras_vae.errors import UserError
from keras_vae.likelihoods import LIKELIHOODS
from keras_vae.models import SequenceVAE
from tests.toys import grey, mlp, toy

COUNT = 16
SPECS: list[dict[str, Any]] = [{"name": name} for name in sorted(LIKELIHOODS) if LIKELIHOODS[name].support.pixels] + [
    {"name": "gaussian", "scale": "pixel"},
    {"name": "categorical", "levels": 256},
]
LEVELS = np.round(grey(COUNT) * 255).astype("uint8")
GREY = LEVELS / np.float32(255)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return {"x": GREY}


def loaded(name: str, **options: Any) -> Any:
    return data.load(name, f"train[:{COUNT}]", batch_size=COUNT, **options)


# source -> what makes it, and how many values its pixels have; None: any in [0, 1]
SOURCES: dict[str, tuple[Callable[[], Any], int | None]] = {
    "mnist": (lambda: loaded("mnist"), 256),
    "mnist, dynamically binarised": (lambda: loaded("mnist", binarize="dynamic"), 2),
    "mnist, statically binarised": (lambda: loaded("mnist", binarize="static"), 2),
    "mnist, dequantised": (lambda: loaded("mnist", dequantize=True), None),
    "sprites": (lambda: loaded("sprites"), 2),
    "photographs": (lambda: data.other_images("photographs", (4, 4, 1), COUNT), None),
    "binary noise": (lambda: data.other_images("noise", (4, 4, 1), COUNT, binary=True), 2),
    "batches of uint8": (lambda: data.batches(LEVELS, batch_size=COUNT, training=True), 256),
    "an array": (lambda: GREY, 256),
    "tf.data": (lambda: tf.data.Dataset.from_tensor_slices(GREY).batch(COUNT), 256),
    "a generator": (lambda: (GREY[start:] for start in (0,)), 256),
    "a PyDataset": (Batches, 256),
}


def takes(levels: int, values: int | None) -> bool:
    """Whether the grid of a likelihood, of `levels` values or 0, holds that of the data."""
    return not levels or (values is not None and (levels - 1) % (values - 1) == 0)


@pytest.fixture(scope="module")
def model():
    """One compiled model for each likelihood and size of image."""
    made = {}

    def get(spec: dict[str, Any], shape: tuple[int, ...]) -> Any:
        key = (*spec.values(), shape)
        if key not in made:
            network = mlp(hidden=(4,))
            made[key] = toy(image_shape=shape, likelihood=spec, encoder=network, decoder=network)
            made[key].compile("adam", run_eagerly=True)
        return made[key]

    return get


SLOW = {
    "mnist",
    "mnist, dynamically binarised",
    "mnist, statically binarised",
    "mnist, dequantised",
    "photographs",
    "batches of uint8",
    "a PyDataset",
}


# Keras says so of every generator that ends.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize(
    "source", [pytest.param(source, marks=pytest.mark.slow) if source in SLOW else source for source in SOURCES]
)
def test_one_epoch_or_a_refusal(model, source):
    make, values = SOURCES[source]
    shape = {"mnist": (28, 28, 1), "sprites": (64, 64, 1)}.get(source.split(",")[0], (4, 4, 1))
    taken = 0
    for spec in SPECS:
        fitted = model(spec, shape)
        if takes(fitted.likelihood_family.levels, values):
            history = fitted.fit(make(), batch_size=COUNT, verbose=0).history
            assert np.isfinite(history["loss"]).all(), spec
            taken += 1
        else:
            name = type(fitted.likelihood_family).__name__
            with pytest.raises(UserError, match=f"A {name} likelihood is a probability of"):
                fitted.fit(make(), batch_size=COUNT, verbose=0)
    assert taken == {2: len(SPECS), 256: len(SPECS) - 2, None: 4}[values]


def test_words_are_of_tokens():
    network = {"name": "gru", "units": 4, "embedding_dim": 2}
    model = SequenceVAE(latent_dim=2, encoder=network, decoder=network)
    model.compile("adam", run_eagerly=True)
    assert np.isfinite(model.fit(loaded("words"), verbose=0).history["loss"]).all()
    with pytest.raises(UserError, match="must be token ids"):
        model.fit(loaded("mnist"), verbose=0)
