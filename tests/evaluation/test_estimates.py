"""Standard errors by the delta method and by groups, against the jackknife of single examples."""

from typing import Any

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.evaluation.estimates import by_column, correlation_of, jackknife_errors, ratio_of

GENERATOR = np.random.default_rng(0)
BELOW = GENERATOR.gamma(2.0, size=(400, 3))
ABOVE = BELOW * [0.2, 0.5, 1.0] + GENERATOR.gamma(1.0, size=(400, 3))


def jackknife(statistic):
    """The standard error of a statistic of rows of `ABOVE` and `BELOW`, leaving one out at a time."""
    without = np.array([statistic(np.delete(ABOVE, row, 0), np.delete(BELOW, row, 0)) for row in range(400)])
    return np.sqrt(399 / 400 * np.square(without - without.mean(axis=0)).sum(axis=0))


def test_the_error_of_a_ratio_is_the_jackknifes():
    estimate: Any = ratio_of(ABOVE[:, 0], BELOW[:, 0], examples=400)
    assert estimate["value"] == pytest.approx(ABOVE[:, 0].sum() / BELOW[:, 0].sum()) and estimate["examples"] == 400
    error = jackknife(lambda above, below: above[:, 0].sum() / below[:, 0].sum())
    assert estimate["standard_error"] == pytest.approx(error, rel=0.02)
    with pytest.raises(UserError, match="two values or more"):
        ratio_of([1.0], [1.0])


def test_the_error_of_a_correlation_is_the_jackknifes():
    estimate: Any = correlation_of(ABOVE[:, 1], BELOW[:, 1])
    assert estimate["value"] == pytest.approx(np.corrcoef(ABOVE[:, 1], BELOW[:, 1])[0, 1])
    error = jackknife(lambda above, below: np.corrcoef(above[:, 1], below[:, 1])[0, 1])
    assert estimate["standard_error"] == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize("root", [False, True])
def test_errors_of_columns_and_of_their_mean_are_the_jackknifes(root):
    power = 0.5 if root else 1.0
    estimate: Any = by_column(ABOVE, BELOW, ["a", "b", "c"], root=root)
    ratios = ABOVE.sum(axis=0) / BELOW.sum(axis=0)
    assert estimate["value"] == pytest.approx(ratios.mean() ** power) and estimate["names"] == ["a", "b", "c"]
    np.testing.assert_allclose(estimate["parts"], ratios**power)
    errors = jackknife(lambda above, below: (above.sum(0) / below.sum(0)) ** power)
    np.testing.assert_allclose(estimate["errors"], errors, rtol=0.02)
    whole = jackknife(lambda above, below: (above.sum(0) / below.sum(0)).mean() ** power)
    assert estimate["standard_error"] == pytest.approx(whole, rel=0.02)


def test_a_perfect_column_has_no_error():
    estimate: Any = by_column(np.zeros((5, 2)), np.ones((5, 2)), ["a", "b"], root=True)
    assert estimate["value"] == estimate["standard_error"] == 0 and estimate["errors"] == [0, 0]


def test_the_jackknife_of_groups_has_the_error_of_a_mean_on_average():
    x = GENERATOR.normal(size=(200, 100))  # 100 means of 200 numbers of variance 1
    errors = jackknife_errors(lambda kept: x[kept].mean(axis=0), 200, seed=1)
    assert np.mean(np.square(errors)) == pytest.approx(1 / 200, rel=4 * np.sqrt(2 / 19 / 100))
