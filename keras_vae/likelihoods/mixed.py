"""Rows of a table whose columns differ: real, positive and counted numbers, categories, and ordered classes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae import supports
from keras_vae.backend import TensorShape, argmax, base_of, tfd
from keras_vae.columns import CLASSES, NUMBERS, Kinds, columns_of
from keras_vae.errors import UserError
from keras_vae.likelihoods.base import Likelihood, over_x, softplus
from keras_vae.likelihoods.location_scale import LogNormal, Normal
from keras_vae.likelihoods.rates import NegativeBinomial, Poisson
from keras_vae.networks.arguments import LayerArguments
from keras_vae.randomness import SAMPLING, fold, seed_of
from keras_vae.types import Tensor

_FAMILIES: Mapping[str, Callable[..., Likelihood]] = {
    "real": Normal,
    "positive": LogNormal,
    "count": lambda scale, **kwargs: Poisson(**kwargs),
    "overdispersed": lambda scale, **kwargs: NegativeBinomial(scale, **kwargs),
}


class Classes(tfd.Categorical):
    """Classes 0, 1, ... of log probabilities: `tfd.Categorical`, but by a sum in place of a gather of integers."""

    def _log_prob(self, value: Tensor) -> Tensor:
        log_p: Tensor = self.logits
        is_class = ops.equal(value[..., None], ops.arange(log_p.shape[-1], dtype=log_p.dtype))
        return ops.sum(ops.where(is_class, log_p, ops.zeros_like(log_p)), axis=-1)


class Columns(tfd.Distribution):
    """The numbers of a row, independent: batch shape `(batch, columns)`.

    Args:
      parts: of some columns each, the distributions of their numbers, of batch shape `(batch, some)`.
      order: the position of each column among the columns of the parts, one after the other.
      mean: of each number, or the likeliest class.
    """

    def __init__(self, parts: Sequence[tuple[Sequence[int], tfd.Distribution]], order: np.ndarray, mean: Tensor):
        self._parts, self._order, self._means = parts, order, mean
        super().__init__(mean.dtype, tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Tensor) -> Tensor:
        parts = [part.log_prob(ops.take(value, columns, axis=-1)) for columns, part in self._parts]
        return ops.take(ops.concatenate(parts, axis=-1), self._order, axis=-1)

    def _sample_n(self, n: int, seed: Any = None) -> Tensor:
        seed = seed_of(seed, SAMPLING) if isinstance(seed, int) else seed
        seeds = [None if seed is None else fold(seed, index) for index in range(len(self._parts))]
        draws = [part.sample(n, seed=one) for (_, part), one in zip(self._parts, seeds, strict=True)]
        return ops.take(ops.concatenate(draws, axis=-1), self._order, axis=-1)

    def _mean(self) -> Tensor:
        return self._means

    def _batch_shape(self) -> Any:
        return self._means.shape

    def _batch_shape_tensor(self) -> Any:
        return ops.shape(self._means)

    def _event_shape(self) -> Any:
        return TensorShape([])


@keras.saving.register_keras_serializable(package="keras_vae")
class Mixed(Likelihood):
    """p(x|z) = prod_d p_d(x_d|z), each column of a row of a kind of its own. Density times mass, in nats.

    Nazabal et al. 2020, section 2.2, https://arxiv.org/abs/1807.03653: `real` columns are `Normal`, `positive` ones
    `LogNormal`, a `count` `Poisson`, an `overdispersed` count `NegativeBinomial`; `categorical` classes have the
    softmax of one logit each, and `ordinal` ones cumulative logits: P(x <= k) = sigmoid(t_k), t_0 < t_1 < ...

    Classes are numbered from 0. The encoder reads a category as a one-hot vector, and an ordered class k as k ones
    before zeros. Parameters: those of the families, as `real_mean`; `log_probabilities` of all classes, column after
    column, the categorical ones first; and `mean`, of a column of classes the likeliest.

    Args:
      columns: the kind of each column by its name, in order: `"real"`, `"positive"`, `"count"`, `"overdispersed"`;
        or the names of classes or their number, `{"categorical": ["no", "yes"]}`, `{"ordinal": 3}`.
      scale: of real and positive columns and the dispersion of overdispersed ones: `"feature"`, learned for each
        column, or `"example"`, which the decoder gives.
      standardize: numbers are standardised for the networks, in their own units (of positive ones and counts, the
        logarithm): as `Unbounded`.
    """

    support = supports.REALS  # that of the columns is each model's own

    def __init__(
        self, columns: Kinds, scale: str = "feature", standardize: bool = True, **kwargs: Unpack[LayerArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.columns, self.scale, self.standardize = columns_of(columns), scale, standardize
        if scale not in ("feature", "example"):
            raise UserError(f"The scale of mixed columns is 'feature' or 'example'. Given: {scale!r}.")
        kinds = [(column.kind, len(column.classes)) for column in self.columns.values()]
        self.support = supports.mixed(tuple(kinds))
        grouped = {kind: [i for i, (other, _) in enumerate(kinds) if other == kind] for kind in (*NUMBERS, *CLASSES)}
        self.groups = {kind: indices for kind, indices in grouped.items() if indices}
        self.families = {
            kind: _FAMILIES[kind](scale=scale, standardize=standardize, dtype=self.dtype_policy)
            for kind in NUMBERS
            if kind in self.groups
        }
        self.standardizes = standardize and bool(self.families)
        # Column and classes of each column of classes; and where each column stands when they are sorted by kind.
        self.classes = [(index, kinds[index][1]) for kind in CLASSES for index in self.groups.get(kind, [])]
        self.order = np.argsort(np.concatenate(list(self.groups.values())))
        self._kinds = {name: dict(kind) if isinstance(kind, Mapping) else kind for name, kind in columns.items()}

    def build(self, x_shape: Sequence[int | None]) -> None:
        if tuple(x_shape[1:]) != (len(self.columns),):
            raise UserError(
                f"A row has a number for each column. Given: x_shape={tuple(x_shape[1:])} for {len(self.columns)} "
                f"columns. Make it x_shape=({len(self.columns)},)."
            )
        for kind, family in self.families.items():
            if not family.built:
                family.build((None, len(self.groups[kind])))

    def _kind(self, index: int) -> str:
        return list(self.columns.values())[index].kind

    def _sizes(self) -> list[int]:
        """How many numbers the decoder gives, for each family and then for each column of classes."""
        sizes = [len(self.groups[kind]) * family.channels_per_pixel for kind, family in self.families.items()]
        return [*sizes, *(classes - (self._kind(index) == "ordinal") for index, classes in self.classes)]

    def raw_shape(self, x_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (sum(self._sizes()),)

    def read_shape(self, x_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (sum(len(self.groups[kind]) for kind in self.families) + sum(self._sizes()[len(self.families) :]),)

    def standardized(self, x: Tensor) -> Tensor:
        parts = [family.standardized(ops.take(x, self.groups[kind], axis=-1)) for kind, family in self.families.items()]
        for index, classes in self.classes:
            code = x[..., index : index + 1]
            numbers = ops.arange(classes, dtype=x.dtype)
            is_class = code >= numbers[1:] if self._kind(index) == "ordinal" else ops.equal(code, numbers)
            # What is missing stays so, in each number of its class.
            parts.append(ops.where(ops.not_equal(code, code), code, ops.cast(is_class, x.dtype)))
        return ops.concatenate(parts, axis=-1)

    def adapt(self, x: np.ndarray) -> None:
        for kind, family in self.families.items():
            family.adapt(x[:, self.groups[kind]])

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        parts = _split(raw, self._sizes())
        parameters, means, log_p = {}, [], []
        for (kind, family), part in zip(self.families.items(), parts, strict=False):
            held = family.parameters(part)
            means.append(held["mean"])
            parameters |= {f"{kind}_{name}": value for name, value in held.items()}
        for (index, _), part in zip(self.classes, parts[len(self.families) :], strict=True):
            log_p.append(_ordered(part) if self._kind(index) == "ordinal" else ops.log_softmax(part, axis=-1))
            means.append(ops.cast(argmax(log_p[-1], axis=-1), raw.dtype)[:, None])
        if log_p:
            parameters["log_probabilities"] = ops.concatenate(log_p, axis=-1)
        return {**parameters, "mean": ops.take(ops.concatenate(means, axis=-1), self.order, axis=-1)}

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        parts: list[tuple[Sequence[int], tfd.Distribution]] = []
        for kind, family in self.families.items():
            start = f"{kind}_"
            held = {name.removeprefix(start): p for name, p in parameters.items() if name.startswith(start)}
            parts.append((self.groups[kind], base_of(family.distribution(held))))
        parts += [
            ([index], Classes(log_p[:, None], dtype=log_p.dtype)) for (index, _), log_p in self._by_column(parameters)
        ]
        return over_x(Columns(parts, self.order, parameters["mean"]))

    def moments(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the means of the columns of numbers, and the probability of each class."""
        parts = [parameters[f"{kind}_mean"] for kind in self.families]
        return ops.concatenate([*parts, *(ops.exp(log_p) for _, log_p in self._by_column(parameters))], axis=-1)

    def expected(self, moments: np.ndarray) -> np.ndarray:
        numbers = sum(len(self.groups[kind]) for kind in self.families)
        parts, start = [moments[:, :numbers]], numbers
        for _, classes in self.classes:
            parts.append(moments[:, start : start + classes].argmax(axis=-1)[:, None])
            start += classes
        return np.concatenate(parts, axis=-1)[:, self.order]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "columns": self._kinds,
            "scale": self.scale,
            "standardize": self.standardize,
        }

    def _by_column(self, parameters: Mapping[str, Tensor]) -> list[tuple[tuple[int, int], Tensor]]:
        """The columns of classes, and the log probabilities of their classes."""
        if not self.classes:
            return []
        parts = _split(parameters["log_probabilities"], [classes for _, classes in self.classes])
        return list(zip(self.classes, parts, strict=True))


def _split(value: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """The parts of the last axis, of these sizes."""
    return [value] if len(sizes) == 1 else ops.split(value, np.cumsum(sizes)[:-1].tolist(), axis=-1)


def _ordered(raw: Tensor) -> Tensor:
    """The log probabilities of K ordered classes, of K - 1 numbers: t_0, and the steps softplus(r_k) from t_k-1 to t_k.

    P(k) = s(t_k) - s(t_k-1) = s(t_k) s(-t_k-1) (1 - exp(t_k-1 - t_k)), s the sigmoid, whose last factor is s(r_k): no
    digits are lost, however small it is.
    """
    steps = raw[:, 1:]
    levels = ops.cumsum(ops.concatenate([raw[:, :1], softplus(steps)], axis=-1), axis=-1)
    nothing = ops.zeros_like(raw[:, :1])
    parts = [-softplus(-levels), nothing], [nothing, -softplus(levels)], [nothing, -softplus(-steps), nothing]
    below, above, between = (ops.concatenate(part, axis=-1) for part in parts)
    return below + above + between
