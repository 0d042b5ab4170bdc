"""The zoo against its papers: what an entry must reach, and which model must be better, with the reasons where not."""

import json

import numpy as np
import pytest

from keras_vae import zoo
from keras_vae.zoo import store
from tests.benchmarking.test_train_zoo import ROOT, program

fidelity = program("fidelity")


def test_what_is_missed_has_its_reason_and_what_is_reached_has_none():
    """Of the entries that have been trained on the protocol: the others have no file of log p(x)."""
    missed = fidelity.plan()["missed"]
    assert set(fidelity.misses()) == set(missed), "list it in benchmarks/fidelity.json with the reason, or take it out"
    assert all(len(reason) > 20 for reason in missed.values())


def test_entries_of_the_plan_exist_or_are_to_come():
    expected = fidelity.plan()
    known = set(zoo.names()) | {path.parent.name for path in (ROOT / "zoo").glob("*/next.toml")}
    listed = {row[side] for row in expected["orderings"] for side in ("better", "worse")} | set(expected["reach"])
    assert listed <= known


def test_the_mean_of_each_file_is_the_number_of_the_card():
    for name in zoo.names():
        path = store.root() / name / store.LOG_PROBS
        if path.is_file():
            values, row = np.load(path).astype("float64"), zoo.card(name).results["metrics"]["log_prob"]
            assert values.mean() == pytest.approx(row["value"], abs=1e-3)
            assert len(values) == row.get("examples", zoo.card(name).results["evaluation"]["examples"])


@pytest.fixture
def toy_zoo(tmp_path, monkeypatch):
    """Two entries of which the first is better by 0.5 ± 0.1 nats, and a plan."""
    generator = np.random.default_rng(0)
    worse = generator.normal(90.0, 20.0, 400)
    for name, values in {"good": worse - 0.5 + generator.normal(0, 2.0, 400), "bad": np.append(worse, 500.0)}.items():
        (tmp_path / "zoo" / name).mkdir(parents=True)
        np.save(tmp_path / "zoo" / name / store.LOG_PROBS, -values.astype("float32"))
    monkeypatch.setattr(fidelity.store, "root", lambda: tmp_path / "zoo")
    monkeypatch.setattr(fidelity, "FILE", tmp_path / "fidelity.json")

    def write(reach, orderings):
        rows = [{"better": a, "worse": b, "reach": least, "published": 1.0} for a, b, least in orderings]
        (tmp_path / "fidelity.json").write_text(json.dumps({"reach": reach, "orderings": rows, "missed": {}}))

    return write


def test_gaps_are_paired(toy_zoo):
    toy_zoo({}, [("good", "bad", 0.0)])
    gap = fidelity.difference("good", "bad")
    assert gap["examples"] == 400 and gap["value"] == pytest.approx(0.5, abs=0.3)
    assert gap["standard_error"] == pytest.approx(0.1, rel=0.15), "not the 1.4 of independent numbers"
    assert fidelity.misses() == []
    assert "`good` below `bad`" in fidelity.gaps() and "| 1.00 |" in fidelity.gaps()


@pytest.mark.parametrize(
    ("reach", "orderings", "expected"),
    [
        ({"good": 70.0}, [], ["good"]),
        ({"good": 95.0, "absent": 1.0}, [], []),
        ({}, [("bad", "good", 0.0)], ["bad below good"]),
        ({}, [("good", "bad", 1.0)], ["good below bad"]),
        ({}, [("good", "absent", 0.0)], []),
        ({}, [("good", "good", 0.0)], ["good below good"]),
    ],
)
def test_what_is_missed(toy_zoo, reach, orderings, expected):
    toy_zoo(reach, orderings)
    assert fidelity.misses() == expected
