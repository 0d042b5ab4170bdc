"""VAEGAN: features by hand, who minimises what, whose gradient goes where, and honest numbers beside them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.models import VAE, VAEGAN
from tests.digits import assert_learned, digits, trained
from tests.models.equations import (
    X,
    assert_comes_back,
    assert_finite_whatever_the_last_batch,
    assert_refused,
    batch_of,
    draw_seeds,
    gradient_of,
    losses_of,
    softplus,
    terms_of,
)
from tests.toys import compiled, mlp, same, toy, weights

CRITIC = {"critic": mlp(activation="tanh"), "features": 5}
GAUSSIAN = {"name": "gaussian", "scale": 1.0, "bounded_mean": False}


def seen_by_hand(model):
    """Features and logits of real images, reconstructions and prior draws, from the networks alone."""
    seeds = draw_seeds(model, 2)
    z = model.posterior(X).sample(seed=seeds[0])
    drawn = model.prior().sample(16, seed=seeds[1])
    images = [tf.constant(X, "float64"), *(model.likelihood(code).mean() for code in (z, drawn))]
    features = [model.critic(image) for image in images]
    return z, features, [model.head(each)[:, 0].numpy() for each in features]


def test_losses_by_hand():
    """Algorithm 1: -llike is the log density of N(f(x'), I) at f(x); the decoder's loss has the critic's, negated."""
    model = toy(VAEGAN, gamma=0.3, beta=2.0, dtype="float64", **CRITIC)
    z, (real, reconstructed, _), (d_real, d_rec, d_drawn) = seen_by_hand(model)
    density = -0.5 * np.sum((real - reconstructed).numpy() ** 2, axis=1) - 2.5 * np.log(2 * np.pi)
    mean, log_var = (model.posterior_parameters(X)[name].numpy() for name in ("mean", "log_var"))
    kl = 0.5 * (mean**2 + np.exp(log_var) - log_var - 1)
    gan = (softplus(-d_real) + softplus(d_rec) + softplus(d_drawn)).mean()
    losses, terms = losses_of(model), terms_of(model)
    assert losses["encoder"] == pytest.approx((2 * kl.sum(1) - density).mean(), rel=1e-12)
    assert losses["decoder"] == pytest.approx(-0.3 * density.mean() - gan, rel=1e-12)
    assert losses["critic"] == pytest.approx(gan, rel=1e-12)
    np.testing.assert_allclose(terms.logs["feature_log_px"], density, rtol=1e-12)
    np.testing.assert_allclose(terms.log_px, model.likelihood(z).log_prob(X), rtol=1e-12)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-10)


def test_each_players_gradient_is_a_hand_written_tapes():
    """One tape a player, each over the players' own networks alone, the others' outputs being constants."""
    model = toy(VAEGAN, gamma=0.3, dtype="float64", **CRITIC)
    seeds = draw_seeds(model, 2)
    noise = [model.prior().sample(16, seed=seed) for seed in seeds]
    encoder, decoder, critic = ([variable.value for variable in player.variables] for player in model.players())

    def reconstructed(z):
        return tf.sigmoid(model.decoder(z))

    def code():
        mean, log_var = (model.posterior_parameters(tf.constant(X, "float64"))[name] for name in ("mean", "log_var"))
        return mean + tf.exp(log_var / 2) * noise[0], mean, log_var

    def distance(image):
        return tf.reduce_mean(
            0.5 * tf.reduce_sum((model.critic(tf.constant(X, "float64")) - model.critic(image)) ** 2, 1)
        )

    def cross_entropy(image, real):
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(
            tf.fill((16, 1), tf.constant(real, "float64")), model.head(model.critic(image))))  # fmt: skip

    with tf.GradientTape() as tape:
        z, mean, log_var = code()
        kl = tf.reduce_mean(tf.reduce_sum(0.5 * (mean**2 + tf.exp(log_var) - log_var - 1), 1))
        loss = kl + distance(reconstructed(z))
    expected = [tape.gradient(loss, encoder)]
    fixed = tf.constant(code()[0].numpy())
    with tf.GradientTape() as tape:
        image, drawn = reconstructed(fixed), reconstructed(noise[1])
        loss = 0.3 * distance(image) - cross_entropy(image, 0.0) - cross_entropy(drawn, 0.0)
    expected.append(tape.gradient(loss, decoder))
    image, drawn = (tf.constant(reconstructed(each).numpy()) for each in (fixed, noise[1]))
    with tf.GradientTape() as tape:
        loss = cross_entropy(tf.constant(X, "float64"), 1.0) + cross_entropy(image, 0.0) + cross_entropy(drawn, 0.0)
    expected.append(tape.gradient(loss, critic))
    for index, player in enumerate(model.players()):
        for mine, theirs in zip(gradient_of(model, index, player.variables), expected[index], strict=True):
            assert np.abs(theirs).max() > 1e-6
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-13)


