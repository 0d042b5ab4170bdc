"""Probes and clusters on codes whose answer is plain."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.evaluation.metrics import evaluate
from keras_vae.evaluation.representation import clustering, probes
from keras_vae.models import VAE
from tests.toys import binary, toy

GENERATOR = np.random.default_rng(0)
LABELS = np.arange(600) % 3
CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
APART = CENTRES[LABELS] + GENERATOR.normal(size=(600, 2))
NOISE = GENERATOR.normal(size=(600, 2))


def split(codes, **arguments):
    return probes(codes[:400], LABELS[:400], codes[400:], LABELS[400:], **arguments)


def test_classes_that_lie_apart_are_read_from_one_label_each():
    found = split(APART, counts=(3, 30, 1000))
    assert {name: set(rows) for name, rows in found.items()} == {name: {"3", "30", "all"} for name in ("linear", "knn")}
    assert all(row["value"] > 0.95 for rows in found.values() for row in rows.values())
    assert found["knn"]["all"] == {"value": 1.0, "standard_error": 0.0, "labels": 400, "examples": 200}


def test_noise_is_chance_within_its_error():
    found = split(NOISE, counts=(30,))
    for rows in found.values():
        assert abs(rows["all"]["value"] - 1 / 3) < 4 * rows["all"]["standard_error"]
        assert rows["30"]["repetitions"] == 5


def test_more_labels_help_and_seeds_choose_them():
    codes = APART * 0.12 + NOISE * 0.5
    found, again, other = (split(codes, counts=(6, 300), seed=seed) for seed in (0, 0, 1))
    assert found == again and found["linear"]["6"] != other["linear"]["6"]
    assert found["linear"]["300"]["value"] > found["linear"]["6"]["value"]
    assert found["linear"]["all"] == other["linear"]["all"], "with all labels there is nothing to draw"


def test_the_scale_of_codes_does_not_matter_to_the_probe():
    codes = APART * 0.12 + NOISE * 0.5
    first, second = split(codes, counts=()), split(codes * [1024.0, 0.25], counts=())
    assert first["linear"]["all"]["value"] == pytest.approx(second["linear"]["all"]["value"], abs=1e-9)


def test_neighbours_by_brute_force():
    codes = APART * 0.2 + NOISE
    found = split(codes, counts=(), neighbours=1)["knn"]["all"]["value"]
    nearest = [np.linalg.norm(codes[:400] - code, axis=1).argmin() for code in codes[400:]]
    assert found == pytest.approx(np.mean(LABELS[nearest] == LABELS[400:]))


def test_clusters():
    found = clustering(APART, LABELS, repetitions=2)
    assert found["nmi"]["value"] == found["ari"]["value"] == 1.0 and found["ari"]["clusters"] == 3
    found = clustering(NOISE, LABELS, repetitions=2)
    assert abs(found["ari"]["value"]) < 0.03 and found["nmi"]["value"] < 0.03
    assert found["ari"]["standard_error"] > 0, "other images, other clusters"
    assert clustering(NOISE, LABELS, repetitions=2) == found


def test_a_class_without_a_training_example_is_missed():
    """A tenth of the test examples are of a class that only the test has."""
    rare = np.where(np.arange(200) % 10 == 0, 7, LABELS[400:])
    found = probes(APART[:400], LABELS[:400], APART[400:], rare, counts=(30,))
    assert {row["all"]["value"] for row in found.values()} == {0.9}


def test_examples_without_a_label_take_no_part():
    """As if they were not there: neither a class, nor a test example."""
    x, labels = binary(120), np.arange(120) % 3
    labels[::4] = -1
    labelled = labels >= 0
    model, names = toy(VAE), ("representation",)
    train, train_labels = binary(90, seed=1), np.arange(90) % 4 - 1
    known = train_labels >= 0
    found = evaluate(model, x, labels, metrics=names, train=train, train_labels=train_labels, repetitions=2)
    expected = evaluate(model, x[labelled], labels[labelled], metrics=names, train=train[known],
                        train_labels=train_labels[known], repetitions=2)  # fmt: skip
    assert found["representation"] == expected["representation"]
    assert found["representation"]["clustering"]["nmi"]["clusters"] == 3
    assert found["representation"]["probes"]["knn"]["all"]["examples"] == 90


@pytest.mark.parametrize(
    ("codes", "labels", "message"),
    [
        (APART, np.zeros(600, int), "two classes or more. Given: one only"),
        (APART, LABELS + 0.5, "one whole-number label for each of the"),
        (APART, LABELS[:7], "one whole-number label for each of the 600"),
        (np.where(APART[3] == APART, np.nan, APART), LABELS, "must be finite"),
        (APART[:, 0], LABELS, r"codes must be numbers \(n, dimensions\)"),
        (APART[:0], LABELS[:0], "codes must be of one labelled example or more"),
    ],
)
def test_bad_arrays(codes, labels, message):
    with pytest.raises(UserError, match=message):
        clustering(codes, labels)
    with pytest.raises(UserError, match=message):
        probes(codes, labels, APART, LABELS)


def test_further_refusals():
    with pytest.raises(UserError, match=r"as many different codes as classes, 3. Given: fewer"):
        clustering(np.zeros((600, 2)), LABELS)
    with pytest.raises(UserError, match=r"the same dimensions. Given: 2, 1"):
        probes(APART, LABELS, APART[:, :1], LABELS)
