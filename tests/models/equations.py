"""What tests of a variant's equation share: its terms and losses on a batch, the seeds of its draws, refusals."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from tests.toys import binary, toy

SEED = (3, 4)
X = binary(16)


def terms_of(model: Any, x: Any = X, y: Any = None, training: bool = True) -> Any:
    """The model's terms on one batch, with the draws that `draw_seeds` gives."""
    with model.draws.using(SEED):
        return model.terms(batch_of(model, x, y), training=training)


def losses_of(model: Any, x: Any = X, y: Any = None) -> dict[str, float]:
    """Each player's loss on one batch."""
    terms = terms_of(model, x, y)
    return {player.name: float(player.loss(terms)) for player in model.players()}


def batch_of(model: Any, x: Any = X, y: Any = None) -> dict[str, Any]:
    return {"x": tf.constant(x, model.float_dtype)} | ({} if y is None else {"y": tf.constant(y)})


def draw_seeds(model: Any, count: int) -> list[Any]:
    """The seeds of the first draws of `terms_of`."""
    with model.draws.using(SEED):
        return [model.draws.next() for _ in range(count)]


def gradient_of(model: Any, player: int, variables: Any, x: Any = X, y: Any = None) -> Any:
    """The gradient of a player's loss; None for what it does not depend on."""
    batch = batch_of(model, x, y)
    with tf.GradientTape() as tape, model.draws.using(SEED):
        loss = model.players()[player].loss(model.terms(batch, training=True))
    return tape.gradient(loss, [variable.value for variable in variables])


def softplus(value: Any) -> Any:
    return np.logaddexp(0, value)


def assert_refused(cls: Any, arguments: Any, message: str) -> None:
    """Making a toy fails with a message that says the rule and what was given."""
    with pytest.raises(UserError, match=message) as raised:
        toy(cls, **arguments)
    assert any(part in str(raised.value) for part in ("Given: ", "Did you mean", "Known", "needs the argument"))


def assert_comes_back(model: Any, **arguments: Any) -> None:
    """The configuration holds the arguments, and makes an equal model."""
    config = model.get_config()
    assert {name: config[name] for name in arguments} == arguments
    again = type(model).from_config(config)
    assert again.get_config() == config
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


def assert_finite_whatever_the_last_batch(model: Any, y: Any = None) -> None:
    """17 images in batches of 16: evaluation keeps the last one, of one image, and its numbers are finite."""
    x = binary(17, seed=3)
    logs = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    assert np.isfinite(list(logs.values())).all(), logs
