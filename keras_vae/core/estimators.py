"""The ELBO and its terms, and importance-weighted log-likelihood: one value an example, nats."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, divergences, randomness
from keras_vae.backend import tfd
from keras_vae.checks import BLOCK, check_images, check_whole_number, in_blocks
from keras_vae.core.training import Trackers
from keras_vae.errors import NotApplicable
from keras_vae.types import Batch, ConditionLike, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE
    from keras_vae.priors import FittedPrior

# Draws in one pass of the compiled loop: with a block of examples, enough rows to keep the matrix products busy, and
# few enough that the decoder's output, of which at most so many numbers are held, stays in memory.
_CHUNK, _NUMBERS = 32, 2**24


def elbo_terms(model: "VAE", inputs: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """`elbo`, `log_px` and `kl` of each example, each `(batch,)`, in nats, from one draw of q(z|x).

    And `kl_groups`, `(batch, groups)`: the KL of each dimension or level.

    Args:
      model: has `terms`.
      inputs: "x", checked images, and "condition" where the model has one.
      seed: the noise of an example depends on it and on the example's position, not on how many there are.
    """
    base = randomness.seed_of(seed, randomness.EVALUATION)

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        return model.functions.elbo_terms(_batch(model, part), randomness.fold(base, block))

    return in_blocks(one_block, inputs, pad=True)


def own_terms(
    model: "VAE", inputs: Mapping[str, np.ndarray], seed: int, batch_size: int = 128
) -> dict[str, np.ndarray]:
    """The variant's own numbers, name in `metric_names` -> what `fit` would show of each whole batch, `(batches,)`.

    Some of them are of a batch, such as an MMD, so that all are taken over batches of one size; the last part of the
    examples is left out, unless it is all there is.

    Args:
      model: has `terms`.
      inputs: as for `elbo_terms`.
      seed: of the noise.
      batch_size: examples in a batch.
    """
    if not model.metric_names:
        return {}
    base, count = randomness.seed_of(seed, randomness.EVALUATION), len(inputs["x"])
    trackers = Trackers({name: model.make_metric(name) for name in model.metric_names})
    values: dict[str, list[float]] = {name: [] for name in model.metric_names}
    for place, start in enumerate(range(0, max(count - count % batch_size, 1), batch_size)):
        part = {name: ops.convert_to_tensor(array[start : start + batch_size]) for name, array in inputs.items()}
        batch = _batch(model, part)
        for metric in trackers.means.values():
            metric.reset_state()
        found = trackers.update(model.functions.own_terms(batch, randomness.fold(base, place)), len(batch["x"]))
        for name, value in found.items():
            values[name].append(float(value))
    return {name: np.asarray(each) for name, each in values.items()}


def importance_weighted(
    model: "VAE", inputs: Mapping[str, np.ndarray], samples: int, seed: int, prior: tfd.Distribution | None = None
) -> np.ndarray:
    """`log_prob` of `importance_weights`: one value an example, nats."""
    return importance_weights(model, inputs, samples, seed, prior)["log_prob"]


def importance_weights(
    model: "VAE",
    inputs: Mapping[str, np.ndarray],
    samples: int,
    seed: int,
    prior: tfd.Distribution | None = None,
    report: Callable[[str], None] | None = None,
) -> dict[str, np.ndarray]:
    """log (1/S) sum_s w_s for S importance weights w = p(x, z) / q(z|x), z from q(z|x), and how sure it is.

    A lower bound of log p(x) in expectation, tight as S grows: equation 8 of Burda et al. 2016,
    https://arxiv.org/abs/1509.00519. The time that 5,000 samples of all test digits take is measured by
    benchmarks/likelihood.py, and stated in benchmarks/likelihood.json.

    Args:
      model: has `log_weights(x, samples, seed, condition)`.
      inputs: "x", checked images, and "condition" where the model has one.
      samples: S.
      seed: the noise of an example depends on it and on the example's position.
      prior: a distribution that takes the place of p(z).
      report: is told how far it is, after each block.

    Returns:
      Each `(batch,)`: `log_prob`, nats; `effective_samples`, (sum w)**2 / sum w**2, from 1 to S: equation 9.13 of Owen,
      https://artowen.su.domains/mc/Ch-var-is.pdf; `standard_error` of log_prob over draws, sqrt(1/ESS - 1/S) by the
      delta method, nats: too small where one weight outweighs all others, and ESS is near 1.
    """
    base, count = randomness.seed_of(seed, randomness.EVALUATION), len(inputs["x"])
    # With a prior, traced anew for each call: it may have been fitted again since.
    sums_of_weights = model.functions.sums_of_weights if prior is None else _sums_of_weights(model, prior)
    limit = chunk_limit(model)
    size = -(-samples // -(-samples // limit))  # chunks of equal size: the last one draws little in vain

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        tensors = {name: ops.convert_to_tensor(array) for name, array in part.items()}
        first, second = sums_of_weights(tensors, size, ops.convert_to_tensor(samples), randomness.fold(base, block))
        if report is not None:
            report(f"log p(x), {samples:,} samples each: {min((block + 1) * BLOCK, count):,} of {count:,}")
        return {"first": np.asarray(first), "second": np.asarray(second)}

    sums = in_blocks(one_block, inputs, pad=True)
    effective = np.exp(2.0 * sums["first"] - sums["second"])
    return {
        "log_prob": sums["first"] - np.log(samples),
        "effective_samples": effective,
        "standard_error": np.sqrt(np.maximum(1.0 / effective - 1.0 / samples, 0.0)),
    }


def chunk_limit(model: "VAE") -> int:
    """How many codes of each of a block's examples are decoded at once."""
    outputs = int(np.prod(model.image_shape)) * model.likelihood_family.channels_per_pixel
    return max(1, min(_CHUNK, _NUMBERS // (BLOCK * outputs)))


def bits_per_dim(
    model: "VAE",
    x: ArrayLike,
    samples: int = 5000,
    seed: int = 0,
    condition: ConditionLike = None,
    prior: "FittedPrior | None" = None,
) -> np.ndarray:
    """-log2 P(x) / D of each image of D pixels of 8 bits, channels counted: `(batch,)`, bits.

    P is a mass over the 256 grey levels: that of a likelihood with so many levels as it is. For a density p on [0, 1]
    the images are dequantised here, y = (level + u) / 256 with u uniform, and E log p(y) - D log 256 is a lower bound
    of log P(x): section 3.1 of Theis et al. 2016, https://arxiv.org/abs/1511.01844. log p is importance-weighted.

    Args:
      model: a model of this library.
      x: images of grey levels k / 255.
      samples: importance samples of each image.
      seed: of the draws, and of the dequantisation.
      condition: one for each image, where the model is conditional; if it has a probability, its bits count too.
      prior: of `keras_vae.priors`, fitted to this model; its cost is counted, as is that of the model's own.

    Raises:
      NotApplicable: images that are not of 8 bits, or a likelihood of fewer levels, such as a Bernoulli, which has no
        probability of a grey level.
    """
    family = model.likelihood_family
    if model.x_spec().kind != "image":
        raise NotApplicable(
            f"Bits per dimension are of 8-bit images. Given: a {type(model).__name__}, whose x is none."
        )
    if family.levels not in (0, 256):
        raise NotApplicable(
            f"Bits per dimension are of 8-bit images, under a density or a probability of 256 levels. Given: a "
            f"{type(family).__name__} of {family.levels} levels. Use likelihood='gaussian', or a mixture of logistics."
        )
    images = check_images(x, model.image_shape)
    levels = np.rint(255.0 * images)
    if not np.allclose(255.0 * images, levels, rtol=0, atol=1e-2):
        raise NotApplicable(
            "Bits per dimension are of 8-bit images, their pixels k / 255. Given: pixels between two levels. Give the "
            "images before they are dequantised, which happens here."
        )
    pixels, offset = int(np.prod(model.image_shape)), 0.0
    if not family.levels:
        noise = np.random.default_rng(check_whole_number(seed, "seed", minimum=0)).random(images.shape)
        images, offset = (levels + noise) / 256.0, 8.0
    return offset - model.log_prob(images, samples, seed, condition, prior) / (pixels * np.log(2.0))


def _sums_of_weights(model: "VAE", prior: tfd.Distribution | None = None) -> Any:
    @backend.compiled
    def sums_of_weights(inputs: Mapping[str, Any], size: int, samples: Any, seed: Tensor) -> Any:
        """log sum w and log sum w**2 of `samples` weights, in float64, in chunks of `size`: x is encoded once."""
        x, condition = inputs["x"], model.condition_in(inputs)
        posterior = model.proposal(x, condition)

        def one_chunk(chunk: Any, first: Any, second: Any) -> Any:
            log_w = model.log_weights(x, size, randomness.fold(seed, chunk), condition, prior, posterior)
            wanted = chunk * size + ops.arange(size, dtype="int32") < samples
            log_w = ops.where(wanted[:, None], ops.cast(log_w, "float64"), -np.inf)
            squared = ops.logsumexp(2.0 * log_w, axis=0)
            return chunk + 1, ops.logaddexp(first, ops.logsumexp(log_w, axis=0)), ops.logaddexp(second, squared)

        start = ops.full(ops.shape(x)[:1], -np.inf, "float64")
        first = ops.convert_to_tensor(0), start, start
        return backend.while_loop(lambda chunk, *_: chunk * size < samples, one_chunk, first)[1:]

    return sums_of_weights


def _batch(model: "VAE", inputs: Mapping[str, Any]) -> Batch:
    """The batch dict of checked inputs."""
    condition = model.condition_in(inputs)
    return {"x": inputs["x"]} | ({} if condition is None else {"y": condition})


class CompiledFunctions:
    """The graphs that the public methods of one model call, traced on first use.

    A plain object: Keras looks into a model's own attributes when it saves, and these are nothing to save.
    """

    def __init__(self, model: "VAE") -> None:
        self.posterior_parameters = backend.compiled(model.posterior_parameters, reduce_retracing=True)
        self.likelihood_parameters = backend.compiled(model.likelihood_parameters, reduce_retracing=True)

        def elbo_terms(batch: Batch, seed: Tensor) -> dict[str, Any]:
            with model.draws.using(seed):
                terms = model.terms(batch, training=False)
            kl = ops.sum(terms.kl, axis=-1)
            return {"elbo": terms.log_px - kl, "log_px": terms.log_px, "kl": kl, "kl_groups": terms.kl}

        def own_terms(batch: Batch, seed: Tensor) -> dict[str, Any]:
            with model.draws.using(seed):
                logs = model.terms(batch, training=False).logs
            return {name: logs[name] for name in model.metric_names}

        def kl(inputs: Tensors, seed: Tensor) -> Tensor:
            condition = model.condition_in(inputs)
            posterior, prior = model.posterior(inputs["x"], condition), model.prior(condition)
            if model.analytic_kl:
                return divergences.kl(posterior, prior)
            return divergences.sampled_kl(posterior, prior, posterior.sample(seed=seed))

        self.elbo_terms = backend.compiled(elbo_terms, reduce_retracing=True)
        self.own_terms = backend.compiled(own_terms, reduce_retracing=True)
        self.kl = backend.compiled(kl, reduce_retracing=True)
        self.sums_of_weights = _sums_of_weights(model)
        # Without XLA, which on a CPU is slower at what is not a whole step: convolutions take 2.5 times as long.
        self.log_px_of = backend.compiled(model.log_px_of)
        self._others: dict[Callable[..., Any], Any] = {}

    def of(self, method: Callable[..., Any]) -> Any:
        """The graph of another method of the model, from tensors to tensors.

        It is kept under the method itself: two closures of one name are two functions. A closure made at each call
        would be traced at each call, so callers with a closure of their own make their own graph of it.
        """
        if method not in self._others:
            self._others[method] = backend.compiled(method, reduce_retracing=True)
        return self._others[method]
