"""Classifiers from few labels, and masks of missing pixels."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.models import VAE
from keras_vae.tasks import masks
from keras_vae.tasks.fine_tuning import fine_tune, predictions_from_few_labels
from tests import toys

X = np.concatenate([np.zeros((10, *toys.SHAPE), "float32"), np.ones((10, *toys.SHAPE), "float32")])
Y = np.repeat([0, 1], 10)


@pytest.mark.slow
def test_black_and_white_are_told_apart_and_the_model_stays_as_it_is():
    model, untrained = toys.toy(VAE), toys.toy(VAE, seed=1)
    before = toys.weights(model), toys.weights(untrained)
    predictions = predictions_from_few_labels(model, untrained, X, Y, X[::2], 2, epochs=60)
    assert list(predictions) == ["logistic regression on codes", "encoder, fine-tuned", "encoder, untrained"]
    for predicted in predictions.values():
        np.testing.assert_array_equal(predicted, Y[::2])
    assert toys.same(toys.weights(model), before[0]) and toys.same(toys.weights(untrained), before[1])


def test_the_same_seed_gives_the_same_classifier():
    model = toys.toy(VAE)
    first, second, other = (
        fine_tune(model, X, Y, 2, epochs=1, seed=seed).layers[-1].get_weights()[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0
    with pytest.raises(UserError, match="epochs must be a whole number, 1 or more"):
        fine_tune(model, X, Y, 2, epochs=0)


@pytest.mark.parametrize(
    ("missing", "observed"),
    [("bottom", (slice(2), slice(None))), ("top", (slice(2, None), slice(None))),
     ("left", (slice(None), slice(2, None))), ("right", (slice(None), slice(2)))],
)  # fmt: skip
def test_one_half_is_observed(missing, observed):
    mask = masks.half_observed((4, 4, 3), missing)
    expected = np.zeros((4, 4, 3), bool)
    expected[observed] = True
    np.testing.assert_array_equal(mask, expected)


def test_random_pixels_are_observed_in_all_channels():
    mask = masks.half_observed((40, 40, 3), "random", seed=1)
    assert (mask == mask[..., :1]).all() and 0.4 < mask.mean() < 0.6
    assert (mask != masks.half_observed((40, 40, 3), "random", seed=2)).any()
    with pytest.raises(UserError, match="Unknown half 'middle'"):
        masks.half_observed((4, 4, 1), "middle")
