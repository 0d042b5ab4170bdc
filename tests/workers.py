"""Workers of a `MultiWorkerMirroredStrategy`: processes of this machine that `TF_CONFIG` tells of each other.

`python -m tests.workers VAE VQVAE` trains toys of them as one of the workers, and prints what came of it, as JSON after
"REPORT". Batch normalisation and all, in float64. `VAE+weights` has weights of its examples.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BATCH, RATE = 12, 2**-5  # of the 48 examples: 4 steps
WEIGHTS = [float(index % 4) for index in range(48)]


@contextlib.contextmanager
def started(command: Sequence[str], count: int, **options: Any) -> Iterator[list[subprocess.Popen[str]]]:
    """Start a command of Python as each of `count` workers; those that still run at the end are killed."""
    with contextlib.ExitStack() as sockets:
        bound = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in bound]
    processes = []
    try:
        for index in range(count):
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
                "TF_CONFIG": json.dumps(config),
                "TF_CPP_MIN_LOG_LEVEL": "3",  # without a card TensorFlow says so, as an error
            }
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            processes.append(subprocess.Popen([sys.executable, *command], env=environment, **{**pipes, **options}))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def main(names: list[str]) -> None:
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    reports: dict[str, Any] = {name: report(name, strategy) for name in names}
    reports["refusals"] = refusals(strategy)
    print("REPORT" + json.dumps(reports))


def trained(name: str, strategy: Any, epochs: int = 2) -> tuple[Any, dict[str, list[float]]]:
    """A toy after some epochs of SGD, and its history, of training and of validation in batches that no worker count
    divides."""
    import keras
    import tensorflow as tf

    from keras_vae.models import MODELS
    from tests import toys
    from tests.conformance.cases import CASES
    from tests.replicas import columns

    name, _, weights = name.partition("+")
    with strategy.scope():
        model = MODELS[name](**CASES[name], dtype="float64")
        model.compile(keras.optimizers.SGD(RATE), **(toys.PLAIN | {"steps_per_execution": 2}))
    data = tf.data.Dataset.from_tensor_slices(columns(model) | ({"sample_weight": WEIGHTS} if weights else {}))
    history = model.fit(
        data.batch(BATCH, drop_remainder=True), validation_data=data.batch(7), epochs=epochs, verbose=0
    ).history
    return model, history


def report(name: str, strategy: Any) -> dict[str, Any]:
    from tests import toys

    model, history = trained(name, strategy)
    weights = [weight.tolist() for weight in toys.weights(model)]
    return {"weights": weights, "history": history, "predicted": predicted(model).tolist()}


def predicted(model: Any) -> Any:
    from tests import toys

    return model.predict(toys.binary(5), verbose=0)


def refusals(strategy: Any) -> dict[str, str]:
    """What every worker says of data that only the last one reads, and of batches that cannot be divided."""
    import tensorflow as tf

    from keras_vae.errors import UserError
    from tests import toys

    with strategy.scope():
        model = toys.compiled()
    spoiled = toys.binary(36)
    spoiled[23, 0, 0, 0] = 3.0
    data, messages = tf.data.Dataset.from_tensor_slices({"x": spoiled}), {}
    for what, batches in (
        ("spoiled", data.batch(12, drop_remainder=True)),
        ("ragged", data.batch(12)),
        ("odd", data.batch(11, drop_remainder=True)),
    ):
        try:
            model.fit(batches, verbose=0)
        except UserError as error:
            messages[what] = str(error)
    return messages


if __name__ == "__main__":
    main(sys.argv[1:])
