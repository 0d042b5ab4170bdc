"""The README and the pictures of states without a training: curves that all share, and metrics that some lack."""

import pytest

from keras_vae.sweeps import progress, reports, studies, tables
from keras_vae.sweeps.progress import State
from tests import toy_runs
from tests.sweeps import studies_of

SPACE = "training.batch_size = [50, 100]"


@pytest.fixture
def written(tmp_path):
    """Write what there is of a study of four configurations; return the names of the files, and the README."""

    def write(curve_of, metrics_of, options=""):
        study = studies.read(studies_of.write(tmp_path, options, SPACE))

        def state_of(run):
            history, values = curve_of(run.configuration), metrics_of(run.configuration, run.seed)
            training = {"epochs": 2, "seconds": 1.0, "history": history}
            measured = {name: {"value": value} for name, value in values.items()}
            return State(2, history, {"training": training, "weights": {"parameters": 1}, "metrics": measured})

        now = progress.survey(study, tmp_path / "out", state_of)
        assert now.due == []
        names = reports.write(study, now, tables.rows(study, now), tmp_path / "out")
        return names, (tmp_path / "out/README.md").read_text(encoding="utf-8")

    return write


def numbers(configuration, seed):
    return {"elbo": configuration + seed / 4, "squared_error": float((3 * configuration + seed) % 4)}


def test_the_curve_is_one_that_every_run_has(written, monkeypatch):
    drawn = []
    monkeypatch.setattr(reports.plots, "spread", lambda curves, path, y: drawn.append((y, len(curves))))

    def mixed(configuration):
        shared = {"val_elbo": [1.0, 2.0], "val_loss": [3.0, 1.0]}
        return shared | ({"val_iw_bound": [2.0, 3.0]} if configuration == 3 else {})

    assert "curves.png" in written(mixed, numbers)[0] and drawn == [("val_elbo", 4)]
    names, _ = written(lambda number: {"val_elbo" if number else "val_loss": [1.0, 2.0]}, numbers)
    assert "curves.png" not in names and len(drawn) == 1


def test_a_key_that_a_recipe_leaves_out_has_its_default(tmp_path):
    changes = {"evaluation.split": toy_runs.REMOVED, "evaluation.samples": toy_runs.REMOVED}
    changes |= {"evaluation.overview": toy_runs.REMOVED, "training.optimizer": "adam"}
    space = "[[space]]\nevaluation.samples = [9]\ntraining.optimizer.learning_rate = [0.1]"
    path = studies_of.write(tmp_path, space=space, changes=changes)
    toy = tmp_path / "toy.toml"
    toy.write_text(toy.read_text().replace("[evaluation]\n", ""))
    study = studies.read(path)
    row = tables.rows(study, progress.survey(study, tmp_path / "out"))[0]
    assert row["evaluation.samples"] == 200 and row["training.optimizer.learning_rate"] is None


CURVES = {"val_elbo": [1.0, 2.0]}


def test_a_configuration_without_the_first_metric_is_last_and_named(written):
    def some(configuration, seed):
        return {"elbow": 9.0, "squared_error": 1.0 * seed} if configuration == 1 else numbers(configuration, seed)

    names, text = written(lambda _: CURVES, some)
    places = [text.index(f"| c00{number} |") for number in (3, 2, 0, 1)]
    assert places == sorted(places) and "parallel.png" in names
    assert "without metrics.elbo in their results: c001. Did you mean 'metrics.elbow'" in text
    names, text = written(lambda _: CURVES, lambda _, seed: {"squared_error": 1.0 * seed})
    assert "results: c000, c001, c002, c003." in text and "parallel.png" not in names
    assert "| metrics.squared_error |" in text


def test_a_metric_whose_share_there_is_not_leaves_those_of_others(written):
    _, text = written(lambda _: CURVES, lambda number, seed: numbers(number, seed) | {"squared_error": 0.5})
    assert "| metrics.elbo | 3% |" in text or "| metrics.elbo | 2% |" in text
    assert "not computed of metrics.squared_error: This compares" in text
    _, text = written(lambda _: CURVES, lambda number, seed: numbers(number, seed), "seed = 3")
    assert "not computed" not in text
