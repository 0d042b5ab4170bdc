"""RAE: penalties by hand, the Jacobian's estimate against the Jacobian, and a density of codes fitted afterwards."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.models import RAE
from tests.digits import assert_learned, digits, trained
from tests.models.equations import X, assert_comes_back, assert_refused, draw_seeds, gradient_of, losses_of, terms_of
from tests.toys import binary, compiled, mlp, toy


def test_the_l2_penalty_by_hand():
    model = toy(RAE, code_weight=0.3, decoder_weight=0.2, dtype="float64")
    codes = model.encode(X)
    reconstruction = -model.likelihood(codes).log_prob(X).numpy()
    squares = sum((weight.numpy() ** 2).sum() for weight in model.decoder.trainable_variables)
    expected = (reconstruction + 0.3 * 0.5 * (codes**2).sum(1)).mean() + 0.2 * squares
    assert losses_of(model)["model"] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(terms_of(model).logs["code_length"], 0.5 * (codes**2).sum(1), rtol=1e-12)
    assert float(terms_of(model).logs["regulariser"]) == pytest.approx(squares, rel=1e-12)


def test_the_decoders_regulariser_is_of_the_decoder_only():
    """Its gradient by the encoder's weights: None for L2."""
    model = toy(RAE)
    with tf.GradientTape() as tape:
        squares = model._weights()
    variables = [v.value for v in model.encoder.trainable_variables]
    assert tape.gradient(squares, variables) == [None] * len(variables)


def test_the_jacobians_estimate_has_no_bias():
    """20,000 projections of one code's Jacobian: their mean is its squared Frobenius norm, within 5 standard errors."""
    model = toy(RAE, regulariser="gradient", dtype="float64", decoder=mlp(activation="tanh"))
    z = tf.constant([[0.3, -1.2]], "float64")
    with tf.GradientTape() as tape:
        tape.watch(z)
        image = tf.reshape(model.likelihood_parameters(z)["mean"], (-1,))
    exact = (tape.jacobian(image, z).numpy() ** 2).sum()
    with model.draws.using((1, 2)):
        estimates = model._with_jacobian(tf.repeat(z, 20_000, axis=0), False)[1].numpy()
    error = estimates.std() / np.sqrt(20_000)
    assert abs(estimates.mean() - exact) < 5 * error and error < exact / 50


def test_the_gradient_penalty_is_the_estimate_of_this_batch():
    """By the whole Jacobian and the same projection: |v J|**2 for each example."""
    model = toy(RAE, code_weight=0.0, decoder_weight=2.0, regulariser="gradient", dtype="float64")
    codes = tf.constant(model.encode(X))
    direction = tf.random.stateless_normal((16, 4, 4, 1), draw_seeds(model, 2)[1], dtype="float64").numpy()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(codes)
        image = model.likelihood_parameters(codes)["mean"]
    jacobians = tape.batch_jacobian(image, codes, experimental_use_pfor=False).numpy().reshape(16, 16, 2)
    projected = np.einsum("np,npd->nd", direction.reshape(16, 16), jacobians)
    np.testing.assert_allclose(terms_of(model).logs["regulariser"], (projected**2).sum(1), rtol=1e-10)
    np.testing.assert_allclose(terms_of(model).penalty, 2 * (projected**2).sum(1), rtol=1e-10)


def test_the_gradient_penalty_trains_the_decoder():
    """Second derivatives reach the weights, by central differences in one of them."""
    model = toy(RAE, decoder_weight=5.0, regulariser="gradient", dtype="float64", decoder=mlp(activation="tanh"))
    kernel = model.decoder.trainable_variables[0]
    gradient = gradient_of(model, 0, [kernel])[0].numpy()[1, 2]
    start, losses = kernel.numpy(), []
    for step in (1e-5, -1e-5):
        moved = start.copy()
        moved[1, 2] += step
        kernel.assign(moved)
        losses.append(losses_of(model)["model"])
    assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(gradient, rel=1e-6)


@pytest.mark.parametrize("regulariser", ["l2", "gradient"])
def test_the_decoder_is_run_once_a_step(regulariser):
    """BatchNorm's averages after a step are those of one pass, and a stage that fades in has made one step."""
    growing = {"name": "growing", "filters": (2, 2), "dense": 3, "fade_steps": 4}
    grown = compiled(RAE, regulariser=regulariser, decoder=growing)
    grown.fit(X, batch_size=8, verbose=0)
    assert float(grown.decoder.alpha) == 2 / 4
    model, once = (toy(RAE, regulariser=regulariser, decoder=mlp(batch_norm=True)) for _ in range(2))
    terms_of(model)
    once.likelihood_parameters(tf.constant(once.encode(X)), training=True)
    moved, expected = ([np.asarray(w) for w in each.decoder.non_trainable_variables] for each in (model, once))
    assert np.abs(moved[0]).max() > 1e-5
    for mine, theirs in zip(moved, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)


