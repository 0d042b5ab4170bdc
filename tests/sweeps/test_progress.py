"""What is due of a study: rungs that wait for every seed, configurations that stop as a whole, rounds in turn."""

import math

import numpy as np
import pytest

from keras_vae import weights
from keras_vae.errors import UserError
from keras_vae.sweeps import progress, studies
from keras_vae.sweeps.progress import State
from keras_vae.zoo import checkpoints, recipes
from tests import toy_runs
from tests.sweeps import studies_of
from tests.sweeps.studies_of import finished

PRUNE = "prune = { epochs = [1, 3], keep = 0.5 }"
EPOCHS = 5


def surveyed(study, states, folder="out"):
    """The survey of a study whose runs have `states`, by name; others have not begun."""
    return progress.survey(study, progress.Path(folder), lambda run: states.get(run.name, State()))


def due(now):
    return [(task.run.name, task.until) for task in now.due]


def statuses(now):
    return {run.name: now.status(run) for run in now.runs}


@pytest.fixture
def study(tmp_path):
    changes = {"training.epochs": EPOCHS}
    return studies.read(studies_of.write(tmp_path, PRUNE, "training.batch_size = [50, 100]", changes))


def trained(study, value_of, order=None):
    """Do what is due, one task at a time and in any order, until nothing is; return the last survey, and the tasks.

    `value_of` is the curve of a run: a function of its configuration, its seed and the epoch.
    """
    states, done = {}, []
    while (now := surveyed(study, states)).due:
        task = now.due[0] if order is None else now.due[order.integers(len(now.due))]
        run, end = task.run, task.until or EPOCHS
        assert run.name not in states or states[run.name].epochs < end
        curve = [value_of(run.configuration, run.seed, epoch) for epoch in range(1, end + 1)]
        states[run.name] = finished(curve[-1], *curve) if task.until is None else State(end, {"val_elbo": curve})
        done.append((run.name, task.until))
    return now, done


def test_all_seeds_of_all_configurations_come_to_an_epoch_before_any_is_judged(study):
    """Of four configurations of two seeds, half go on at each of two epochs, with both: the best by their mean."""
    means = [0.0, 3.0, 1.0, 2.0]
    now, done = trained(study, lambda configuration, seed, epoch: means[configuration] + 5 * (seed - 0.5) + epoch)
    names = [run.name for run in now.runs]
    assert done[:8] == [(name, 1) for name in names]
    assert done[8:12] == [(f"c{number:03d}-s{seed}", 3) for number in (1, 3) for seed in (0, 1)]
    assert done[12:] == [("c001-s0", None), ("c001-s1", None)]
    kept = {"c001": "finished"}
    assert statuses(now) == {name: kept.get(name[:4], "pruned") for name in names}
    assert now.outcomes[1].value == pytest.approx(3 + EPOCHS) and now.outcomes[3].reports == {1: 3.0, 3: 5.0}


def test_whatever_the_order_of_the_work_the_end_is_the_same(study):
    def value_of(configuration, seed, epoch):
        return float(np.random.default_rng([configuration, seed]).normal(epoch))

    first, tasks = trained(study, value_of)
    for number in range(5):
        again, shuffled = trained(study, value_of, np.random.default_rng(number))
        assert statuses(again) == statuses(first) and sorted(map(str, shuffled)) == sorted(map(str, tasks))


def test_a_run_waits_for_the_others(study):
    curve = {"val_elbo": [1.0]}
    states = {f"c{number:03d}-s{seed}": State(1, curve) for number in range(4) for seed in range(2)}
    del states["c002-s1"]
    now = surveyed(study, states)
    assert due(now) == [("c002-s1", 1)] and set(statuses(now).values()) == {"unfinished"}


def test_a_configuration_with_a_seed_that_diverged_is_last_and_its_other_seeds_are_no_exception(study):
    now, _ = trained(study, lambda configuration, seed, epoch: float(configuration))
    states = {run.name: run.state for run in now.runs}
    states["c003-s0"] = State(diverged="Training must stay finite.")
    now = surveyed(study, states)
    assert now.outcomes[3].status == "pruned" and now.outcomes[3].reports[1] == -math.inf
    assert statuses(now)["c003-s0"] == "diverged"
    assert due(now) == [("c001-s0", 3), ("c001-s1", 3)], "the next best takes its place"


def test_a_late_divergence_leaves_earlier_comparisons_as_they_were(study):
    means = [0.0, 3.0, 1.0, 2.0]
    now, _ = trained(study, lambda configuration, seed, epoch: means[configuration] + epoch)
    states = {run.name: run.state for run in now.runs}
    states["c001-s1"] = State(4, {"val_elbo": [4.0, 5.0, 6.0, 7.0]}, diverged="Training must stay finite.")
    again = surveyed(study, states)
    assert again.due == [] and again.outcomes[1].status == "diverged"
    assert {**again.outcomes, 1: now.outcomes[1]} == now.outcomes and again.outcomes[1].reports == {1: 4.0, 3: 6.0}


