"""A trained model in scikit-learn's pipelines: what the model says, under clone, pickle and a grid search's rules."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from keras_vae import zoo
from keras_vae.errors import UserError
from keras_vae.tasks import TrainedTransformer
from keras_vae.zoo.examples import examples_of
from tests.run_fixtures import run as run


@pytest.fixture(scope="module")
def fitted(run):
    """A fitted transformer, its model, and 60 images with their labels."""
    examples = examples_of(zoo.card(run).recipe)
    x = examples.images[:60]
    return TrainedTransformer(run, samples=3).fit(x.reshape(60, -1)), zoo.load(run), x, examples.labels[:60]


def test_it_says_what_the_model_says(fitted):
    transformer, model, x, _ = fitted
    rows = x.reshape(60, -1)
    codes = transformer.transform(rows)
    np.testing.assert_array_equal(codes, model.encode(x))
    np.testing.assert_array_equal(transformer.inverse_transform(codes), model.decode(codes).reshape(60, -1))
    np.testing.assert_array_equal(transformer.score_samples(rows), model.log_prob(x, samples=3))
    assert transformer.score(rows) == transformer.score_samples(rows).mean()
    assert len(transformer.get_feature_names_out()) == codes.shape[1]
    assert transformer.transform(rows.astype("float64")).dtype == "float64"


def test_cloned_pickled_and_in_a_pipeline(fitted, run):
    transformer, _, x, y = fitted
    rows = x.reshape(60, -1)
    copy = clone(transformer)
    assert copy.get_params() == {"model": run, "samples": 3} and not hasattr(copy, "model_")
    again = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(again.transform(rows), transformer.transform(rows))
    pipeline = make_pipeline(clone(transformer), LogisticRegression(max_iter=500)).fit(rows, y)
    assert pipeline.score(rows, y) > 0.3, "three times chance, on what it was fitted to"


def test_mistakes(fitted, run):
    transformer, _, x, _ = fitted
    rows = x.reshape(60, -1)
    with pytest.raises(NotFittedError):
        TrainedTransformer(run).transform(rows)
    with pytest.raises(UserError, match=r"A row has the pixels of one image, \(28, 28, 1\)\. Given: 5 numbers"):
        TrainedTransformer(run).fit(rows[:, :5])
    with pytest.raises(UserError, match=r"Pixels of X must lie in \[0, 1\]\. .* divide by 255"):
        TrainedTransformer(run).fit(255 * rows)
    with pytest.raises(UserError, match=r"A code has \d+ numbers\. Given: 1\."):
        transformer.inverse_transform(rows[:, :1])
    with pytest.raises(UserError, match="Unknown model 'no_such_model'"):
        TrainedTransformer("no_such_model").fit(rows)
    with pytest.raises(UserError, match=r"of images without a condition\. Given: one that is conditional"):
        TrainedTransformer("cvae_mnist").fit(rows)
