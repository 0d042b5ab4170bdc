"""Weights that change while training goes on: functions of the step, counted in optimizer steps from 0.

Each is called with the model's step, an integer tensor, and returns a float32 scalar tensor. The step is a variable of
the model, saved with its weights; evaluation does not advance it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from keras_vae import checks
from keras_vae.errors import UserError
from keras_vae.registry import Entries, build
from keras_vae.types import Tensor


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A function of the step. Its arguments are its configuration."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            checks.check_number(value, f"{type(self).__name__}.{field.name}")
            if isinstance(value, np.generic):  # a configuration is plain data
                object.__setattr__(self, field.name, value.item())
            if field.name in ("steps", "rate", "period", "ramp") and value == 0:
                raise UserError(f"{type(self).__name__}.{field.name} must be more than 0. Given: {value!r}.")

    def __call__(self, step: Tensor) -> Tensor:
        """The weight at `step`: a float32 scalar."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")

    def get_config(self) -> dict[str, Any]:
        """The mapping that `schedule` makes this from."""
        return {"name": type(self).__name__.lower(), **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
    """`value` at every step."""

    value: float = 1.0

    def __call__(self, step: Tensor) -> Tensor:
        return ops.convert_to_tensor(self.value, "float32")


@dataclasses.dataclass(frozen=True)
class Linear(Schedule):
    """From `initial` to `final` in `steps` steps, after which it stays at `final`.

    Linear KL annealing: Bowman et al. 2016, section 3.1, https://arxiv.org/abs/1511.06349.
    """

    final: float = 1.0
    steps: float = 10_000
    initial: float = 0.0

    def __call__(self, step: Tensor) -> Tensor:
        fraction = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.initial + (self.final - self.initial) * fraction


@dataclasses.dataclass(frozen=True)
class Sigmoid(Schedule):
    """`final * sigmoid((step - threshold) / rate)`: half of `final` at `threshold`.

    The logistic KL annealing of Bowman et al. 2016, section 3.1 and figure 2, https://arxiv.org/abs/1511.06349.
    """

    final: float = 1.0
    threshold: float = 5_000
    rate: float = 1_000

    def __call__(self, step: Tensor) -> Tensor:
        return self.final * ops.sigmoid((ops.cast(step, "float32") - self.threshold) / self.rate)


@dataclasses.dataclass(frozen=True)
class Cyclical(Schedule):
    """In each cycle of `period` steps: linear from 0 to `final` in the first `ramp` of it (a fraction), then `final`.

    Fu et al. 2019, equation 6 with a linear ramp, https://arxiv.org/abs/1903.10145.
    """

    final: float = 1.0
    period: float = 10_000
    ramp: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.period != int(self.period):
            raise UserError(f"Cyclical.period must be a whole number of steps. Given: {self.period!r}.")
        if self.ramp > 1:
            raise UserError(f"Cyclical.ramp is a fraction of the period, at most 1. Given: {self.ramp!r}.")

    def __call__(self, step: Tensor) -> Tensor:
        # In integers: float32 cannot tell step 2**24 from its neighbour.
        step = ops.convert_to_tensor(step)
        within = ops.cast(ops.mod(step, ops.cast(self.period, step.dtype)), "float32")
        return self.final * ops.minimum(within / (self.period * self.ramp), 1.0)


ScheduleLike: TypeAlias = float | Mapping[str, Any] | Schedule
SCHEDULES: Entries[type[Schedule]] = Entries(
    "schedules", {"constant": Constant, "linear": Linear, "sigmoid": Sigmoid, "cyclical": Cyclical}
)


def schedule(spec: ScheduleLike, name: str = "weight") -> Schedule:
    """Return a `Schedule` from a number (constant), a mapping such as `{"name": "sigmoid", "final": 4.0}`, or itself.

    Args:
      spec: the number, mapping or schedule.
      name: of the argument whose value this is, for messages.

    Raises:
      UserError: an unknown name or argument, or a number that is negative or not finite.
    """
    if isinstance(spec, Schedule):
        return spec
    if checks.is_number(spec):
        return Constant(checks.check_number(spec, name))
    if not isinstance(spec, str | Mapping):
        raise UserError(
            f"{name} must be a number, or a schedule such as {{'name': 'linear', 'steps': 1000}}. Given: {spec!r}."
        )
    try:
        return build("schedule", spec, SCHEDULES)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
