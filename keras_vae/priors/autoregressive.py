"""An autoregressive distribution over integer codes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from keras import ops

from keras_vae import backend, checks, randomness
from keras_vae.backend import tfd
from keras_vae.errors import UserError
from keras_vae.models.parts import steps
from keras_vae.networks import raster
from keras_vae.networks.pixelcnn import PixelCNN
from keras_vae.priors import training
from keras_vae.priors.base import FittedPrior
from keras_vae.types import Graph, Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE


class AutoregressivePrior(FittedPrior):
    """log p(code) = sum_i log p(code_i | code_1, ..., code_{i-1}) in raster order, by a gated PixelCNN.

    Section 3.3 of van den Oord et al. 2017, https://arxiv.org/abs/1711.00937, and
    https://arxiv.org/abs/1606.05328 for the network. Of models whose code is an array of integers. Codes of one axis
    are one row; of three or more, the last axes are flattened, as by `numpy.reshape`.

    Args:
      filters: channels of the network.
      blocks: gated layers.
      kernel_size: odd: the receptive field is `blocks * (kernel_size // 2)` rows up, and columns to each side.
      epochs: passes over the codes.
      batch_size: codes in a step of Adam.
      learning_rate: Adam's.
      seed: of the draws of q(z|x), the initial weights and the order of the codes.
    """

    kind = "index"
    has_graphs = True

    def __init__(
        self,
        filters: int = 64,
        blocks: int = 6,
        kernel_size: int = 5,
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        PixelCNN(1, filters, blocks, kernel_size)  # raises UserError for arguments that do not fit
        self.filters, self.blocks, self.kernel_size = filters, blocks, kernel_size
        self.epochs, self.batch_size, self.learning_rate = training.check_arguments(epochs, batch_size, learning_rate)

    def fit_codes(self, codes: np.ndarray, classes: int = 0) -> Self:
        """Fit to `(count, *shape)` integers from 0 to `classes - 1`, by maximum likelihood.

        Raises:
          UserError: other codes, or fewer than one batch.
        """
        array = checks.as_array(codes, "codes")
        if array.ndim < 2 or not array.size:
            raise UserError(f"Codes must be (count, *shape), one or more. Given: shape {array.shape}.")
        checks.check_whole_number(classes, "classes")
        self.shape, self.classes, self.fitted = array.shape[1:], classes, False
        grids = self.checked(array).reshape(-1, *self._grid())
        with randomness.initial_weights(self.seed, "autoregressive prior"):
            self.network = self._network()
        self.history = training.train(self.network, grids, lambda grid: _log_prob(self.network, grid), self)
        self.fitted = True
        return self

    def make_distribution(self, dtype: str) -> tfd.Distribution:
        return _Raster(self.network, self.shape, self._grid(), dtype)

    def arrays(self) -> dict[str, np.ndarray]:
        return training.arrays_of(self.network)

    def restore(self, held: Mapping[str, np.ndarray]) -> None:
        self.network = self._network()
        training.restore_into(self.network, held)

    @property
    def variables(self) -> list[Tensor]:
        return self.network.variables

    def export_graphs(self, model: "VAE") -> list[Graph]:
        """Return the graphs of one row, one position, and a whole draw, as `models.parts.steps.raster_graphs`."""
        self.distribution_for(model)  # raises UserError for arguments that do not fit
        return steps.raster_graphs(self.network, self.shape, self._grid())

    def _network(self) -> PixelCNN:
        return PixelCNN(self.classes, self.filters, self.blocks, self.kernel_size, dtype="float32")

    def _grid(self) -> tuple[int, int]:
        height = self.shape[0] if len(self.shape) > 1 else 1
        return height, int(np.prod(self.shape)) // height


def _log_prob(network: keras.Layer, grid: Tensor) -> Tensor:
    """Return log p of integers `(batch, height, width)`, `(batch,)`, nats."""
    return ops.sum(tfd.Categorical(logits=network(grid)).log_prob(grid), axis=(1, 2))


class _Raster(tfd.Distribution):
    """The distribution of one code, int32. A draw costs as much as one pass of the network."""

    def __init__(self, network: PixelCNN, shape: tuple[int, ...], grid: tuple[int, int], dtype: str) -> None:
        self._network, self._shape, self._grid, self._float = network, shape, grid, dtype
        self._drawn = backend.compiled(self._draw)  # traced once, whatever the number of codes
        super().__init__(backend.dtype_of("int32"), tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Tensor) -> Tensor:
        leading = ops.shape(value)[: len(value.shape) - len(self._shape)]
        grid = ops.reshape(ops.cast(value, "int32"), (-1, *self._grid))
        return ops.reshape(ops.cast(_log_prob(self._network, grid), self._float), leading)

    def _sample_n(self, n: Any, seed: Tensor) -> Any:
        return self._drawn(ops.convert_to_tensor(n, "int32"), ops.convert_to_tensor(seed, "int32"))

    def _draw(self, n: Tensor, seed: Tensor) -> Tensor:
        def choose(logits: Tensor, position: Tensor) -> Tensor:
            return tfd.Categorical(logits=logits).sample(seed=randomness.fold(seed, position))

        # One code at least: fused convolutions of an empty batch fail on processors with AVX-512.
        codes = raster.draw(self._network, ops.maximum(n, 1), *self._grid, choose)
        return ops.reshape(codes[:n], (n, *self._shape))

    def _batch_shape(self) -> Any:
        return backend.TensorShape([])

    def _batch_shape_tensor(self) -> Any:
        return ops.zeros((0,), "int32")

    def _event_shape(self) -> Any:
        return backend.TensorShape(self._shape)

    def _event_shape_tensor(self) -> Any:
        return ops.convert_to_tensor(self._shape, "int32")
