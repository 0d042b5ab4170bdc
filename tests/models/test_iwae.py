"""IWAE: its bound against an exactly known likelihood, its gradients, and doubly reparameterised ones."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.models import IWAE
from tests.core.test_linear_gaussian import LATENT, SCALE, SHAPE, Truth, set_exact
from tests.digits import assert_learned, trained
from tests.models.equations import X, assert_comes_back, assert_refused, draw_seeds, gradient_of, losses_of, terms_of
from tests.toys import compiled, toy

LINEAR = {"name": "mlp", "hidden": ()}
LIKELIHOOD = {"name": "gaussian", "scale": SCALE, "bounded_mean": False}


def linear(samples, **arguments):
    return IWAE(samples, image_shape=SHAPE, latent_dim=LATENT, encoder=LINEAR, decoder=LINEAR, likelihood=LIKELIHOOD,
                dtype="float64", **arguments)  # fmt: skip


class TestTheBound:
    truth = Truth()

    def bounds(self, samples, repeats, **wrong):
        model = linear(samples)
        set_exact(model, self.truth, **wrong)
        terms = terms_of(model, np.repeat(self.truth.x, repeats, axis=0), training=False)
        return terms.logs["iw_bound"].numpy().reshape(7, repeats)

    @pytest.mark.parametrize("samples", [1, 7])
    def test_at_the_true_posterior_it_is_the_evidence(self, samples):
        expected = np.repeat(self.truth.log_prob[:, None], 3, axis=1)
        np.testing.assert_allclose(self.bounds(samples, 3), expected, rtol=0, atol=1e-10)

    def test_it_rises_with_samples_to_the_evidence(self):
        """A wrong posterior, many bounds for each of 7 images. At K = 200 the gap, var(w) / 2 K, is some 0.001."""
        repeats = {1: 4_000, 5: 4_000, 50: 800, 200: 200}
        bounds = {k: self.bounds(k, count, mean_shift=0.2, variance_factor=1.5) for k, count in repeats.items()}
        means = {k: value.mean(1) for k, value in bounds.items()}
        errors = {k: value.std(1) / np.sqrt(repeats[k]) for k, value in bounds.items()}
        for fewer, more in ((1, 5), (5, 50)):
            assert (means[more] - means[fewer] > 5 * np.hypot(errors[more], errors[fewer])).all()
        assert (np.abs(means[200] - self.truth.log_prob) < 5 * errors[200] + 0.002).all()
        assert errors[200].max() < 0.01, "the comparison means something"


def test_logs_of_one_batch_by_hand():
    model = toy(IWAE, importance_samples=6, dtype="float64")
    terms, seed = terms_of(model), draw_seeds(model, 1)[0]
    posterior = model.posterior(X)
    z = posterior.sample(6, seed=seed)
    log_px = np.stack([model.likelihood(each).log_prob(X) for each in z])
    log_w = log_px + model.prior().log_prob(z) - posterior.log_prob(z)
    bound = np.log(np.exp(log_w - log_w.numpy().max(0)).mean(0)) + log_w.numpy().max(0)
    np.testing.assert_allclose(terms.logs["iw_bound"], bound, rtol=1e-12)
    np.testing.assert_allclose(terms.log_px, log_px.mean(0), rtol=1e-12)
    assert losses_of(model)["model"] == pytest.approx(-bound.mean(), rel=1e-12)


def test_bounds_are_averaged_and_mixed_with_the_elbo_by_hand():
    """MIWAE of M = 3, each over K = 4 draws, not the other way round; and CIWAE."""
    model = toy(IWAE, importance_samples=4, bounds=3, elbo_share=0.25, dtype="float64")
    terms, seed = terms_of(model), draw_seeds(model, 1)[0]
    posterior = model.posterior(X)
    z = posterior.sample(12, seed=seed)
    log_px = np.stack([model.likelihood(each).log_prob(X) for each in z])
    log_w = (log_px + model.prior().log_prob(z) - posterior.log_prob(z)).numpy()
    bounds = [np.logaddexp.reduce(log_w[start : start + 4]) - np.log(4) for start in (0, 4, 8)]
    expected = 0.25 * log_w.mean(0) + 0.75 * np.mean(bounds, axis=0)
    np.testing.assert_allclose(terms.logs["iw_bound"], expected, rtol=1e-12)
    assert losses_of(model)["model"] == pytest.approx(-expected.mean(), rel=1e-12)
    assert np.abs(np.mean(bounds, axis=0) - np.logaddexp.reduce(log_w) + np.log(12)).min() > 1e-3


@pytest.mark.parametrize("form", ["logsumexp", "normalised weights"])
def test_the_gradient(form):
    """Of logsumexp, and as the paper's equation 14: the sum of normalised weights, held fixed, times d log w."""
    model = toy(IWAE, importance_samples=6, dtype="float64")
    seed, variables = draw_seeds(model, 1)[0], [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        posterior = model.posterior(X)
        z = posterior.sample(6, seed=seed)
        log_px = tf.stack([model.likelihood(each).log_prob(X) for each in tf.unstack(z)])
        log_w = log_px + model.prior().log_prob(z) - posterior.log_prob(z)
        if form == "logsumexp":
            bound = tf.reduce_logsumexp(log_w, axis=0) - np.log(6)
        else:
            bound = tf.reduce_sum(tf.stop_gradient(tf.nn.softmax(log_w, axis=0)) * log_w, axis=0)
        loss = -tf.reduce_mean(bound)
    for mine, expected in zip(
        gradient_of(model, 0, model.trainable_variables), tape.gradient(loss, variables), strict=True
    ):
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-13)


