"""Cards are written by the program: regenerated, they equal the files."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from keras_vae import zoo
from keras_vae.cli import main
from keras_vae.zoo import cards, store, wording
from tests import toy_runs


def test_a_card_says_what_was_measured(run):
    card = zoo.card(run)
    text = card.markdown()
    assert (run / "README.md").read_text(encoding="utf-8") == text
    metrics = card.results["metrics"]
    elbo = wording.number(metrics["elbo"])
    assert f"| ELBO | {elbo} | nats | 1 | 0.01 |" in text
    assert f"| {metrics['active_units']['value']} | of 3 dimensions |  | 1 |" in text, "a count has no standard error"
    assert "On 300 images of the split `test[:300]`, pixels binarised once (static), seed 0; mean ± stand" in text
    pairs = zip(metrics["kl"]["parts"], metrics["kl"]["errors"], strict=True)
    kl = ", ".join(f"z{i} {part:.2f} ± {error:.2f}" for i, (part, error) in enumerate(pairs))
    assert f"KL, nats: {kl}." in text
    assert card.results["weights"]["sha256"] in text
    assert f'model = keras_vae.zoo.load("{run}")' in text and f"`keras-vae verify {run}`" in text, "a folder, no name"
    assert "2 epochs, 20 steps" in text
    best = {
        **card.results,
        "training": {**card.results["training"], "best_epoch": 1, "steps": 10},
        "prior": {"bytes": 1},
    }
    text = card._replace(results=best).markdown()
    assert "2 epochs, the weights are those of epoch 1 (10 steps)" in text
    assert "![Samples from the fitted prior](samples.png)" in text
    assert "No published number is known for this configuration." in text
    assert len(card.results["pictures"]) == 4
    for picture in card.results["pictures"]:
        assert f"({picture})" in text and (run / picture).is_file()
    assert f"```toml\n{card.recipe.text.rstrip()}\n```" in text


def test_a_published_number_is_shown_with_its_source(own_run):
    published = {"published.metric": "elbo", "published.value": -84.5, "published.source": "Somebody 2014",
                 "published.url": "https://example.org/vae", "published.differences": "A larger network."}  # fmt: skip
    (own_run / "recipe.toml").write_text(toy_runs.recipe_text(published))
    text = zoo.card(own_run).markdown()
    assert "Published: elbo -84.5 (Somebody 2014, https://example.org/vae).\nA larger network.\n" in text


def test_further_seeds_are_a_table_with_their_mean_and_deviation(own_run):
    assert "seed 1" not in zoo.card(own_run).markdown()

    def with_seeds(results):
        metrics = results["metrics"]
        metrics["elbo"] |= {"value": -100.0, "standard_error": 0.5}
        values = {1: -101.0, 4: -105.0}
        results["seeds"] = [
            {
                "seed": seed,
                "epochs": 2,
                "seconds": 1.0,
                "metrics": {**metrics, "elbo": {**metrics["elbo"], "value": value}},
            }
            for seed, value in values.items()
        ]

    toy_runs.edit_results(own_run, with_seeds)
    text = zoo.card(own_run).markdown()
    assert "| metric | seed 0 | seed 1 | seed 4 | mean ± standard deviation |\n| --- | ---: |" in text
    assert "| ELBO | -100.00 ± 0.50 | -101.00 ± 0.50 | -105.00 ± 0.50 | -102.0 ± 2.6 |" in text
    used = zoo.card(own_run).results["metrics"]["active_units"]["value"]
    assert f" | {used} | {used} | {used} | {used}.00" in text, "a count has no error of its own"


def test_the_table(run, own_zoo):
    toy_runs.copy_of(run, own_zoo / "a_toy")
    toy_runs.write_recipe(own_zoo / "b_new/recipe.toml", {"summary": "KL(q || p), new."})
    lines = cards.table([zoo.card(name) for name in zoo.names()]).splitlines()
    rows, legend = lines[:4], lines[4:]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {9}, "eight columns in each row"
    metrics = zoo.card("a_toy").results["metrics"]
    assert rows[2].startswith("| [a_toy](zoo/a_toy) | A toy that learns little. | mnist, binarised | -")
    assert rows[2].endswith(
        f" | {wording.number(metrics['squared_error'])} | {metrics['active_units']['value']} of 3 dimensions "
        f"| 0.053 MB |"
    )
    assert rows[3].endswith("| mnist, binarised |  |  |  |  | not trained |")
    assert legend[0] == "" and "nats each" in legend[1]


def test_the_card_of_a_zoo_entry_is_loaded_by_its_name(run, own_zoo):
    toy_runs.copy_of(run, own_zoo / "a_toy")
    assert 'model = keras_vae.zoo.load("a_toy")' in zoo.card("a_toy").markdown()
    assert 'model = keras_vae.zoo.load("a_toy")' in zoo.card(own_zoo / "a_toy").markdown(), "by its folder, too"


def test_what_is_a_bound_is_not_shown_as_a_value():
    assert wording.number({"value": 16.81, "standard_error": 0.17, "bound": "upper"}) == "at most 16.81"
    assert wording.number({"value": 6.904, "standard_error": 0.17, "bound": "lower"}) == "at least 6.90"


def test_further_numbers_say_what_they_are_of():
    """Labels fitted to, the noun of the data, codes that were given the label, the ceiling of a classifier."""
    row = {"value": 0.9, "standard_error": 0.01, "examples": 10_000}
    overview = {
        "seed": 0,
        "representation": {"probes": {"linear": {"100": row, "all": row | {"labels": 9000, "given_labels": True}}}},
        "generation": {"condition_accuracy": row | {"ceiling": 0.9912}},
    }
    found = {title: of for title, _, of in wording.overview_rows(overview, "sequence")}
    assert found == {
        "accuracy of a linear probe fitted to 100 labels": "10,000 sequences",
        "accuracy of a linear probe fitted to 9,000 labels": "10,000 sequences, codes encoded with the true label",
        "draws that a classifier assigns to their label": "10,000 sequences, accuracy on real digits 0.9912",
    }


def test_the_best_and_the_worst_columns_are_a_table():
    def row(count):
        return {"value": 0.5, "standard_error": 0.1, "names": [f"a|{i}" for i in range(count)],
                "parts": [i / 10 for i in reversed(range(count))], "errors": [0.01] * count}  # fmt: skip

    few, many = ({"seed": 0, "generation": {"columns": {"rmse": row(count)}}} for count in (3, 20))
    assert wording.column_tables(few) == [(wording.BY_COLUMN["rmse"], [
        ["a|2", "0.000 ± 0.010"], ["a|1", "0.100 ± 0.010"], ["a|0", "0.200 ± 0.010"],
    ])]  # fmt: skip
    ((_, rows),) = wording.column_tables(many)
    assert [name for name, _ in rows] == ["a|19", "a|18", "a|17", "a|16", "...", "a|3", "a|2", "a|1", "a|0"]
    lines = cards._overview(few, "example")
    assert "| a\\|2 | 0.000 ± 0.010 |" in lines and "the least first:" in "".join(lines)
    one = {"generation": {"columns": {"rmse": row(1), "log_loss": row(3)}, "memorisation": row(3)}}
    assert wording.column_tables(one) == [], "a single column is the mean itself"


def test_collapse_is_told_with_its_dimensions_and_what_helps():
    partial = {"verdict": "partial", "summary": "Two.", "dimensions": [3, 7], "remedies": ["a", "b"]}
    told = wording.collapse_lines(partial)
    assert told == ["Collapse: partial. Two.", "Collapsed dimensions: z3, z7.", "Suggested: a; b."]
    whole = wording.collapse_lines({"verdict": "none", "summary": "All.", "dimensions": [], "remedies": []})
    assert whole == ["Collapse: none. All."]


def test_numbers_show_the_digits_that_their_error_leaves():
    assert wording.number({"value": -96.3516, "standard_error": 0.31}) == "-96.35 ± 0.31"
    assert wording.number({"value": 0.00123, "standard_error": 0.00011}) == "0.00123 ± 0.00011"
    assert wording.number({"value": -32380.558, "standard_error": 2209.6}) == "-32381 ± 2210"
    assert wording.number({"value": 0.7412, "standard_error": 0.0087}) == "0.7412 ± 0.0087"
    assert wording.number({"value": 55.45, "standard_error": 0.0}) == "55.45 ± 0.00"
    assert wording.number_of_first({"value": 1.25, "standard_error": 0.5, "examples": 9}) == "1.25 ± 0.50, the first 9"
    assert wording.number({"value": 13, "standard_error": None}) == "13"
    assert wording.number({"value": 97.256, "standard_error": None}) == "97.26"
    assert wording.number(None) == ""


@pytest.mark.parametrize("name", zoo.names())
def test_the_cards_of_the_zoo_are_as_the_program_writes_them(name):
    written = (store.root() / name / "README.md").read_text(encoding="utf-8")
    assert written == zoo.card(name).markdown(), "write it anew: keras-vae train, or cards.markdown"


def test_a_card_is_short_at_the_prompt_and_a_table_in_a_notebook(run):
    card = zoo.card(run)
    elbo = wording.number(card.results["metrics"]["elbo"])
    assert repr(card).startswith(f"Card('toy': A toy that learns little. elbo {elbo}; log_prob ")
    assert len(repr(card)) < 200 and "\n" not in repr(card)
    page = card._repr_html_()
    assert f"<td>ELBO</td><td>{elbo}</td><td>nats</td>" in page and "log p(x|z)" in page
    assert page.count("<tr>") == 1 + len(card.results["metrics"])
    untrained = card._replace(results={}, recipe=dataclasses.replace(card.recipe, summary="a < b"))
    assert repr(untrained) == "Card('toy': a < b Not trained.)"
    assert untrained._repr_html_() == "<b>toy</b>: a &lt; bNot trained."


def test_the_parts_of_the_kl_have_names(own_run):
    """z0, z1, ...: those of the picture and the web page. Results of older versions have none."""
    kl = zoo.card(own_run).results["metrics"]["kl"]
    listed = ", ".join(f"z{i} {kl['parts'][i]:.2f} ± {kl['errors'][i]:.2f}" for i in range(3))
    assert kl["names"] == ["z0", "z1", "z2"] and f"\nKL, nats: {listed}.\n" in zoo.card(own_run).markdown()
    many = [float(index % 50) for index in range(100)]
    long = {"parts": many, "errors": [0.5] * 100, "names": [f"z{index}" for index in range(100)]}
    toy_runs.edit_results(own_run, lambda results: results["metrics"]["kl"].update(long))
    line = re.search(r"\nKL, nats, of the 8 of 100 dimensions with the most: (.*); with the least: (.*)\.\n",
                     zoo.card(own_run).markdown())  # fmt: skip
    assert line[1] == ", ".join(f"z{i} {i % 50}.00 ± 0.50" for i in (49, 99, 48, 98, 47, 97, 46, 96))
    assert line[2] == ", ".join(f"z{i} {i % 50}.00 ± 0.50" for i in (3, 53, 2, 52, 1, 51, 0, 50))
    toy_runs.edit_results(own_run, lambda results: results["metrics"]["kl"].pop("names"))
    assert "\nThe KL of each dimension or level in turn, nats: " in zoo.card(own_run).markdown()


# --- A run of the version before dimensions had names ---

OLD_RUN = Path(__file__).parents[1] / "fixtures/before_house/run"


def test_an_old_run_loads_and_gives_the_numbers_of_its_card(tmp_path):
    shutil.copytree(OLD_RUN, tmp_path / "old_run")
    metrics = zoo.card(tmp_path / "old_run").results["metrics"]
    rows = zoo.verify(tmp_path / "old_run")
    assert {name: row["expected"] for name, row in rows.items()} == {n: row["value"] for n, row in metrics.items()}
    assert all(abs(row["difference"]) <= row["tolerance"] for row in rows.values())


def test_the_card_of_an_old_run_is_shown(tmp_path, capsys):
    shutil.copytree(OLD_RUN, tmp_path / "old_run")
    card = zoo.card(tmp_path / "old_run")
    text = card.markdown()
    captions = {
        "traversal.png": "Each row moves one latent dimension, from the most to the least informative",
        "curves.png": "Training curves",
    }
    # But for the folder, which the card names, digits and some sentences, it is the card that the version before wrote.
    before = (OLD_RUN / "README.md").read_text(encoding="utf-8")
    for old, new in (
        ("Published number to stand against: none known", "No published number is known"),
        ("| verified to |", "| tolerance |"),
        *((f"![{was}]", f"![{cards.PICTURES[picture]}]") for picture, was in captions.items()),
    ):
        assert old in before
        before = before.replace(old, new)
    shown, stored = (
        [re.sub(r"-?[\d.]+ ± [\d.]+", "±", line) for line in lines.splitlines() if "old_run" not in line]
        for lines in (text, before)
    )  # with as many digits as cards have now
    assert shown == stored and "## Measured" in text and len(repr(card)) < 200
    with pytest.raises(SystemExit) as left:
        main(["show", str(tmp_path / "old_run")])
    assert left.value.code == 0 and "active units" in capsys.readouterr().out