class TestDensity:
    def test_there_is_none_before_it_is_fitted(self):
        model = toy(RAE)
        for call in (model.prior, lambda: model.sample(2)):
            with pytest.raises(UserError, match=r"once one is fitted\. Call model\.fit_density\(train_images\)"):
                call()
        with pytest.raises(UserError, match=r"two images or more\. Given: 1\."):
            model.fit_density(X[:1])

    @pytest.mark.parametrize("latent", [1, 3])
    def test_it_has_the_codes_moments_and_samples_have_them(self, latent):
        """50,000 draws: means within 5 standard errors, covariances within 5 of at most sqrt(2 / n) var."""
        model = toy(RAE, latent_dim=latent)
        x = binary(200)
        model.fit_density(x)
        codes = model.encode(x)
        covariance = np.cov(codes.T, bias=True).reshape(latent, latent)
        density = model.prior()
        np.testing.assert_allclose(density.mean(), codes.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(density.covariance(), covariance + 1e-6 * np.eye(latent), rtol=1e-4, atol=1e-5)
        drawn = density.sample(50_000, seed=(0, 1)).numpy()
        scale = np.sqrt(np.diag(covariance))
        assert (np.abs(drawn.mean(0) - codes.mean(0)) < 5 * scale / np.sqrt(50_000)).all()
        limit = 5 * np.sqrt(2 / 50_000) * np.outer(scale, scale)
        assert (np.abs(np.cov(drawn.T).reshape(latent, latent) - covariance) < limit + 2e-6).all()

    def test_it_is_saved_with_the_weights_and_no_optimizer_moves_it(self, tmp_path):
        model = compiled(RAE)
        model.fit_density(X)
        before = np.array(model.density_factor)
        model.fit(X, batch_size=8, verbose=0)
        np.testing.assert_array_equal(model.density_factor, before)
        model.save_weights(tmp_path / "a.weights.h5")
        other = compiled(RAE, seed=3)
        other.load_weights(tmp_path / "a.weights.h5")
        np.testing.assert_array_equal(other.sample(5, seed=1), model.sample(5, seed=1))


def test_it_has_no_likelihood():
    with pytest.raises(UserError, match="RAE has no distribution over codes, and so no ELBO"):
        toy(RAE).elbo(X)


def test_arguments():
    for name in ("code_weight", "decoder_weight"):
        for wrong in (-1.0, float("nan"), "1"):
            assert_refused(RAE, {name: wrong}, rf"{name} must be a finite number, 0 or more\. Given: ")
    assert_refused(RAE, {"regulariser": "l1"}, r"regulariser is one of l2, gradient\. Given: 'l1'")
    assert_refused(RAE, {"beta": 2.0}, r"RAE does not take beta\.")
    model = toy(RAE, code_weight=0.5, decoder_weight=0.25, regulariser="gradient")
    assert_comes_back(model, code_weight=0.5, decoder_weight=0.25, regulariser="gradient")


@pytest.mark.slow
def test_it_learns_digits_and_its_density_is_that_of_held_out_codes():
    """The deviations that were fitted to training codes are those of held-out ones, within a fifth."""
    model = trained(RAE, regulariser="gradient", decoder_weight=1e-3)
    assert_learned(model)
    model.fit_density(digits().x)
    assert model.sample(4).shape == (4, 28, 28, 1)
    codes = model.encode(digits().held_out_x)
    assert (np.abs(model.prior().stddev() - codes.std(0)) < 0.2 * codes.std(0)).all()


def test_training_ends_with_a_density_of_the_training_images():
    """What `keras_vae.zoo.train` calls; other models have nothing to fit, and read nothing."""
    first, second, x = toy(RAE), toy(RAE), binary(20)
    first.after_training(lambda: x)
    second.fit_density(x)
    np.testing.assert_array_equal(first.density_factor, second.density_factor)
    np.testing.assert_array_equal(first.sample(3, seed=1), second.sample(3, seed=1))
    toy().after_training(lambda: pytest.fail("read"))
