"""Moving averages of weights, `use_ema` of Keras's optimizers: by hand, in validation, and of several players."""

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.models import IWAE
from tests.toys import binary, compiled, same, weights

X = binary(64)


class Recorder(keras.callbacks.Callback):
    """The weights after each step, and those that validation saw."""

    def __init__(self):
        super().__init__()
        self.steps, self.validated = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(weights(self.model))

    def on_test_batch_end(self, batch, logs=None):
        self.validated.append(weights(self.model))


def trainable(model, arrays):
    chosen = {id(variable) for variable in model.trainable_variables}
    return [array for weight, array in zip(model.weights, arrays, strict=True) if id(weight) in chosen]


@pytest.mark.parametrize("arguments", [{}, {"gradient": "dreg"}], ids=["one player", "two players"])
def test_validation_and_the_result_are_of_the_averages(arguments):
    """a_1 = w_1, a_t = m a_(t-1) + (1 - m) w_t, of every player's weights."""
    momentum, seen = 0.7, Recorder()
    model = compiled(IWAE, keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=momentum), **arguments)
    model.fit(X, batch_size=16, epochs=2, validation_data=X, verbose=0, callbacks=[seen])
    steps = [trainable(model, arrays) for arrays in seen.steps]
    averages = [steps[0]]
    for arrays in steps[1:]:
        averages.append([momentum * a + (1 - momentum) * w for a, w in zip(averages[-1], arrays, strict=True)])
    for found, expected in (
        (trainable(model, seen.validated[0]), averages[3]),
        (trainable(model, seen.validated[-1]), averages[7]),
        ([variable.numpy() for variable in model.trainable_variables], averages[7]),
    ):
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
    last = np.concatenate([array.ravel() for array in steps[-1]])
    assert np.abs(last - np.concatenate([array.ravel() for array in averages[-1]])).max() > 1e-4


@pytest.mark.slow
def test_validation_gives_the_weights_back():
    """With validation or without, training takes the same steps."""
    ends = []
    for validation in (None, X):
        seen = Recorder()
        model = compiled(optimizer=keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9))
        model.fit(X, batch_size=16, epochs=3, validation_data=validation, verbose=0, callbacks=[seen])
        ends.append(seen.steps[-1])
    for first, second in zip(*ends, strict=True):
        np.testing.assert_array_equal(first, second)


def test_no_step_no_average():
    model = compiled(optimizer=keras.optimizers.Adam(0.01, use_ema=True))
    before = weights(model)
    model.use_averages()
    for first, second in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(first, second)


def averaging(rate=0.05):
    return compiled(optimizer=keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.9))


def test_the_best_epoch_has_the_weights_that_were_validated(tmp_path):
    """Stopped by what gets worse: the bound of the weights that are restored, and of the file, is the best one."""
    model, path = averaging(0.5), tmp_path / "best.keras"
    stop = keras.callbacks.EarlyStopping("val_elbo", mode="max", patience=2, restore_best_weights=True)
    save = keras.callbacks.ModelCheckpoint(path, monitor="val_elbo", mode="max", save_best_only=True)
    history = model.fit(X[:48], batch_size=16, epochs=20, validation_data=X[48:], verbose=0, callbacks=[[stop], save])
    best = max(history.history["val_elbo"])
    assert best > history.history["val_elbo"][-1]
    for result in (model, keras.saving.load_model(path)):
        elbo = result.evaluate(X[48:], verbose=0, return_dict=True)["elbo"]
        assert elbo == pytest.approx(best, abs=0.5), "the noise of evaluation is that of another step"
        assert abs(elbo - best) < abs(history.history["val_elbo"][-1] - best)
    assert same(weights(model), weights(keras.saving.load_model(path)))


def test_other_callbacks_have_the_weights_that_are_trained():
    class Ends(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, weights(self.model)))

    seen, steps, model = [], Recorder(), averaging()
    model.fit(X, batch_size=16, epochs=2, validation_data=X, verbose=0, callbacks=[Ends(), steps])
    for epoch, arrays in seen:
        assert same(trainable(model, arrays), trainable(model, steps.steps[4 * epoch + 3]))


def test_an_interrupted_validation_gives_the_weights_back():
    class Interrupted(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    steps, model = Recorder(), averaging()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, batch_size=16, validation_data=X, verbose=0, callbacks=[steps, Interrupted()])
    assert same(trainable(model, weights(model)), trainable(model, steps.steps[-1]))


def test_averages_are_not_swapped_twice():
    with pytest.raises(UserError, match="SwapEMAWeights, which would swap them once more"):
        averaging().fit(X, batch_size=16, verbose=0, callbacks=keras.callbacks.SwapEMAWeights())
