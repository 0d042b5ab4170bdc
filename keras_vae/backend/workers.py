"""Workers: the processes that train one model together, and steps that run in all replicas of a strategy."""

import contextlib
import functools
import json
import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import tensorflow as tf

from keras_vae.backend import Replica, Strategy
from keras_vae.errors import UserError
from keras_vae.types import Tensor

_tf = cast(Any, tf)  # TensorFlow's bundled stubs lack its experimental names

_Result = TypeVar("_Result")


def of_environment() -> Replica:
    """Return which of the workers that the variable TF_CONFIG names this process is; without it, the only one.

    Raises:
      UserError: TF_CONFIG is not of workers.
    """
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        jobs = {str(job): len(hosts) for job, hosts in config.get("cluster", {}).items()}
        job, index = (str(config["task"]["type"]), int(config["task"]["index"])) if jobs else ("worker", 0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'TF_CONFIG is JSON, {{"cluster": {{"worker": ["HOST:PORT", ...]}}, "task": {{"type": "worker", "index": '
            f"0}}}}. Given: {os.environ['TF_CONFIG']}. Set it so on each worker, or unset it."
        ) from error
    if jobs and (not jobs.keys() <= {"chief", "worker"} or not 0 <= index < jobs.get(job, 0)):
        raise UserError(
            f"TF_CONFIG has a cluster of workers, and a chief at most, and names one of them. Given: {jobs}, and the "
            f"task {job} {index}. Change it, or unset it."
        )
    return Replica(index + (jobs.get("chief", 0) if job == "worker" else 0), max(1, sum(jobs.values())))


@functools.cache
def join() -> Strategy | None:
    """Return the strategy of the workers of TF_CONFIG, once all of them are there; None for a process alone.

    Raises:
      UserError: TF_CONFIG is not of workers, or TensorFlow has computed something.
    """
    if of_environment().count == 1:
        return None
    try:
        return _tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            f"Workers meet before TensorFlow computes anything. Given: {str(error).splitlines()[0]} Begin the program "
            f"with the call."
        ) from error


def strategy_of(devices: int | str, batch_size: int) -> Strategy | None:
    """Return the strategy of what trains one model together; None for one device.

    Args:
      devices: of this machine, the first ones of its GPUs, or of its processors if it has none; "all": all of these.
        The workers of TF_CONFIG take all of theirs.
      batch_size: of all devices together.

    Raises:
      UserError: as `join`, or devices that there are not, or that do not share a batch evenly.
    """
    if of_environment().count > 1:
        if devices not in (1, "all"):
            raise UserError(
                f"Workers of TF_CONFIG train on all devices of their machines. Given: devices = {devices}. Leave it "
                f"out, or unset TF_CONFIG."
            )
        return join()
    if devices == 1:
        return None
    present = _tf.config.list_logical_devices("GPU") or _tf.config.list_logical_devices("CPU")
    count = len(present) if isinstance(devices, str) else devices
    if count > len(present):
        raise UserError(
            f"A training runs on devices that the machine has. Given: devices = {devices}, and {len(present)} "
            f'{present[0].device_type} here. Set devices = {len(present)}, or "all"; keras-vae doctor lists devices.'
        )
    if batch_size % count:
        raise UserError(
            f"Devices share each batch evenly. Given: batch_size = {batch_size}, and {count} devices. Set batch_size "
            f"to a multiple of {count}, or other devices."
        )
    return None if count == 1 else _mirrored(*(device.name for device in present[:count]))


@functools.cache  # two over the same devices would number their collectives alike, and TensorFlow mixes them up
def _mirrored(*devices: str) -> Strategy:
    return _tf.distribute.MirroredStrategy(devices)


@contextlib.contextmanager
def going_together(strategy: Strategy | None) -> Iterator[None]:
    """Raise what TensorFlow raises in the block where another process of a strategy has ended as a UserError."""
    errors = _tf.errors
    lost = (
        *(errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError),
        *(errors.InternalError, errors.FailedPreconditionError),
    )
    try:
        yield
    except lost as error:
        if current(strategy).count == 1:
            raise
        # Where TensorFlow failed it left a pool of threads open, which prints a traceback if it goes with the process.
        traceback.clear_frames(error.__traceback__)
        raise UserError(
            f"Workers go on together, and one of them has ended. Given: {type(error).__name__} here, in worker "
            f"{current(strategy).index}. Look into the output of the others, and start all of them again: keras-vae "
            f"train goes on from the last checkpoint."
        ) from error


def gathered(strategy: Strategy | None, number: int) -> list[int]:
    """Return the numbers that all workers call this with, in their order."""
    if strategy is None:
        return [number]
    with going_together(strategy):
        return strategy.gather(_tf.constant([number]), axis=0).numpy().tolist()


def current(strategy: Strategy | None) -> Replica:
    """Return which of the processes of a strategy this is, and their number; the chief is the first."""
    local = 1 if strategy is None else len(strategy.extended.worker_devices)
    if strategy is None or strategy.num_replicas_in_sync == local:
        return Replica(0, 1)
    numbers = strategy.experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
    first = int(strategy.experimental_local_results(numbers)[0])
    return Replica(first // local, strategy.num_replicas_in_sync // local)


def compiles_replicas(strategy: Strategy) -> bool:
    """Return whether TensorFlow compiles what the replicas of a strategy run with XLA: where all devices are GPUs."""
    return all("GPU" in device for device in strategy.extended.worker_devices)


def on_replicas(
    strategy: Strategy,
    step: Callable[[Any], object],
    logs: Callable[[], _Result],
    steps: int,
    share: bool,
    jit: bool = False,
) -> Callable[[Any], _Result]:
    """Return a function that runs `step` on the next `steps` batches of an iterator, in every replica, in one call.

    Keras's own fails: it compiles all replicas as one, and reduces logs over workers as if they were no scalars.

    Args:
      strategy: of several replicas.
      step: takes a batch.
      logs: returns what a replica has logged after the last step.
      steps: batches of a call. The iterator has so many left, or none: its end would cut a step of other workers off.
      share: a batch is shared among the replicas of this process; otherwise each of them has the whole.
      jit: compile the step with XLA.
    """
    local = len(strategy.extended.worker_devices)

    def on_rows(batch: object) -> None:
        if share and local > 1:
            index = _tf.distribute.get_replica_context().replica_id_in_sync_group % local

            def rows(column: Tensor) -> Tensor:
                size = -(-_tf.shape(column)[0] // local)
                return column[index * size : (index + 1) * size]

            batch = _tf.nest.map_structure(rows, batch)
        step(batch)

    in_replica = _tf.function(on_rows, autograph=False, jit_compile=True if jit else None)

    def one(count: Tensor | int, iterator: tf.data.Iterator) -> Tensor | int:
        strategy.run(in_replica, (iterator.get_next(),))
        return count + 1

    def several(iterator: tf.data.Iterator) -> Any:
        if steps == 1:
            one(0, iterator)
        else:
            _tf.while_loop(lambda count: count < steps, lambda count: one(count, iterator), [0], parallel_iterations=1)
        return _tf.nest.map_structure(lambda log: strategy.experimental_local_results(log)[0], strategy.run(logs))

    return _tf.function(several, autograph=False, reduce_retracing=True)


def repeated(function: Callable[[Any], _Result], times: int) -> Callable[[Any], _Result]:
    """Return a function that calls `function` with an iterator several times, or until that has no more batches."""

    def call(iterator: tf.data.Iterator) -> _Result:
        result = function(iterator)
        with contextlib.suppress(_tf.errors.OutOfRangeError):
            for _ in range(times - 1):
                result = function(iterator)
        return result

    return call
