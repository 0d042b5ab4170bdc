"""Models whose code is an array of integers: a variant takes these as its methods, `prior = integer_codes.prior`.

The variant has `code_shape`, the positions of a code; `index_shape`, that of the integers at all of them, one or more
at each; `entries`, how many vectors an integer chooses from; and a `posterior_parameters` that gives `codes`, int32
`(batch, *index_shape)`. A vector has `latent_dim` numbers.
"""

from collections.abc import Mapping
from typing import Any

from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae import checks
from keras_vae.core import VAE
from keras_vae.distributions import quantizers


def network_shapes(self: Any) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """As `VAE.network_shapes`: the networks meet at one vector for each position."""
    shapes, vectors = VAE.network_shapes(self), (*self.code_shape, self.latent_dim)
    return {"encoder": (shapes["encoder"][0], vectors), "decoder": (vectors, shapes["decoder"][1])}


def posterior(self: Any, x: Any, condition: Any = None, training: bool = False) -> tfd.Distribution:
    """All mass on the codes of x; event shape `index_shape`."""
    return quantizers.certain(self.posterior_parameters(x, condition, training)["codes"], self.float_dtype)


def prior(self: Any, condition: Any = None, training: bool = False) -> tfd.Distribution:
    """Every code alike; batch shape `()`, event shape `index_shape`."""
    return quantizers.uniform(self.index_shape, self.entries, self.float_dtype)


def kl(self: Any, log_px: Any) -> Any:
    """What a code costs under the prior, in nats, the same for each: positions * log(entries), `(batch, 1)`."""
    cost = -ops.ones_like(log_px) * self.prior().log_prob(ops.zeros(self.index_shape, "int32"))
    return cost[:, None]


def make_metric(self: Any, name: str) -> Any:
    """As `VAE.make_metric`; `perplexity`, how many entries an epoch's codes are spread over, from `uses_of` them."""
    return quantizers.Perplexity((self.entries,)) if name == "perplexity" else VAE.make_metric(self, name)


def code(self: Any, parameters: Mapping[str, Any]) -> Any:
    """The codes of `posterior_parameters`."""
    return parameters["codes"]


def code_spec(self: Any) -> dict[str, dict[str, Any]]:
    """As `VAE.code_spec`: an index below `entries` at each position."""
    return {"codes": {"shape": self.index_shape, "dtype": "int32", "kind": "index", "classes": self.entries}}


def check_code(self: Any, z: Any) -> Any:
    """As `VAE.check_code`: int32 `(batch, *index_shape)`.

    Raises:
      UserError: not whole numbers, of another shape, or out of range.
    """
    return checks.check_indices(z, self.index_shape, self.entries)
