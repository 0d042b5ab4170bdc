"""Every model comes back: from its configuration, from a weights file, and from `model.save`."""

import json

import keras
import numpy as np

from tests import toys
from tests.conformance.cases import MODELS, eagerly, every_model, every_model_slowly, examples, labels, make


@every_model
def test_configuration_round_trip(name):
    """As data: through JSON, as a recipe's."""
    model = make(name)
    config = json.loads(json.dumps(model.get_config()))
    again = MODELS[name].from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    assert toys.same(toys.weights(again), toys.weights(model))


@every_model
def test_weights_and_optimizers_come_back(name, tmp_path):
    """Every number of the model's and its optimizers' is in the file: each is changed before it is saved."""
    model, other = make(name), make(name)
    generator = np.random.default_rng(0)
    for each in (model, other):
        each.compile("adam", **toys.PLAIN)
    for variable in everything(model):
        changed = np.array(variable) + generator.integers(1, 9, variable.shape).astype(variable.dtype)
        variable.assign(changed)
    model.save_weights(tmp_path / "a.weights.h5")
    other.load_weights(tmp_path / "a.weights.h5")
    assert toys.same(*([np.array(variable) for variable in everything(each)] for each in (other, model)))


def everything(model):
    of_optimizers = [variable for optimizer in model.optimizers for variable in optimizer.variables]
    return [*model.weights, *of_optimizers, model.step]


@every_model_slowly
def test_training_goes_on_from_a_weights_file(name, tmp_path):
    """Saved after an epoch: a fresh model that loads the file ends the next one with equal weights, bit for bit."""
    model, other = make(name), make(name, seed=3)
    for each in (model, other):
        each.compile(keras.optimizers.Adam(0.01), **toys.PLAIN)
    model.fit(examples(model), labels(model), batch_size=16, verbose=0)
    model.save_weights(tmp_path / "a.weights.h5")
    other.load_weights(tmp_path / "a.weights.h5")
    assert int(other.step) == int(model.step) == 3
    for each in (model, other):
        each.fit(examples(model), labels(model), batch_size=16, verbose=0)
    assert toys.same(toys.weights(model), toys.weights(other))


@every_model
def test_the_whole_model_comes_back(name, tmp_path):
    model = make(name)
    model.compile("adam", **toys.PLAIN)
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    assert type(again) is type(model) and again.compiled
    condition = labels(model)
    with eagerly():
        images = [each.reconstruct(examples(model), condition) for each in (again, model)]
    np.testing.assert_array_equal(*images)
