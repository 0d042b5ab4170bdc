"""Every model of the zoo gives the numbers of its card; log p(x) of all examples is `make proof-zoo`'s.

`keras-vae verify --all` measures the same.
"""

import pytest

from keras_vae import zoo
from keras_vae.errors import UnavailableError
from keras_vae.models import MODELS

FAST = ("beta_vae_mnist", "vae_mnist")  # `make test-all` takes all
names = pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in zoo.names()]
)


@names
def test_the_numbers_of_the_card(name):
    """The same weights, digits and noise: what differs between machines is rounding."""
    card = zoo.card(name)
    assert card.recipe.model.class_name in MODELS
    try:
        rows = zoo.verify(name, likelihood_examples=100)
    except UnavailableError as error:  # of data that are not bundled
        pytest.skip(str(error))
    assert set(rows) == set(card.results["metrics"])
    assert all(abs(row["difference"]) <= row["tolerance"] for row in rows.values())
    for metric in {"elbo", "log_px", "kl", "squared_error"} & set(rows):
        assert rows[metric]["tolerance"] <= 0.01, metric
