"""scikit-learn's own checks of an estimator, and that the density is one."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from keras_vae.tasks import VAETransformer

SMALL = {"hidden": (4,), "epochs": 1}


@pytest.mark.slow
def test_scikit_learns_checks():
    """All of them: none is expected to fail."""
    results = check_estimator(VAETransformer(**SMALL), on_fail=None, on_skip=None)
    assert not {each["check_name"]: each["exception"] for each in results if each["status"] == "failed"}
    assert {each["status"] for each in results} <= {"passed", "skipped"}
    assert sum(each["status"] == "passed" for each in results) > 30


def test_some_of_scikit_learns_checks():
    """The fast sibling: those that the noise of a density, a pickle or a table of another width could break."""
    for check in (
        estimator_checks.check_methods_sample_order_invariance,
        estimator_checks.check_methods_subset_invariance,
        estimator_checks.check_estimators_pickle,
        estimator_checks.check_n_features_in_after_fitting,
    ):
        check("VAETransformer", VAETransformer(**SMALL))


@pytest.fixture(scope="module")
def fitted():
    rows = np.random.default_rng(0).normal(size=(300, 1)) * [1.0] + 50.0
    return VAETransformer(1, hidden=(8,), epochs=20, learning_rate=0.01).fit(rows), rows


def test_a_row_has_the_same_density_wherever_it_stands(fitted):
    """To the last bits of float64, in which a row's sums may be taken in another order."""
    model, rows = fitted
    scores, order = model.score_samples(rows), np.random.default_rng(1).permutation(300)
    np.testing.assert_allclose(model.score_samples(rows[order]), scores[order], rtol=1e-10)
    np.testing.assert_allclose(model.score_samples(rows[290:]), scores[290:], rtol=1e-10)


def test_random_states():
    rows = np.random.default_rng(0).normal(size=(20, 2))

    def codes(state):
        return VAETransformer(**SMALL, random_state=state).fit_transform(rows)

    state = np.random.RandomState(3)
    first, second = codes(state), codes(state)
    np.testing.assert_array_equal(first, codes(np.random.RandomState(3)))
    assert not np.allclose(first, second)


def test_the_density_integrates_to_one_in_the_units_of_the_data(fitted):
    """Trapezoid over 12 standard deviations; 100 importance samples bias the density low by less than 2 %."""
    model, _ = fitted
    grid = np.linspace(44, 56, 2001)
    density = np.exp(model.score_samples(grid[:, None]))
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.03)


def test_it_has_learned_where_rows_are(fitted):
    model, rows = fitted
    inside, outside = model.score_samples(rows).mean(), model.score_samples(rows + 6.0).mean()
    # The best a density can do on N(50, 1) is -0.5 log(2 pi e) = -1.42 nats.
    assert -2.0 < inside < -1.3 and outside < inside - 3
    back = model.inverse_transform(model.transform(rows))
    assert back.shape == rows.shape and abs(back.mean() - 50.0) < 0.5


def test_pickled_and_cloned(fitted):
    model, rows = fitted
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(rows), model.transform(rows))
    assert clone(model).get_params() == model.get_params() and not hasattr(clone(model), "model_")


def test_in_a_pipeline_it_names_its_columns():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    pipeline = make_pipeline(StandardScaler(), VAETransformer(**SMALL))
    assert pipeline.fit_transform(rows).shape == (40, 2)
    assert list(pipeline.get_feature_names_out()) == ["vaetransformer0", "vaetransformer1"]


def test_the_number_of_samples_may_change_after_a_score():
    """The estimate is that of a fitted copy which has the number from the start, and it climbs with the samples."""
    rows = np.random.default_rng(0).normal(size=(20, 2))
    model = VAETransformer(**SMALL, samples=1).fit(rows)
    first = model.score_samples(rows)
    copy = pickle.loads(pickle.dumps(model)).set_params(samples=300)
    more = model.set_params(samples=300).score_samples(rows)
    np.testing.assert_allclose(more, copy.score_samples(rows), rtol=1e-10)
    assert more.mean() > first.mean()


def test_a_density_is_traced_once_for_each_number_of_samples(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(20, 2))
    model, traces = VAETransformer(**SMALL, samples=2).fit(rows), []
    log_weights = model.model_.log_weights

    def counted(x, samples, *args, **kwargs):
        traces.append(samples)
        return log_weights(x, samples, *args, **kwargs)

    monkeypatch.setattr(model.model_, "log_weights", counted)
    for samples in (2, 2, 3, 2):
        model.set_params(samples=samples).score_samples(rows)
    assert traces == [2, 3]
