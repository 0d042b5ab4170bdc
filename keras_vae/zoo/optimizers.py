"""Keras optimizers from the names and tables of a recipe."""

import inspect
import math
from collections.abc import Callable, Mapping

import keras

from keras_vae.checks import is_number
from keras_vae.errors import UserError
from keras_vae.registry import check_arguments, choose, named


def from_spec(
    spec: str | Mapping[str, object], steps: Callable[[], int] = lambda: 1
) -> keras.Optimizer | dict[str, keras.Optimizer]:
    """Return the optimizer of a name or of `{name, arguments}`, or a dict of them for `{player: ...}`.

    Its learning rate is a number, or a schedule of Keras's as a table: `{name = "CosineDecay",
    initial_learning_rate = 0.001, alpha = 0.01}`. The `decay_steps` of a schedule are those of the whole training,
    unless the table has them.

    Args:
      spec: of a recipe.
      steps: counts those of the whole training, if a schedule needs them; the default is for checking a spec.

    Raises:
      UserError: an optimizer that Keras does not have, or arguments that it does not take.
    """
    if isinstance(spec, Mapping) and spec and "name" not in spec:
        return {player: _build_one(player_spec, steps) for player, player_spec in spec.items()}
    return _build_one(spec, steps)


def _build_one(spec: object, steps: Callable[[], int]) -> keras.Optimizer:
    arguments = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"An optimizer is a name, or a table of 'name' and arguments. Given: {spec!r}.")
    kind = choose("optimizer", name.lower(), _OPTIMIZERS)
    check_arguments(f"optimizer {name!r}", kind, arguments)
    rate = arguments.get("learning_rate")
    if isinstance(rate, Mapping):
        arguments["learning_rate"] = _learning_rate(rate, steps)
    _check_numbers("optimizer", arguments, spec)
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"The arguments of the optimizer {name!r} do not fit: {reason}. Given: {spec!r}.") from error


def _learning_rate(
    spec: Mapping[str, object], steps: Callable[[], int]
) -> keras.optimizers.schedules.LearningRateSchedule:
    kind, name, arguments = named("learning rate schedule", spec, _SCHEDULES)
    if "decay_steps" in inspect.signature(kind).parameters and "decay_steps" not in arguments:
        arguments["decay_steps"] = steps()
    check_arguments(f"learning rate schedule {name!r}", kind, arguments)
    _check_numbers("schedule", arguments, spec)
    try:
        schedule: keras.optimizers.schedules.LearningRateSchedule = kind(**arguments)
        schedule(0)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"The arguments of the schedule {name!r} do not fit: {reason}. Given: {spec!r}.") from error
    return schedule


def _check_numbers(what: str, arguments: Mapping[str, object], spec: object) -> None:
    """Raise UserError for words, and for numbers that no training survives; Keras takes most of them."""
    for name, value in arguments.items():
        if isinstance(value, str | Mapping):
            raise UserError(f"The {what}'s argument {name} must be a number. Given: {spec!r}.")
        if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
            continue
        for rule, (names, holds) in _RANGES.items():
            if name in names and not (is_number(value) and holds(value)):
                raise UserError(f"The {what}'s argument {name} must be {rule}. Given: {value!r}.")


# What an argument must be -> the arguments that the rule is for, and whether a number keeps it.
_RANGES: dict[str, tuple[tuple[str, ...], Callable[[float], bool]]] = {
    "a positive number": (
        ("learning_rate", "initial_learning_rate", "decay_steps", "decay_rate", "first_decay_steps", "clipnorm",
         "clipvalue", "global_clipnorm", "loss_scale_factor"),
        lambda number: 0.0 < number < math.inf,
    ),
    "a number, 0 or more": (
        ("weight_decay", "epsilon", "alpha", "warmup_steps"), lambda number: 0.0 <= number < math.inf
    ),
    "a number from 0 to below 1": (
        ("momentum", "beta_1", "beta_2", "rho", "ema_momentum"), lambda number: 0.0 <= number < 1.0
    ),
}  # fmt: skip


def _is_optimizer(value: object) -> bool:
    """Whether `value` is a class that optimizes by itself, and is no base class or wrapper."""
    wraps = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)
    return inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer) and value not in wraps


_OPTIMIZERS = {name.lower(): value for name, value in vars(keras.optimizers).items() if _is_optimizer(value)}
_SCHEDULES = {
    name: value for name, value in vars(keras.optimizers.schedules).items()
    if inspect.isclass(value) and value is not keras.optimizers.schedules.LearningRateSchedule
}  # fmt: skip
