"""The backend under Keras: TensorFlow, and TensorFlow Probability on it.

Plain mathematics uses `keras.ops`. This package has what `keras.ops` lacks: gradients, compiled functions, stateless
noise, replicas, and the substrate of TensorFlow Probability, as `tfd`, `tfb` and `mcmc`; its module `workers`, several
processes that train one model. TensorFlow itself is imported here, in `keras_vae.data`, in `keras_vae.export` and in
two runtimes, and nowhere else.
"""

import contextlib
import contextvars
import dataclasses
import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, cast

import tensorflow as tf
from keras import ops
from tensorflow_probability import bijectors as tfb  # noqa: F401
from tensorflow_probability import distributions as tfd
from tensorflow_probability import mcmc  # noqa: F401

from keras_vae.errors import UserError
from keras_vae.types import Tensor

# TensorFlow Probability creates its modules lazily, so a type checker finds no source.
# pyright: reportMissingModuleSource=false

# TensorFlow's bundled stubs lack its experimental names, and are too strict about tensor types.
_tf = cast(Any, tf)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Model = TypeVar("_Model")

Strategy: TypeAlias = tf.distribute.Strategy
Seed: TypeAlias = "Tensor | Sequence[int]"  # stateless: an int32 pair

TensorSpec = tf.TensorSpec  # an input that a graph is traced with
TensorShape = tf.TensorShape  # what the shape methods of a `tfd.Distribution` return
summary = _tf.summary  # TensorBoard's event files


# --- Compiled functions and gradients ---


def compiled(
    function: Callable[_Arguments, _Result], *, reduce_retracing: bool = False, jit_compile: bool = False
) -> Callable[_Arguments, _Result]:
    """Return `function` as a graph, traced without AutoGraph at the first call with each input signature.

    Args:
      function: from tensors to tensors. Python arguments are part of the signature.
      reduce_retracing: trace once for inputs that differ in their batch size only.
      jit_compile: compile the graph with XLA.
    """
    return _tf.function(
        function, autograph=False, reduce_retracing=reduce_retracing, jit_compile=True if jit_compile else None
    )


