"""The backend under Keras: TensorFlow, and TensorFlow Probability on it.

Plain mathematics is `keras.ops`. What `keras.ops` lacks is here: gradients, compiled functions, stateless noise,
replicas, and the substrate of TensorFlow Probability, as `tfd`, `tfb` and `mcmc`. TensorFlow itself is imported here,
in `keras_vae.data`, in `keras_vae.export` and in two runtimes, and nowhere else.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import tensorflow as tf
from keras import ops
from tensorflow_probability import bijectors as tfb  # noqa: F401
from tensorflow_probability import distributions as tfd
from tensorflow_probability import mcmc  # noqa: F401

from keras_vae.errors import UserError
from keras_vae.types import Tensor

# The modules of TensorFlow Probability are made when they are first used: no source for a type checker to read.
# pyright: reportMissingModuleSource=false

# TensorFlow's bundled stubs know neither its experimental names nor that its functions take and return any tensor.
_tf = cast(Any, tf)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

Seed: TypeAlias = "Tensor | Sequence[int]"  # stateless: an int32 pair

TensorSpec = tf.TensorSpec  # an input that a graph is traced with
TensorShape = tf.TensorShape  # what the shape methods of a `tfd.Distribution` return
summary = _tf.summary  # TensorBoard's event files


# --- Compiled functions and gradients ---


def compiled(
    function: Callable[_Arguments, _Result], *, reduce_retracing: bool = False, jit_compile: bool = False
) -> Callable[_Arguments, _Result]:
    """`function` as a graph, traced without AutoGraph at the first call with inputs of a kind.

    Args:
      function: from tensors to tensors. Python arguments are part of the kind of inputs.
      reduce_retracing: trace once for inputs that differ in their batch size only.
      jit_compile: compile the graph with XLA.
    """
    return _tf.function(
        function, autograph=False, reduce_retracing=reduce_retracing, jit_compile=True if jit_compile else None
    )


def gradients(
    losses: Callable[[], tuple[Sequence[Tensor], _Result]], variables: Sequence[Sequence[Any]]
) -> tuple[list[list[Tensor | None]], _Result]:
    """The gradient of each loss for its own variables, and what else the forward pass returns.

    Args:
      losses: computes scalars, in one forward pass, and any further result.
      variables: for each loss, the Keras variables of its gradient; it is None for one that the loss does not touch.
    """
    with _tf.GradientTape(persistent=len(variables) > 1) as tape:
        scalars, result = losses()
    # Dense: of a gradient in parts, as of ops.take, Keras's Adam squares each part before it sums them.
    dense = [
        [None if part is None else _tf.convert_to_tensor(part) for part in tape.gradient(scalar, list(of_loss))]
        for scalar, of_loss in zip(scalars, variables, strict=True)
    ]
    return dense, result


def gradient_at(function: Callable[[Tensor], tuple[Tensor, _Result]], point: Tensor) -> tuple[Tensor, _Result]:
    """The gradient of a scalar by `point`, itself differentiable, and the second result of `function`."""
    with _tf.GradientTape() as tape:
        tape.watch(point)
        scalar, result = function(point)
    return tape.gradient(scalar, point), result


def while_loop(condition: Callable[..., Tensor], body: Callable[..., Any], start: Sequence[Tensor]) -> Any:
    """As `ops.while_loop`, one iteration after the other: as many at once as TensorFlow likes would fill the memory."""
    return _tf.while_loop(condition, body, start, parallel_iterations=1)


# --- Replicas ---


@dataclasses.dataclass(frozen=True)
class Replica:
    """Which replica of a `tf.distribute` strategy runs the code, and of how many."""

    index: int | Tensor
    count: int


def replica() -> Replica:
    """The replica that runs this code: the first of one outside of a strategy, or where none is chosen."""
    context = _tf.distribute.get_replica_context()
    return Replica(0, 1) if context is None else Replica(context.replica_id_in_sync_group, context.num_replicas_in_sync)


def sum_over_replicas(values: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor, summed over all replicas; differentiable."""
    if replica().count == 1:
        return list(values)
    return _tf.distribute.get_replica_context().all_reduce(_tf.distribute.ReduceOp.SUM, list(values))