class TestDReG:
    truth = Truth()
    BATCH, REPEATS, SAMPLES = 16, 400, 5

    def gradients(self, gradient, player, **wrong):
        """`REPEATS` estimates of the gradient by the encoder's biases, each from a batch of copies of one image."""
        model = linear(self.SAMPLES, gradient=gradient)
        set_exact(model, self.truth, **wrong)
        batch = {"x": tf.constant(np.repeat(self.truth.x[:1], self.BATCH, axis=0))}
        bias = model.encoder.weights[1].value

        @tf.function
        def one(seed):
            with model.draws.using(seed), tf.GradientTape() as tape:
                loss = model.players()[player].loss(model.terms(batch, training=True))
            return tape.gradient(loss, bias)

        return np.stack([one(tf.constant([1, repeat])) for repeat in range(self.REPEATS)])

    def test_it_has_no_bias_against_iwaes(self):
        """The same mean at a wrong posterior, within 5 standard errors, for each of 6 biases."""
        wrong = {"mean_shift": 0.3, "variance_factor": 1.5}
        iwae, dreg = self.gradients("iwae", 0, **wrong), self.gradients("dreg", 1, **wrong)
        errors = np.hypot(iwae.std(0), dreg.std(0)) / np.sqrt(self.REPEATS)
        assert (np.abs(iwae.mean(0) - dreg.mean(0)) < 5 * errors).all()
        assert (np.abs(dreg.mean(0)) > 10 * errors)[:LATENT].any(), "the comparison means something"

    def test_its_variance_is_smaller_at_a_good_posterior(self):
        near = {"mean_shift": 0.01, "variance_factor": 1.02}
        iwae, dreg = self.gradients("iwae", 0, **near), self.gradients("dreg", 1, **near)
        assert (dreg.var(0) < 0.05 * iwae.var(0)).all()

    def test_at_the_true_posterior_it_is_zero(self):
        """All weights are equal whatever z is, so no path has a gradient; IWAE's is 0 on average only."""
        assert np.abs(self.gradients("dreg", 1)[:5]).max() < 1e-9
        assert np.abs(self.gradients("iwae", 0)[:5]).max() > 1e-3

    def test_the_decoder_has_iwaes_gradient(self):
        dreg, iwae = (toy(IWAE, gradient=gradient, dtype="float64") for gradient in ("dreg", "iwae"))
        assert [player.name for player in dreg.players()] == ["model", "encoder"]
        assert losses_of(dreg)["model"] == losses_of(iwae)["model"]
        pairs = zip(
            gradient_of(dreg, 0, dreg.decoder.trainable_variables),
            gradient_of(iwae, 0, iwae.decoder.trainable_variables),
            strict=True,
        )
        for mine, expected in pairs:
            np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-13)

    @pytest.mark.parametrize(("bounds", "share"), [(1, 0.0), (3, 0.25)])
    def test_it_is_the_equation(self, bounds, share):
        """sum_k v_k**2 d log w_k / d z_k * d z_k / d mean, where d z_k / d mean is 1: by a gradient at fixed z.

        Of each of several bounds; and of the ELBO, where each draw has the weight 1.
        """
        model = toy(IWAE, gradient="dreg", importance_samples=4, bounds=bounds, elbo_share=share, dtype="float64")
        posterior = model.posterior(X)
        mean, scale = posterior.mean(), posterior.stddev()
        z = posterior.sample(4 * bounds, seed=draw_seeds(model, 1)[0])
        with tf.GradientTape() as tape:
            tape.watch(z)
            log_px = tf.stack([model.likelihood(each).log_prob(X) for each in tf.unstack(z)])
            log_q = tf.reduce_sum(-0.5 * ((z - mean) / scale) ** 2 - tf.math.log(scale), -1) - np.log(2 * np.pi)
            log_w = log_px + model.prior().log_prob(z) - log_q
        slopes = tape.gradient(log_w, z).numpy()
        groups = np.split(log_w.numpy(), bounds)
        squares = [np.exp(2 * (group - np.logaddexp.reduce(group))) for group in groups]
        weights = share / (4 * bounds) + (1 - share) / bounds * np.concatenate(squares)
        by_mean = (weights[..., None] * slopes).sum(0)
        bias = [v for v in model.encoder.trainable_variables if v.shape == (4,)]
        gradient = gradient_of(model, 1, bias)[0].numpy()
        np.testing.assert_allclose(gradient[:2], -by_mean.mean(0), rtol=1e-10)


