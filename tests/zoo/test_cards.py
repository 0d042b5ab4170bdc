"""Cards are written by the program: regenerated, they equal the files."""

import re

import pytest

from keras_vae import zoo
from keras_vae.zoo import cards, store
from tests import toy_runs


def test_a_card_says_what_was_measured(run):
    card = zoo.card(run)
    text = card.markdown()
    assert (run / "README.md").read_text(encoding="utf-8") == text
    metrics = card.results["metrics"]
    elbo = f"{metrics['elbo']['value']:.2f} ± {metrics['elbo']['standard_error']:.2f}"
    assert f"| ELBO | {elbo} | 1 |" in text
    assert "On 300 images of the split `test[:300]`, pixels binarised once (static), seed 0; nats per example" in text
    assert card.results["weights"]["sha256"] in text
    assert 'model = keras_vae.zoo.load("toy")' in text
    assert "2 epochs, 20 steps" in text
    assert "Published number to stand against: none known for this configuration." in text
    for picture in cards.PICTURES:
        assert f"({picture})" in text and (run / picture).is_file()
    assert f"```toml\n{card.recipe.text.rstrip()}\n```" in text


def test_a_published_number_is_shown_with_its_source(own_run):
    published = {"published.metric": "elbo", "published.value": -84.5, "published.source": "Somebody 2014",
                 "published.url": "https://example.org/vae", "published.differences": "A larger network."}  # fmt: skip
    (own_run / "recipe.toml").write_text(toy_runs.recipe_text(published))
    text = zoo.card(own_run).markdown()
    assert "Published: elbo -84.5 (Somebody 2014, https://example.org/vae).\nA larger network.\n" in text


def test_the_table(run, own_zoo):
    toy_runs.copy_of(run, own_zoo / "a_toy")
    toy_runs.write_recipe(own_zoo / "b_new/recipe.toml", {"summary": "KL(q || p), new."})
    lines = cards.table([zoo.card(name) for name in zoo.names()]).splitlines()
    assert len(lines) == 4 and {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {7}, "six columns in each row"
    value, error = (zoo.card("a_toy").results["metrics"]["kl"][key] for key in ("value", "standard_error"))
    assert lines[2].startswith("| [a_toy](zoo/a_toy) | A toy that learns little. | ")
    assert lines[2].endswith(f" | {value:.2f} ± {error:.2f} | 0.1 MB |")
    assert lines[3].endswith("| not trained |")


@pytest.mark.parametrize("name", zoo.names())
def test_the_cards_of_the_zoo_are_as_the_program_writes_them(name):
    written = (store.root() / name / "README.md").read_text(encoding="utf-8")
    assert written == zoo.card(name).markdown(), "write it anew: keras-vae train, or cards.markdown"
