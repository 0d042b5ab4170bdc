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
    from tests.conformance.test_distribution import AS_ONE_DEVICE, NARROW_PRIOR, SETTLED

    # BatchNorm takes its statistics from each replica's part, as Keras has it: networks without.
    networks = {role: toys.mlp(activation="tanh") for role in ("encoder", "decoder", "critic", "classifier")}
    perceptrons = {role for role, spec in CASES[name].items() if isinstance(spec, dict) and spec["name"] == "mlp"}
    arguments = CASES[name] | {role: spec for role, spec in networks.items() if role in perceptrons}
    arguments["dtype"] = "float64"  # a large weight makes much of float32's rounding in four steps

    def make(settled: bool) -> Any:
        if not settled:
            return MODELS[name](**arguments)
        cls = with_narrow_prior(MODELS[name]) if name in NARROW_PRIOR else MODELS[name]
        model = cls(**{**arguments, **SETTLED.get(name, {})})
        drawn = model.stochastic and not hasattr(model, "code_shape")  # codes of whole numbers are not drawn
        return toys.degenerate(model) if drawn else model

    def data(model: Any) -> Any:
        return tf.data.Dataset.from_tensor_slices(columns(model)).batch(BATCH)

    def trained(scope: Any, settled: bool) -> Any:
        with scope, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = make(settled)
            model.compile(keras.optimizers.SGD(RATE), **toys.PLAIN)
        history = model.fit(data(model), verbose=0).history
        return model, all(np.isfinite(values).all() for values in history.values())

    def differences(first: Any, second: Any) -> list[float]:
        return [float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(first, second, strict=True)]

    two, finite = trained(strategy.scope(), settled=False)
    copies = [[np.asarray(each) for each in getattr(weight.value, "values", [weight.value])] for weight in two.weights]
    by_hand = mean_of_parts(make(settled=False), data)
    found = {
        "finite": finite,
        "replicas": len(copies[0]),
        "equal on both": all(np.array_equal(copy, held[0]) for held in copies for copy in held),
        "moved": min(differences(two.trainable_variables, make(settled=False).trainable_variables)),
        "from parts": max(differences(two.weights, by_hand.weights)),
        "noise differs": noise_differs(two, strategy),
    }
    if name in AS_ONE_DEVICE:
        pair = [trained(scope, settled=True)[0] for scope in (strategy.scope(), tf.distribute.get_strategy().scope())]
        found["from one device"] = max(differences(*(each.weights for each in pair)))
    return found


def columns(model: Any) -> dict[str, Any]:
    """The examples of conformance, and labels for models that are conditional."""
    from tests.conformance.cases import examples, labels

    given = {"x": examples(model).astype(model.x_spec().dtype), "y": labels(model)}
    return {key: value for key, value in given.items() if value is not None}


def mean_of_parts(model: Any, data: Any) -> Any:
    """One device doing what two replicas do: each half of a batch with its replica's noise, the mean of their losses.

    What a loss compares with the mean over the batch, by `batch_mean`, it compares with the mean over both halves.
    """
    import tensorflow as tf

    from keras_vae import randomness
    from keras_vae.core import Terms
    from keras_vae.models import VAE

    base, players = randomness.seed_of(model.seed, randomness.TRAINING), model.players()
    moves = type(model).after_step is not VAE.after_step

    @tf.function(autograph=False)
    def both_parts(halves: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            pairs = []
            for replica, half in enumerate(halves):
                with model.draws.using(randomness.fold(base, model.step, replica)):
                    pairs.append((model.terms(half, training=True), half))
            losses = [mean_loss(model, player, pairs) for player in players]
        gradients = [
            tape.gradient(loss, [variable.value for variable in player.variables])
            for player, loss in zip(players, losses, strict=True)
        ]
        caches = [terms.cache if moves else {} for terms, _ in pairs]
        return [[tf.convert_to_tensor(each) for each in own] for own in gradients], caches

    for batch in data(model):
        halves = [{key: value[place : place + BATCH // 2] for key, value in batch.items()} for place in (0, BATCH // 2)]
        gradients, caches = both_parts(halves)
        for player, own in zip(players, gradients, strict=True):
            for variable, gradient in zip(player.variables, own, strict=True):
                variable.assign_sub(RATE * gradient)
        if moves:
            model.after_step(Terms(None, None, cache=joined(*caches)))
        model.step.assign_add(1)
    return model


def mean_loss(model: Any, player: Any, pairs: Any) -> Any:
    """The mean of a player's losses on both halves, `batch_mean` being that of both: once to see what they ask it."""
    from unittest import mock

    import tensorflow as tf

    asked = []
    with mock.patch.object(model, "batch_mean", lambda values: asked.append(values) or tf.reduce_mean(values, axis=0)):
        losses = [player.loss(*pair) for pair in pairs]
    if not asked:
        return sum(losses) / 2
    count = len(asked) // 2
    means = [tf.reduce_mean(tf.concat(each, axis=0), axis=0) for each in zip(asked[:count], asked[count:], strict=True)]
    losses = []
    for pair in pairs:
        with mock.patch.object(model, "batch_mean", mock.Mock(side_effect=means)):
            losses.append(player.loss(*pair))
    return sum(losses) / 2


def joined(first: Any, *others: Any) -> Any:
    """What the replicas' caches hold, of all of them; candidates for dead entries are the first replica's."""
    import tensorflow as tf

    if isinstance(first, dict):
        return {
            key: value if key == "candidates" else joined(value, *(each[key] for each in others))
            for key, value in first.items()
        }
    if isinstance(first, list):
        return [joined(*each) for each in zip(first, *others, strict=True)]
    return tf.concat([first, *others], axis=0)


def with_narrow_prior(cls: Any) -> Any:
    """A variant of the model, p(z) = N(0, 1e-10 I): what it draws from the prior for a critic has no noise."""
    from tensorflow_probability import distributions as tfd

    class Narrow(cls):
        def prior(self, condition: Any = None, training: bool = False) -> Any:
            wide = super().prior(condition, training).distribution
            return tfd.Independent(tfd.Normal(wide.loc, 1e-5 * wide.scale), 1)

    return Narrow


def noise_differs(model: Any, strategy: Any) -> bool:
    """Whether two replicas have other losses for the same images."""
    import numpy as np
    import tensorflow as tf

    from keras_vae import randomness

    batch = {key: tf.constant(value[:BATCH]) for key, value in columns(model).items()}

    def losses() -> Any:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = randomness.fold(randomness.seed_of(0, randomness.TRAINING), 0, replica)
        with model.draws.using(seed):
            terms = model.terms(batch, training=False)
        return sum(player.loss(terms) for player in model.players())

    first, second = (float(np.asarray(value)) for value in strategy.run(losses).values)
    return abs(first - second) > 1e-6 * abs(first)


if __name__ == "__main__":
    main(sys.argv[1:])
