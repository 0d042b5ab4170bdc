"""AE: the reconstruction alone, without noise; and honest errors for what it does not have."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.models import AE
from tests.digits import assert_learned, plain
from tests.models.equations import X, assert_comes_back, assert_refused, losses_of, terms_of
from tests.toys import LATENT, compiled, toy


def test_the_loss_is_the_reconstruction_at_the_encoders_output():
    model = toy(AE, dtype="float64")
    codes = model.encoder(tf.constant(X, "float64"))
    assert codes.shape == (16, LATENT), "the encoder gives codes, not means and variances"
    np.testing.assert_array_equal(model.encode(X), codes)
    image = model.reconstruct(X)
    log_px = (X * np.log(image) + (1 - X) * np.log1p(-image)).sum((1, 2, 3))
    np.testing.assert_allclose(terms_of(model).log_px, log_px, rtol=1e-12)
    assert losses_of(model)["model"] == pytest.approx(-log_px.mean(), rel=1e-12)


def test_there_is_no_noise():
    model = toy(AE)
    log_px = []
    for seed in ((0, 0), (5, 5)):
        with model.draws.using(seed):
            log_px.append(model.terms({"x": tf.constant(X)}, training=True).log_px)
    np.testing.assert_array_equal(*log_px)
    assert (terms_of(model).kl.numpy() == 0).all()


def test_it_logs_neither_elbo_nor_kl():
    model = compiled(AE)
    assert set(model.fit(X, batch_size=8, verbose=0).history) == {"loss", "log_px"}
    logs = model.evaluate(X, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(-logs["log_px"], rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.elbo(X), r"AE has no distribution over codes, and so no ELBO and no log p\(x\)"),
        (lambda model: model.log_prob(X, samples=2), r"no log p\(x\)\. Compare reconstructions, or train a VAE"),
        (lambda model: model.sample(3), r"An AE has no prior to sample from\. Give sample\(prior=\)"),
        (lambda model: model.prior(), "An AE has no prior"),
        (lambda model: kl_per_dimension(model, X), "AE has no distribution over codes, and so no KL"),
    ],
)
def test_what_it_does_not_have_is_refused(call, message):
    with pytest.raises(UserError, match=message):
        call(toy(AE))


def test_arguments():
    assert_refused(AE, {"beta": 2.0}, r"AE does not take beta\. It has no KL\. Given: beta=2\.0\. Leave it out")
    assert_refused(AE, {"free_bits": 1.0}, r"AE does not take free_bits\.")
    assert_comes_back(toy(AE), latent_dim=LATENT)


@pytest.mark.slow
def test_it_learns_digits():
    assert_learned(plain(AE))