def plain(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return `function` so that a dataset traces it as it is.

    AutoGraph would write the code of what it converts to files, which a killed process leaves behind.
    """
    return _tf.autograph.experimental.do_not_convert(function)


class _Graph(Protocol):
    """A function of TensorFlow's."""

    def __call__(self, *arguments: Any) -> Any: ...
    def get_concrete_function(self, *arguments: Any) -> Any: ...


def compiled_for_batches(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Return `function` as a graph, traced once whatever the number of examples: rounding does not depend on the calls.

    Args:
      function: its first argument is a dict of tensors of examples.
    """
    graph = cast(_Graph, compiled(function))
    traced: dict[object, Any] = {}  # called as they are: a `tf.function` compares its arguments with all its traces

    def call(examples: Mapping[str, Any], *others: Any) -> _Result:
        tensors = _tf.nest.map_structure(_tf.convert_to_tensor, dict(examples))
        if _tf.config.functions_run_eagerly():
            return graph(tensors, *others)
        leaves = ((leaf.shape[1:], leaf.dtype) for leaf in _tf.nest.flatten(tensors))
        kind = (*tensors, *leaves, *(other for other in others if isinstance(other, int)))
        if kind not in traced:
            specs = _tf.nest.map_structure(lambda one: TensorSpec((None, *one.shape[1:]), one.dtype), tensors)
            traced[kind] = graph.get_concrete_function(specs, *others)
        return traced[kind](tensors, *others)

    return call


def waiting_for_data(step: Callable[[_Model, object], _Result]) -> Callable[[_Model, object], _Result]:
    """Return the method `step` so that in a graph nothing of it runs before its batch is there.

    Keras calls a step on the next batch until there is none. What does not read the batch would run beside that
    attempt: counters, such as an optimizer's iterations, advanced once more at the end of each epoch.
    """

    @functools.wraps(step)
    def waits(model: _Model, data: object) -> _Result:
        with _tf.control_dependencies([leaf for leaf in _tf.nest.flatten(data) if _tf.is_tensor(leaf)]):
            return step(model, data)

    return waits


def gradients(
    losses: Callable[[], tuple[Sequence[Tensor], _Result]], variables: Sequence[Sequence[Any]]
) -> tuple[list[list[Tensor | None]], _Result]:
    """Return the gradient of each loss for its own variables, and the other result of the forward pass.

    Args:
      losses: computes scalars, in one forward pass, and any other result.
      variables: for each loss, the Keras variables to differentiate by; None where the loss does not depend on one.
    """
    with _tf.GradientTape(persistent=len(variables) > 1) as tape:
        scalars, result = losses()
    # Dense: of sparse gradients, such as those of ops.take, Keras's Adam squares the slices before it sums them.
    dense = [
        [None if part is None else _tf.convert_to_tensor(part) for part in tape.gradient(scalar, list(of_loss))]
        for scalar, of_loss in zip(scalars, variables, strict=True)
    ]
    return dense, result


def gradient_at(function: Callable[[Tensor], tuple[Tensor, _Result]], point: Tensor) -> tuple[Tensor, _Result]:
    """Return the gradient of a scalar by `point`, itself differentiable, and the second result of `function`."""
    with _tf.GradientTape() as tape:
        tape.watch(point)
        scalar, result = function(point)
    return tape.gradient(scalar, point), result


def while_loop(condition: Callable[..., Tensor], body: Callable[..., Any], start: Sequence[Tensor]) -> Any:
    """Run `ops.while_loop` one iteration at a time: TensorFlow's parallel iterations would exhaust the memory."""
    return _tf.while_loop(condition, body, start, parallel_iterations=1)


def processor_flags() -> set[str]:
    """Return the instruction sets of this processor as Linux names them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.partition(":")[2].split()}


def hide_gpus() -> None:
    """Hide graphics cards from this process, which then takes none of their memory; those in use stay as they are."""
    with contextlib.suppress(RuntimeError):  # TensorFlow has initialised them
        _tf.config.set_visible_devices([], "GPU")


def devices() -> list[dict[str, str]]:
    """List what computes here: the kind of each device, "CPU" or "GPU", and its name."""
    listed = _tf.config.list_physical_devices()
    names = [_tf.config.experimental.get_device_details(device).get("device_name") for device in listed]
    return [{"kind": row.device_type, "name": name or row.device_type} for row, name in zip(listed, names, strict=True)]


def emulates_bfloat16() -> bool:
    """Return whether products of bfloat16 are computed on a processor that is known to lack instructions for them."""
    flags = processor_flags()
    accelerated = any(device.device_type != "CPU" for device in _tf.config.list_physical_devices())
    return not accelerated and bool(flags) and not flags & {"avx512_bf16", "amx_bf16", "bf16"}


# --- Replicas ---


@dataclasses.dataclass(frozen=True)
class Replica:
    """The index of the replica of a `tf.distribute` strategy that runs the code, and the number of replicas."""

    index: int | Tensor
    count: int


def replica() -> Replica:
    """Return the replica that runs this code: outside of a strategy's replicas, the first of one."""
    context = None if _alone.get() else _tf.distribute.get_replica_context()
    return Replica(0, 1) if context is None else Replica(context.replica_id_in_sync_group, context.num_replicas_in_sync)


_alone: contextvars.ContextVar[bool] = contextvars.ContextVar("alone", default=False)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside, `replica` is the first of one: every replica computes the same of a whole batch, and none waits."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def strategy_in_scope() -> Strategy | None:
    """Return the `tf.distribute` strategy in whose scope this runs, if it has several replicas, or None."""
    strategy = _tf.distribute.get_strategy()
    return strategy if strategy.num_replicas_in_sync > 1 else None


def sum_over_replicas(values: Sequence[Tensor]) -> list[Tensor]:
    """Return each tensor summed over all replicas; differentiable."""
    if replica().count == 1:
        return list(values)
    return _tf.distribute.get_replica_context().all_reduce(_tf.distribute.ReduceOp.SUM, list(values))


def gather_over_replicas(value: Tensor) -> Tensor:
    """Return the rows of all replicas, in the order of replicas: `(replicas * rows, ...)`; differentiable.

    All have as many. A sum of rows and zeros, since TensorFlow's `all_gather` cannot be traced into what XLA compiles.
    """
    here = replica()
    if here.count == 1:
        return value
    is_here = ops.reshape(ops.arange(here.count) == here.index, (-1, *[1] * len(value.shape)))
    [of_all] = sum_over_replicas([ops.where(is_here, value[None], ops.zeros_like(value)[None])])
    return ops.reshape(of_all, (-1, *value.shape[1:]))


def summed_to(value: Tensor, like: Tensor) -> Any:
    """Return `value` summed over the axes along which `like` was broadcast: a gradient in its argument's shape."""
    if value.shape == like.shape and value.shape.is_fully_defined():
        return value
    shape = _tf.shape(like)
    axes = _tf.raw_ops.BroadcastGradientArgs(s0=_tf.shape(value), s1=shape).r1
    return _tf.reshape(_tf.reduce_sum(value, axes), shape)


# --- Noise ---

_block: contextvars.ContextVar[int | None] = contextvars.ContextVar("block", default=None)


@contextlib.contextmanager
def first_of_block(block: int | None) -> Iterator[None]:
    """Inside, the noise that `sample` draws for a batch is that of the first examples of a batch of `block`.

    Noise is in row-major order, so a shorter batch has the beginning of a longer one's only where no axis comes before
    that of the examples. Of `block` examples the whole is drawn; None: of those that are there.
    """
    token = _block.set(block)
    try:
        yield
    finally:
        _block.reset(token)


def block_of_noise() -> int | None:
    """Return the `block` of the innermost `first_of_block`."""
    return _block.get()


# Named, since TensorFlow's choice depends on XLA: it draws other bits there, and computes all rounds of the generator
# anew for each number.
_ALGORITHM = "philox"


def seed_of(seed: int, purpose: int) -> Tensor:
    """Return the stateless seed, an int32 pair, of one purpose under the user's `seed`."""
    return _tf.constant([seed, purpose], "int32")


def fold(seed: Seed, *counts: int | Tensor) -> Tensor:
    """Return `seed` with counts folded in, one after the other: of a step, a draw, a block of examples."""
    folded: Any = seed
    for count in counts:
        folded = _tf.random.experimental.stateless_fold_in(folded, _tf.cast(count, "int32"), _ALGORITHM)
    return folded


def normal(
    shape: Sequence[int | Tensor] | tf.Tensor, seed: Seed, dtype: str = "float32", examples_axis: int = 0
) -> Tensor:
    """Return standard normal noise from a stateless seed: pairs by Box and Muller, the cosine after the sine.

    That is the noise of `tf.random.stateless_normal` without XLA, to rounding, here with XLA too.

    Args:
      shape: of the noise.
      seed: stateless.
      dtype: float32 or float64.
      examples_axis: of `shape`. Inside `first_of_block`, the axes before it are integers.
    """
    block = _block.get()
    runs = 1 if block is None else math.prod(int(cast(Any, size)) for size in shape[:examples_axis])
    count = _size(shape) if runs == 1 else _size(shape[examples_axis:])
    # Each run of examples is the beginning of one of `block` examples.
    length = 0 if block is None else block * _size(shape[examples_axis + 1 :])
    unit = ops.stack([_unit((count + 1) // 2 * 2, seed, dtype, run * length) for run in range(runs)])
    first, second = _tf.unstack(_tf.reshape(unit, (runs, -1, 2)), axis=-1)
    radius, angle = ops.sqrt(-2.0 * ops.log(ops.maximum(first, 1e-7))), 2.0 * math.pi * second
    pairs = ops.stack([radius * ops.sin(angle), radius * ops.cos(angle)], axis=-1)
    return _tf.reshape(_tf.reshape(pairs, (runs, -1))[:, :count], shape)


def uniform(shape: Sequence[int | Tensor] | tf.Tensor, seed: Seed) -> Tensor:
    """Return uniform noise in [0, 1), float32, from a stateless seed."""
    return _tf.reshape(_unit(_size(shape), seed, "float32"), shape)


def integers(shape: Sequence[int | Tensor], seed: Seed, below: int | Tensor) -> Tensor:
    """Return uniform integers in [0, below), int32, from a stateless seed."""
    return _tf.random.stateless_uniform(shape, seed, 0, below, tf.int32, alg=_ALGORITHM)


def random_bits(shape: Sequence[int | Tensor] | tf.Tensor, seed: Seed) -> Tensor:
    """Return integers of 32 random bits, int32, from a stateless seed."""
    return _tf.random.stateless_uniform(shape, seed, None, None, tf.int32, alg=_ALGORITHM)


def sample(distribution: tfd.Distribution, shape: Sequence[int | Tensor], seed: Seed) -> Any:
    """Return draws as `distribution.sample(shape, seed=seed)` does; of Gaussians, with the noise of `normal`.

    TFP leaves the algorithm to TensorFlow: XLA then draws other numbers than TensorFlow does, at twenty times the cost.
    """
    inner = base_of(distribution) if isinstance(distribution, tfd.Independent) else distribution
    if not isinstance(inner, tfd.Normal):
        if _block.get() is None or not shape or not distribution.batch_shape.rank or is_by_position(distribution):
            return distribution.sample(shape, seed=seed)
        return ops.stack([distribution.sample(seed=fold(seed, run)) for run in range(int(cast(Any, shape[0])))])
    loc, scale = ops.convert_to_tensor(inner.loc), ops.convert_to_tensor(inner.scale)
    shape = (*shape, *ops.shape(loc + scale))
    event_rank = distribution.event_shape.rank if isinstance(distribution, tfd.Independent) else 0
    return normal(shape, seed, loc.dtype.name, len(shape) - event_rank - 1) * scale + loc


def is_by_position(distribution: tfd.Distribution) -> bool:
    """Return whether the distribution's own `sample` keeps to `first_of_block`."""
    return getattr(distribution, "by_position", False)


def _size(shape: Sequence[int | Tensor] | tf.Tensor) -> int | Tensor:
    sizes = _tf.convert_to_tensor(shape, "int32")
    static = _tf.get_static_value(sizes)
    return _tf.reduce_prod(sizes) if static is None else math.prod(static.tolist())


def _unit(count: int | Tensor, seed: Seed, dtype: str, start: int | Tensor = 0) -> Tensor:
    """Return `count` uniform numbers in [0, 1) as TensorFlow makes them of bits: the low 23, or 52 of two integers.

    They are those from number `start` on, a multiple of 4, of the stream of `seed`.
    """
    if dtype == "float32":
        return _tf.cast(_tf.bitwise.bitwise_and(_bits_from(start, (count,), seed), 0x7FFFFF), dtype) * 2.0**-23
    high, low = _tf.unstack(_bits_from(2 * start, (count, 2), seed), axis=1)
    high, low = _tf.bitwise.bitwise_and(high, 0xFFFFF), _tf.bitcast(low, "uint32")
    return _tf.cast(high, dtype) * 2.0**-20 + _tf.cast(low, dtype) * 2.0**-52


def _bits_from(start: int | Tensor, shape: Sequence[int | Tensor], seed: Seed) -> Tensor:
    if isinstance(start, int) and not start:
        return random_bits(shape, seed)
    key, counter = _tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    counter += _tf.stack([_tf.cast(start // 4, "uint64"), _tf.constant(0, "uint64")])  # Philox counts in fours
    return _tf.raw_ops.StatelessRandomUniformFullIntV2(shape=shape, key=key, counter=counter, alg=1, dtype=tf.int32)


class Draws:
    """The noise of one training step, a function of the draw and of the example's position.

    Noise depends on the step's seed, the index of the draw and the example's position in the global batch, so that
    replicas that share a batch draw the same noise as one device would for the whole batch. Every replica holds equally
    many consecutive examples: it draws for the global batch, and keeps its rows. A single replica discards nothing.

    The index is a Python counter, which advances while a step is traced: every run of a step makes the same draws.
    TensorFlow traces each replica in its own thread and switches between them at a collective, so each thread has its
    own counter.
    """

    def __init__(self) -> None:
        self._by_thread: dict[int, tuple[Seed, int]] = {}

    @contextlib.contextmanager
    def using(self, seed: Seed) -> Iterator[None]:
        """Draw from `seed` inside the block, starting at draw 0."""
        thread = threading.get_ident()
        previous, self._by_thread[thread] = self._by_thread.get(thread), (seed, 0)
        try:
            yield
        finally:
            if previous is None:
                del self._by_thread[thread]
            else:
                self._by_thread[thread] = previous

    def next(self) -> Tensor:
        """Return the seed of the next draw, the same on all replicas: for noise that is not per example."""
        if (current := self._by_thread.get(threading.get_ident())) is None:
            raise RuntimeError("terms() draws noise: call it inside `with model.draws.using(seed):`")
        seed, count = current
        self._by_thread[threading.get_ident()] = seed, count + 1
        return fold(seed, count + 1)

    def sample(
        self,
        distribution: tfd.Distribution,
        samples: int | None = None,
        examples: int | Tensor | None = None,
        seed: Tensor | None = None,
    ) -> Any:
        """Return a draw for each example of the batch, as the `sample` of the distribution does.

        Args:
          distribution: of batch shape `(batch,)`, one for each example; or `()`, one for all of them.
          samples: draws for each example, as the first axis; None: one, without that axis.
          examples: the number of examples, for a distribution of batch shape `()`.
          seed: of the draw; None: the next one.
        """
        bijector = getattr(distribution, "bijector", None)  # TFP has others than tfd.TransformedDistribution
        if bijector is not None:
            # Returned as it is: TFP caches the input and the density by the bijector's result.
            return bijector.forward(self.sample(base_of(distribution), samples, examples, seed))
        before, after = (() if size is None else (size,) for size in (samples, examples))
        return self._rows(lambda shape, seed: sample(distribution, shape, seed), before, after, seed)

    def normal(self, shape: Sequence[int | Tensor], dtype: str = "float32") -> Tensor:
        """Return standard normal noise; the first axis of `shape` is the batch."""
        return self._rows(lambda shape, seed: normal(shape, seed, dtype), (), shape)

    def uniform(self, shape: Sequence[int | Tensor]) -> Tensor:
        """Return uniform noise in [0, 1), float32; the first axis of `shape` is the batch."""
        return self._rows(uniform, (), shape)

    def _rows(
        self, draw: Callable[..., Any], before: Sequence[Any], after: Sequence[Any], seed: Tensor | None = None
    ) -> Any:
        """Return this replica's rows of a draw of shape `(*before, batch, ...)`; `after` starts with the batch, if any.

        Stateless noise is in row-major order: `(*before, replicas, batch, ...)` holds the same noise as
        `(*before, replicas * batch, ...)`, the global batch.
        """
        seed, current = self.next() if seed is None else seed, replica()
        if current.count == 1:
            return draw((*before, *after), seed)
        of_all = draw((*before, current.count, *after), seed)
        return _tf.nest.map_structure(lambda rows: _tf.gather(rows, current.index, axis=len(before)), of_all)


# --- Divergences of TFP's distributions ---


def kl(posterior: tfd.Distribution, prior: tfd.Distribution) -> Tensor:
    """Return KL(posterior || prior) = E_posterior[log posterior(z) - log prior(z)], in closed form through TFP.

    For two products of independent dimensions the KL is a sum over dimensions, and is returned before summation: for
    diagonal Gaussians `0.5 * (mean**2 + var - log var - 1)` against N(0, I), equation 10 of Kingma and Welling 2014,
    https://arxiv.org/abs/1312.6114.

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
            f"The KL needs a closed form in TFP. Given: a posterior {posterior.name} and a prior {prior.name}, a pair "
            f"without one. Set analytic_kl = False in the variant: the KL is then estimated at the sample."
        ) from error


def sampled_kl(posterior: tfd.Distribution, prior: tfd.Distribution, z: Tensor) -> Tensor:
    """Return the one-sample estimate log posterior(z) - log prior(z), z from the posterior: unbiased, may be negative.

    Args:
      z: one draw for each example, `(batch, latent_dim)`.

    Returns:
      Shape `(batch, groups)`, as `kl`.
    """
    if is_product(posterior) and is_product(prior):
        return base_of(posterior).log_prob(z) - base_of(prior).log_prob(z)
    return ops.expand_dims(posterior.log_prob(z) - prior.log_prob(z), -1)


def base_of(distribution: tfd.Distribution) -> Any:
    """Return the base distribution of a `tfd.Independent` or a `tfd.TransformedDistribution`."""
    return cast(Any, distribution).distribution


def is_product(distribution: tfd.Distribution) -> bool:
    """Return whether a distribution is `tfd.Independent` over one axis: a product of independent dimensions."""
    return isinstance(distribution, tfd.Independent) and distribution.event_shape.rank == 1


# --- Operations that keras.ops lacks, or computes in other ways ---


def soft_bound(value: Tensor, low: float, high: float) -> Tensor:
    """Bound `value` to `(low, high)` smoothly: the identity well inside, levelling off at both ends.

    For a log variance: its exp neither overflows nor underflows, and the gradient is never exactly 0.
    """
    value = high - ops.softplus(high - value)
    return low + ops.softplus(value - low)


def argmax(values: Tensor, axis: int) -> Tensor:
    """Return the index of the largest value, the first of equals: int32.

    keras.ops.argmax would make Bitcast, which ONNX lacks.
    """
    return _tf.argmax(values, axis, output_type="int32")


def argmin(values: Tensor, axis: int) -> Tensor:
    """Return the index of the smallest value, the first of equals: int32.

    keras.ops.argmin would make ops that ONNX lacks.
    """
    return _tf.argmin(values, axis, output_type="int32")


def dtype_of(name: str) -> Any:
    """Return the backend's dtype of this name, as the constructor of a `tfd.Distribution` takes it."""
    return tf.as_dtype(name)


def outside_of_graphs() -> contextlib.AbstractContextManager[None]:
    """Return a context inside which operations run at once, also while a graph is traced."""
    return _tf.init_scope()


def broadcast_shape(first: tf.TensorShape, second: tf.TensorShape) -> tf.TensorShape:
    """Return the `TensorShape` that two shapes broadcast to."""
    return _tf.broadcast_static_shape(first, second)


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Return the SSIM of each pair of images in [0, 1], `(batch,)`."""
    return _tf.image.ssim(x, y, max_val=1.0)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Disable TensorFloat-32 inside the block, which some GPUs use for matrix products by default."""
    experimental = _tf.config.experimental
    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)
