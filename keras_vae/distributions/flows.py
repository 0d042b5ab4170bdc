"""Invertible maps of codes, as TFP bijectors: they turn a diagonal Gaussian into a richer posterior."""

from collections.abc import Callable, Sequence

from keras import ops

from keras_vae.backend import tfb
from keras_vae.types import Tensor

# Where the inverse ends, and the exponent that takes it there: sums and products with weights stay finite.
_FAR, _EXPONENT = 1e30, 80.0


class Planar(tfb.Bijector):
    """`f(z) = z + u tanh(w.z + b)`, `log abs det df/dz = log abs(1 + u.w (1 - tanh(w.z + b)**2))`.

    Equations 10 to 12 of Rezende and Mohamed 2015, https://arxiv.org/abs/1505.05770. It can be inverted only where
    w.u > -1, so u is moved along w until w.u = softplus(w.u) - 1: appendix A.1. The inverse has no formula: a density
    is known at the flow's draws only: TFP remembers where they came from.

    Args:
      u: `(..., dimensions)`, as w; b is `(...)`: one for each example.
    """

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__(forward_min_event_ndims=1, dtype=u.dtype, name="planar")
        self._w, self._b = w, b
        product, square = ops.sum(w * u, axis=-1), ops.sum(w * w, axis=-1)
        share = square / (square + 1e-8)  # 1, but where w vanishes
        along = (ops.softplus(product) - 1.0 - product) / (square + 1e-8)
        self._u = u + along[..., None] * w
        # 1 + w.u, without cancellation
        self._one_and_product = share * ops.softplus(product) + (1.0 - share) * (1.0 + product)

    def _tanh(self, z: Tensor) -> Tensor:
        return ops.tanh(ops.sum(self._w * z, axis=-1) + self._b)

    def _forward(self, x: Tensor) -> Tensor:
        return x + self._u * self._tanh(x)[..., None]

    def _forward_log_det_jacobian(self, x: Tensor) -> Tensor:
        square = ops.square(self._tanh(x))
        return ops.log(square + self._one_and_product * (1.0 - square))


class AffineAutoregressive(tfb.Bijector):
    """f(z)_i = z_i exp(s_i) + t_i, where s_i and t_i depend on the z_j of a lower degree: log abs det df/dz = sum s_i.

    The inverse takes as many passes as there are degrees: pass k makes the dimensions of degree k exact, and those of a
    higher degree are 0 until then. It ends at 1e30: a point whose origin lies further has a density of 0. For t is
    linear in z at most (a ReLU network's) and exp(s) bounded, so that f moves no point of a Gaussian's mass there; and
    the square of 1e30 is infinite in float32. Without an end, a masked weight of 0 times infinity would be NaN.

    Args:
      function: from `(..., dimensions)` to t and s, each of that shape.
      degrees: of each dimension, from 1.
    """

    def __init__(self, function: Callable[[Tensor], tuple[Tensor, Tensor]], degrees: Sequence[int], dtype: str) -> None:
        super().__init__(forward_min_event_ndims=1, dtype=dtype, name="affine_autoregressive")
        self._function, self._degrees = function, tuple(degrees)

    def _forward(self, x: Tensor) -> Tensor:
        shift, log_scale = self._function(x)
        return x * ops.exp(log_scale) + shift

    def _forward_log_det_jacobian(self, x: Tensor) -> Tensor:
        return ops.sum(self._function(x)[1], axis=-1)

    def _inverse(self, y: Tensor) -> Tensor:
        x = ops.zeros_like(y)
        for degree in range(1, max(self._degrees) + 1):
            shift, log_scale = self._function(x)
            x = ops.clip((y - shift) * ops.exp(ops.minimum(-log_scale, _EXPONENT)), -_FAR, _FAR)
            x *= ops.convert_to_tensor([float(other <= degree) for other in self._degrees], x.dtype)
        return x


def coupling_degrees(dimensions: int, layer: int) -> list[int]:
    """Every other dimension is held (degree 1) and steers the rest (degree 2), in turns: `layer` counts from 0."""
    return [1 + (dimension + layer) % 2 for dimension in range(dimensions)]


def autoregressive_degrees(dimensions: int, layer: int) -> list[int]:
    """1 to `dimensions`, and in every other layer the reverse."""
    order = list(range(1, dimensions + 1))
    return order[::-1] if layer % 2 else order


def coupled(outputs: Tensor, degrees: Sequence[int]) -> tuple[Tensor, Tensor]:
    """t and s of affine coupling, zero where the degree is 1: equations 7 and 8 of Dinh et al. 2017 (RealNVP),
    https://arxiv.org/abs/1605.08803. s lies in (-2, 2)."""
    moved = ops.convert_to_tensor([float(degree > 1) for degree in degrees], outputs.dtype)
    return moved * outputs[..., 0], moved * 2.0 * ops.tanh(0.5 * outputs[..., 1])


def gated(outputs: Tensor, degrees: Sequence[int]) -> tuple[Tensor, Tensor]:
    """t and s of f(z) = g z + (1 - g) m, g = sigmoid(.): equations 13 and 14 of Kingma et al. 2016 (IAF),
    https://arxiv.org/abs/1606.04934. At first g = sigmoid(2), so the untrained flow is nearly the identity."""
    raw = outputs[..., 1] + 2.0
    return ops.sigmoid(-raw) * outputs[..., 0], -ops.softplus(-raw)


def shifted_and_scaled(outputs: Tensor, degrees: Sequence[int]) -> tuple[Tensor, Tensor]:
    """t and s of every dimension, s in (-2, 2): equation 4 of Papamakarios et al. 2017 (MAF),
    https://arxiv.org/abs/1705.07057, from codes to noise."""
    return outputs[..., 0], 2.0 * ops.tanh(0.5 * outputs[..., 1])


# name -> the degrees of a layer, and from a masked network's two outputs to shift and log scale
MASKED = {
    "iaf": (autoregressive_degrees, gated),
    "maf": (autoregressive_degrees, shifted_and_scaled),
    "realnvp": (coupling_degrees, coupled),
}


def masked_map(
    name: str, network: Callable[[Tensor], Tensor], dimensions: int, layer: int, dtype: str
) -> AffineAutoregressive:
    """The map of one layer of a flow in `MASKED`, layers counted from 0.

    Args:
      name: of the flow.
      network: masked by `masked_degrees`, with two outputs for each of the dimensions.
      dimensions: of a code.
      layer: its number.
      dtype: of the codes.
    """
    degrees, interpret = masked_degrees(name, dimensions, layer), MASKED[name][1]
    return AffineAutoregressive(lambda z: interpret(network(z), degrees), degrees, dtype)


def masked_degrees(name: str, dimensions: int, layer: int) -> list[int]:
    """The degrees of the dimensions in a layer of a flow in `MASKED`."""
    return MASKED[name][0](dimensions, layer)