def test_fooling_does_not_reach_the_encoder():
    model = toy(VAEGAN, **CRITIC)
    with tf.GradientTape(persistent=True) as tape, model.draws.using((3, 4)):
        terms = model.terms(batch_of(model), training=True)
        encoders = model.players()[0].loss(terms)
    assert all(tape.gradient(encoders, each.value) is None for each in model.head.trainable_variables)


def test_statistics_of_a_critic_move_once_a_step():
    """The moving mean of a BatchNormalization ends at (1 - momentum) times that of x, x' and x'', from 0."""
    norm = keras.layers.BatchNormalization(momentum=0.9)
    body = keras.Sequential([keras.layers.Flatten(), norm, keras.layers.Dense(8)])
    model = toy(VAEGAN, **(CRITIC | {"critic": body, "features": 8}))
    seeds = draw_seeds(model, 2)
    codes = model.posterior(X).sample(seed=seeds[0]), model.prior().sample(16, seed=seeds[1])
    read = [X, *(model.likelihood(code).mean() for code in codes)]
    terms_of(model, training=True)
    expected = 0.1 * np.concatenate(read).reshape(48, -1).mean(axis=0)
    np.testing.assert_allclose(norm.moving_mean.numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("moving", ["encoder", "decoder", "critic"])
def test_each_loss_moves_only_its_own_variables(moving):
    names = ("encoder", "decoder", "critic")
    model = compiled(VAEGAN, {name: keras.optimizers.SGD(0.1 * (name == moving)) for name in names}, **CRITIC)
    before = {player.name: [np.array(v) for v in player.variables] for player in model.players()}
    model.fit(X, batch_size=8, verbose=0)
    after = {player.name: [np.array(v) for v in player.variables] for player in model.players()}
    assert {name for name in names if not same(before[name], after[name])} == {moving}


def test_where_features_are_pixels_it_is_a_vae_of_unit_variance():
    """A critic that only flattens: the encoder's loss and gradient are a VAE's, and of the decoder what gamma weighs.

    The decoder's loss is linear in gamma, so the difference between gamma 1 and 0 is llike alone.
    """
    flat = {"critic": keras.layers.Flatten(dtype="float64"), "features": 16, "likelihood": GAUSSIAN, "dtype": "float64"}
    model, none = (toy(VAEGAN, gamma=gamma, **flat) for gamma in (1.0, 0.0))
    vae = toy(VAE, likelihood=GAUSSIAN, dtype="float64")
    assert losses_of(model)["encoder"] == pytest.approx(losses_of(vae)["model"], rel=1e-12)
    np.testing.assert_allclose(terms_of(model).logs["feature_log_px"], terms_of(vae).log_px, rtol=1e-12)

    def gradients(each, player, network):
        return gradient_of(each, player, network(each).trainable_variables)

    for mine, theirs in zip(
        gradients(model, 0, lambda m: m.encoder), gradients(vae, 0, lambda m: m.encoder), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)
    parts = (gradients(model, 1, lambda m: m.decoder), gradients(none, 1, lambda m: m.decoder))
    for one, zero, theirs in zip(*parts, gradients(vae, 0, lambda m: m.decoder), strict=True):
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(one - zero, theirs, rtol=1e-9, atol=1e-11)


def test_the_elbo_is_that_of_the_pixels():
    """With the networks of a VAE, its elbo and its importance weights, whatever the critic says."""
    model, vae = toy(VAEGAN, dtype="float64", **CRITIC), toy(VAE, dtype="float64")
    np.testing.assert_allclose(model.elbo(X, seed=2), vae.elbo(X, seed=2), rtol=1e-10)
    np.testing.assert_allclose(model.log_prob(X, samples=7), vae.log_prob(X, samples=7), rtol=1e-10)


def test_evaluation_leaves_the_critics_moving_averages_alone():
    model = compiled(VAEGAN, critic=mlp(batch_norm=True), features=5)
    model.fit(X, batch_size=8, verbose=0)
    before = weights(model)
    logs = model.evaluate(X, batch_size=8, verbose=0, return_dict=True)
    assert same(weights(model), before)
    assert {"loss", "decoder_loss", "critic_loss", "elbo", "feature_log_px"} <= set(logs)
    assert logs["elbo"] == pytest.approx(logs["log_px"] - logs["kl"], rel=1e-5)


def test_a_last_batch_of_one_image():
    assert_finite_whatever_the_last_batch(compiled(VAEGAN, **CRITIC))


def test_critics_by_name_and_as_layers():
    conv = {"name": "conv", "filters": (4,), "dense": 8}
    assert toy(VAEGAN, critic=conv, features=3).critic(X).shape == (16, 3)
    own = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(7, "relu")])
    model = toy(VAEGAN, critic=own, features=7, head={"name": "mlp", "hidden": (4,)})
    assert np.isfinite(list(losses_of(model).values())).all()


