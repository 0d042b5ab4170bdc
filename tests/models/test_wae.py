"""WAE-MMD: reconstruction and the discrepancy between the batch's codes and the prior's draws, by hand."""

import numpy as np
import pytest

from keras_vae import divergences
from keras_vae.errors import UserError
from keras_vae.models import AE, WAE
from tests.digits import assert_learned, digits, plain, trained
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


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_the_loss_by_hand(kernel):
    model = toy(WAE, scale=30.0, kernel=kernel, dtype="float64")
    codes = model.encode(X)
    drawn = model.prior().sample(16, seed=draw_seeds(model, 2)[1]).numpy()
    k = lambda a, b: float(divergences.KERNELS[kernel](((a - b) ** 2).sum(), 2))  # noqa: E731
    pairs = [(i, j) for i in range(16) for j in range(16)]
    apart = [(i, j) for i, j in pairs if i != j]
    distance = np.mean([k(codes[i], codes[j]) + k(drawn[i], drawn[j]) for i, j in apart])
    distance -= 2 * np.mean([k(codes[i], drawn[j]) for i, j in pairs])
    reconstruction = -model.likelihood(codes).log_prob(X).numpy().mean()
    assert losses_of(model)["model"] == pytest.approx(reconstruction + 30 * distance, rel=1e-10)
    assert float(terms_of(model).logs["mmd"]) == pytest.approx(distance, rel=1e-10)


def test_it_has_samples_and_no_likelihood():
    model = toy(WAE)
    assert model.sample(3).shape == (3, 4, 4, 1)
    with pytest.raises(UserError, match="WAE has no distribution over codes, and so no ELBO"):
        model.elbo(X)
    with pytest.raises(UserError, match="no ELBO and no log p"):
        model.log_prob(X, samples=2)


def test_a_last_batch_of_one_image():
    """The estimate of the discrepancy from one code was 0 / 0."""
    assert_finite_whatever_the_last_batch(compiled(WAE))


def test_arguments():
    for wrong in (-1.0, float("inf"), "3", None):
        assert_refused(WAE, {"scale": wrong}, r"scale must be a finite number, 0 or more\. Given: ")
    assert_refused(WAE, {"kernel": "gauss"}, r"Unknown kernel 'gauss'.*imq")
    assert_refused(WAE, {"beta": 2.0}, r"WAE does not take beta\.")
    assert_comes_back(toy(WAE, scale=3.0, kernel="rbf"), scale=3.0, kernel="rbf")


@pytest.mark.slow
def test_it_learns_digits_and_codes_like_the_priors():
    model = trained(WAE, scale=300.0)
    assert_learned(model)

    def distance(each):
        """The largest, over dimensions, of the codes' mean and of their log deviation, from N(0, 1)'s."""
        codes = each.encode(digits().held_out_x)
        return max(np.abs(codes.mean(0)).max(), np.abs(np.log(codes.std(0))).max())

    assert distance(model) < 0.5 * distance(plain(AE))
