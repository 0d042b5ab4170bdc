"""MirroredStrategy on two logical CPUs against one device. They are configured before TensorFlow starts: a process."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow  # of workers, whose way is the same: tests/core/test_workers.py
SCRIPT = """
    import json, warnings
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    import keras, numpy as np
    from keras_vae import backend
    from keras_vae.models import VAE, AnnealedVAE, FlowVAE
    from tests import toys
    from tests.toys import binary, toy

    x, report = binary(64), {}
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def made(scope, likelihood="bernoulli"):
        with scope:
            model = toy(likelihood=likelihood, dtype="float64")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.compile(keras.optimizers.SGD(0.05), jit_compile=True, steps_per_execution=4)
        report.setdefault("warnings", []).append([str(w.message) for w in caught if "devices" in str(w.message)])
        return model

    two = made(strategy.scope(), {"name": "gaussian", "scale": "global"})
    report["options"] = [two.jit_compile, two.steps_per_execution]
    one = toy(likelihood={"name": "gaussian", "scale": "global"}, dtype="float64")
    one.compile(keras.optimizers.SGD(0.05), **toys.PLAIN)
    data = lambda: tf.data.Dataset.from_tensor_slices({"x": x}).batch(16, drop_remainder=True)
    histories = [model.fit(data(), epochs=2, verbose=0).history for model in (one, two)]
    report["difference"] = max(float(np.abs(a - b).max()) for a, b in zip(toys.weights(one), toys.weights(two)))
    report["steps"] = [int(one.step.numpy()), int(two.step.numpy())]
    report["losses"] = [history["loss"] for history in histories]
    report["evaluations"] = [model.evaluate(data(), verbose=0, return_dict=True) for model in (one, two)]

    # Weights of examples without labels, and free bits, which are on the mean of the weighted KL of both replicas.
    columns = (x, (np.arange(64) % 5).astype("float32"))
    batches = lambda: tf.data.Dataset.from_tensor_slices(columns).batch(16, drop_remainder=True)
    pair = []
    for scope in (tf.distribute.get_strategy().scope(), strategy.scope()):
        with scope:
            model = toy(dtype="float64", free_bits=0.02)
            model.compile(keras.optimizers.SGD(0.05), **toys.PLAIN)
        pair.append((model.fit(batches().map(lambda x, w: (x, None, w)), verbose=0).history, toys.weights(model)))
    report["weighted"] = [history for history, _ in pair]
    report["weighted difference"] = max(float(np.abs(a - b).max()) for a, b in zip(pair[0][1], pair[1][1]))

    spoiled = x.copy()
    spoiled[47, 0, 0, 0] = 3.0
    try:
        two.evaluate(tf.data.Dataset.from_tensor_slices({"x": spoiled}).batch(16), verbose=0)
    except ValueError as error:
        report["refusal"] = str(error)
    try:
        two.fit(tf.data.Dataset.from_tensor_slices({"x": x}).batch(15, drop_remainder=True), verbose=0)
    except ValueError as error:
        report["odd"] = str(error)
    try:
        two.fit(tf.data.Dataset.from_tensor_slices({"x": x}).batch(16), verbose=0)
    except ValueError as error:
        report["ragged"] = str(error)

    # Every way to draw, of four examples on one device, and of two on each replica.
    def drawn(examples):
        draws = backend.Draws()
        with draws.using((3, 4)):
            index = 0 if examples == 4 else backend.replica().index
            rows = tf.gather(x[:4].reshape(-1, examples, *x.shape[1:]), index)
            posterior, prior = one.posterior(rows), one.prior()
            flow = planar.posterior(rows)
            z = draws.sample(flow)
            return {
                "posterior": (draws.sample(posterior), 0),
                "several": (draws.sample(posterior, 3), 1),
                "prior": (draws.sample(prior, examples=examples), 0),
                "several of the prior": (draws.sample(prior, 3, examples), 1),
                "flow": (z, 0),
                "density of a draw": (flow.log_prob(z), 0),
                "normal": (draws.normal((examples, 5), "float64"), 0),
                "uniform": (draws.uniform((examples, 5)), 0),
                "of no example": (draws.next(), None),
            }

    planar = toy(FlowVAE, flow="planar", depth=2, dtype="float64")
    whole, parts = drawn(4), strategy.run(lambda: drawn(2))
    report["draws"] = {}
    for name, (value, axis) in whole.items():
        values = [np.asarray(each) for each in parts[name][0].values]
        joined = values[0] if axis is None else np.concatenate(values, axis=axis)
        same = bool(np.abs(joined - np.asarray(value)).max() < 1e-12)
        report["draws"][name] = [same, axis is None or not np.array_equal(*values)]
    # The KL of dark images on one replica, of bright ones on the other; a decoder that reads no code adds no noise.
    halves = np.concatenate([np.zeros((8, *toys.SHAPE)), np.ones((8, *toys.SHAPE))]).astype("float32")

    def encoder_after_a_step(scope, cls, **arguments):
        with scope:
            model = toy(cls, dtype="float64", **arguments)
            model.encoder.set_weights([3.0 * weight for weight in model.encoder.get_weights()])
            model.decoder.set_weights([0.0 * weight for weight in model.decoder.get_weights()])
            model.compile(keras.optimizers.SGD(0.01), **toys.PLAIN)
        kl = model.functions.kl({"x": tf.constant(halves, "float64")}, (0, 1)).numpy()
        model.fit(tf.data.Dataset.from_tensor_slices({"x": halves}).batch(16, drop_remainder=True), verbose=0)
        return kl, model.encoder.get_weights()

    one_device = tf.distribute.get_strategy()
    for name, cls, arguments_of in (
        ("capacity", AnnealedVAE, lambda c: {"gamma": 1.0, "capacity": c}),
        ("free bits", VAE, lambda c: {"free_bits": c, "free_bits_on": "total"}),
    ):
        kl, start = encoder_after_a_step(one_device.scope(), cls, **arguments_of(0.0))
        means = kl.sum(-1).reshape(2, 8).mean(1)
        # Between the halves' means, and on the side of it where the whole batch has a gradient.
        between = float(means.mean() - 0.2 * np.abs(means[1] - means[0]))
        pair = [encoder_after_a_step(scope, cls, **arguments_of(between))[1]
                for scope in (one_device.scope(), strategy.scope())]
        away = lambda a, b: max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))
        still = toy(cls, dtype="float64", **arguments_of(between)).encoder.get_weights()
        report[name] = {"means": list(means), "between": between, "difference": away(*pair),
                        "moved": away(pair[0], [3.0 * weight for weight in still])}
    print("REPORT" + json.dumps(report))
