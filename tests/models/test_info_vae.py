"""InfoVAE: the weights 1 - alpha and alpha + lambda - 1, of the KL and of the discrepancy between q(z) and p(z)."""

import pytest

from keras_vae import divergences
from keras_vae.models import InfoVAE
from tests.digits import assert_learned, trained
from tests.models.equations import (
    X,
    assert_comes_back,
    assert_finite_whatever_the_last_batch,
    assert_refused,
    draw_seeds,
    losses_of,
    terms_of,
)
from tests.toys import compiled, toy


@pytest.mark.parametrize(("alpha", "scale"), [(0.0, 10.0), (0.5, 10.0), (1.0, 3.0), (-2.0, 20.0)])
@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_the_loss_by_hand(alpha, scale, kernel):
    model = toy(InfoVAE, alpha=alpha, scale=scale, kernel=kernel, dtype="float64")
    terms = terms_of(model)
    z, drawn = terms.cache["z"], model.prior().sample(16, seed=draw_seeds(model, 2)[1])
    distance = float(divergences.mmd(z, drawn, divergences.KERNELS[kernel]))
    kl = terms.kl.numpy().sum(1).mean()
    expected = -terms.log_px.numpy().mean() + (1 - alpha) * kl + (alpha + scale - 1) * distance
    assert losses_of(model)["model"] == pytest.approx(expected, rel=1e-6)  # the weight of the KL is float32
    assert float(terms.logs["mmd"]) == pytest.approx(distance, rel=1e-12)


def test_the_elbo_is_logged_whole():
    model = compiled(InfoVAE, alpha=0.5, scale=10.0)
    logs = model.evaluate(X, verbose=0, return_dict=True)
    assert logs["elbo"] == pytest.approx(logs["log_px"] - logs["kl"], rel=1e-6)
    assert logs["loss"] == pytest.approx(-logs["log_px"] + 0.5 * logs["kl"] + 9.5 * logs["mmd"], rel=1e-5)


def test_a_last_batch_of_one_image():
    """The estimate of the discrepancy from one code was 0 / 0."""
    assert_finite_whatever_the_last_batch(compiled(InfoVAE))


def test_arguments():
    rule = r"alpha must be finite and at most 1, and alpha \+ scale 1 or more\. Given: alpha="
    assert_refused(InfoVAE, {"alpha": 1.1}, rule)
    assert_refused(InfoVAE, {"alpha": 0.5, "scale": 0.4}, rule)
    assert_refused(InfoVAE, {"alpha": -float("inf")}, rule)
    assert_refused(InfoVAE, {"alpha": "0"}, r"alpha must be a finite number")
    assert_refused(InfoVAE, {"scale": float("nan")}, r"scale must be a finite number, 0 or more\. Given: nan")
    assert_refused(InfoVAE, {"kernel": "rfb"}, "Did you mean 'rbf'")
    assert_refused(
        InfoVAE,
        {"beta": 2.0},
        r"InfoVAE does not take beta\. The weight of its KL is 1 - alpha\. Given: beta=2\.0\. Leave it out",
    )
    model = toy(InfoVAE, alpha=0.3, scale=5.0, kernel="rbf", free_bits=0.1)
    assert_comes_back(model, alpha=0.3, scale=5.0, kernel="rbf", free_bits=0.1)


@pytest.mark.slow
def test_it_learns_digits():
    assert_learned(trained(InfoVAE, alpha=0.0, scale=100.0))
