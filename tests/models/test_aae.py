"""AAE: what each player minimises, which variables move, and codes that come to look like the prior's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.models import AAE
from tests.digits import assert_learned, digits, trained
from tests.models.equations import (
    X,
    assert_comes_back,
    assert_finite_whatever_the_last_batch,
    assert_refused,
    draw_seeds,
    gradient_of,
    losses_of,
    softplus,
    terms_of,
)
from tests.toys import compiled, mlp, same, toy, weights

CRITIC = mlp(activation="tanh")


def test_losses_by_hand():
    model = toy(AAE, weight=3.0, critic=CRITIC, dtype="float64")
    codes = model.encode(X)
    drawn = model.prior().sample(16, seed=draw_seeds(model, 2)[1])
    logit = lambda z: model.critic(z).numpy()[:, 0]  # noqa: E731
    reconstruction = -model.likelihood(codes).log_prob(X).numpy()
    losses = losses_of(model)
    assert losses["model"] == pytest.approx((reconstruction + 3 * softplus(-logit(codes))).mean(), rel=1e-12)
    assert losses["critic"] == pytest.approx((softplus(-logit(drawn)) + softplus(logit(codes))).mean(), rel=1e-12)
    np.testing.assert_allclose(terms_of(model).logs["fooling"], softplus(-logit(codes)), rtol=1e-12)


def test_the_critics_loss_gives_the_autoencoder_no_gradient():
    model = toy(AAE, critic=CRITIC)
    rest = model.encoder.trainable_variables + model.decoder.trainable_variables
    assert gradient_of(model, 1, rest) == [None] * len(rest)
    assert all(np.abs(gradient).max() > 0 for gradient in gradient_of(model, 1, model.critic.trainable_variables))


def test_fooling_moves_the_encoder_and_not_the_decoder():
    """The gradient of the weighted penalty alone: there for the encoder, None for the decoder."""
    model = toy(AAE, critic=CRITIC)
    with tf.GradientTape(persistent=True) as tape, model.draws.using((3, 4)):
        fooling = tf.reduce_mean(model.terms({"x": tf.constant(X)}, training=True).penalty)
    assert all(tape.gradient(fooling, v.value) is not None for v in model.encoder.trainable_variables)
    assert all(tape.gradient(fooling, v.value) is None for v in model.decoder.trainable_variables)


@pytest.mark.parametrize(("rates", "moved"), [((0.1, 0.0), (True, False)), ((0.0, 0.1), (False, True))])
def test_each_loss_moves_only_its_own_variables(rates, moved):
    optimizers = {"model": keras.optimizers.SGD(rates[0]), "critic": keras.optimizers.SGD(rates[1])}
    model = compiled(AAE, optimizers, critic=CRITIC)
    before = [[np.array(v) for v in player.variables] for player in model.players()]
    model.fit(X, batch_size=8, verbose=0)
    after = [[np.array(v) for v in player.variables] for player in model.players()]
    assert tuple(not same(a, b) for a, b in zip(before, after, strict=True)) == moved


def test_the_critic_calls_the_priors_draws_positive():
    """The autoencoder at rest with codes near (3, 3), the critic alone trained: it tells them apart, with this sign."""
    optimizers = {"model": keras.optimizers.SGD(0.0), "critic": keras.optimizers.Adam(0.02)}
    model = compiled(AAE, optimizers, critic=CRITIC)
    last = [layer for layer in model.encoder.stack.layers if isinstance(layer, keras.layers.Dense)][-1]
    last.bias.assign([3.0, 3.0])
    model.fit(np.tile(X, (150, 1, 1, 1)), batch_size=16, verbose=0)
    drawn = model.critic(model.prior().sample(200, seed=(0, 1))).numpy()
    codes = model.critic(tf.constant(model.encode(X))).numpy()
    assert np.mean(drawn > 0) > 0.9 and np.mean(codes < 0) > 0.9


def test_evaluation_leaves_the_critics_moving_averages_alone():
    """A critic with BatchNorm ran in training mode in evaluate too."""
    model = compiled(AAE, critic=mlp(batch_norm=True))
    model.fit(X, batch_size=8, verbose=0)
    before = weights(model)
    model.evaluate(X, batch_size=8, verbose=0)
    assert same(weights(model), before)


def test_a_last_batch_of_one_image():
    assert_finite_whatever_the_last_batch(compiled(AAE, critic=CRITIC))


def test_arguments():
    for wrong in (-1.0, float("nan"), float("inf"), "10", True):
        assert_refused(AAE, {"weight": wrong}, r"weight must be a finite number, 0 or more\. Given: ")
    assert_refused(AAE, {"beta": 2.0}, r"AAE has no use for beta\.")
    assert_refused(AAE, {"critic": {"name": "mpl"}}, r"Unknown critic 'mpl'.*Did you mean 'mlp'")
    wide = keras.Sequential([keras.layers.Dense(2)])
    assert_refused(AAE, {"critic": wide}, r"The critic must map \(batch, 2\) to \(batch, 1\).*Given: .*\(batch, 2\)")
    assert_comes_back(toy(AAE, weight=2.0, critic=CRITIC), weight=2.0, critic=CRITIC)


def test_it_learns_digits_and_codes_like_the_priors():
    """Without the critic the deviations of the codes are 4 to 6, mean |log| 1.6, after as many steps."""
    optimizer = {"model": keras.optimizers.Adam(1e-2), "critic": keras.optimizers.Adam(5e-3)}
    model = trained(AAE, weight=5.0, critic={"name": "mlp", "hidden": (64,)}, optimizer=optimizer)
    assert_learned(model)
    assert np.abs(np.log(model.encode(digits().held_out_x).std(0))).mean() < 0.8
    assert model.sample(4).shape == (4, 28, 28, 1)