def test_arguments():
    for wrong in (-1.0, float("nan"), "10"):
        assert_refused(VAEGAN, {"gamma": wrong}, r"gamma must be a finite number, 0 or more\. Given: ")
    assert_refused(VAEGAN, {"features": 0}, r"features must be a whole number, 1 or more\. Given: 0")
    assert_refused(VAEGAN, {"critic": "cnov"}, r"Unknown critic 'cnov'.*Did you mean 'conv'")
    assert_refused(VAEGAN, {"head": {"name": "conv"}}, r"Unknown head 'conv'.*Known: mlp")
    wide = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    assert_refused(VAEGAN, {"critic": wide}, r"The critic must map \(batch, 4, 4, 1\) to \(batch, 128\).*\(batch, 2\)")
    for likelihood in ({"name": "gaussian", "scale": "global"}, {"name": "gaussian", "scale": "pixel"}):
        assert_refused(VAEGAN, {"likelihood": likelihood}, r"mean image alone.*Given: \{'name': 'gaussian'.*Use 'bern")
    assert_comes_back(toy(VAEGAN, gamma=2.0, **CRITIC), gamma=2.0, **CRITIC)


@pytest.mark.slow
def test_it_learns_digits():
    """The likelihood that it reports in, N(mean image, I), is one that nobody maximises: its features' is.

    That the mean image learns all the same, and tells digits apart, says that the features do. They are maps, as in the
    paper, more numbers than pixels: of fewer, as of a dense layer's, many images have the same.
    """
    maps = [keras.layers.Conv2D(8, 5, strides=2, padding="same", activation="leaky_relu"), keras.layers.Flatten()]
    rates = {"encoder": 3e-3, "decoder": 3e-3, "critic": 3e-4}
    model = trained(
        VAEGAN, gamma=10.0, beta=0.1, critic=keras.Sequential(maps), features=14 * 14 * 8, epochs=12,
        likelihood={"name": "gaussian", "scale": 1.0},
        optimizer={name: keras.optimizers.Adam(rate) for name, rate in rates.items()},
    )  # fmt: skip
    assert_learned(model)
    assert model.sample(4).shape == (4, 28, 28, 1) and np.isfinite(model.elbo(digits().held_out_x)).all()
