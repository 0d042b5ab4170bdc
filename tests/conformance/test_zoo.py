"""Every model of the zoo gives the numbers of its card."""

import pytest

from keras_vae import zoo
from keras_vae.models import MODELS


@pytest.mark.parametrize("name", zoo.names())
def test_the_numbers_of_the_card(name):
    """The same weights, digits and noise: what differs between machines is rounding."""
    assert zoo.card(name).recipe.model.class_name in MODELS
    rows = zoo.verify(name, log_prob=False)
    assert set(rows) == {"elbo", "log_px", "kl"}
    assert all(abs(row["difference"]) <= row["tolerance"] <= 0.01 for row in rows.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_the_likelihood_of_the_card(name):
    assert "log_prob" in zoo.verify(name)