def test_it_trains_with_two_players():
    history = compiled(IWAE, gradient="dreg").fit(X, batch_size=8, epochs=2, verbose=0).history
    assert set(history) == {"loss", "encoder_loss", "elbo", "log_px", "kl", "beta", "iw_bound"}
    np.testing.assert_allclose(history["loss"], np.negative(history["iw_bound"]), rtol=1e-6)


def test_arguments():
    for wrong in (0, -1, 2.0, "5"):
        rule = r"importance_samples must be a whole number, 1 or more\. Given: "
        assert_refused(IWAE, {"importance_samples": wrong}, rule)
    assert_refused(IWAE, {"gradient": "drag"}, r"gradient is one of iwae, dreg\. Given: 'drag'")
    assert_refused(IWAE, {"beta": 2.0}, r"IWAE does not take beta\. Its bound is of log p")
    assert_refused(IWAE, {"free_bits": 2.0}, r"IWAE does not take free_bits\.")
    assert_refused(IWAE, {"bounds": 0}, r"bounds must be a whole number, 1 or more\. Given: 0")
    assert_refused(IWAE, {"elbo_share": 1.5}, r"elbo_share is a share, at most 1\. Given: 1\.5")
    arguments = {"importance_samples": 3, "gradient": "dreg", "bounds": 2, "elbo_share": 0.5}
    assert_comes_back(toy(IWAE, **arguments), **arguments)


@pytest.mark.slow
def test_it_learns_digits():
    assert_learned(trained(IWAE, gradient="dreg"))
