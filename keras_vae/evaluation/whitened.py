"""The codes of a ladder in whitened coordinates, for samplers that move through them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vae import randomness
from keras_vae.backend import tfd
from keras_vae.distributions.ladder import Ladder
from keras_vae.types import Tensor, Tensors


class Whitened:
    """The distribution of a ladder's codes as one vector each: the top level, and the noise of each level below it.

    A level may be narrow conditionally on those above it, so that no single step size fits; its noise is N(0, I) for
    any values above. p(x) is unchanged: the codes are a function of the vector, with the distribution of the ladder.

    Args:
      ladder: of batch shape `()`.
      shapes: of the levels, by name.
    """

    def __init__(self, ladder: Ladder, shapes: Mapping[str, Sequence[int]]) -> None:
        self.ladder, self.shapes = ladder, {name: tuple(shapes[name]) for name in ladder.names}
        self.sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        self.top = ladder.level(ladder.names[0], {})
        zeros = ops.zeros((sum(self.sizes[1:]),), self.top.dtype)
        self.noise = tfd.Independent(tfd.Normal(zeros, ops.ones_like(zeros)), 1)
        self.batch_shape = self.top.batch_shape

    def sample(self, sample_shape: Sequence[int], seed: Tensor) -> Any:
        """Return vectors, `(*sample_shape, numbers of all levels)`."""
        top = self.top.sample(sample_shape, seed=seed)
        noise = self.noise.sample(sample_shape, seed=randomness.fold(seed, 1))
        return ops.concatenate([ops.reshape(top, (*sample_shape, self.sizes[0])), noise], axis=-1)

    def log_prob(self, vector: Tensor) -> Any:
        """Return the log density of vectors, not of codes: nats."""
        top = ops.reshape(vector[..., : self.sizes[0]], (*vector.shape[:-1], *self.top.event_shape))
        return self.top.log_prob(top) + self.noise.log_prob(vector[..., self.sizes[0] :])

    def code(self, vector: Tensor) -> dict[str, Any]:
        """Return the levels, by name, for a vector."""
        parts = ops.split(vector, np.cumsum(self.sizes)[:-1].tolist(), axis=-1)
        shaped = {
            name: ops.reshape(part, (*vector.shape[:-1], *shape))
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }
        return self.ladder.from_noise(shaped, top=shaped[self.ladder.names[0]])

    def vector(self, code: Tensors) -> Any:
        """Return the vector for levels, by name."""
        parts = {self.ladder.names[0]: code[self.ladder.names[0]]} | self.ladder.to_noise(code)
        return ops.concatenate(
            [
                ops.reshape(part, (*part.shape[: part.shape.rank - len(self.shapes[name])], size))
                for (name, part), size in zip(parts.items(), self.sizes, strict=True)
            ],
            axis=-1,
        )
