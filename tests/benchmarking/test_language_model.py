"""Language models of words beside the VAE: their sizes, and how bits per character and their error are counted."""

import json
import math

import numpy as np
import pytest

from tests.benchmarking.programs import ROOT, program

language_model = program("language_model")


@pytest.mark.parametrize(("units", "embedding_dim", "vocabulary_size"), [(1, 1, 2), (5, 3, 7), (96, 32, 27)])
def test_parameters_are_those_of_the_layers(units, embedding_dim, vocabulary_size):
    import keras

    layers = [
        keras.layers.Embedding(vocabulary_size + 1, embedding_dim),
        keras.layers.GRU(units, return_sequences=True),
        keras.layers.Dense(vocabulary_size),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    count = language_model.parameters(units, embedding_dim, vocabulary_size)
    assert count == model.count_params()
    assert language_model.units_for(count, embedding_dim, vocabulary_size) == units
    assert language_model.units_for(count - 1, embedding_dim, vocabulary_size) == max(1, units - 1)


def test_the_end_of_a_word_is_a_character_of_it():
    x = np.array([[3, 4, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]])
    assert language_model.characters(x).tolist() == [3, 4, 1], "the second is cut off before its end"


def test_bits_per_character_and_their_error():
    """Of a uniform choice among 27: log2(27) whatever the lengths, and no error. Else the error is the bootstrap's."""
    generator = np.random.default_rng(0)
    count = generator.integers(2, 16, 500)
    uniform = language_model._measured(count * math.log(27), count)
    assert uniform["bits_per_character"] == pytest.approx(math.log2(27)) and uniform["standard_error"] < 1e-12
    nats = count * generator.gamma(4.0, 0.5, 500)
    measured = language_model._measured(nats, count)
    draws = generator.integers(0, 500, (4000, 500))
    bootstrap = nats[draws].sum(1) / count[draws].sum(1) / math.log(2)
    assert measured["standard_error"] == pytest.approx(bootstrap.std(), rel=0.1)
    assert measured["nats"] == pytest.approx(nats.mean())


def test_results_are_of_the_study():
    """Two language models, then a VAE for each free rate, of the same words."""
    import tomllib

    result = json.loads((ROOT / "benchmarks" / "language_model.json").read_text(encoding="utf-8"))
    study = tomllib.loads(language_model.STUDY.read_text(encoding="utf-8"))
    free = study["space"][0]["model"]["free_bits"]
    first, second, *others = result["rows"]
    assert [row["model"] for row in others] == [f"VAE, {nats:g} nats free" for nats in free]
    assert first["parameters"] < second["parameters"] <= others[0]["parameters"]
    ratio = {round(row["nats"] / row["bits_per_character"], 3) for row in result["rows"]}
    assert len(ratio) == 1, "nats a word and bits a character are of the same words"
    assert len(language_model.markdown(result).splitlines()) == 2 + len(result["rows"])
