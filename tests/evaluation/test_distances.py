"""Distances of sets of features: closed forms, and sets whose answer is plain."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from keras_vae.errors import UserError
from keras_vae.evaluation.distances import frechet, memorisation, precision_recall

GENERATOR = np.random.default_rng(0)
REAL = GENERATOR.normal(size=(300, 4)) @ GENERATOR.normal(size=(4, 4))


def with_moments(count, mean, covariance, seed=0):
    """Points whose sample mean and covariance are exactly these."""
    points = np.random.default_rng(seed).normal(size=(count, len(mean)))
    points -= points.mean(0)
    points = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return points @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_known_moments():
    """Diagonal covariances commute: |m - n|**2 + sum (s - t)**2."""
    first = with_moments(50, [0.0, 1.0], np.diag([1.0, 4.0]))
    second = with_moments(80, [2.0, 1.0], np.diag([9.0, 0.25]), seed=1)
    assert frechet(first, second) == pytest.approx(4 + 2**2 + 1.5**2, rel=1e-9)
    assert frechet(first, first) == pytest.approx(0, abs=1e-9)


def test_frechet_against_the_matrix_square_root():
    second = REAL[:150] @ GENERATOR.normal(size=(4, 4)) + 1
    c, d = np.cov(REAL, rowvar=False), np.cov(second, rowvar=False)
    root = scipy.linalg.sqrtm(c @ d).real
    by_hand = ((REAL.mean(0) - second.mean(0)) ** 2).sum() + np.trace(c + d - 2 * root)
    assert frechet(REAL, second) == pytest.approx(by_hand, rel=1e-8)
    assert frechet(second, REAL) == pytest.approx(by_hand, rel=1e-8), "symmetric"


def test_frechet_of_a_singular_covariance():
    """Features that are always 0, as after a ReLU, neither break it nor count."""
    dead = np.concatenate([REAL, np.zeros((300, 2))], axis=1)
    moved = np.concatenate([REAL + 1, np.zeros((300, 2))], axis=1)
    assert frechet(dead, moved) == pytest.approx(4.0, rel=1e-6)


@given(st.permutations(range(4)), st.integers(0, 1000))
def test_order_of_features_and_of_examples_does_not_matter(order, seed):
    other = REAL[:200] * 1.5
    shuffled = np.random.default_rng(seed).permutation(other)[:, list(order)]
    assert frechet(REAL[:, list(order)], shuffled) == pytest.approx(frechet(REAL, other), rel=1e-7)
    first, second = (precision_recall(REAL[:, list(order)], shuffled), precision_recall(REAL, other))
    assert first == second


def test_precision_and_recall_by_brute_force():
    generated = REAL[:120] * 0.8 + 0.5

    def inside(points, centres, k):
        found = []
        for point in points:
            near = False
            for centre in centres:
                radius = sorted(np.linalg.norm(centres - centre, axis=1))[k]  # the first is itself
                near |= np.linalg.norm(point - centre) <= radius
            found.append(near)
        return np.mean(found)

    some = REAL[:120]
    found = precision_recall(some, generated, neighbours=3)
    assert found["precision"]["value"] == pytest.approx(inside(generated, some, 3))
    assert found["recall"]["value"] == pytest.approx(inside(some, generated, 3))
    assert 0.3 < found["precision"]["value"] < 1


def test_precision_and_recall_tell_collapse_from_noise():
    """One mode of two: all of it real, half of the real found. Far away: neither. The same set: both."""
    modes = np.concatenate([REAL, REAL + 100])
    one = precision_recall(modes, REAL[:200] + 0.01)
    assert one["precision"]["value"] > 0.95 and one["recall"]["value"] == pytest.approx(0.5, abs=0.06)
    away = precision_recall(REAL, REAL + 1000)
    assert away["precision"]["value"] == away["recall"]["value"] == 0
    same = precision_recall(REAL, REAL)
    assert same["precision"] == {"value": 1.0, "standard_error": 0.0, "examples": 300}


def test_memorisation_tells_copies_from_new_images():
    images = GENERATOR.uniform(0, 1, (600, 4, 4, 1))
    train, held_out, fresh = images[:300], images[300:450], images[450:]
    new = memorisation(fresh, train, held_out)
    assert abs(new["value"] - 0.5) < 4 * new["standard_error"] and new["standard_error"] < 0.06
    copies = memorisation(train[40:90] * 0.999, train, held_out)
    assert copies["value"] == 1.0 and copies["nearest"] == list(range(40, 90))
    assert copies["generated"] < 0.01 < copies["held_out"]
    noise = memorisation(np.round(fresh), train, held_out)
    assert noise["value"] < 0.2
    pairs = [np.linalg.norm((train - image).reshape(300, -1), axis=1).min() for image in fresh]
    assert new["generated"] == pytest.approx(np.median(pairs), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet(REAL[:4], REAL), r"n 5 or more. Given: float64 of shape \(4, 4\)"),
        (lambda: frechet(1.0, REAL), r"n 2 or more. Given: float64 of shape \(\)"),
        (lambda: frechet(REAL * np.nan, REAL), "must be finite"),
        (lambda: frechet(REAL, REAL[:, :2]), "the same features. Given: 4 and 2"),
        (lambda: precision_recall(REAL, REAL[:, :2]), "the same features. Given: 4 and 2"),
        (lambda: precision_recall(REAL[:3], REAL), "n 4 or more"),
        (lambda: precision_recall(REAL, REAL, neighbours=0), "neighbours must be a whole number"),
        (lambda: memorisation(np.zeros((5, 2, 2, 1)), np.zeros((5, 4, 4, 1)), np.zeros((5, 4, 4, 1))), "must have sha"),
        (lambda: memorisation(*[np.zeros((1, 4, 4, 1))] * 3), "two images of each kind"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()
