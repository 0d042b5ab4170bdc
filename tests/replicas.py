"""Two logical CPUs under MirroredStrategy against one device: a program, as TensorFlow is told of them when it starts.

`python -m tests.replicas VAE VQVAE` prints what it found of each model, as JSON after "REPORT".
"""

import json
import sys
import traceback
import warnings
from typing import Any

BATCH, RATE = 12, 2**-5  # of the 48 examples: 4 steps; of a rate that no float rounds


def main(names: list[str]) -> None:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    for name in names:
        try:
            found[name] = report(name, strategy)
        except Exception:  # of one model: the others are tested all the same
            found[name] = {"error": traceback.format_exc()}
    print("REPORT" + json.dumps(found))


def report(name: str, strategy: Any) -> dict[str, Any]:
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_vae.models import MODELS
    from tests import toys
    from tests.conformance.cases import CASES

    # BatchNorm takes its statistics from each replica's part, as Keras has it: networks without.
    networks = {role: toys.mlp(activation="tanh") for role in ("encoder", "decoder", "critic", "classifier")}
    perceptrons = {role for role, spec in CASES[name].items() if isinstance(spec, dict) and spec["name"] == "mlp"}
    arguments = CASES[name] | {role: spec for role, spec in networks.items() if role in perceptrons}
    arguments["dtype"] = "float64"  # a large weight makes much of float32's rounding in four steps

    def data(model: Any) -> Any:
        return tf.data.Dataset.from_tensor_slices(columns(model)).batch(BATCH, drop_remainder=True)

    def trained(scope: Any) -> Any:
        with scope, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = MODELS[name](**arguments)
            model.compile(keras.optimizers.SGD(RATE), **toys.PLAIN)
        history = model.fit(data(model), verbose=0).history
        return model, all(np.isfinite(values).all() for values in history.values())

    def differences(first: Any, second: Any) -> list[float]:
        return [float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(first, second, strict=True)]

    two, finite = trained(strategy.scope())
    copies = [[np.asarray(each) for each in getattr(weight.value, "values", [weight.value])] for weight in two.weights]
    one, _ = trained(tf.distribute.get_strategy().scope())
    found = {
        "finite": finite,
        "replicas": len(copies[0]),
        "equal on both": all(np.array_equal(copy, held[0]) for held in copies for copy in held),
        "moved": min(differences(two.trainable_variables, MODELS[name](**arguments).trainable_variables)),
        "from one device": max(differences(two.weights, one.weights)),
    }
    return found


def columns(model: Any) -> dict[str, Any]:
    """The examples of conformance, and labels for models that are conditional."""
    from tests.conformance.cases import examples, labels

    given = {"x": examples(model).astype(model.x_spec().dtype), "y": labels(model)}
    return {key: value for key, value in given.items() if value is not None}


if __name__ == "__main__":
    main(sys.argv[1:])
