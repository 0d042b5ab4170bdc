"""A model and the data that it is evaluated on: checked, encoded and reconstructed once, for all metrics."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypedDict

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae import backend, progress, randomness
from keras_vae.checks import check_whole_number, in_blocks
from keras_vae.core import estimators
from keras_vae.core.inference import checked_inputs, fitted
from keras_vae.errors import NotApplicable, UserError
from keras_vae.types import ConditionLike, Kind, Latent, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

SUBSET = 1000  # examples, the first ones, for metrics that take long
_NEEDED = {
    "factors": "the true factors of each image, factors=, which sprites have",
    "labels": "a class for each image, labels=",
    "reference": "MNIST digits, reference=",
    "train": "training images, train=",
}


class Options(TypedDict, total=False):
    """The keyword arguments of `Evaluation`."""

    condition: ConditionLike
    reference: ArrayLike | None
    train_reference: ArrayLike | None
    train: ArrayLike | None
    train_labels: ArrayLike | None
    train_condition: ConditionLike
    samples: int
    seed: int
    repetitions: int
    prior: "FittedPrior | None"
    report: Callable[[str], None] | None
    likelihood_examples: int | None
    columns: Sequence[str]
    dequantized: bool


class Evaluation:
    """A model and held-out data: the argument of all metrics.

    Inputs are checked in the constructor. Codes, reconstructions, the terms of the ELBO and importance weights are
    computed when a metric first asks for them, and kept.

    Args:
      model: a model of this library.
      x: held-out images, or whatever the model's x is.
      labels: classes, `(n,)`; -1 where there is none.
      factors: true factors, `(n, factors)`.
      condition: for a conditional model; `labels` if it is None.
      reference: grey MNIST digits, of the kind that the model draws, for metrics of a classifier of digits.
      train_reference: training digits of that kind, for `memorisation`; `train` and `x` if None.
      train: training images.
      train_labels: their classes.
      train_condition: of them, for a conditional model; `train_labels` if it is None.
      samples: importance samples of log p(x).
      seed: of all draws.
      repetitions: of metrics that are repeated for a standard error; clusters have twice as many bootstraps.
      prior: of `keras_vae.priors`, fitted to the model, for likelihoods and generated images; None: the model's own.
      report: called with the progress in words; None: whoever listens, such as a notebook's cell.
      likelihood_examples: how many of the images, the first ones, log p(x) is measured on; None: all.
      columns: of numbers, the names along the last axis of x; if empty, those of the likelihood, or x0, x1, ...
      dequantized: whether x are 8-bit images with uniform noise, (level + u) / 256; if not, bits per dimension add it.

    Raises:
      UserError: images or conditions that do not fit the model, or labels, factors or columns of another length.
    """

    def __init__(
        self,
        model: "VAE",
        x: ArrayLike,
        labels: ArrayLike | None = None,
        factors: ArrayLike | None = None,
        *,
        condition: ConditionLike = None,
        reference: ArrayLike | None = None,
        train_reference: ArrayLike | None = None,
        train: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        train_condition: ConditionLike = None,
        samples: int = 200,
        seed: int = 0,
        repetitions: int = 5,
        prior: "FittedPrior | None" = None,
        report: Callable[[str], None] | None = None,
        likelihood_examples: int | None = None,
        columns: Sequence[str] = (),
        dequantized: bool = False,
    ) -> None:
        self.seed, self.samples = check_whole_number(seed, "seed", 0), check_whole_number(samples, "samples", 0)
        self.model, self.prior, self.repetitions, self.report = model, prior, repetitions, report
        self.dequantized = dequantized
        if model.conditional and condition is None:
            condition = labels
        self.inputs = checked_inputs(model, x, condition)  # "x", and the conditions by name
        self.labels, self.factors = _rows(labels, "labels", len(self)), _rows(factors, "factors", len(self))
        self.reference, self.train_reference = _array(reference), _array(train_reference)
        self.train, self.train_labels = _array(train), _array(train_labels)
        self.train_condition: ConditionLike = None
        if model.conditional:
            self.train_condition = self.train_labels if train_condition is None else train_condition
        self._likelihood_examples = likelihood_examples or len(self)
        width = model.x_spec().shape[-1]
        self.columns = tuple(columns or model.likelihood_family.columns or (f"x{index}" for index in range(width)))
        if len(self.columns) != width:
            raise UserError(f"There is a name for each of the {width} columns of x. Given: {len(self.columns)} names.")
        self._in_support = False  # not checked yet
        self._weights: dict[tuple[int, bool], dict[str, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.inputs["x"])

    def __repr__(self) -> str:
        return f"Evaluation of {type(self.model).__name__} on {len(self):,} examples"

    @property
    def x(self) -> np.ndarray:
        """The checked images."""
        return self.inputs["x"]

    @property
    def whole_x(self) -> np.ndarray:
        """The checked images, where none of them has missing values.

        Raises:
          NotApplicable: there are some.
        """
        if np.isnan(self.x).any():
            raise NotApplicable("This needs whole images. Given: some with missing values. Leave those out.")
        return self.x

    @property
    def condition(self) -> np.ndarray | dict[str, np.ndarray] | None:
        """The checked condition, an array or a dict of named ones; None for a model that takes none."""
        condition: Any = self.model.condition_in(self.inputs)
        return condition

    @property
    def noise(self) -> Tensor:
        """The stateless seed of this evaluation's draws."""
        return randomness.seed_of(self.seed, randomness.EVALUATION)

    def first(self, count: int) -> Self:
        """Return the evaluation of the first `count` examples, with what has been computed of them."""
        if count >= len(self):
            return self
        part = copy.copy(self)
        vars(part).pop("of_likelihood", None)
        computed = [name for name in vars(part) if isinstance(getattr(type(self), name, None), cached_property)]
        for name in ("inputs", "labels", "factors", "_weights", *computed):
            rows = vars(self)[name]
            vars(part)[name] = keras.tree.map_structure(lambda array: None if array is None else array[:count], rows)
        return part

    def required(self, name: str) -> np.ndarray:
        """Return the data `name`: "labels", "factors", "reference" or "train".

        Raises:
          NotApplicable: the evaluation has none.
        """
        if (value := getattr(self, name)) is None:
            raise NotApplicable(f"This needs {_NEEDED[name]}. Given: none.")
        return value

    @cached_property
    def of_likelihood(self) -> "Evaluation":
        """The evaluation of the images that log p(x) is measured on: the first `likelihood_examples`, or this one."""
        return self.first(self._likelihood_examples)

    @cached_property
    def codes(self) -> Any:
        """The code of each image, as `encode` returns it: an array, or a dict of levels."""
        model = self.model

        def encode(_: int, part: Mapping[str, np.ndarray]) -> Any:
            return model.code(model.functions.posterior_parameters(part["x"], model.condition_in(part)))

        return in_blocks(encode, self.inputs)

    @property
    def levels(self) -> dict[str, np.ndarray]:
        """The codes by the names of levels; "z" for a single one."""
        return dict(self.codes) if isinstance(self.codes, Mapping) else {"z": np.asarray(self.codes)}

    @cached_property
    def vectors(self) -> np.ndarray:
        """The codes as one array `(n, dimensions)`: levels side by side; for integers, the vectors they stand for."""
        levels = self.levels
        if self.model.latent_kind == "index":
            embed = self.model.functions.of(self.model.vectors)
            levels = {"z": in_blocks(lambda _, part: embed(**part), {"code": levels["z"]})}
        return flatten(levels)

    @cached_property
    def draws(self) -> np.ndarray:
        """One draw of q(z|x) for each image, its levels side by side: `(n, dimensions)`."""
        return flatten(posterior_draws(self.model, self.inputs, self.noise))

    @cached_property
    def reconstructions(self) -> np.ndarray:
        """The mean image of each image's mean code, as `reconstruct` returns it."""
        return self.model.decode(self.codes, self.model.infer_condition(self.x, self.condition))

    @cached_property
    def parameters(self) -> dict[str, np.ndarray]:
        """The likelihood's parameters at each mean code, by name: float64, `(n, ...)`."""
        model = self.model
        y = model.check_condition(model.infer_condition(self.x, self.condition), len(self))

        def decoded(_: int, part: Mapping[str, np.ndarray]) -> Any:
            code = part["z"] if "z" in part else {name: part[name] for name in self.levels}
            return model.functions.likelihood_parameters(code, model.condition_in(part))

        parameters = in_blocks(decoded, {**self.levels, **y})
        return {name: np.asarray(values, "float64") for name, values in parameters.items()}

    @cached_property
    def squared_errors(self) -> np.ndarray:
        """The squared error of each reconstruction, summed over its observed pixels: `(n,)`, float64."""
        difference = np.where(np.isnan(self.x), 0.0, self.x.astype("float64") - self.reconstructions)
        return np.square(difference).sum(axis=tuple(range(1, difference.ndim)))

    @cached_property
    def terms(self) -> dict[str, np.ndarray]:
        """`elbo`, `log_px` and `kl` of each image, `(n,)`, and `kl_groups`, `(n, groups)`: nats, of one draw.

        Raises:
          UserError: images outside the likelihood's support.
        """
        self._check_support()
        return estimators.elbo_terms(self.model, self.inputs, self.seed)

    def require_distribution(self) -> None:
        """Check that log p(x) can be estimated.

        Raises:
          NotApplicable: a model without a distribution over codes.
          UserError: images outside the likelihood's support.
        """
        if not self.model.stochastic:
            raise NotApplicable(
                f"{type(self.model).__name__} has no distribution over codes, and so no ELBO and no log p(x). Compare "
                f"reconstructions, or train a VAE."
            )
        self._check_support()

    def require_log_prob(self) -> None:
        """Check that log p(x) is more than the ELBO, and is to be estimated.

        Raises:
          NotApplicable, UserError: as `require_distribution`; no samples; or integer codes, where the ELBO is log p(x).
        """
        self.require_distribution()
        if not self.samples or self.model.latent_kind == "index":
            raise NotApplicable(
                "log p(x) needs samples, and codes that are not certain. Given: none, or integer codes."
            )

    def require_kind(self, kind: Kind, rule: str) -> None:
        """Check that x is of a kind: "image", "numbers" or "tokens".

        Args:
          kind: the one that is needed.
          rule: a sentence that says so, for the message.

        Raises:
          NotApplicable: it is of another kind.
        """
        if (actual := self.model.x_spec().kind) != kind:
            raise NotApplicable(f"{rule}. Given: a {type(self.model).__name__} of {actual.removesuffix('s')}s.")

    def importance_weights(self, samples: int, with_prior: bool = True) -> dict[str, np.ndarray]:
        """`estimators.importance_weights` of each image, computed once for each number of samples.

        Args:
          samples: draws of q(z|x).
          with_prior: use the fitted prior of this evaluation, if any.

        Raises:
          NotApplicable, UserError: as `require_distribution`.
        """
        self.require_distribution()
        prior = None if self.prior is None or not with_prior else fitted(self.model, self.prior)
        key = (samples, prior is not None)
        if key not in self._weights:
            with progress.listening("", self.report):
                weights = estimators.importance_weights(self.model, self.inputs, samples, self.seed, prior)
            self._weights[key] = weights
        return self._weights[key]

    def _check_support(self) -> None:
        if not self._in_support:
            self.model.likelihood_family.check(self.x)
        self._in_support = True


