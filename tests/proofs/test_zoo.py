"""Every entry of the zoo gives the numbers of its card, log p(x) too: `make proof-zoo`."""

import pytest

from keras_vae import zoo

# Left out of `make test-all`, which verifies all but log p(x), the slowest; benchmarks/proof.py names this file.
pytestmark = pytest.mark.proof


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_gives_the_numbers_of_its_card(name):
    rows = zoo.verify(name)
    assert rows and all(abs(row["difference"]) <= row["tolerance"] for row in rows.values())
