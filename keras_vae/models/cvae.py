"""Conditional VAE."""

from typing import Any

import keras
from keras import ops

from keras_vae.backend import tfd
from keras_vae.checks import check_codes, check_labels, check_whole_number
from keras_vae.core import VAE
from keras_vae.errors import UserError
from keras_vae.likelihoods import soft_bound
from keras_vae.models.parts import conditions
from keras_vae.networks import MLP
from keras_vae.types import Condition, ConditionLike, Latent, Spec, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class CVAE(VAE):
    """Conditional VAE: maximises log p(x|z, y) - KL(q(z|x, y) || p(z|y)), a bound of log p(x|y).

    Equation 4 of Sohn, Lee and Yan 2015, https://papers.nips.cc/paper/5775. Both networks read the condition beside
    their input: the decoder as further numbers of the code, an encoder that reads vectors (`"mlp"`) as further numbers
    of the flattened image, any other as further channels. A Keras layer of your own is given channels, unless it has an
    attribute `reads_vectors` that is true, or was made with `keras.Input` of one axis.

    Args:
      num_classes: the condition is a label from 0 to num_classes - 1; -1 means unlabelled, a code of zeros.
      condition_dim: or: the condition is a vector of so many real numbers.
      learned_prior: p(z|y) is a Gaussian whose mean and variance a network of y gives; otherwise N(0, I).
      **kwargs: as `VAE`.
    """

    conditional = True

    def __init__(
        self, num_classes: int = 0, condition_dim: int = 0, learned_prior: bool = False, **kwargs: Any
    ) -> None:
        self.num_classes = check_whole_number(num_classes, "num_classes", minimum=0)
        self.condition_dim = check_whole_number(condition_dim, "condition_dim", minimum=0)
        if (num_classes > 0) == (condition_dim > 0):
            raise UserError(
                f"A CVAE has either num_classes or condition_dim. Given: num_classes={num_classes!r}, "
                f"condition_dim={condition_dim!r}. Set one of them to more than 0."
            )
        self.condition_size = num_classes or condition_dim
        super().__init__(**kwargs)
        self.learned_prior = bool(learned_prior)
        if self.learned_prior:
            spec = {"name": "mlp", "hidden": (64,)}
            shapes = (self.condition_size,), (2 * self.latent_dim,)
            self.prior_network = self.make_network("prior", spec, {"mlp": MLP}, *shapes)

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        return conditions.network_shapes(self, super().network_shapes(), self.condition_size)

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Any]:
        joined = conditions.joined(self.encoder, x, self._features(condition))
        return super().posterior_parameters(joined, condition, training)

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Any]:
        joined = ops.concatenate([z, self._features(condition)], axis=-1)
        return super().likelihood_parameters(joined, condition, training)

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(z|y): batch shape `(batch,)` where it is learned, else N(0, I)."""
        if not self.learned_prior:
            return super().prior()
        outputs = self.apply_network(self.prior_network, self._features(condition), training)
        mean, log_var = ops.split(outputs, 2, axis=-1)
        return tfd.Independent(tfd.Normal(mean, ops.exp(0.5 * soft_bound(log_var, -20.0, 20.0))), 1)

    def condition_spec(self) -> dict[str, Spec]:
        if self.condition_dim:
            return {"condition": Spec((self.condition_dim,), "float32", "vector")}
        return {"condition": Spec((), "int32", "label", self.num_classes)}

    def check_condition(self, condition: ConditionLike, count: int) -> dict[str, Any]:
        """The condition as an array: labels `(count,)`, or vectors `(count, condition_dim)`.

        Raises:
          UserError: missing, of another shape, or labels out of range.
        """
        if condition is None:
            raise UserError(
                f"A CVAE needs a condition for each of the {count} examples: condition=, or y in fit and evaluate. "
                f"Given: none."
            )
        if self.condition_dim:
            array = check_codes(condition, (self.condition_dim,), "condition", "one vector an example")
            array = array.astype(self.float_dtype)
        else:
            array = check_labels(condition, self.num_classes)
        return {"condition": conditions.check_count(array, count)}

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("num_classes", "condition_dim", "learned_prior")}
        return {**super().get_config(), **own}

    def _features(self, condition: Condition | None) -> Any:
        if self.condition_dim:
            return ops.cast(condition, self.float_dtype)
        return conditions.one_hot(condition, self.num_classes, self.float_dtype)