"""


@pytest.fixture(scope="module")
def report():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.split("REPORT")[1])


def test_two_devices_train_to_the_weights_of_one(report):
    """Same global batches, SGD, and the noise of the same examples. In float64 sums in another order cost 1e-15."""
    assert report["difference"] < 1e-10
    assert report["steps"] == [8, 8]


def test_losses_and_evaluations_agree(report):
    for one, two in zip(*report["losses"], strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    one, two = report["evaluations"]
    assert {name: pytest.approx(value, rel=1e-4) for name, value in one.items()} == two


def test_weights_of_examples_are_those_of_one_device(report):
    assert report["weighted difference"] < 1e-12
    one, two = report["weighted"]
    assert {name: pytest.approx(values, rel=1e-5) for name, values in one.items()} == two


def test_bad_data_are_named_by_their_batch(report):
    message = "Batch 2 of the data, counted from 0: Pixels of x must lie in [0, 1]. Given: values from 0 to 3; "
    assert report["refusal"].startswith(message)


def test_batches_that_devices_do_not_divide_are_refused(report):
    assert "1 workers of 2 devices, and a _OptionsDataset with batches of 15 examples. Batch with" in report["odd"]
    assert "batches of unknown examples" in report["ragged"]


@pytest.mark.parametrize("what", ["capacity", "free bits"])
def test_the_mean_kl_is_that_of_both_replicas(report, what):
    """abs(mean KL - C) and max(kappa, mean KL), where C lies between the means of the two halves: float64, one step.

    With a mean for each replica the halves would pull apart, or one of them not at all.
    """
    found = report[what]
    assert min(found["means"]) < found["between"] < max(found["means"])
    assert found["difference"] < 1e-12 < 1e-3 < found["moved"]


def test_several_steps_run_in_one_call_and_xla_is_for_gpus(report):
    assert report["options"] == [False, 4]
    (warning,) = report["warnings"][0]
    assert "compiles the step of several devices with XLA where all are GPUs" in warning


def test_replicas_draw_their_rows_of_the_noise_of_one_device(report):
    for name, (same, differ) in report["draws"].items():
        assert same, name
        assert differ, f"{name}: no two examples share noise"
