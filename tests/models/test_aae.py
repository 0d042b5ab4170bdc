"""AAE: what each player minimises, which variables move, and codes that come to look like the prior's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
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
from tests.toys import compiled, mlp, same, toy

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


def test_a_last_batch_of_one_image():
    assert_finite_whatever_the_last_batch(compiled(AAE, critic=CRITIC))


Y = np.arange(16, dtype="int32") % 4 - 1  # a quarter is unlabelled
LABELLED = {"num_classes": 3, "radius": 3.0, "spread": 0.4, "critic": CRITIC}


class TestLabels:
    """Section 2.3: the critic reads the label, and sees for it draws of that label's component."""

    MEANS = 3.0 * np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]])

    def density(self, z, component):
        return -0.5 * ((z - self.MEANS[component]) ** 2).sum(-1) / 0.4**2 - np.log(2 * np.pi * 0.4**2)

    def test_the_prior_is_a_mixture_and_a_labels_is_its_component(self):
        model = toy(AAE, dtype="float64", **LABELLED)
        z = np.random.default_rng(0).normal(size=(16, 2)) * 2
        each = np.stack([self.density(z, component) for component in range(3)])
        whole = np.logaddexp.reduce(each) - np.log(3)
        assert model.prior().batch_shape == () and model.prior(Y).batch_shape == (16,)
        np.testing.assert_allclose(model.prior().log_prob(z), whole, rtol=1e-10)
        expected = np.where(Y < 0, whole, each[np.maximum(Y, 0), np.arange(16)])
        np.testing.assert_allclose(model.prior(Y).log_prob(z), expected, rtol=1e-10)

    def test_further_dimensions_are_around_zero(self):
        model = toy(AAE, latent_dim=4, **LABELLED)
        drawn = model.prior(np.repeat(np.int32([0, 1]), 2_000)).sample(seed=(1, 2)).numpy()
        for label, part in enumerate((drawn[:2_000], drawn[2_000:])):
            error = 5 * 0.4 / np.sqrt(2_000)
            np.testing.assert_allclose(part.mean(0), [*self.MEANS[label], 0, 0], rtol=0, atol=error)
            np.testing.assert_allclose(part.std(0), 0.4, rtol=0.1)

    def test_losses_by_hand(self):
        """One-hot labels beside the code, unlabelled first; each draw is from its own image's prior."""
        model = toy(AAE, weight=3.0, dtype="float64", **LABELLED)
        codes = model.encode(X)
        drawn = model.prior(Y).sample(seed=draw_seeds(model, 2)[1]).numpy()
        labels = np.eye(4)[Y + 1]
        logit = lambda z: model.critic(np.concatenate([z, labels], -1)).numpy()[:, 0]  # noqa: E731
        near = np.linalg.norm(drawn[:, None] - self.MEANS, axis=-1)
        assert (near.argmin(1) == Y)[Y >= 0].all(), "7 deviations apart"
        reconstruction = -model.likelihood(codes).log_prob(X).numpy()
        losses = losses_of(model, y=Y)
        assert losses["model"] == pytest.approx((reconstruction + 3 * softplus(-logit(codes))).mean(), rel=1e-12)
        assert losses["critic"] == pytest.approx((softplus(-logit(drawn)) + softplus(logit(codes))).mean(), rel=1e-12)

    def test_no_labels_are_labels_of_minus_one(self):
        model = toy(AAE, **LABELLED)
        none = np.full(16, -1, "int32")
        terms = [terms_of(model, y=y) for y in (None, none)]
        np.testing.assert_array_equal(*(each.penalty for each in terms))
        np.testing.assert_array_equal(*(each.cache["prior_samples"] for each in terms))

    def test_codes_need_no_label_and_samples_take_one(self):
        model = compiled(AAE, **LABELLED)
        model.fit(X, Y, batch_size=8, verbose=0)
        np.testing.assert_array_equal(model.encode(X), model.encode(X, Y))
        with pytest.warns(UserWarning, match=r"AAE learns classes from labels, and these training data have none"):
            model.fit(X, batch_size=8, verbose=0)
        assert model.predict(X, verbose=0).shape == X.shape
        assert model.sample(5).shape == model.sample(5, condition=[0, 1, 2, 2, -1]).shape == (5, 4, 4, 1)
        assert np.abs(model.sample(2, condition=[0, 0]) - model.sample(2, condition=[1, 1])).max() > 0
        with pytest.raises(UserError, match=r"must lie from 0 to 2, or be -1"):
            model.fit(X, Y + 1, batch_size=8, verbose=0)
        with pytest.raises(UserError, match=r"AAE takes no condition"):
            toy(AAE, critic=CRITIC).encode(X, Y)


def test_arguments():
    for wrong in (-1.0, float("nan"), float("inf"), "10", True):
        assert_refused(AAE, {"weight": wrong}, r"weight must be a finite number, 0 or more\. Given: ")
    for wrong in ({"latent_dim": 1}, {"spread": 0.0}):
        assert_refused(AAE, {"num_classes": 3, **wrong}, r"needs two latent dimensions or more, and a spread above 0")
    assert_refused(AAE, {"num_classes": -1}, r"num_classes must be a whole number, 0 or more\. Given: -1")
    assert_comes_back(toy(AAE, **LABELLED), **LABELLED)
    assert_refused(AAE, {"beta": 2.0}, r"AAE does not take beta\.")
    assert_refused(AAE, {"critic": {"name": "mpl"}}, r"Unknown critic 'mpl'.*Did you mean 'mlp'")
    wide = keras.Sequential([keras.layers.Dense(2)])
    assert_refused(AAE, {"critic": wide}, r"The critic must map \(batch, 2\) to \(batch, 1\).*Given: .*\(batch, 2\)")
    assert_comes_back(toy(AAE, weight=2.0, critic=CRITIC), weight=2.0, critic=CRITIC)


@pytest.mark.slow
def test_it_learns_digits_and_codes_like_the_priors():
    """Without the critic the deviations of the codes are 4 to 6, mean |log| 1.6, after as many steps."""
    optimizer = {"model": keras.optimizers.Adam(1e-2), "critic": keras.optimizers.Adam(5e-3)}
    model = trained(AAE, weight=5.0, critic={"name": "mlp", "hidden": (64,)}, optimizer=optimizer)
    assert_learned(model)
    assert np.abs(np.log(model.encode(digits().held_out_x).std(0))).mean() < 0.8
    assert model.sample(4).shape == (4, 28, 28, 1)


@pytest.mark.slow
def test_it_learns_digits_and_places_them_by_label():
    """Held-out digits, whose labels nobody reads, have codes in their own class's component: a guess is one in ten.

    After 400 steps 72 % were. With weight 10, and Adam's usual momentum of 0.9, it was 18 %, and 62 % after 1000.
    """
    model = trained(
        AAE, condition=digits().y, epochs=20, latent_dim=2, num_classes=10, weight=20.0,
        critic={"name": "mlp", "hidden": (128,)},
        optimizer={name: keras.optimizers.Adam(3e-3, beta_1=0.5) for name in ("model", "critic")},
    )  # fmt: skip
    assert_learned(model)
    x, y = digits().held_out_x, digits().held_out_y
    log_p = np.stack([model.prior(np.full(len(x), label, "int32")).log_prob(model.encode(x)) for label in range(10)])
    assert (log_p.argmax(0) == y).mean() > 0.5
