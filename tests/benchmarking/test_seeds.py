"""Entries trained with further seeds: real processes, and what their results and cards say of them."""

import statistics

import pytest

from keras_vae import zoo
from keras_vae.zoo import store
from tests import toy_runs
from tests.benchmarking.programs import program
from tests.run_fixtures import own_zoo as own_zoo
from tests.run_fixtures import run as run

seeds = program("seeds")


@pytest.fixture
def entry(run, own_zoo, monkeypatch):
    """A trained entry of which two seeds are planned."""
    toy_runs.copy_of(run, own_zoo / "a_toy")
    monkeypatch.setattr(seeds, "SEEDS", {"a_toy": (1, 2)})
    return own_zoo / "a_toy"


def test_planned_seeds_are_of_entries_and_beside_their_first():
    for name, others in seeds.SEEDS.items():
        folder = store.root() / name
        assert (folder / "next.toml").is_file() or zoo.card(name).recipe.training.seed == 0
        assert others == tuple(range(1, len(others) + 1))


def test_nothing_is_adopted_before_a_run_is_finished(entry, tmp_path):
    before = (entry / store.RESULTS).read_bytes()
    with pytest.raises(SystemExit, match="No run of a_toy with another seed is finished"):
        seeds.adopt("a_toy", tmp_path / "runs")
    assert (entry / store.RESULTS).read_bytes() == before


@pytest.mark.slow
def test_runs_of_other_seeds_are_in_the_results_and_on_the_card(entry, tmp_path):
    before = zoo.card("a_toy").results
    seeds.train("a_toy", tmp_path / "runs")
    seeds.adopt("a_toy", tmp_path / "runs")
    results = zoo.card("a_toy").results
    assert [row["seed"] for row in results["seeds"]] == [1, 2]
    assert {**results, "seeds": 0, "sha256": 0} == {**before, "seeds": 0, "sha256": 0}, "the entry itself stays"
    elbos = [row["metrics"]["elbo"]["value"] for row in (results, *results["seeds"])]
    assert len({*elbos}) == 3, "each seed trains another model"
    for row in results["seeds"]:
        run = zoo.card(tmp_path / "runs" / "a_toy" / f"c000-s{row['seed']}")
        assert run.recipe.training.seed == row["seed"] and run.results["metrics"] == row["metrics"]
        assert {**run.recipe.content["model"]} == {**zoo.card("a_toy").recipe.content["model"]}
    text = (entry / store.CARD).read_text(encoding="utf-8")
    mean, deviation = statistics.mean(elbos), statistics.stdev(elbos)
    assert f" | {mean:.2f} ± {deviation:.2f} |\n" in text and "| metric | seed 0 | seed 1 | seed 2 | mean" in text