def gather_over_replicas(value: Tensor) -> Tensor:
    """The rows of all replicas, those of the first one first: `(replicas * rows, ...)`."""
    if replica().count == 1:
        return value
    return _tf.distribute.get_replica_context().all_gather(value, axis=0)


# --- Noise ---


def seed_of(seed: int, purpose: int) -> Tensor:
    """The stateless seed, an int32 pair, of one purpose under the user's `seed`."""
    return _tf.constant([seed, purpose], "int32")


def fold(seed: Seed, *counts: int | Tensor) -> Tensor:
    """The stateless seed of the `counts`-th stream under `seed`: of a step, a draw, a block of examples."""
    folded: Any = seed
    for count in counts:
        folded = _tf.random.experimental.stateless_fold_in(folded, _tf.cast(count, "int32"))
    return folded


def normal(shape: Sequence[int | Tensor], seed: Seed, dtype: str = "float32") -> Tensor:
    """Standard normal noise of a stateless seed."""
    return _tf.random.stateless_normal(shape, seed, dtype=dtype)


def uniform(shape: Sequence[int | Tensor] | tf.Tensor, seed: Seed) -> Tensor:
    """Noise in [0, 1), float32, of a stateless seed."""
    return _tf.random.stateless_uniform(shape, seed)


def integers(shape: Sequence[int | Tensor], seed: Seed, below: int | Tensor) -> Tensor:
    """Whole numbers from 0, below `below`, int32, of a stateless seed."""
    return _tf.random.stateless_uniform(shape, seed, 0, below, tf.int32)


class Draws:
    """The noise of one step: each draw has a number, and in it each example has noise of its own.

    Noise is a function of the step's seed, the draw's number and the example's position in the global batch, so that
    replicas that share a batch draw what one device draws for the whole of it. A replica holds as many examples as any
    other, in one piece: it draws for all of them, and keeps its rows. With one replica nothing is drawn in vain.

    The number is Python's: it runs while a step is traced, and a step draws the same number of times each time it runs.
    """

    def __init__(self) -> None:
        self._seed: Seed | None = None
        self._count = 0

    @contextlib.contextmanager
    def using(self, seed: Seed) -> Iterator[None]:
        """Draw from `seed` inside the block, starting at draw 0."""
        previous = self._seed, self._count
        self._seed, self._count = seed, 0
        try:
            yield
        finally:
            self._seed, self._count = previous

    def next(self) -> Tensor:
        """The seed of the next draw, the same on all replicas: for noise that belongs to no example."""
        if self._seed is None:
            raise RuntimeError("terms() draws noise: call it inside `with model.draws.using(seed):`")
        self._count += 1
        return fold(self._seed, self._count)

    def sample(
        self, distribution: tfd.Distribution, samples: int | None = None, examples: int | Tensor | None = None
    ) -> Any:
        """A draw for each example of the batch, as the distribution's own `sample` returns it.

        Args:
          distribution: of batch shape `(batch,)`, one for each example; or `()`, one for all of them.
          samples: draws for each example, as the first axis; None: one, without that axis.
          examples: how many draw from a distribution of batch shape `()`.
        """
        bijector = getattr(distribution, "bijector", None)  # not all TFP makes of it is a tfd.TransformedDistribution
        if bijector is not None:
            # The bijector's result stays untouched: TFP remembers what it was made of, and its density.
            return bijector.forward(self.sample(base_of(distribution), samples, examples))
        before, after = (() if size is None else (size,) for size in (samples, examples))
        return self._rows(lambda shape, seed: distribution.sample(shape, seed=seed), before, after)

    def normal(self, shape: Sequence[int | Tensor], dtype: str = "float32") -> Tensor:
        """Standard normal noise, the first axis of `shape` being the batch."""
        return self._rows(lambda shape, seed: normal(shape, seed, dtype), (), shape)

    def uniform(self, shape: Sequence[int | Tensor]) -> Tensor:
        """Noise in [0, 1), float32, the first axis of `shape` being the batch."""
        return self._rows(uniform, (), shape)

    def _rows(self, draw: Callable[..., Any], before: Sequence[Any], after: Sequence[Any]) -> Any:
        """This replica's rows of a draw of shape `(*before, batch, ...)`, `after` beginning with the batch, if given.

        Stateless noise is in row-major order: that of `(*before, replicas, batch, ...)` is that of
        `(*before, replicas * batch, ...)`, the global batch.
        """
        seed, current = self.next(), replica()
        if current.count == 1:
            return draw((*before, *after), seed)
        of_all = draw((*before, current.count, *after), seed)
        return _tf.nest.map_structure(lambda rows: _tf.gather(rows, current.index, axis=len(before)), of_all)


