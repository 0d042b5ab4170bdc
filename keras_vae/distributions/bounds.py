"""Soft bounds of a distribution's parameters."""

from keras import ops

from keras_vae.types import Tensor


def soft_bound(value: Tensor, low: float, high: float) -> Tensor:
    """The identity well inside `(low, high)`, levelling off smoothly at both ends: exp(log_var) neither overflows
    nor vanishes, and the gradient never stops."""
    value = high - ops.softplus(high - value)
    return low + ops.softplus(value - low)
