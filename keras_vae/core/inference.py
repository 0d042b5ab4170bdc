"""Inference on a trained model: numpy in, numpy out, checked on the host, in blocks of bounded size."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import checks, randomness
from keras_vae.backend import tfd
from keras_vae.core import streams
from keras_vae.core.estimators import elbo_terms, elbo_under, importance_weighted
from keras_vae.data.iterators import Stream, is_stream
from keras_vae.errors import NotApplicable, UserError, shape_remedy
from keras_vae.types import Condition, ConditionLike, Latent, Tensor

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE
    from keras_vae.priors import FittedPrior

Out: TypeAlias = "np.ndarray | Mapping[str, np.ndarray] | None"  # to write a result into

# A mixin's `self` is the whole model, which this rule does not allow for.
# pyright: reportGeneralTypeIssues=false


class Inference:
    """The public methods of a trained `VAE`: encode, decode, reconstruct, sample, elbo, log_prob."""

    def encode(self: "VAE", x: "ArrayLike | Stream", condition: ConditionLike = None, out: Out = None) -> np.ndarray:
        """Return the code of each image: its posterior mean, `(batch, latent_dim)`, or the variant's `code`.

        Args:
          x: images; or, where they are not all in memory, a `tf.data.Dataset`, a `keras.utils.PyDataset` or an
            iterator, such as a generator, of batches as `fit` takes them: images, (images, conditions), or dicts.
          condition: one for each image, where the model is conditional and `x` is an array.
          out: array to write the codes into, such as a `numpy.memmap`; of a hierarchy, a dict of arrays by level.

        Raises:
          UserError: `x` is not a batch of images in [0, 1] of the model's shape, or `out` does not fit the codes.
        """
        inputs = inputs_of(self, x, condition)

        def encoded(_: int, part: Mapping[str, Any]) -> Any:
            return self.code(self.functions.posterior_parameters(part["x"], self.condition_in(part)))

        return checks.in_blocks(encoded, inputs, out=out, what="encode")

    def decode(self: "VAE", z: "Latent | Stream", condition: ConditionLike = None, out: Out = None) -> np.ndarray:
        """Return the likelihood's mean for each code: images `(batch, *image_shape)`, in [0, 1].

        Args:
          z: codes, as `encode` returns them; or a stream, as for `encode`, of batches: codes, or (codes, conditions).
          condition: as for `encode`.
          out: array to write the images into, such as a `numpy.memmap`.

        Raises:
          UserError: `z` is not a batch of finite codes of `latent_dim` numbers, or of the variant's kind; a label is
            missing that the variant needs; or `out` does not fit the images.
        """

        def checked(z: Any, condition: Any = None) -> dict[str, np.ndarray]:
            z = self.check_latent(z)
            levels = z if isinstance(z, Mapping) else {"z": z}
            conditions = self.check_condition(condition, len(next(iter(levels.values()))))
            if not self.decodes_unlabelled and any((labels < 0).any() for labels in conditions.values()):
                raise UserError("decode needs a label for each code. Given: none, or -1. Give condition=, from 0.")
            return {**levels, **conditions}

        def decoded(_: int, part: Mapping[str, Any]) -> Any:
            code = part["z"] if "z" in part else {name: part[name] for name in self.latent_spec()}
            return self.functions.likelihood_parameters(code, self.condition_in(part))[self.output_name]

        def of_batch(batch: Any) -> dict[str, np.ndarray]:
            return checked(*batch) if isinstance(batch, tuple) else checked(batch)

        arrays = streams.blocks(z, of_batch, condition) if is_stream(z) else checked(z, condition)
        return checks.in_blocks(decoded, arrays, out=out, what="decode")

    def reconstruct(self: "VAE", x: ArrayLike, condition: ConditionLike = None) -> np.ndarray:
        """Return the mean image of each image's mean code: `(batch, *image_shape)`.

        Raises:
          UserError: as `encode`.
        """
        inputs = checked_inputs(self, x, condition)
        return checks.in_blocks(
            lambda _, part: self.functions.reconstruction(self.batch_in(part)), inputs, what="reconstruct"
        )["x"]

    def sample(
        self: "VAE", count: int, seed: int = 0, condition: ConditionLike = None, prior: "FittedPrior | None" = None
    ) -> np.ndarray:
        """Return the mean images of `count` codes drawn from the prior: `(count, *image_shape)`.

        Args:
          prior: of `keras_vae.priors`, fitted to this model; None: the model's own.

        Raises:
          UserError: `count` or `seed` is not a whole number of 0 or more, or the prior was not fitted to such codes; or
            memory does not hold so many images.
        """
        count = checked_count(self, count)
        checked = self.condition_in(self.check_condition(condition, count))
        noise = randomness.seed_of(checks.check_whole_number(seed, "seed", minimum=0), randomness.SAMPLING)
        distribution = None if prior is None else fitted(self, prior)
        if 0 < count <= checks.BLOCK:
            images = self.functions.under(distribution).images(ops.convert_to_tensor(count), noise, checked)
            return checks.check_results(np.array(images), "sample")
        z = draw_codes(self, count, noise, checked, distribution)
        return self.decode(keras.tree.map_structure(np.asarray, z), condition)

    def elbo(
        self: "VAE",
        x: "ArrayLike | Stream",
        seed: int = 0,
        condition: ConditionLike = None,
        prior: "FittedPrior | None" = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the one-sample ELBO of each image, `(batch,)`, nats. Noise depends on the seed and the position only.

        Of a variant that draws several times in a step, as an IWAE, it is the mean over these draws.

        Args:
          x: images, or a stream of batches, as for `encode`.
          condition: as for `encode`.
          out: array to write the numbers into, such as a `numpy.memmap`.
          prior: of `keras_vae.priors`, fitted to this model, in place of p(z): then log p(x|z) + log p(z) - log q(z|x)
            at a draw z of q(z|x); where a variant infers a label, with log p(y), its mean over q(y|x) plus the entropy
            of q(y|x).

        Raises:
          UserError: as `encode`, or images outside the likelihood's support (grey levels under a Bernoulli).
        """
        inputs = inputs_of(self, x, condition, likelihood=True)
        seed = checks.check_whole_number(seed, "seed", minimum=0)
        if prior is None:
            return elbo_terms(self, inputs, seed, "elbo", out)["elbo"]
        numbers = elbo_under(self, inputs, seed, fitted(self, prior))
        return numbers if out is None else checks.in_blocks(lambda _, part: part["elbo"], {"elbo": numbers}, out=out)

    def log_prob(
        self: "VAE",
        x: ArrayLike,
        samples: int = 5000,
        seed: int = 0,
        condition: ConditionLike = None,
        prior: "FittedPrior | None" = None,
    ) -> np.ndarray:
        """Return the importance-weighted estimate of log p(x) of each image, `(batch,)`, nats: a lower bound in mean.

        Equation 8 of Burda et al. 2016, https://arxiv.org/abs/1509.00519.

        Args:
          samples: draws of q(z|x) for each image.
          prior: as for `elbo`.

        Raises:
          UserError: as `elbo`.
        """
        inputs = checked_inputs(self, x, condition, likelihood=True)
        samples = checks.check_whole_number(samples, "samples")
        seed = checks.check_whole_number(seed, "seed", minimum=0)
        return importance_weighted(self, inputs, samples, seed, None if prior is None else fitted(self, prior))


