"""A sweep: the study is checked, its runs are trained until nothing is due, and the results are written together."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from keras_vae import checks, files, locks
from keras_vae.errors import UserError
from keras_vae.registry import choose
from keras_vae.sweeps import engines, progress, reports, studies, tables
from keras_vae.sweeps.progress import Survey, Task
from keras_vae.sweeps.studies import STUDY, Study
from keras_vae.sweeps.worker import work
from keras_vae.zoo import evaluations, fitting, store, toml_files, trust
from keras_vae.zoo.recipes import Recipe, moved

_BUILT = 100  # settings whose models are all built before the first run; of more, those at the corners
Report = Callable[[str], None]


class Swept(NamedTuple):
    """The result of `sweep`."""

    folder: Path
    rows: list[tables.Row]  # one a run, as results.parquet has them
    unfinished: int  # runs that are left to do
    written: list[str]  # files in the folder, beside those of the runs


def sweep(
    study: str | Path,
    output: str | Path | None = None,
    jobs: int = 1,
    engine: str = "local",
    overwrite: bool = False,
    report: Report | None = None,
) -> Swept:
    """Train every run of a study, each in a process of its own, and write their results together.

    The same call goes on with what is missing, after an interruption or beside an array of jobs that call `run`, and
    ends with the results of a study that was not interrupted.

    Recipes are checked by models in this process, for which TensorFlow takes the memory of a graphics card. The command
    line hides the cards from itself; a caller who does not train here may do so by `backend.hide_gpus()`.

    Args:
      study: the path of a study.toml.
      output: the folder: in it one for each run, as `train` writes it; `results.parquet`, a README and pictures. By
        default `runs/NAME`.
      jobs: processes at a time; 0: train nothing, and write the results that there are.
      engine: `"local"`, or `"ray"`.
      overwrite: discard the runs that the folder holds.
      report: called with a sentence after each run.

    Raises:
      UserError: a study, or one of its recipes, that does not fit; a folder of another study, or one that another
        sweep writes; or runs that failed, after all others have been trained.
    """
    train, plan = choose("engine", engine, engines.ENGINES), studies.read(study)
    jobs = checks.check_whole_number(jobs, "jobs", minimum=0)
    folder = _folder(plan, output, overwrite)
    for recipe in plan.tried(_BUILT):
        fitting.checked_model(recipe)
        _check_metrics(plan, recipe)
    with locks.only_writer(folder / STUDY, "sweeps"):
        if overwrite:
            for path in folder.glob(f"*/{store.RECIPE}"):
                if progress.RUN.fullmatch(path.parent.name):
                    shutil.rmtree(path.parent)
        _check_seeds(plan, folder)
        now = progress.survey(plan, folder)  # refuses a folder of another study
        files.write_text(folder / STUDY, plan.text)
        while now.due and jobs:
            _train(plan, now, train, jobs, report)
            now = progress.survey(plan, folder)
        rows = tables.rows(plan, now)
        unfinished = sum(now.status(run) == "unfinished" for run in now.runs)
        return Swept(folder, rows, unfinished, reports.write(plan, now, rows, folder))


def run(study: str | Path, output: str | Path | None, index: int, verbose: int = 2) -> str:
    """Do what is due of one run of a study in this process; return what was done. For one of an array of jobs.

    Runs are counted from 0, as `sweep(jobs=0)` lists them. Where the study prunes, a call trains a run to the next
    epoch at which configurations are compared, and the next call goes on, once all others are there too.

    Raises:
      UserError: as `sweep`; or no run of this number, yet.
    """
    plan, index = studies.read(study), checks.check_whole_number(index, "run", minimum=0)
    folder = _folder(plan, output, False)
    _check_seeds(plan, folder)
    now = progress.survey(plan, folder)
    if index >= len(now.runs):
        later = "later ones are drawn from the results of these" if now.due else "there will be no more"
        raise UserError(f"run is the number of a run, 0 to {len(now.runs) - 1} so far; {later}. Given: {index}.")
    files.write_text(folder / STUDY, plan.text)
    selected = now.runs[index]
    for task in now.due:
        if task.run.number == index:
            _prepare(task)
            work(task.run.folder, task.until, verbose)
            return f"{_done(task)}; the folder is {task.run.folder}"
    status = now.status(selected)
    return f"{selected.name}: {'it waits for others' if status == 'unfinished' else status}, nothing to do"


def _check_metrics(plan: Study, recipe: Recipe) -> None:
    """Raise UserError for a metric of the overview whose section a recipe does not record."""
    recorded = {name.split(".")[0] for name in evaluations.recorded(recipe)}
    for metric in plan.options.metrics:
        kind, section, *_ = metric.split(".")
        if kind == "overview" and section not in recorded:
            raise UserError(
                f"{plan.path}: a metric of the overview is of a section that recipes record, here "
                f"{', '.join(sorted(recorded)) or 'none'}. Given: {metric}. Name the section in evaluation.overview."
            )


def _check_seeds(plan: Study, folder: Path) -> None:
    """Raise UserError if the runs of a folder are of other seeds, where later draws depend on the results of all."""
    if plan.options.sampler == "tpe" and (folder / STUDY).is_file() and any(folder.glob(f"*/{store.RECIPE}")):
        before = studies.numbers(toml_files.read(folder / STUDY, "study")[1].get("seeds", 1))
        if sorted(before) != sorted(plan.seeds):
            raise UserError(
                f'{plan.path}: seeds stay as they are with "tpe", which draws from the results of all of them. Given: '
                f"{[*plan.seeds]}, and {[*before]} in {folder}. Choose another folder, or remove that one."
            )


def _folder(plan: Study, output: str | Path | None, overwrite: bool) -> Path:
    folder = Path(output) if output else Path("runs") / plan.name
    return files.check_output_folder(folder, STUDY, overwrite)


def _train(plan: Study, now: Survey, train: engines.Engine, jobs: int, report: Report | None) -> None:
    """Do all that is due; raise UserError if some of it failed."""
    failures: list[str] = []
    for task in now.due:
        _prepare(task)
    for number, (task, failure) in enumerate(train(now.due, jobs, trust.code_allowed()), 1):
        failures += [failure] if failure else []
        if report is not None:
            report(f"{number} of {len(now.due)}: {failure or _done(task)}")
    if failures:
        raise UserError(
            f"Every run of a study must be trained. Given: {len(failures)} of {len(now.due)} failed, as {failures[0]}. "
            f"The others are kept; the same command tries these again."
        )


def _prepare(task: Task) -> None:
    recipe, path = task.run.recipe, task.run.folder / store.RECIPE
    if not path.is_file():
        files.write_text(path, moved(recipe, task.run.folder))


def _done(task: Task) -> str:
    if (task.run.folder / progress.DIVERGED).is_file():
        return f"{task.run.name} diverged"
    return f"{task.run.name} is {'finished' if task.until is None else f'trained to epoch {task.until}'}"