def vectors_of(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> np.ndarray:
    """Return `Evaluation.vectors` of images: the codes of any model as one array `(n, dimensions)`.

    Raises:
      UserError: as `encode`.
    """
    return Evaluation(model, x, condition=condition).vectors


def flatten(codes: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """Return codes, one array or a dict of levels, as one array `(n, dimensions)`."""
    levels = codes.values() if isinstance(codes, Mapping) else [codes]
    return np.concatenate([np.asarray(level).reshape(len(level), -1) for level in levels], axis=1)


def dimension_names(model: "VAE") -> list[str]:
    """Return the name of each number of a code: z0, z1, ...; or z1[0], ... of a hierarchy."""
    shapes = {name: spec.shape for name, spec in model.latent_spec().items()}
    pattern = "{}[{}]" if model.latent_kind == "level" else "{}{}"
    return [pattern.format(name, index) for name, shape in shapes.items() for index in range(int(np.prod(shape)))]


def posterior_draws(model: "VAE", inputs: Mapping[str, np.ndarray], noise: Tensor) -> Any:
    """Return a draw of q(z|x) for each of the inputs; its noise is a function of a stateless seed and of its index."""

    def draw(part: Tensors, noise: Tensor) -> Latent:
        return model.posterior(part["x"], model.condition_in(part)).sample(seed=noise)

    graph = backend.compiled(draw, reduce_retracing=True)
    return in_blocks(lambda block, part: graph(part, randomness.fold(noise, block)), inputs, pad=True)


def map_condition(function: Callable[[np.ndarray], np.ndarray], condition: ConditionLike) -> ConditionLike:
    """Return `function` of a condition, of each of several named ones, or None for none."""
    if isinstance(condition, Mapping):
        return {name: function(np.asarray(values)) for name, values in condition.items()}
    return None if condition is None else function(np.asarray(condition))


def rows_of(condition: ConditionLike, rows: slice | np.ndarray) -> ConditionLike:
    """Return some rows of a condition: an array, a dict of named ones, or None."""
    return map_condition(lambda values: values[rows], condition)


def _array(values: ArrayLike | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values)


def _rows(values: ArrayLike | None, name: str, count: int) -> np.ndarray | None:
    array = _array(values)
    if array is not None and len(array) != count:
        raise UserError(f"There must be a row of {name} for each of the {count} images. Given: {len(array)}.")
    return array
