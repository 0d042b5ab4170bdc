"""Every entry of the zoo gives the numbers of its card, log p(x) too: `make proof-zoo`."""

import pytest

from keras_vae import zoo
from keras_vae.errors import UnavailableError

# Left out of `make test-all`, which verifies all but log p(x), the slowest; benchmarks/proof.py names this file.
pytestmark = pytest.mark.proof


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_gives_the_numbers_of_its_card(name):
    try:
        rows = zoo.verify(name)
    except UnavailableError as error:  # of data that are not bundled
        pytest.skip(str(error))
    assert rows and all(abs(row["difference"]) <= row["tolerance"] for row in rows.values())