def test_the_history_of_a_run_that_diverged_is_read_from_its_checkpoint(study, tmp_path):
    run = progress.survey(study, tmp_path / "out").runs[0]
    run.folder.mkdir(parents=True)
    (run.folder / "recipe.toml").write_text(run.recipe.text)
    (run.folder / progress.DIVERGED).write_text("no")
    about = {"epochs": 2, "history": {"val_elbo": [1.0, 2.0]}, "seconds": 1.0}
    about["recipe"] = recipes.of_training(run.recipe.content)
    weights.save(run.folder / checkpoints.NAME, {"weights": np.zeros(1, "float32")}, about)
    state = progress.survey(study, tmp_path / "out").runs[0].state
    assert state.over and [state.after(epoch, "val_elbo", 1.0) for epoch in (1, 3)] == [1.0, -math.inf]


def test_the_share_that_is_kept_is_not_raised_by_rounding(tmp_path):
    """0.14 * 50 is a little more than 7."""
    options, space = "prune = { epochs = [1], keep = 0.14 }", f"training.batch_size = {list(range(50, 75))}"
    study = studies.read(studies_of.write(tmp_path, options, space))
    states = {run.name: State(1, {"val_elbo": [float(run.configuration)]}) for run in surveyed(study, {}).runs}
    assert len(due(surveyed(study, states))) == 7 * 2


def test_without_pruning_the_other_seeds_go_on(tmp_path):
    study = studies.read(studies_of.write(tmp_path))
    states = {"c000-s0": State(diverged="no"), "c001-s0": finished(1.0), "c001-s1": finished(2.0)}
    assert due(surveyed(study, states)) == [("c000-s1", None)]
    now = surveyed(study, states | {"c000-s1": finished(9.0)})
    assert now.due == [] and now.outcomes[0].status == "diverged" and now.outcomes[1].value == 1.5


def test_less_is_better_where_the_study_says_so(tmp_path):
    """Of the metric and of what prunes apart: a study of errors still prunes by the bound, of which more is better."""
    for prune, kept in (("", "c001"), (', goal = "maximize"', "c001"), (', goal = "minimize"', "c000")):
        options = f'goal = "minimize"\nprune = {{ epochs = [1]{prune} }}'
        study = studies.read(studies_of.write(tmp_path / prune[-10:-2], options))
        _, done = trained(study, lambda configuration, seed, epoch: float(configuration))
        assert done[4:] == [(f"{kept}-s0", None), (f"{kept}-s1", None)]


def test_an_epoch_after_an_early_stop_is_its_last_one():
    state = finished(0.0, 1.0, 2.0)
    assert [state.after(epoch, "val_elbo", 1.0) for epoch in (1, 2, 7)] == [1.0, 2.0, 2.0]
    with pytest.raises(UserError, match=r"Unknown metric of the history 'val_elbow'. Did you mean 'val_elbo'"):
        state.after(1, "val_elbow", 1.0)


def test_a_configuration_without_the_metric_is_finished_and_has_no_value(tmp_path):
    study = studies.read(studies_of.write(tmp_path))
    states = {f"c00{number}-s{seed}": finished(1.0) for number in (0, 1) for seed in (0, 1)}
    del states["c000-s1"].results["metrics"]["elbo"]
    now = surveyed(study, states)
    assert now.due == [] and [outcome.value for outcome in now.outcomes.values()] == [None, 1.0]
    assert set(statuses(now).values()) == {"finished"}


def test_results_of_other_data_are_of_another_study(tmp_path):
    changes = {"data.name": toy_runs.REMOVED, "data.source": "array", "data.path": "x.npy"}
    study = studies.read(studies_of.write(tmp_path, changes=changes))
    out = tmp_path / "out"
    for run in progress.survey(study, out).runs:
        run.folder.mkdir(parents=True)
        (run.folder / "recipe.toml").write_text(recipes.moved(run.recipe, run.folder))
    assert len(progress.survey(study, out).due) == 4
    studies_of.write(tmp_path, changes=changes | {"data.path": "y.npy"})
    with pytest.raises(UserError, match=r"another study: in c000-s0, data.path is .*y.npy, and was .*x.npy"):
        progress.survey(studies.read(study.path), out)


def test_a_round_of_tpe_waits_for_the_one_before(tmp_path):
    pytest.importorskip("optuna")
    options = 'sampler = "tpe"\nconfigurations = 5\nround = 2'
    study = studies.read(studies_of.write(tmp_path, options, "model.beta = { low = 1.0, high = 9.0 }"))
    seen = []

    def value_of(configuration, seed, epoch):
        seen.append(configuration)
        return float(configuration == 3)

    now, _ = trained(study, value_of)
    assert len(now.runs) == 10 and len(surveyed(study, {}).runs) == 4
    assert list(dict.fromkeys(seen)) == [0, 1, 2, 3, 4]
    settings = [run.recipe.model.arguments["beta"] for run in now.runs]
    assert settings == [run.recipe.model.arguments["beta"] for run in trained(study, value_of)[0].runs]
