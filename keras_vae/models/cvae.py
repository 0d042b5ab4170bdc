"""Conditional VAE."""

from collections.abc import Mapping
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.backend import soft_bound, tfd
from keras_vae.checks import check_whole_number
from keras_vae.core import VAE
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import VAEArguments
from keras_vae.models.parts.conditions import check_one, features, joined, named_specs, network_shapes
from keras_vae.networks import MLP
from keras_vae.types import Condition, ConditionLike, Latent, Spec, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class CVAE(VAE):
    """Conditional VAE: maximises log p(x|z, y) - KL(q(z|x, y) || p(z|y)), a bound of log p(x|y).

    Equation 4 of Sohn, Lee and Yan 2015, https://papers.nips.cc/paper/5775. Both networks read the condition
    with their input: the decoder appends it to the code, an encoder that reads vectors (`"mlp"`) to the flattened
    image, any other as additional channels. A Keras layer of your own is given channels, unless it has an
    attribute `reads_vectors` that is true, or was made with `keras.Input` of one axis.

    The condition is a label, a vector, or several of both by name: `conditions={"category": 10, "style": {"dim": 2}}`.
    Then y in `fit` and `evaluate`, and `condition=` elsewhere, are a mapping of arrays by these names, and exported
    graphs have an input for each.

    Args:
      num_classes: the condition is a label from 0 to num_classes - 1; -1 means unlabelled, a code of zeros.
      condition_dim: or: the condition is a vector of so many real numbers.
      learned_prior: p(z|y) is a Gaussian whose mean and variance a network of y gives; otherwise N(0, I).
      conditions: or: several conditions by name, each a number of classes, or `{"dim": n}` for a vector of n numbers.
      **kwargs: as `VAE`.
    """

    conditional = True

    def __init__(
        self,
        num_classes: int = 0,
        condition_dim: int = 0,
        learned_prior: bool = False,
        conditions: Mapping[str, int | Mapping[str, int]] | None = None,
        **kwargs: Unpack[VAEArguments],
    ) -> None:
        self.num_classes = check_whole_number(num_classes, "num_classes", minimum=0)
        self.condition_dim = check_whole_number(condition_dim, "condition_dim", minimum=0)
        if [self.num_classes > 0, self.condition_dim > 0, conditions is not None].count(True) != 1:
            raise UserError(
                f"A CVAE has either num_classes or condition_dim, or conditions by name. Given: "
                f"num_classes={num_classes!r}, condition_dim={condition_dim!r}, conditions={conditions!r}. Set one."
            )
        self._named = conditions is not None
        self._conditions = self._single() if conditions is None else named_specs(conditions)
        self.condition_size = sum(spec.classes or spec.shape[0] for spec in self._conditions.values())
        super().__init__(**kwargs)
        self.learned_prior = bool(learned_prior)
        if self.learned_prior:
            spec = {"name": "mlp", "hidden": (64,)}
            shapes = (self.condition_size,), (2 * self.latent_dim,)
            self.prior_network = self.make_network("prior", spec, {"mlp": MLP}, *shapes)

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        return network_shapes(self, super().network_shapes(), self.condition_size)

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        x = self.likelihood_family.standardized(x)
        inputs = joined(self.encoder, x, self._features(condition))
        return super().posterior_parameters(inputs, condition, training)

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        inputs = ops.concatenate([z, self._features(condition)], axis=-1)
        return super().likelihood_parameters(inputs, condition, training)

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(z|y): batch shape `(batch,)` where it is learned, else N(0, I)."""
        if not self.learned_prior:
            return super().prior()
        outputs = self.apply_network(self.prior_network, self._features(condition), training)
        mean, log_var = ops.split(outputs, 2, axis=-1)
        return tfd.Independent(tfd.Normal(mean, ops.exp(0.5 * soft_bound(log_var, -20.0, 20.0))), 1)

    def condition_spec(self) -> dict[str, Spec]:
        return dict(self._conditions)

    def check_condition(self, condition: ConditionLike, count: int) -> dict[str, np.ndarray]:
        """The condition as arrays by name: labels `(count,)`, or vectors `(count, dim)`; a single one is `condition`.

        Raises:
          UserError: missing, of another shape, or labels out of range.
        """
        if condition is None:
            raise UserError(
                f"A CVAE needs a condition for each of the {count} examples: condition=, or y in fit and evaluate. "
                f"Given: none."
            )
        arrays: object = condition if self._named else {"condition": condition}
        if not isinstance(arrays, Mapping) or arrays.keys() != self._conditions.keys():
            kind = f"a mapping of {list(arrays)}" if isinstance(arrays, Mapping) else type(arrays).__name__
            raise UserError(
                f"The conditions of this CVAE have names: give a mapping of the arrays {', '.join(self._conditions)}. "
                f"Given: {kind}."
            )
        return {
            name: check_one(arrays[name], name, spec, count, self.float_dtype)
            for name, spec in self._conditions.items()
        }

    def get_config(self) -> dict[str, Any]:
        sizes = {name: spec.classes or {"dim": spec.shape[0]} for name, spec in self._conditions.items()}
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "condition_dim": self.condition_dim,
            "conditions": sizes if self._named else None,
            "learned_prior": self.learned_prior,
        }

    def _single(self) -> dict[str, Spec]:
        if self.condition_dim:
            return {"condition": Spec((self.condition_dim,), "float32", "vector")}
        return {"condition": Spec((), "int32", "label", self.num_classes)}

    def _features(self, condition: Condition | None) -> Tensor:
        arrays: Any = condition if self._named else {"condition": condition}
        return features(arrays, self._conditions, self.float_dtype)
