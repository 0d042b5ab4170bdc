"""What a likelihood is: a family that says what a decoder's output means, its distribution, and its mean image."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from keras_vae.backend import tfd
from keras_vae.checks import pieces
from keras_vae.errors import UserError
from keras_vae.types import Tensor

_GRID = 1e-3  # how far from a level, in levels, a pixel may lie: float32 and float16 files of k / 255 pass


def soft_bound(value: Tensor, low: float, high: float) -> Tensor:
    """The identity well inside `(low, high)`, levelling off smoothly at both ends: exp(log_var) neither overflows
    nor vanishes, and the gradient never stops."""
    value = high - ops.softplus(high - value)
    return low + ops.softplus(value - low)


class Likelihood(keras.layers.Layer):
    """A family of distributions over images of shape `(height, width, channels)`, event dimensions included.

    A subclass gives `parameters`, `distribution` and, if not every image in [0, 1] has a density, `levels`.
    """

    channels_per_pixel = 1
    levels = 0  # pixels are k / (levels - 1); 0: any number in [0, 1]

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        """Named parameters, `mean` among them, of `(batch, height, width, channels * channels_per_pixel)` numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define parameters(raw)")

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        """p(x|z) with batch shape `(batch,)`: log_prob sums over pixels, in nats."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution(parameters)")

    def check(self, x: np.ndarray) -> None:
        """Raise UserError if `x`, already known to lie in [0, 1], is outside the distribution's support."""
        if self.levels:
            for part in pieces(np.asarray(x)):
                place = part.astype("float32") * np.float32(self.levels - 1)
                off = np.abs(place - np.rint(place)) > _GRID
                if off.any():
                    raise UserError(self.refusal(float(part[off][0])))

    def refusal(self, value: float) -> str:
        """What to say of a pixel that is none of `levels`."""
        steps = self.levels - 1
        return (
            f"A {type(self).__name__} likelihood is a probability of {self.levels} grey levels, k / {steps}. Given: a "
            f"pixel of {value:.4g}. Round them (np.round(x * {steps}) / {steps}) or use likelihood='gaussian'."
        )
