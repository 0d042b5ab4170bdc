"""The ELBO and its terms, and importance-weighted log-likelihood: one value per example, in nats."""

import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, divergences, progress, randomness
from keras_vae.backend import tfd
from keras_vae.checks import BLOCK, check_images, check_results, check_whole_number, in_blocks, numbers
from keras_vae.errors import NotApplicable
from keras_vae.types import Batch, Condition, ConditionLike, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE
    from keras_vae.priors import FittedPrior

# Draws in one pass of the compiled loop: enough rows, with a block of examples, to keep the matrix products busy. Fewer
# where the decoder's output would have more than _NUMBERS elements, so that it stays in memory.
_CHUNK, _NUMBERS = 32, 2**24
Inputs: TypeAlias = Mapping[str, np.ndarray] | Iterator[Mapping[str, np.ndarray]]


def elbo_terms(
    model: "VAE", inputs: Inputs, seed: int, only: str = "", out: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return `elbo`, `log_px` and `kl` of each example, `(batch,)`, and `kl_groups`, `(batch, groups)`.

    In nats, from one draw of q(z|x). `kl_groups` is the KL of each dimension or level.

    Args:
      model: a model of this library.
      inputs: "x", checked images, and "condition" where the model has one; or such mappings of `BLOCK` examples each.
      seed: of the noise, which depends on this and on the example's position, not on the number of examples.
      only: keep this one of the four.
      out: array to write it into.
    """
    base = randomness.seed_of(seed, randomness.EVALUATION)

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        terms = model.functions.elbo_terms(model.batch_in(part), base, ops.convert_to_tensor(block))
        return {only: terms[only]} if only else terms

    results = in_blocks(one_block, inputs, out=None if out is None else {only: out})
    return check_results(results, "The ELBO", infinite=True)


def own_terms(
    model: "VAE", inputs: Mapping[str, np.ndarray], seed: int, batch_size: int = 128
) -> dict[str, np.ndarray]:
    """Return the metrics in `metric_names`, by name: the value that `fit` would log for each whole batch, `(batches,)`.

    Some of them depend on the batch as a whole, such as an MMD, so batches have equal sizes. A last, partial batch is
    left out, unless it is the only one.

    Args:
      model: a model of this library.
      inputs: as for `elbo_terms`.
      seed: of the noise.
      batch_size: examples in a batch.
    """
    if not model.metric_names:
        return {}
    base, count = randomness.seed_of(seed, randomness.EVALUATION), len(inputs["x"])
    trackers = model.make_trackers(model.metric_names)
    values: dict[str, list[float]] = {name: [] for name in model.metric_names}
    for index, start in enumerate(range(0, max(count - count % batch_size, 1), batch_size)):
        part = {name: ops.convert_to_tensor(array[start : start + batch_size]) for name, array in inputs.items()}
        batch = model.batch_in(part)
        for metric in trackers.means.values():
            metric.reset_state()
        terms = model.functions.own_terms(batch, base, ops.convert_to_tensor(index))
        means = trackers.update(terms, len(batch["x"]))
        for name, value in means.items():
            values[name].append(float(value))
    return {name: np.asarray(batches) for name, batches in values.items()}


def importance_weighted(
    model: "VAE", inputs: Inputs, samples: int, seed: int, prior: tfd.Distribution | None = None
) -> np.ndarray:
    """Return `log_prob` of `importance_weights`: `(batch,)`, nats."""
    return importance_weights(model, inputs, samples, seed, prior)["log_prob"]


def elbo_under(model: "VAE", inputs: Inputs, seed: int, prior: tfd.Distribution) -> np.ndarray:
    """Return the one-draw ELBO of each example with `prior` in place of p(z): `(batch,)`, nats.

    Its noise is that of `importance_weights` of one sample, but where a variant infers labels.
    """
    base = randomness.seed_of(seed, randomness.EVALUATION)
    elbo = model.functions.under(prior).elbo

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Any:
        tensors = {name: ops.convert_to_tensor(array) for name, array in part.items()}
        return np.asarray(elbo(tensors, base, ops.convert_to_tensor(block)))

    elbos: np.ndarray = check_results(in_blocks(one_block, inputs, is_estimated(prior)), "The ELBO", infinite=True)
    return elbos


def importance_weights(
    model: "VAE",
    inputs: Inputs,
    samples: int,
    seed: int,
    prior: tfd.Distribution | None = None,
) -> dict[str, np.ndarray]:
    """Return log (1/S) sum_s w_s for S importance weights w = p(x, z) / q(z|x), z from q(z|x), and its precision.

    A lower bound of log p(x) in expectation, tight as S grows: equation 8 of Burda et al. 2016,
    https://arxiv.org/abs/1509.00519. benchmarks/likelihood.json has the time of 5,000 samples for every test digit, as
    benchmarks/likelihood.py measures it.

    Args:
      model: has `log_weights(x, samples, seed, condition)`.
      inputs: "x", checked images, and "condition" where the model has one.
      samples: S.
      seed: of the noise, which depends on this and on the example's position.
      prior: used in place of p(z).

    Returns:
      Each `(batch,)`: `log_prob`, nats; `effective_samples`, `(sum w)**2 / sum w**2`, from 1 to S: equation 9.13 of
      Owen, https://artowen.su.domains/mc/Ch-var-is.pdf; `standard_error` of log_prob over draws, sqrt(1/ESS - 1/S) by
      the delta method, nats: too small where one weight dominates, and ESS is near 1.
    """
    base = randomness.seed_of(seed, randomness.EVALUATION)
    sums_of_weights = model.functions.under(prior).sums_of_weights
    # A density that is estimated by draws of its own has these for a whole block.
    pad = is_estimated(prior)
    limit = chunk_limit(model)
    size = -(-samples // -(-samples // limit))  # chunks of equal size: little of the last one is discarded

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        tensors = {name: ops.convert_to_tensor(array) for name, array in part.items()}
        first, second = sums_of_weights(
            tensors, size, ops.convert_to_tensor(samples), base, ops.convert_to_tensor(block)
        )
        return {"first": np.asarray(first), "second": np.asarray(second)}

    with progress.listening(f"log p(x), {samples:,} samples each"):
        sums = check_results(in_blocks(one_block, inputs, pad), "log p(x)", infinite=True)
    effective = np.exp(2.0 * sums["first"] - sums["second"])
    return {
        "log_prob": sums["first"] - np.log(samples),
        "effective_samples": effective,
        "standard_error": np.sqrt(np.maximum(1.0 / effective - 1.0 / samples, 0.0)),
    }


def is_estimated(prior: tfd.Distribution | None) -> bool:
    """Return whether the log density of a prior is an estimate, whose noise depends on the number of its codes."""
    return getattr(prior, "estimated", False)


def chunk_limit(model: "VAE") -> int:
    """Return how many codes of each example in a block are decoded at once."""
    outputs = int(np.prod(model.likelihood_family.raw_shape(model.x_shape)))
    return max(1, min(_CHUNK, _NUMBERS // (BLOCK * outputs)))


def bits_per_dim(
    model: "VAE",
    x: ArrayLike,
    samples: int = 5000,
    seed: int = 0,
    condition: ConditionLike = None,
    prior: "FittedPrior | None" = None,
) -> np.ndarray:
    """Return -log2 P(x) / D for each 8-bit image of D values, pixels times channels: `(batch,)`, bits.

    P is a probability over the 256 grey levels: the likelihood's, if it has 256 levels. For a density p on [0, 1] the
    images are dequantised here, y = (level + u) / 256 with u uniform, and E log p(y) - D log 256 is a lower bound
    of log P(x): section 3.1 of Theis et al. 2016, https://arxiv.org/abs/1511.01844. log p is importance-weighted.

    Args:
      model: a model of this library.
      x: images of grey levels k / 255.
      samples: importance samples of each image.
      seed: of the draws, and of the dequantisation.
      condition: one for each image, where the model is conditional; if it has a probability, its bits count too.
      prior: of `keras_vae.priors`, fitted to this model; replaces the model's own.

    Raises:
      NotApplicable: images that do not have 8 bits, or have missing values, or a likelihood of fewer levels, such as a
        Bernoulli, which assigns grey levels no probability.
    """
    images, offset = with_density(model, x, seed)
    return bits_of(model, model.log_prob(images, samples, seed, condition, prior), offset)


def with_density(model: "VAE", x: ArrayLike, seed: int, dequantized: bool = False) -> tuple[np.ndarray, float]:
    """Return the images whose log p gives the bits of 8-bit images, and bits to add: dequantised ones, for a density.

    Args:
      model: a model of this library.
      x: images of grey levels k / 255.
      seed: of the dequantisation.
      dequantized: whether x are dequantised already, (level + u) / 256; they are then returned as they are.

    Raises:
      NotApplicable: as `bits_per_dim`.
    """
    family = model.likelihood_family
    if model.x_spec().kind != "image":
        raise NotApplicable(
            f"Bits per dimension are defined for 8-bit images. Given: a {type(model).__name__}, a model of "
            f"{model.x_spec().kind}."
        )
    if family.levels not in (0, 256):
        raise NotApplicable(
            f"Bits per dimension need a density, or a probability of 256 grey levels. Given: a "
            f"{family.title} of {family.levels} levels. Use likelihood='gaussian', or a mixture of logistics."
        )
    if model.missing and np.isnan(numbers(x, "x")).any():
        raise NotApplicable("Bits per dimension are of whole images. Given: some with missing values. Leave those out.")
    images = check_images(x, model.x_shape)
    if dequantized:
        return images, 8.0
    levels = np.rint(255.0 * images)
    if not np.allclose(255.0 * images, levels, rtol=0, atol=1e-2):
        raise NotApplicable(
            "Bits per dimension need 8-bit images, with pixels k / 255. Given: pixels between two levels. Pass the "
            "images before dequantisation, which happens here."
        )
    if family.levels:
        return images, 0.0
    noise = np.random.default_rng(check_whole_number(seed, "seed", minimum=0)).random(images.shape)
    return (levels + noise) / 256.0, 8.0


def bits_of(model: "VAE", log_prob: np.ndarray, offset: float) -> np.ndarray:
    """Return log p(x), nats, as bits per dimension; `offset` is that of `with_density`."""
    return offset - log_prob / (np.prod(model.x_shape) * np.log(2.0))


def _read_by_graphs(model: "VAE") -> list[Any]:
    """Return what graphs are traced with: layers, variables and dtype policies, to compare by `is`.

    The objects rather than their ids, which a later object may have again.
    """
    read: list[Any] = [value for value in list(vars(model).values()) if isinstance(value, keras.Layer)]
    for layer in cast(Any, model)._flatten_layers():
        read += (layer, layer.dtype_policy, *layer._trainable_variables, *layer._non_trainable_variables)
    return read


def _sums_of_weights(model: "VAE", prior: tfd.Distribution | None = None) -> Any:
    def sums_of_weights(inputs: Mapping[str, Any], size: int, samples: Tensor, base: Tensor, block: Tensor) -> Any:
        """Return log sum w and `log sum w**2` of `samples` weights, in float64, in chunks of `size`. Encodes x once."""
        x, condition, seed = inputs["x"], model.condition_in(inputs), randomness.fold(base, block)
        posterior = model.proposal(x, condition)

        def one_chunk(chunk: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            with backend.first_of_block(None if is_estimated(prior) else BLOCK):
                log_w = model.log_weights(x, size, randomness.fold(seed, chunk), condition, prior, posterior)
            counted = chunk * size + ops.arange(size, dtype="int32") < samples
            log_w = ops.where(counted[:, None], ops.cast(log_w, "float64"), -np.inf)
            squared = ops.logsumexp(2.0 * log_w, axis=0)
            return chunk + 1, ops.logaddexp(first, ops.logsumexp(log_w, axis=0)), ops.logaddexp(second, squared)

        start = ops.full(ops.shape(x)[:1], -np.inf, "float64")
        first = ops.convert_to_tensor(0), start, start
        return backend.while_loop(lambda chunk, *_: chunk * size < samples, one_chunk, first)[1:]

    return backend.compiled_for_batches(sums_of_weights)


class FunctionsUnder:
    """The graphs of a model that depend on the prior of its codes, traced on first use.

    Args:
      model: the model.
      prior: a distribution; None: the model's own, which may depend on the condition.
    """

    def __init__(self, model: "VAE", prior: tfd.Distribution | None) -> None:
        def codes(count: Tensor, seed: Tensor, condition: Condition | None) -> Any:
            p = model.prior(condition) if prior is None else prior
            return p.sample(seed=seed) if p.batch_shape.rank else p.sample(count, seed=seed)

        def images(count: Tensor, seed: Tensor, condition: Condition | None) -> Tensor:
            return model.likelihood_parameters(codes(count, seed, condition), condition)[model.output_name]

        self.codes = backend.compiled(codes, reduce_retracing=True)
        self.images = backend.compiled(images, reduce_retracing=True)
        self.sums_of_weights = _sums_of_weights(model, prior)

        def elbo(inputs: Mapping[str, Any], base: Tensor, block: Tensor) -> Tensor:
            seed = randomness.fold(randomness.fold(base, block), 0)
            with backend.first_of_block(None if is_estimated(prior) else BLOCK):
                elbo = model.elbo_under(inputs["x"], seed, model.condition_in(inputs), prior)
            return ops.cast(elbo, "float64")

        self.elbo = backend.compiled_for_batches(elbo)


class CompiledFunctions:
    """The graphs that the public methods of one model call, traced on first use.

    A plain object: Keras saves what it finds in a model's attributes, and there is nothing to save here.
    """

    def __init__(self, model: "VAE") -> None:
        self._read = _read_by_graphs(model)
        self.posterior_parameters = backend.compiled(model.posterior_parameters, reduce_retracing=True)
        self.likelihood_parameters = backend.compiled(model.likelihood_parameters, reduce_retracing=True)

        # The seed is folded in the graph: by single operations it would take longer than one example does.
        def elbo_terms(batch: Batch, seed: Tensor, block: Tensor) -> dict[str, Any]:
            with model.draws.using(randomness.fold(seed, block)), backend.first_of_block(BLOCK):
                terms = model.terms(batch, training=False)
            kl = ops.sum(terms.kl, axis=-1)
            return {"elbo": terms.log_px - kl, "log_px": terms.log_px, "kl": kl, "kl_groups": terms.kl}

        def own_terms(batch: Batch, seed: Tensor, block: Tensor) -> dict[str, Any]:
            with model.draws.using(randomness.fold(seed, block)):
                logs = model.terms(batch, training=False).logs
            return {name: logs[name] for name in model.metric_names}

        def kl(inputs: Tensors, seed: Tensor) -> Tensor:
            condition = model.condition_in(inputs)
            posterior, prior = model.posterior(inputs["x"], condition), model.prior(condition)
            if model.analytic_kl:
                return divergences.kl(posterior, prior)
            return divergences.sampled_kl(posterior, prior, posterior.sample(seed=seed))

        def reconstruction(batch: Batch) -> Tensors:
            condition = model.condition_of(batch)
            parameters = model.posterior_parameters(batch["x"], condition)
            x = model.likelihood_parameters(model.code(parameters), condition)[model.output_name]
            # ReLU may turn NaN into 0, so a decoder hides what the encoder gave; a sum does not.
            sums = [
                ops.sum(ops.reshape(ops.cast(array, model.float_dtype), (ops.shape(array)[0], -1)), axis=-1)
                for array in keras.tree.flatten(parameters)
            ]
            return {"x": x, "sums": functools.reduce(ops.add, sums)}

        self.reconstruction = backend.compiled(reconstruction, reduce_retracing=True)
        self.elbo_terms = backend.compiled_for_batches(elbo_terms)
        self.own_terms = backend.compiled(own_terms, reduce_retracing=True)
        self.kl = backend.compiled(kl, reduce_retracing=True)
        # Without XLA, which is slower on a CPU for anything but a whole step: convolutions take 2.5 times as long.
        self.log_px_of = backend.compiled(model.log_px_of)
        # A fitted prior has one distribution until it is fitted again. Of the last few, so that memory does not grow.
        self.under = functools.lru_cache(maxsize=4)(functools.partial(FunctionsUnder, model))
        self._others: dict[Callable[..., Any], Any] = {}

    def are_of(self, model: "VAE") -> bool:
        """Return whether the model has the networks, variables and dtypes that these graphs were made for.

        LoRA and quantisation give a layer other variables, and a graph goes on with those that it was traced with.
        """
        now = _read_by_graphs(model)
        return len(now) == len(self._read) and all(map(operator.is_, now, self._read))

    def of(self, method: Callable[..., Any]) -> Any:
        """Return the graph of another method of the model, from tensors to tensors.

        The cache key is the method itself: two closures with the same name are two functions. A closure made at each
        call would be traced at each call, so callers compile their closures themselves.
        """
        if method not in self._others:
            self._others[method] = backend.compiled(method, reduce_retracing=True)
        return self._others[method]