# --- Divergences of TFP's distributions ---


def kl(posterior: tfd.Distribution, prior: tfd.Distribution) -> Tensor:
    """KL(posterior || prior) = E_posterior[log posterior(z) - log prior(z)], in closed form through TFP.

    For two products of independent dimensions the KL is the sum over dimensions, and is returned dimension by
    dimension: for diagonal Gaussians 0.5 * (mean**2 + var - log var - 1) against N(0, I), equation 10 of Kingma and
    Welling 2014, https://arxiv.org/abs/1312.6114.

    Returns:
      Shape `(batch, groups)`: groups is the latent dimension for `tfd.Independent` of one dimension, otherwise 1.

    Raises:
      UserError: TFP has no closed form for the pair.
    """
    try:
        if is_product(posterior) and is_product(prior):
            return tfd.kl_divergence(base_of(posterior), base_of(prior))
        return tfd.kl_divergence(posterior, prior)[:, None]
    except NotImplementedError as error:
        raise UserError(
            f"The KL needs a closed form in TFP. Given: a posterior {posterior.name} and a prior {prior.name}, which "
            f"have none. Set analytic_kl = False in the variant: the KL is then estimated at the sample."
        ) from error


def sampled_kl(posterior: tfd.Distribution, prior: tfd.Distribution, z: Tensor) -> Tensor:
    """One-sample estimate log posterior(z) - log prior(z) for z from the posterior: unbiased, and may be negative.

    Args:
      z: one draw for each example, `(batch, latent_dim)`.

    Returns:
      Shape `(batch, groups)`, as `kl`.
    """
    if is_product(posterior) and is_product(prior):
        return base_of(posterior).log_prob(z) - base_of(prior).log_prob(z)
    return ops.expand_dims(posterior.log_prob(z) - prior.log_prob(z), -1)


def base_of(distribution: tfd.Distribution) -> Any:
    """The distribution that a `tfd.Independent` or a `tfd.TransformedDistribution` is made of."""
    return cast(Any, distribution).distribution


def is_product(distribution: tfd.Distribution) -> bool:
    """Whether it is `tfd.Independent` over one axis: a product of independent dimensions."""
    return isinstance(distribution, tfd.Independent) and distribution.event_shape.rank == 1


# --- What keras.ops has otherwise, or lacks ---


def soft_bound(value: Tensor, low: float, high: float) -> Tensor:
    """The identity well inside `(low, high)`, levelling off smoothly at both ends: exp(log_var) neither overflows
    nor vanishes, and the gradient never stops."""
    value = high - ops.softplus(high - value)
    return low + ops.softplus(value - low)


def argmax(values: Tensor, axis: int) -> Tensor:
    """The index of the largest, of equals the first: int32. keras.ops.argmax makes Bitcast, which ONNX lacks."""
    return _tf.argmax(values, axis, output_type="int32")


def argmin(values: Tensor, axis: int) -> Tensor:
    """The index of the least, of equals the first: int32. keras.ops.argmin makes ops that ONNX lacks."""
    return _tf.argmin(values, axis, output_type="int32")


def dtype_of(name: str) -> Any:
    """The backend's dtype of this name, as the constructor of a `tfd.Distribution` takes it."""
    return tf.as_dtype(name)


def static_value(tensor: Tensor | int) -> int | None:
    """The number that a scalar holds, where it is known while a graph is traced."""
    value = _tf.get_static_value(tensor)
    return None if value is None else int(value)


def broadcast_shape(first: tf.TensorShape, second: tf.TensorShape) -> tf.TensorShape:
    """The `TensorShape` that two broadcast to."""
    return _tf.broadcast_static_shape(first, second)


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """The SSIM of each pair of images in [0, 1], `(batch,)`."""
    return _tf.image.ssim(x, y, max_val=1.0)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Inside, matrix products have no short mantissas, which some GPUs have by default."""
    experimental = _tf.config.experimental
    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)
