"""A normalising flow over codes."""

from collections.abc import Mapping, Sequence
from typing import Self

import keras
import numpy as np
from keras import ops

from keras_vae import backend, checks, randomness
from keras_vae.backend import tfb, tfd
from keras_vae.distributions import flows
from keras_vae.errors import UserError
from keras_vae.networks.masked import MaskedNetwork
from keras_vae.priors import training
from keras_vae.priors.base import FittedPrior
from keras_vae.priors.mixture import check_vectors
from keras_vae.types import Tensor

FLOWS = ("maf", "realnvp")


class FlowPrior(FittedPrior):
    """log p(z) = log N(f(z); 0, I) + log abs det df/dz, f a chain of invertible maps, fitted by maximum likelihood.

    Equation 3 of Dinh et al. 2017, https://arxiv.org/abs/1605.08803. f first takes each dimension to mean 0 and
    deviation 1. The maps are affine coupling layers ("realnvp"), or autoregressive ones ("maf": Papamakarios et al.
    2017, https://arxiv.org/abs/1705.07057), more flexible, but a draw takes one pass for each dimension and map. Of any
    model whose code is one vector.

    Args:
      flow: `"realnvp"` or `"maf"`.
      depth: the number of maps, 1 or more.
      hidden: the sizes of the hidden layers of each map's network.
      epochs: passes over the codes.
      batch_size: codes in a step of Adam.
      learning_rate: Adam's.
      seed: of the draws of q(z|x), the initial weights and the order of the codes.
    """

    def __init__(
        self,
        flow: str = "realnvp",
        depth: int = 6,
        hidden: Sequence[int] = (64, 64),
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        if flow not in FLOWS:
            raise UserError(f"flow is one of {', '.join(FLOWS)}. Given: {flow!r}.")
        self.flow, self.depth = flow, checks.check_whole_number(depth, "depth")
        self.hidden = tuple(checks.check_whole_number(size, "a size in hidden") for size in hidden)
        if not self.hidden:
            raise UserError("hidden needs the size of one layer or more. Given: none.")
        self.epochs, self.batch_size, self.learning_rate = training.check_arguments(epochs, batch_size, learning_rate)

    def fit_codes(self, codes: np.ndarray, classes: int = 0) -> Self:
        """Fit to `(count, dimensions)` codes.

        Raises:
          UserError: not finite vectors, or fewer than one batch.
        """
        codes = check_vectors(codes, 2, "a flow")
        self.shape, self.fitted = codes.shape[1:], False
        self.centre, self.scale = codes.mean(0), np.maximum(codes.std(0), 1e-6)
        with randomness.initial_weights(self.seed, "flow prior"):
            self.networks = self._networks()
        vectors = codes.astype("float32")
        self.history = training.train(self.networks, vectors, self.make_distribution("float32").log_prob, self)
        self.fitted = True
        return self

    def make_distribution(self, dtype: str) -> tfd.Distribution:
        size = self.shape[0]
        base = tfd.MultivariateNormalDiag(np.zeros(size, dtype), np.ones(size, dtype))
        # A Chain applies its last first: standardise, then one map after the other.
        to_noise = [*[self._map(index, network, dtype) for index, network in enumerate(self.networks)][::-1]]
        standardise = [tfb.Scale((1.0 / self.scale).astype(dtype)), tfb.Shift(-self.centre.astype(dtype))]
        return tfd.TransformedDistribution(base, tfb.Invert(tfb.Chain([*to_noise, *standardise])))

    def arrays(self) -> dict[str, np.ndarray]:
        weights = {
            f"map_{index}/{name}": array
            for index, network in enumerate(self.networks)
            for name, array in training.arrays_of(network).items()
        }
        return {"centre": self.centre, "scale": self.scale, **weights}

    def restore(self, held: Mapping[str, np.ndarray]) -> None:
        self.centre, self.scale, self.networks = held["centre"], held["scale"], self._networks()
        for index, network in enumerate(self.networks):
            prefix = f"map_{index}/"
            training.restore_into(network, {k.removeprefix(prefix): v for k, v in held.items() if k.startswith(prefix)})

    def _networks(self) -> list[MaskedNetwork]:
        degrees = (flows.masked_degrees(self.flow, self.shape[0], index) for index in range(self.depth))
        return [MaskedNetwork(of_one, 2, hidden=self.hidden, dtype="float32") for of_one in degrees]

    def _map(self, index: int, network: keras.Layer, dtype: str) -> tfb.Bijector:
        def outputs(z: Tensor) -> Tensor:
            return ops.cast(network(ops.cast(z, "float32")), dtype)

        return flows.masked_map(self.flow, outputs, self.shape[0], index, backend.dtype_of(dtype))
