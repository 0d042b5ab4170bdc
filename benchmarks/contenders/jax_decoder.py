"""The decoder in JAX by hand, jitted."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import decoders
import jax
import jax.numpy as jnp
import numpy as np
from numpy_decoder import Contender as Numpy

PACKAGES = ("jax",)
read = decoders.codes


class Contender(Numpy):
    def __init__(self, case: dict, codes: np.ndarray) -> None:
        super().__init__(case, codes)
        layers = [(jnp.asarray(kernel), jnp.asarray(bias)) for kernel, bias in self.layers]

        def means(x: jax.Array) -> jax.Array:
            for kernel, bias in layers[:-1]:
                x = jax.nn.relu(x @ kernel + bias)
            return jax.nn.sigmoid(x @ layers[-1][0] + layers[-1][1]).reshape(-1, 28, 28, 1)

        self.means = jax.jit(means)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(self.means(codes))
