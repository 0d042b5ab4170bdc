"""DIP-VAE I and II: penalties by hand, from numpy's covariance."""

import numpy as np
import pytest

from keras_vae.models import DIPVAE, VAE
from tests.digits import LATENT, assert_learned, digits, plain, trained
from tests.models.equations import (
    X,
    assert_comes_back,
    assert_finite_whatever_the_last_batch,
    assert_refused,
    losses_of,
    terms_of,
)
from tests.toys import compiled, toy


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_the_penalty_by_hand(kind):
    arguments = {"latent_dim": 3, "dtype": "float64"}
    model = toy(DIPVAE, kind=kind, off_diagonal=5.0, diagonal=2.0, **arguments)
    posterior = model.posterior(X)
    matrix = np.cov(posterior.mean().numpy().T, bias=True)  # over the batch, divided by N
    if kind == "ii":
        matrix = matrix + np.diag((posterior.stddev().numpy() ** 2).mean(0))
    penalty = sum(2 * (matrix[i, i] - 1) ** 2 if i == j else 5 * matrix[i, j] ** 2 for i in range(3) for j in range(3))
    np.testing.assert_allclose(terms_of(model).logs["dip"], penalty, rtol=1e-12)
    assert losses_of(model)["model"] == pytest.approx(losses_of(toy(VAE, **arguments))["model"] + penalty, rel=1e-12)


def test_kind_ii_is_the_covariance_of_z():
    """Of 4,000 draws for each image, with 5 standard errors of a variance of about 1: 5 sqrt(2 / 64,000)."""
    model = toy(DIPVAE, latent_dim=3, kind="ii", off_diagonal=0.0, diagonal=1.0, dtype="float64")
    z = model.posterior(X).sample(4_000, seed=(1, 2)).numpy().reshape(-1, 3)
    from_draws = ((np.diag(np.cov(z.T)) - 1) ** 2).sum()
    penalty = float(terms_of(model).penalty)
    slope = 2 * np.abs(np.diag(np.cov(z.T)) - 1).sum() + 0.1
    assert abs(from_draws - penalty) < slope * 5 * np.sqrt(2 / 64_000)


def test_the_papers_weights():
    assert toy(DIPVAE, kind="i", off_diagonal=3.0).diagonal == 30.0
    assert toy(DIPVAE, kind="ii", off_diagonal=3.0).diagonal == 3.0


def test_a_last_batch_of_one_image():
    assert_finite_whatever_the_last_batch(compiled(DIPVAE))


def test_arguments():
    assert_refused(DIPVAE, {"kind": "iii"}, r"The kind of a DIP-VAE is one of i, ii\. Given: 'iii'")
    for name in ("off_diagonal", "diagonal"):
        for wrong in (-1.0, float("nan"), "1"):
            assert_refused(DIPVAE, {name: wrong}, rf"{name} must be a finite number, 0 or more\. Given: ")
    assert_comes_back(toy(DIPVAE, kind="i", off_diagonal=2.0), kind="i", off_diagonal=2.0, diagonal=20.0)


@pytest.mark.slow
def test_it_learns_digits_with_codes_of_unit_covariance():
    model = trained(DIPVAE, off_diagonal=50.0)
    assert_learned(model)

    def distance(each):
        """Of the covariance from the identity; with 500 draws it has an error of sqrt(2 / 500) = 0.06 an entry."""
        z = each.posterior(digits().held_out_x).sample(seed=(0, 1)).numpy()
        return np.linalg.norm(np.cov(z.T) - np.eye(LATENT))

    assert distance(model) < 0.5 * distance(plain(VAE))
