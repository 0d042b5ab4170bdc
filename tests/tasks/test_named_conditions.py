"""Tasks on a model with two named conditions give the numbers of the same model with one joined vector."""

import numpy as np
import pytest
from keras import ops

from keras_vae import priors, tasks
from keras_vae.models import CVAE
from keras_vae.models.parts import conditions
from keras_vae.types import Spec
from tests.toys import binary, toy

CLASSES, STYLE = 3, 2


class Styled(CVAE):
    """A CVAE of a category and a style, whose features are the category's one-hot vector and the style."""

    def condition_spec(self):
        return {"category": Spec((), "int32", "label", CLASSES), "style": Spec((STYLE,), "float32", "vector")}

    def check_condition(self, condition, count):
        arrays = {"category": np.asarray(condition["category"]), "style": np.asarray(condition["style"], "float32")}
        return {name: conditions.check_count(array, count) for name, array in arrays.items()}

    def _features(self, condition):
        rows = conditions.one_hot(condition["category"], CLASSES, self.float_dtype)
        return ops.concatenate([rows, ops.cast(condition["style"], self.float_dtype)], axis=-1)


COUNT = 6
X = binary(COUNT)
CATEGORY = np.arange(COUNT) % CLASSES
STYLES = np.random.default_rng(0).normal(size=(COUNT, STYLE)).astype("float32")
NAMED = {"category": CATEGORY, "style": STYLES}
JOINED = np.concatenate([np.eye(CLASSES, dtype="float32")[CATEGORY], STYLES], axis=1)
SWAPPED = {name: values[::-1].copy() for name, values in NAMED.items()}
SEEN = np.random.default_rng(1).random(X.shape) < 0.5


@pytest.fixture(scope="module")
def models():
    return [toy(cls, condition_dim=CLASSES + STYLE, learned_prior=True, seed=4) for cls in (Styled, CVAE)]


TASKS = {
    "elbo scores": lambda model, y, other: tasks.anomaly_scores(model, X, "elbo", condition=y),
    "reconstruction scores": lambda model, y, other: tasks.anomaly_scores(model, X, "reconstruction", condition=y),
    "attribute": lambda model, y, other: tasks.attribute_vector(model, X, CATEGORY > 0, y),
    "with an attribute": lambda model, y, other: tasks.with_attribute(model, X, np.ones(2), condition=y),
    "code length": lambda model, y, other: np.array(tasks.code_length(model, X, samples=4, condition=y)),
    "imputation": lambda model, y, other: tasks.impute(model, X, SEEN, steps=3, condition=y),
    "interpolation": lambda model, y, other: tasks.interpolate(model, X, X[::-1], 3, condition=(y, other)),
    "posteriors": lambda model, y, other: tasks.interpolate(
        model, X, X[::-1], 3, path="posteriors", condition=(y, other)
    ),
    "traversal": lambda model, y, other: tasks.traverse(model, X, start=2, steps=3, condition=y).images,
    "prior": lambda model, y, other: priors.MixturePrior(1).fit(model, X, y).means,
}


@pytest.mark.parametrize("task", TASKS)
def test_named_conditions_give_what_their_joined_vector_gives(models, task):
    named, joined = models
    result = TASKS[task](named, NAMED, SWAPPED)
    expected = TASKS[task](joined, JOINED, JOINED[::-1])
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_a_plane_is_of_one_named_condition(models):
    named, joined = models
    one = {name: values[:1] for name, values in NAMED.items()}
    np.testing.assert_allclose(
        tasks.latent_plane(named, side=3, condition=one),
        tasks.latent_plane(joined, side=3, condition=JOINED[:1]),
        atol=1e-6,
    )
