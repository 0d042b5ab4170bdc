"""A study trained: folders, table, README and pictures; what is due after an interruption; and real processes."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_vae import backend, locks, sweeps, weights, zoo
from keras_vae.errors import DivergedError, UserError
from keras_vae.sweeps import engines, worker
from keras_vae.zoo import checkpoints, recipes, store, training
from tests import toy_runs
from tests.cli.test_commands import call as call
from tests.cli.test_commands import document, error
from tests.processes import interruptible
from tests.run_fixtures import run as run
from tests.sweeps import studies_of

parquet = pytest.importorskip("pyarrow.parquet")

SPACE = "model.beta = [1, 4]"
FAST = {"model.beta": 2.0, "data.train": "train[:200]", "evaluation.samples": 1, "evaluation.split": "test[:50]"}
RUNS = [f"c{configuration:03d}-s{seed}" for configuration in range(4) for seed in range(2)]
FILES = {"README.md", "results.parquet", "curves.png", "parallel.png", "correlations.png", "study.toml"}


@pytest.fixture
def here(monkeypatch, run):
    """An engine in this process, which is interrupted before the task of the number `stop`; `done` has the tasks.

    Its trainings are numbers that a recipe determines: checkpoints and results.json as `zoo.train` would write them.
    """

    class Here:
        def __init__(self):
            self.stop, self.done = 0, []

        def __call__(self, tasks, jobs, allow_code):
            for task in tasks:
                if len(self.done) + 1 == self.stop:
                    raise KeyboardInterrupt
                self.done.append((task.run.name, task.until))
                worker.work(task.run.folder, task.until)
                yield task, ""

    finished = store.Entry("toy", run).results

    def train(path, folder, verbose, until):
        recipe, arrays = recipes.read(path), {"weights": np.zeros(1, "float32")}
        if recipe.training.optimizer["learning_rate"] > 1:
            raise DivergedError("Training must stay finite.")
        noise = np.random.default_rng([recipe.training.seed, recipe.model.arguments["latent_dim"]])
        curve = (noise.normal(size=recipe.training.epochs) - recipe.model.arguments["beta"]).tolist()[:until]
        history = {"val_elbo": curve}
        if until is not None:
            about = {"epochs": until, "history": history, "seconds": 1.0, "recipe": recipes.of_training(recipe.content)}
            weights.save(folder / checkpoints.NAME, arrays, about)
            return
        training = finished["training"] | {"history": history, "epochs": len(curve)}
        metrics = finished["metrics"] | {"elbo": finished["metrics"]["elbo"] | {"value": curve[-1]}}
        store.write_results(store.Entry(folder.name, folder), finished | {"training": training, "metrics": metrics})

    engine = Here()
    monkeypatch.setitem(engines.ENGINES, "here", engine)
    monkeypatch.setattr(zoo, "train", train)
    return engine


def table_of(folder):
    """The rows of a study but for how long they took."""
    table = parquet.read_table(folder / "results.parquet")
    return table.drop_columns(["seconds"]).to_pylist()


def weights_of(folder):
    return {path.parent.name: toy_runs.arrays_in(path) for path in sorted(folder.glob("*/model.safetensors"))}


def assert_equal(folder, other):
    assert table_of(folder) == table_of(other)
    first, second = weights_of(folder), weights_of(other)
    assert first.keys() == second.keys()
    for name in first:
        assert all(np.array_equal(first[name][key], second[name][key]) for key in first[name]), name


def test_a_pruned_study_is_trained_measured_and_gone_on_from(here, tmp_path):
    """Four configurations of two seeds; after an epoch half of them stop, with both seeds; once interrupted between."""
    path = studies_of.write(tmp_path, "prune = { epochs = [1] }", SPACE, FAST)
    whole = sweeps.sweep(path, tmp_path / "whole", engine="here")
    assert here.done[:8] == [(name, 1) for name in RUNS]
    kept = sorted({name[:4] for name, until in here.done[8:]})
    assert len(kept) == 2 and here.done[8:] == [(f"{name}-s{seed}", None) for name in kept for seed in (0, 1)]
    assert set(whole.written) == FILES - {"study.toml", "correlations.png"}, "two configurations are too few to compare"
    assert whole.unfinished == 0 and [row["run"] for row in whole.rows] == RUNS

    rows = table_of(tmp_path / "whole")
    by_status = {row["run"]: row["status"] for row in rows}
    assert by_status == {name: "finished" if name[:4] in kept else "pruned" for name in RUNS}
    for row in rows:
        card = store.Entry(row["run"], tmp_path / "whole" / row["run"])
        assert card.recipe.training.seed == row["seed"] and card.recipe.model.arguments["beta"] == row["model.beta"]
        if row["status"] == "finished":
            measured = card.results
            assert row["metrics.elbo"] == measured["metrics"]["elbo"]["value"]
            assert row["history.val_elbo"] == measured["training"]["history"]["val_elbo"] and row["epochs"] == 2
            assert row["parameters"] == measured["weights"]["parameters"]
        else:
            assert row["metrics.elbo"] is None and not card.results
    best = max(kept, key=lambda name: np.mean([row["metrics.elbo"] for row in rows if row["run"].startswith(name)]))
    text = (tmp_path / "whole/README.md").read_text()
    assert text.index(f"| {best} |") < min(text.index(f"| {name} |") for name in kept if name != best)
    assert "8 runs of 4 configurations: 4 pruned, 4 finished." in text or "4 finished, 4 pruned." in text

    for tasks in (3, 7):  # that are done before the interruption: of the first epoch, and of the rest
        here.stop = len(here.done) + tasks + 1
        with pytest.raises(KeyboardInterrupt):
            sweeps.sweep(path, tmp_path / "cut", engine="here")
    here.stop = 0
    sweeps.sweep(path, tmp_path / "cut", engine="here")
    assert_equal(tmp_path / "cut", tmp_path / "whole")
    count = len(here.done)
    sweeps.sweep(path, tmp_path / "cut", engine="here")
    assert len(here.done) == count, "a finished study is not trained again"


def test_one_run_at_a_time_is_the_same_study(here, tmp_path):
    """As an array of jobs does it, in any order, each twice for a study that prunes once."""
    path = studies_of.write(tmp_path, "prune = { epochs = [1] }", "", FAST)
    sweeps.sweep(path, tmp_path / "whole", engine="here")
    order = [2, 0, 3, 1]
    assert [sweeps.run(path, tmp_path / "array", index).split(";")[0] for index in order] == [
        f"{RUNS[index]} is trained to epoch 1" for index in order
    ]
    said = [sweeps.run(path, tmp_path / "array", index) for index in order]
    assert sum("is finished" in one for one in said) == 2 and sum("pruned, nothing to do" in one for one in said) == 2
    assert sweeps.sweep(path, tmp_path / "array", jobs=0).unfinished == 0
    assert_equal(tmp_path / "array", tmp_path / "whole")
    with pytest.raises(UserError, match=r"run is the number of a run, 0 to 3 so far; there will be no more. Given: 4"):
        sweeps.run(path, tmp_path / "array", 4)


def test_no_jobs_write_what_there_is(tmp_path, here):
    path = studies_of.write(tmp_path, changes=FAST)
    empty = sweeps.sweep(path, tmp_path / "out", jobs=0)
    assert empty.unfinished == 4 and here.done == []
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"study.toml", "README.md", "results.parquet"}
    assert "No configuration is finished." in (tmp_path / "out/README.md").read_text()


def test_a_run_that_diverged_is_a_result(here, tmp_path):
    space = "training.optimizer.learning_rate = [0.001, 1e30]"
    path = studies_of.write(tmp_path, space=space, changes=FAST)
    path.write_text(path.read_text().replace("[2, 3]", "[2]").replace("seeds = 2", "seeds = 1"))
    done = sweeps.sweep(path, tmp_path / "out", engine="here")
    assert [row["status"] for row in done.rows] == ["finished", "diverged"] and done.unfinished == 0
    assert "finite" in (tmp_path / "out/c001-s0/diverged.txt").read_text()
    sweeps.sweep(path, tmp_path / "out", engine="here")
    assert len(here.done) == 2


def test_configurations_that_differ_in_keys_of_one_value_are_told_apart(here, tmp_path):
    path = studies_of.write(tmp_path, space="[[space]]\nmodel.beta = [7]", changes=FAST)
    path.write_text(path.read_text().replace("[2, 3]", "[5]"))
    folder = sweeps.sweep(path, tmp_path / "out", engine="here").folder
    text = (folder / "README.md").read_text()
    assert "| configuration | model.latent_dim | model.beta |" in text
    assert "| c000 | 5 | 2.0 |" in text or "| c000 | 5 | 2 |" in text
    assert "| c001 | 3 | 7 |" in text, "and what the recipe has elsewhere"


def test_a_folder_of_another_study_is_refused_and_more_seeds_are_not(here, tmp_path):
    path = studies_of.write(tmp_path, changes=FAST)
    path.write_text(path.read_text().replace("seeds = 2", "seeds = [4]"))
    sweeps.sweep(path, tmp_path / "out", engine="here")
    first = [row["metrics.elbo"] for row in table_of(tmp_path / "out")]
    path.write_text(path.read_text().replace("[4]", "[4, 5]"))
    sweeps.sweep(path, tmp_path / "out", engine="here")
    assert len(here.done) == 4 and [row["metrics.elbo"] for row in table_of(tmp_path / "out")][::2] == first
    path.write_text(path.read_text().replace("[2, 3]", "[2, 4]"))
    with pytest.raises(UserError, match=r"holds another study: in c001-s4, model.latent_dim is 4, and was 3"):
        sweeps.sweep(path, tmp_path / "out", engine="here")
    assert len(sweeps.sweep(path, tmp_path / "out", engine="here", overwrite=True).rows) == 4 and len(here.done) == 8


def test_more_seeds_are_refused_where_draws_depend_on_them(here, tmp_path):
    pytest.importorskip("optuna")
    path = studies_of.write(tmp_path, 'sampler = "tpe"\nconfigurations = 1', changes=FAST)
    sweeps.sweep(path, tmp_path / "out", engine="here")
    path.write_text(path.read_text().replace("seeds = 2", "seeds = [0, 1]"))
    assert sweeps.sweep(path, tmp_path / "out", engine="here").unfinished == 0 and len(here.done) == 2
    path.write_text(path.read_text().replace("[0, 1]", "[0, 1, 2]"))
    with pytest.raises(UserError, match=r"seeds stay as they are .*Given: .0, 1, 2., and .0, 1. in"):
        sweeps.sweep(path, tmp_path / "out", engine="here")
    with pytest.raises(UserError, match="seeds stay as they are"):
        sweeps.run(path, tmp_path / "out", 0)
    assert len(here.done) == 2


def test_what_is_refused_is_refused_before_anything_is_written(here, tmp_path):
    path = studies_of.write(tmp_path, space="model.betta = [1]", changes=FAST)
    with pytest.raises(UserError, match=r"model class BetaVAE has no argument 'betta'. Did you mean 'beta'"):
        sweeps.sweep(path, tmp_path / "out", engine="here")
    space = 'model.class = ["BetaVAE", "AE"]\nmodel.beta = [1, 4]'
    combined = studies_of.write(tmp_path, space=space, changes=FAST)
    with pytest.raises(UserError, match=r"AE does not take beta.*beta=4"):
        sweeps.sweep(combined, tmp_path / "out", engine="here")
    unrecorded = studies_of.write(tmp_path, changes=FAST)
    unrecorded.write_text(unrecorded.read_text().replace("metrics.squared_error", "overview.latent.kl_split.mutual"))
    with pytest.raises(UserError, match=r"of a section that recipes record, here none. Given: overview.latent"):
        sweeps.sweep(unrecorded, tmp_path / "out", engine="here")
    for wrong, message in (({"engine": "spark"}, "Unknown engine 'spark'"), ({"jobs": -1}, "jobs must be")):
        with pytest.raises(UserError, match=message):
            sweeps.sweep(studies_of.write(tmp_path, changes=FAST), tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists() and here.done == []
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("")
    with pytest.raises(UserError, match="made by the same command"):
        sweeps.sweep(path.with_name("study.toml"), tmp_path / "precious", engine="here")


def test_two_sweeps_in_one_folder_are_refused(here, tmp_path):
    path = studies_of.write(tmp_path, changes=FAST)
    with locks.only_writer(tmp_path / "out/study.toml"), pytest.raises(UserError, match="Another process sweeps here"):
        sweeps.sweep(path, tmp_path / "out", engine="here")


def test_runs_that_fail_are_named_and_the_others_are_done(monkeypatch, tmp_path):
    def engine(tasks, jobs, allow_code):
        for number, task in enumerate(tasks):
            yield task, "c001-s0: no room" if number == 2 else ""

    monkeypatch.setitem(engines.ENGINES, "failing", engine)
    said = []
    with pytest.raises(UserError, match="Given: 1 of 4 failed, as c001-s0: no room"):
        sweeps.sweep(studies_of.write(tmp_path, changes=FAST), tmp_path / "out", engine="failing", report=said.append)
    assert len(said) == 4 and said[2] == "3 of 4: c001-s0: no room"


def test_the_command_says_in_one_line_what_does_not_fit(call, tmp_path):
    studies_of.write(tmp_path, space="training.epoch = [1]")
    wrong = error(call("sweep", "study.toml"))
    assert wrong.startswith("study.toml: unknown key training.epoch. Did you mean 'epochs'?")
    assert error(call("sweep", "study.toml", "--run", 0, "--overwrite")).startswith("--run does one run of a study")
    assert error(call("sweep", "none.toml")) == "Cannot read the study none.toml: No such file or directory."
    assert not (tmp_path / "runs").exists()


def test_the_command_lists_and_trains_single_runs(call, tmp_path, monkeypatch):
    """A training, whose recipe names a metric of the overview."""
    monkeypatch.setattr(training.pictures, "write", lambda *_, **__: [])
    studies_of.write(tmp_path, changes=FAST | {"evaluation.overview": ["generation.reconstruction"]})
    code, out, err = call("sweep", "study.toml", "--jobs", 0)
    assert code == 0 and "4 runs, --run 0 to 3; 4 are unfinished." in out and err == ""
    done = document(call("sweep", "study.toml", "--run", 3, "--json"))
    assert done == {"done": f"c001-s1 is finished; the folder is runs/{tmp_path.name}/c001-s1"}
    listed = document(call("sweep", "study.toml", "--jobs", 0, "--json"))
    assert listed["unfinished"] == 3 and [row["status"] for row in listed["rows"]] == ["unfinished"] * 3 + ["finished"]
    row = listed["rows"][3]
    assert row["overview.generation.reconstruction.mse"] > 0 and "overview.generation.sharpness.samples" not in row


def test_the_command_leaves_graphics_cards_to_the_processes_of_the_runs(call, tmp_path, monkeypatch):
    hidden = []
    monkeypatch.setattr(backend, "hide_gpus", lambda: hidden.append(True))
    studies_of.write(tmp_path, changes=FAST)
    assert call("sweep", "study.toml", "--jobs", 0)[0] == 0 and hidden == [True]
    monkeypatch.setattr(sweeps, "run", lambda *_, **__: "nothing")
    assert call("sweep", "study.toml", "--run", 0)[0] == 0 and hidden == [True], "a run trains on them"


def started(folder, output, *words):
    command = [sys.executable, "-m", "keras_vae", "sweep", "study.toml", "--output", output, "--jobs", "2", *words]
    with interruptible():
        return subprocess.Popen(command, cwd=folder, env=toy_runs.environment(), text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)  # fmt: skip


def processes_in(folder):
    """The processes whose working folder is `folder`."""
    found = []
    for path in os.listdir("/proc"):
        if path.isdigit():
            try:
                if os.readlink(f"/proc/{path}/cwd") == str(folder):
                    found.append(int(path))
            except OSError:
                continue
    return found


@pytest.mark.slow
def test_a_killed_sweep_of_processes_is_gone_on_from_and_ends_equal(tmp_path):
    """Real processes: interrupted, then killed, whatever the others were doing; nobody is left, nothing is lost."""
    studies_of.write(tmp_path, "prune = { epochs = [1] }", changes=FAST)
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        process = started(tmp_path, "cut")
        assert process.stdout.readline(), process.stderr.read()  # a run has come to the epoch
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status, errors
        limit = time.monotonic() + 60
        while processes_in(tmp_path) and time.monotonic() < limit:
            time.sleep(0.05)
        assert processes_in(tmp_path) == [], "the processes of the runs end with the sweep"
    for output in ("cut", "whole"):
        process = started(tmp_path, output)
        out, errors = process.communicate(timeout=600)
        assert process.returncode == 0, f"{out}\n{errors}"
    assert_equal(tmp_path / "cut", tmp_path / "whole")
    names = {path.name for path in (tmp_path / "cut").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}, "no leftover"


@pytest.mark.slow
def test_tasks_of_ray_are_runs(tmp_path):
    pytest.importorskip("ray")
    path = studies_of.write(tmp_path, changes=FAST)
    path.write_text(path.read_text().replace("seeds = 2", "seeds = 1"))
    code = f"from keras_vae import sweeps; print(sweeps.sweep({str(path)!r}, 'out', jobs=2, engine='ray').unfinished)"
    done = toy_runs.python(["-c", code], tmp_path, timeout=600)
    assert done.returncode == 0 and done.stdout.split()[-1] == "0", done.stderr
