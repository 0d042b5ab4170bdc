"""Keras optimizers from the names and tables of a recipe."""

import inspect
from collections.abc import Mapping

import keras

from keras_vae.errors import UserError
from keras_vae.registry import check_arguments, choose


def from_spec(spec: str | Mapping[str, object]) -> keras.Optimizer | dict[str, keras.Optimizer]:
    """Return the optimizer of a name or of `{name, arguments}`, or a dict of them for `{player: ...}`.

    Raises:
      UserError: an optimizer that Keras does not have, or arguments that it does not take.
    """
    if isinstance(spec, Mapping) and spec and "name" not in spec:
        return {player: _build_one(player_spec) for player, player_spec in spec.items()}
    return _build_one(spec)


def _build_one(spec: object) -> keras.Optimizer:
    arguments = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"An optimizer is a name, or a table of 'name' and arguments. Given: {spec!r}.")
    kind = choose("optimizer", name.lower(), _OPTIMIZERS)
    check_arguments(f"optimizer {name!r}", kind, arguments)
    words = [key for key, value in arguments.items() if isinstance(value, str | Mapping)]
    if words:
        raise UserError(f"The optimizer's argument {words[0]} must be a number. Given: {spec!r}.")
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"The arguments of the optimizer {name!r} do not fit: {reason}. Given: {spec!r}.") from error


def _is_optimizer(value: object) -> bool:
    """Whether `value` is a class that optimizes by itself, and is no base class or wrapper."""
    wraps = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)
    return inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer) and value not in wraps


_OPTIMIZERS = {name.lower(): value for name, value in vars(keras.optimizers).items() if _is_optimizer(value)}
