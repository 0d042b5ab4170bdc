"""FactorVAE: who sees which half of the batch, what is permuted, whose gradient goes where, what the critic says."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import backend
from keras_vae.errors import UserError
from keras_vae.models import VAE, FactorVAE, factor_vae
from keras_vae.models.factor_vae import _permuted
from tests.digits import assert_learned, trained
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
from tests.toys import binary, compiled, mlp, same, toy

CRITIC = mlp(activation="tanh")


class TestPermutation:
    Z = tf.reshape(tf.range(50.0 * 3), (50, 3))

    def test_each_column_is_permuted_on_its_own_across_the_batch(self):
        permuted = _permuted(self.Z, (1, 2)).numpy()
        for column in range(3):
            assert sorted(permuted[:, column]) == list(self.Z[:, column].numpy()), "the same numbers, in their column"
        orders = [tuple(permuted[:, column] // 3) for column in range(3)]
        assert len(set(orders)) == 3, "each column in an order of its own"
        assert all(order != tuple(range(50)) for order in orders)

    def test_every_place_is_as_likely(self):
        """Where the first of 4 goes in 4,000 columns: 1,000 times to each place, within 5 standard errors of 27."""
        z = tf.broadcast_to(tf.range(4.0)[:, None], (4, 4_000))
        counts = np.bincount(np.argmin(_permuted(z, (7, 8)).numpy(), axis=0), minlength=4)
        assert (np.abs(counts - 1_000) < 5 * np.sqrt(4_000 * 0.25 * 0.75)).all()


def test_losses_by_hand():
    """The critic sees codes of every second example as they are, and of the others permuted."""
    model = toy(FactorVAE, gamma=6.0, critic=CRITIC, dtype="float64")
    terms, seeds = terms_of(model), draw_seeds(model, 2)
    z = terms.cache["z"]
    joint = model.critic(z[::2]).numpy()[:, 0]
    permuted = model.critic(_permuted(z[1::2], seeds[1])).numpy()[:, 0]
    losses = losses_of(model)
    elbo_loss = losses_of(toy(VAE, dtype="float64"))["model"]
    assert losses["model"] == pytest.approx(elbo_loss + 6 * joint.mean(), rel=1e-10)
    assert losses["critic"] == pytest.approx(0.5 * (softplus(-joint).mean() + softplus(permuted).mean()), rel=1e-12)
    assert float(terms.logs["total_correlation"]) == pytest.approx(joint.mean(), rel=1e-12)


def test_the_critics_loss_gives_the_encoder_no_gradient():
    model = toy(FactorVAE, critic=CRITIC)
    rest = model.encoder.trainable_variables + model.decoder.trainable_variables
    assert gradient_of(model, 1, rest) == [None] * len(rest)
    assert all(np.abs(gradient).max() > 0 for gradient in gradient_of(model, 1, model.critic.trainable_variables))


@pytest.mark.parametrize(("rates", "moved"), [((0.1, 0.0), (True, False)), ((0.0, 0.1), (False, True))])
def test_each_loss_moves_only_its_own_variables(rates, moved):
    optimizers = {"model": keras.optimizers.SGD(rates[0]), "critic": keras.optimizers.SGD(rates[1])}
    model = compiled(FactorVAE, optimizers, critic=CRITIC)
    before = [[np.array(v) for v in player.variables] for player in model.players()]
    model.fit(X, batch_size=8, verbose=0)
    after = [[np.array(v) for v in player.variables] for player in model.players()]
    assert tuple(not same(a, b) for a, b in zip(before, after, strict=True)) == moved


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_a_trained_critic_says_the_total_correlation(correlation):
    """Codes from a Gaussian of known correlation: TC is -log(1 - r**2) / 2, and 0 for factorised codes.

    Its own critic and loss, on codes in place of an encoder's: 300 steps of 2,000 codes. The tolerance is the critic's.
    """
    model = toy(FactorVAE, critic={"name": "mlp", "hidden": (32, 32), "activation": "tanh"})
    optimizer = keras.optimizers.Adam(0.01)
    variables = model.critic.trainable_variables
    optimizer.build(variables)
    factor = tf.constant(np.linalg.cholesky([[1, correlation], [correlation, 1]]), "float32")

    def codes(seed):
        return tf.random.stateless_normal((2_000, 2), seed) @ tf.transpose(factor)

    @tf.function
    def step(seed):
        z = codes(seed)
        with tf.GradientTape() as tape:
            cache = {
                "joint": model._log_ratio(z[:1_000], True),
                "permuted": model._log_ratio(_permuted(z[1_000:], seed), True),
            }
            loss = model._critic_loss(terms._replace(cache=cache))
        optimizer.apply_gradients(zip(tape.gradient(loss, [v.value for v in variables]), variables, strict=True))

    terms = terms_of(model)
    for number in range(300):
        step(tf.constant([3, number]))
    estimate = float(tf.reduce_mean(model._log_ratio(codes((5, 6)), False)))
    assert estimate == pytest.approx(-0.5 * np.log(1 - correlation**2), abs=0.05)


def test_a_last_batch_of_one_image():
    """It has no second half: the critic's loss was a mean of nothing."""
    assert_finite_whatever_the_last_batch(compiled(FactorVAE, critic=CRITIC))


def test_an_odd_part_of_a_batch_is_refused(monkeypatch):
    """Every second example of odd parts are not those of the whole batch: of three on each of two, 4 and not 3."""
    model = toy(FactorVAE, critic=CRITIC)
    x = {"x": tf.constant(binary(3))}
    with model.draws.using((0, 0)):
        model.terms(x, training=True)  # alone, any number will do
    monkeypatch.setattr(factor_vae.backend, "replica", lambda: backend.Replica(0, 2))
    refused = pytest.raises(UserError, match=r"3 examples on each of 2\. Take a batch_size that is a multiple of 4\.")
    with refused, model.draws.using((0, 0)):
        model.terms(x, training=True)


def test_arguments():
    for wrong in (-1.0, float("nan"), "10"):
        assert_refused(FactorVAE, {"gamma": wrong}, r"gamma must be a finite number, 0 or more\. Given: ")
    assert_refused(FactorVAE, {"critic": {"name": "mpl"}}, r"Unknown critic 'mpl'.*Did you mean 'mlp'")
    wide = keras.Sequential([keras.layers.Dense(2)])
    assert_refused(FactorVAE, {"critic": wide}, r"The critic must map \(batch, 2\) to \(batch, 1\)")
    assert_comes_back(toy(FactorVAE, gamma=2.0, critic=CRITIC), gamma=2.0, critic=CRITIC)


@pytest.mark.slow
def test_it_learns_digits_with_the_papers_optimizers():
    optimizer = {"model": keras.optimizers.Adam(3e-3), "critic": keras.optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9)}
    assert_learned(trained(FactorVAE, optimizer=optimizer, critic={"name": "mlp", "hidden": (64, 64)}))
