"""Data sets of which few examples are labelled."""

import numpy as np
import pytest

from keras_vae import data
from keras_vae.data import keep_labels
from keras_vae.errors import UserError

LABELS = np.random.default_rng(0).integers(0, 4, 200)


@pytest.mark.parametrize("count", [0, 1, 8, 10, 200])
def test_so_many_stay_and_none_changes(count):
    kept = keep_labels(LABELS, count)
    assert kept.dtype == "int32" and (kept >= 0).sum() == count
    np.testing.assert_array_equal(kept[kept >= 0], LABELS[kept >= 0])


def test_classes_keep_equally_many():
    for count in (8, 10, 40):
        held = np.bincount(keep_labels(LABELS, count)[keep_labels(LABELS, count) >= 0], minlength=4)
        assert held.max() - held.min() <= (count % 4 != 0), held


def test_a_class_that_has_too_few_gives_all_it_has():
    labels = np.array([0] * 20 + [1] * 2 + [-1] * 5)
    kept = keep_labels(labels, 10)
    assert np.bincount(kept[kept >= 0]).tolist() == [8, 2]


def test_they_are_a_function_of_the_seed_and_each_is_as_likely():
    np.testing.assert_array_equal(keep_labels(LABELS, 10, 3), keep_labels(LABELS, 10, 3))
    assert (keep_labels(LABELS, 10, 3) != keep_labels(LABELS, 10, 4)).any()
    four = np.repeat(np.arange(2), 2)  # one of two, in each class: 1,000 seeds, within 5 standard errors
    counts = sum((keep_labels(four, 2, seed) >= 0).astype(int) for seed in range(1_000))
    assert (np.abs(counts - 500) < 5 * np.sqrt(250)).all(), counts
    odd = sum((keep_labels(four, 1, seed) == 0).any() for seed in range(1_000))
    assert abs(odd - 500) < 5 * np.sqrt(250), "which class has one more is drawn"


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        (None, 2, r"needs whole numbers, one label for each example\. Given: none"),
        (LABELS * 1.0, 2, r"Given: float64 of shape \(200,\)"),
        (LABELS, 201, r"labelled must be at most the number of labels, 200\. Given: 201"),
        (LABELS, -1, r"labelled must be a whole number, 0 or more\. Given: -1"),
        (LABELS, 2.5, r"labelled must be a whole number"),
    ],
)
def test_what_does_not_fit(labels, count, message):
    with pytest.raises(UserError, match=message):
        keep_labels(labels, count)


def test_a_loaded_data_set_keeps_its_labels_through_epochs():
    """The same ten digits in each epoch, and with their own images."""
    dataset = data.load("mnist", "train[:500]", batch_size=100, labelled=10)
    everything = data.load("mnist", "train[:500]", batch_size=100, training=False)
    batches = list(everything.as_numpy_iterator())
    known = {x.tobytes(): int(y) for batch in batches for x, y in zip(batch["x"], batch["y"], strict=True)}
    epochs = []
    for _ in range(2):
        held = {}
        for batch in dataset.as_numpy_iterator():
            held |= {x.tobytes(): int(y) for x, y in zip(batch["x"], batch["y"], strict=True) if y >= 0}
        epochs.append(held)
        assert sorted(held.values()) == list(range(10)) and all(known[x] == y for x, y in held.items())
    assert epochs[0] == epochs[1]