def check_static_shape(x: Tensor, shape: Sequence[int]) -> None:
    """Raise UserError if a tensor is known to have another shape than `(batch, *shape)`."""
    actual: Any = x.shape
    if getattr(actual, "rank", 0) is None:
        return
    expected = (None, *shape)
    pairs = zip(actual, expected, strict=False)
    if len(actual) != len(expected) or any(None not in pair and pair[0] != pair[1] for pair in pairs):
        sizes = tuple(size or 0 for size in actual)  # 0: unknown, and of no remedy
        raise UserError(
            f"x must have shape (batch, {', '.join(map(str, shape))}). Given: {tuple(actual)}. "
            f"{shape_remedy(sizes, tuple(shape), 'x')}"
        )


def checked_count(model: "VAE", count: int) -> int:
    """Return a number of samples for which memory has room: codes, and the images, as one array each."""
    count = checks.check_whole_number(count, "count", minimum=0)
    codes = sum(math.prod(spec.shape) for spec in model.latent_spec().values())
    checks.check_memory(count, 4 * (codes + math.prod(model.x_spec().shape)), "count")
    return count


def draw_codes(
    model: "VAE",
    count: int,
    seed: Tensor,
    condition: Condition | None = None,
    prior: tfd.Distribution | None = None,
) -> Any:
    """Return `count` codes from the model's prior, which may depend on the condition, or from another one.

    `seed` is stateless.
    """
    return model.functions.under(prior).codes(ops.convert_to_tensor(count), seed, condition)


def draw_x(
    model: "VAE", count: int, seed: int, condition: ConditionLike = None, prior: "FittedPrior | None" = None
) -> np.ndarray:
    """Return draws from p(x|z), of codes z from the prior: `(count, *x_shape)`. Args as of `model.sample`.

    A label that is missing is not drawn: give `model.infer_condition(x)`, or labels.

    Raises:
      NotApplicable: a model without a prior.
      UserError: draws that are not finite.
    """
    noise = randomness.seed_of(seed, randomness.SAMPLING)
    y = model.condition_in(model.check_condition(condition, count))
    z = draw_codes(model, count, noise, y, None if prior is None else fitted(model, prior))
    return checks.check_results(np.asarray(model.likelihood(z, y).sample(seed=randomness.fold(noise, 1))), "draws of x")


def fitted(model: "VAE", prior: "FittedPrior") -> tfd.Distribution:
    """Return the distribution of a prior of `keras_vae.priors`, for this model."""
    if not hasattr(prior, "distribution_for"):
        raise UserError(f"prior is a fitted prior of keras_vae.priors, or None. Given: {type(prior).__name__}.")
    return prior.distribution_for(model)


def inputs_of(
    model: "VAE", x: "ArrayLike | Stream", condition: ConditionLike = None, likelihood: bool = False
) -> "Mapping[str, np.ndarray] | Iterator[Mapping[str, np.ndarray]]":
    """Return `checked_inputs` of an array; of a dataset or an iterator, those of its examples in blocks."""
    if not is_stream(x):
        return checked_inputs(model, cast("ArrayLike", x), condition, likelihood)

    def of_batch(element: Any) -> dict[str, np.ndarray]:
        batch = model.as_batch(element)
        return checked_inputs(model, batch["x"], batch.get("y") if model.conditional else None, likelihood)

    return streams.blocks(x, of_batch, condition)


def checked_inputs(
    model: "VAE", x: ArrayLike, condition: ConditionLike = None, likelihood: bool = False
) -> dict[str, np.ndarray]:
    """Return "x", and the conditions by the names of `condition_spec`, as the arrays that the model's graphs take.

    Args:
      likelihood: also require images in the likelihood's support, since nats will be reported.
    """
    images = model.check_x(x).astype(model.x_spec().dtype, copy=False)
    if likelihood and not model.stochastic:
        raise NotApplicable(
            f"{type(model).__name__} has no distribution over codes, and so no ELBO and no log p(x). Compare "
            f"reconstructions, or train a VAE."
        )
    if likelihood:
        model.likelihood_family.check(images)
    return {"x": images} | model.check_condition(condition, len(images))
