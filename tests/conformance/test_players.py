"""Every trainable variable has one player, whose loss gives it a gradient, by which a step moves it."""

import keras
import numpy as np
import tensorflow as tf

from keras_vae import randomness
from tests import toys
from tests.conformance.cases import every_model, examples, labels, make


@every_model
def test_a_step_is_the_gradient_of_the_players_own_loss(name):
    """By SGD of rate 1, with weight decay: Keras's L2 is factor * sum(w**2), of each player for its own variables."""
    model = make(name)
    kernels = [network for network in model._flatten_layers() if hasattr(network, "kernel")]
    decayed = {id(layer.kernel) for layer in kernels if isinstance(layer, keras.layers.Dense)}
    for layer in kernels:
        if id(layer.kernel) in decayed:
            layer.kernel.regularizer = keras.regularizers.L2(0.1)
    model.compile({player.name: keras.optimizers.SGD(1.0) for player in model.players()}, **toys.PLAIN)
    y = labels(model)
    batch = {"x": tf.constant(examples(model))} | ({} if y is None else {"y": tf.constant(y)})
    owned = [variable for player in model.players() for variable in player.variables]
    assert len(owned) == len({id(variable) for variable in owned}) == len(model.trainable_variables)
    # The seed of a training step, by its documentation: of (seed, step).
    seed = randomness.fold(randomness.seed_of(model.seed, randomness.TRAINING), 0)
    with model.draws.using(seed), tf.GradientTape(persistent=True) as tape:
        terms = model.terms(batch, training=True)
        losses = [player.loss(terms) for player in model.players()]
    expected = []
    for player, loss in zip(model.players(), losses, strict=True):
        for variable, gradient in zip(player.variables, tape.gradient(loss, values(player)), strict=True):
            assert gradient is not None, variable.path
            gradient = np.array(tf.convert_to_tensor(gradient))  # an embedding's is sparse
            assert np.abs(gradient).max() > 0, variable.path
            decay = 0.2 * np.array(variable) if id(variable) in decayed else 0.0
            expected.append(np.array(variable) - gradient - decay)
    model.train_step(batch)
    for variable, value in zip(owned, expected, strict=True):
        # float32, sums in another order
        np.testing.assert_allclose(variable, value, rtol=1e-4, atol=1e-5, err_msg=variable.path)


def values(player):
    return [variable.value for variable in player.variables]
