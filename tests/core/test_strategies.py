"""MirroredStrategy on two logical CPUs against one device. They are configured before TensorFlow starts: a process."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
    import json, warnings
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    import keras, numpy as np
    from keras_vae.models import VAE, AnnealedVAE
    from tests import toys
    from tests.toys import binary, degenerate, toy

    x, report = binary(64), {}
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def made(scope, likelihood="bernoulli"):
        with scope:
            model = degenerate(toy(likelihood=likelihood))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.compile(keras.optimizers.SGD(0.05), steps_per_execution=4)
        report.setdefault("warnings", []).append([str(w.message) for w in caught if "devices" in str(w.message)])
        return model

    two = made(strategy.scope(), {"name": "gaussian", "scale": "global"})
    report["options"] = [two.jit_compile, two.steps_per_execution]
    one = toy(likelihood={"name": "gaussian", "scale": "global"})
    degenerate(one)
    one.compile(keras.optimizers.SGD(0.05), **toys.PLAIN)
    data = lambda: tf.data.Dataset.from_tensor_slices({"x": x}).batch(16)
    histories = [model.fit(data(), epochs=2, verbose=0).history for model in (one, two)]
    report["difference"] = max(float(np.abs(a - b).max()) for a, b in zip(toys.weights(one), toys.weights(two)))
    report["steps"] = [int(one.step.numpy()), int(two.step.numpy())]
    report["losses"] = [history["loss"] for history in histories]
    report["evaluations"] = [model.evaluate(data(), verbose=0, return_dict=True) for model in (one, two)]

    with strategy.scope():
        noisy = toy()
    def draw():
        from keras_vae import randomness
        context = tf.distribute.get_replica_context()
        seed = randomness.fold(randomness.seed_of(0, 1), noisy.step, context.replica_id_in_sync_group)
        with noisy.draws.using(seed):
            return noisy.posterior(x[:4]).sample(seed=noisy.draws.next())
    first, second = (np.asarray(value) for value in strategy.run(draw).values)
    report["noise_differs"] = not np.allclose(first, second)
    # The KL of dark images on one replica, of bright ones on the other; a decoder that reads no code adds no noise.
    halves = np.concatenate([np.zeros((8, *toys.SHAPE)), np.ones((8, *toys.SHAPE))]).astype("float32")

    def encoder_after_a_step(scope, cls, **arguments):
        with scope:
            model = toy(cls, dtype="float64", **arguments)
            model.encoder.set_weights([3.0 * weight for weight in model.encoder.get_weights()])
            model.decoder.set_weights([0.0 * weight for weight in model.decoder.get_weights()])
            model.compile(keras.optimizers.SGD(0.01), **toys.PLAIN)
        kl = model.functions.kl({"x": tf.constant(halves, "float64")}, (0, 1)).numpy()
        model.fit(tf.data.Dataset.from_tensor_slices({"x": halves}).batch(16), verbose=0)
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
    """Same global batches, SGD, and a posterior whose noise is exp(-10) of a unit: equal to 1e-5."""
    assert report["difference"] < 1e-5
    assert report["steps"] == [8, 8]


def test_losses_and_evaluations_agree(report):
    for one, two in zip(*report["losses"], strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    one, two = report["evaluations"]
    assert {name: pytest.approx(value, rel=1e-4) for name, value in one.items()} == two


@pytest.mark.parametrize("what", ["capacity", "free bits"])
def test_the_mean_kl_is_that_of_both_replicas(report, what):
    """abs(mean KL - C) and max(kappa, mean KL), where C lies between the means of the two halves: float64, one step.

    With a mean for each replica the halves would pull apart, or one of them not at all.
    """
    found = report[what]
    assert min(found["means"]) < found["between"] < max(found["means"])
    assert found["difference"] < 1e-12 < 1e-3 < found["moved"]


def test_xla_and_several_steps_are_turned_off_and_said_once(report):
    assert report["options"] == [False, 1]
    assert len(report["warnings"][0]) == 1
    assert "can neither compile the step with XLA nor run several steps" in report["warnings"][0][0]


def test_replicas_draw_noise_of_their_own(report):
    assert report["noise_differs"]
