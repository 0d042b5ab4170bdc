"""The README and the pictures of states without a training: curves that all share, and metrics that some lack."""

import pytest

from keras_vae.sweeps import progress, reports, studies, tables
from keras_vae.sweeps.progress import State
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
