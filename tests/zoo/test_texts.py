"""Models of tokens: what their cards show in place of pictures."""

import dataclasses

import numpy as np
import pytest

from keras_vae import data
from keras_vae.models import SequenceVAE
from keras_vae.zoo import recipes, texts, wording
from keras_vae.zoo.examples import examples_of
from tests import toy_runs
from tests.toys import toy

NETWORK = {"name": "gru", "units": 6, "embedding_dim": 4}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return recipes.read(toy_runs.write_recipe(tmp_path_factory.mktemp("words") / "toy.toml", toy_runs.WORDS))


@pytest.mark.slow
def test_sequences_are_shown_as_text(recipe):
    model = SequenceVAE(latent_dim=3, encoder=NETWORK, decoder=NETWORK, seed=1)
    found = texts.shown(model, recipe, examples_of(recipe))
    x = data.load_arrays("words", "test[:300]")
    assert [row[0] for row in found["reconstructed"]] == data.words.to_text(x[:12])
    assert [row[1] for row in found["reconstructed"]] == data.words.to_text(model.reconstruct(x[:12]))
    assert found["sampled"] == [data.words.to_text(model.sample(24))]
    first = model.decode(
        np.linspace(0, 1, 7)[:, None] * (model.encode(x[5:6]) - model.encode(x[:1])) + model.encode(x[:1])
    )
    assert found["interpolated"][0] == data.words.to_text(first) and len(found["interpolated"]) == 5
    assert texts.shown(toy(), recipe, examples_of(recipe)) == {}, "images have pictures"


@pytest.mark.slow
@pytest.mark.parametrize(("count", "ways"), [(2, 1), (7, 3), (9, 4), (10, 5)])
def test_few_sequences_are_paired_as_far_as_they_go(recipe, count, ways):
    model = SequenceVAE(latent_dim=3, encoder=NETWORK, decoder=NETWORK, seed=1)
    found = texts.shown(model, recipe, examples_of(recipe).first(count))
    assert len(found["interpolated"]) == ways and len(found["reconstructed"]) == count


def test_tokens_that_spell_nothing_are_numbers(recipe):
    assert texts.numbers(np.array([[3, 12, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]])) == ["3 12", "", "1 2 3 4"]
    other = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, name="unknown"))
    assert texts.spelling(other) is texts.numbers and texts.spelling(recipe)(np.array([[3, 1, 20, 0]])) == ["cat"]


def test_cells_of_a_table_and_of_a_list():
    title, heads, cells = wording.text_cells("interpolated", [["cat", "", "dog"]])
    assert heads == ["from", "", "to"] and cells == [["cat", "(nothing)", "dog"]] and "straight line" in title
    assert wording.text_cells("sampled", [["a", ""]])[1:] == ([], [["a", "(nothing)"]])
