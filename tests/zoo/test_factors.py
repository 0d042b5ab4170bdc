"""A recipe on data with known factors becomes a card: trained, measured and drawn, and disentanglement with it."""

import json

import numpy as np
import pytest

from keras_vae import evaluation, zoo
from keras_vae.cli import main
from keras_vae.evaluation.disentanglement import METRICS
from keras_vae.zoo import wording
from keras_vae.zoo.examples import examples_of
from tests import toy_runs

pytestmark = pytest.mark.slow  # a training on 64 x 64 pixels

CHANGES = {
    "summary": "A toy of sprites.",
    "model.image_shape": [64, 64, 1],
    "model.latent_dim": 4,
    "model.beta": 1.0,
    "data.name": "sprites",
    "data.train": "train[:1500]",
    "data.binarize": toy_runs.REMOVED,
    "training.epochs": 2,
    "evaluation.split": "test[:1000]",
    "evaluation.overview": True,
}


@pytest.fixture(scope="module")
def sprites_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sprites")
    zoo.train(toy_runs.write_recipe(folder / "toy.toml", CHANGES), folder / "toy", verbose=0)
    return folder / "toy"


def test_the_card_has_the_metrics_of_disentanglement(sprites_run):
    card = zoo.card(sprites_run)
    overview, text = card.results["overview"], (sprites_run / "README.md").read_text(encoding="utf-8")
    assert set(overview["disentanglement"]) == set(METRICS)
    examples = examples_of(card.recipe)
    assert examples.classes is None and examples.factors.shape == (1000, 5)
    again = evaluation.repeated(evaluation.mig, zoo.load(sprites_run).encode(examples.images), examples.factors)
    assert overview["disentanglement"]["mig"]["mig"]["value"] == pytest.approx(again["mig"]["value"], abs=1e-6)
    assert f"| MIG | {wording.number(again['mig'])} | 200 images, 5 repetitions |" in text
    assert "DCI: completeness" in text and "FactorVAE metric" in text
    assert "labels" in overview["without"]["representation.probes"], "factors are no classes"
    assert (sprites_run / "traversal.png").is_file() and (sprites_run / "samples.png").is_file()


def test_the_commands_take_it(sprites_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*words])
        printed = capsys.readouterr()
        assert left.value.code == 0, printed.err
        return printed.out

    found = json.loads(call("evaluate", str(sprites_run), "--disentanglement", "--json"))
    assert set(found["disentanglement"]) == set(METRICS) and "latent" not in found
    for scores in found["disentanglement"].values():
        for row in scores.values():
            assert np.isfinite(row["value"]) and row["standard_error"] >= 0 and row["repetitions"] == 5
    assert "factor_vae_metric" in call("evaluate", str(sprites_run), "--disentanglement")
    call("verify", str(sprites_run))
    call("report", str(sprites_run), "--output", "r.html", "--count", "50")
    call("embed", str(sprites_run), "--count", "50")
    call("anomaly", str(sprites_run), "--anomalies", "photographs", "--count", "40")


def test_data_without_factors_say_so(run, capsys):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(run), "--disentanglement"])
    assert left.value.code == 1
    assert "has nothing of disentanglement. This needs the true factors of each image" in capsys.readouterr().err
