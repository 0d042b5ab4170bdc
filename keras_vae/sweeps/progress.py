"""The runs of a study, how far each has come, and the work that is due: a function of the folder alone.

Pruning keeps all seeds of a configuration or none. When every seed of a round has reached an epoch of `prune.epochs`,
each configuration is ranked by the mean over its seeds, among all that have reached it so far; the best share of
`prune.keep` is trained on, with all seeds, and the others stop, with all seeds. A configuration of which a seed
has diverged by then ranks last.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_vae.errors import UserError
from keras_vae.registry import choose
from keras_vae.sweeps.samplers import SAMPLERS, Outcome
from keras_vae.sweeps.studies import Study
from keras_vae.zoo import contents, recipes, store

RUN = re.compile(r"c\d{3,}-s\d+")  # the name of a folder: configuration and seed
MEASURED = ("metrics", "overview")  # the parts of results.json that a study's metrics are of
DIVERGED = "diverged.txt"  # in the folder of a run that ended so: the message


class State(NamedTuple):
    """How far a run has come."""

    epochs: int = 0
    history: Mapping[str, Sequence[float]] = {}
    results: Mapping[str, Any] = {}  # of results.json, once it is finished
    diverged: str = ""  # the message, if it did

    @property
    def over(self) -> bool:
        """Return whether nothing is left to do, unless it is pruned."""
        return bool(self.results or self.diverged)

    def after(self, epoch: int, metric: str, sign: float) -> float:
        """Return a metric of the history after an epoch, or the last one before; -inf of a run that had diverged."""
        if self.diverged and self.epochs < epoch:
            return -math.inf
        return sign * choose("metric of the history", metric, self.history)[:epoch][-1]


class Run(NamedTuple):
    """A run of a study."""

    configuration: int
    seed: int
    number: int  # among all runs
    recipe: recipes.Recipe
    folder: Path
    state: State

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return self.folder.name


class Task(NamedTuple):
    """Work on a run: to an epoch, or to its end."""

    run: Run
    until: int | None


class Survey(NamedTuple):
    """All runs that a study has so far, the ends of its configurations, and what is to be done next."""

    runs: list[Run]
    outcomes: dict[int, Outcome]  # of configurations that have one
    due: list[Task]

    def status(self, run: Run) -> str:
        """Return "finished", "pruned", "diverged", or "unfinished"."""
        if run.state.diverged:
            return "diverged"
        if self.outcomes.get(run.configuration, Outcome("")).status == "pruned":
            return "pruned"
        return "finished" if run.state.results else "unfinished"


def survey(study: Study, folder: Path, state_of: Callable[[Run], State] | None = None) -> Survey:
    """Return how far a study has come in a folder, and what is due: nothing, if it is finished.

    Args:
      study: as read.
      folder: of its runs.
      state_of: reads the state of a run; by default from its folder.

    Raises:
      UserError: the folder has runs of another study.
      CorruptFileError: a damaged file of a run.
    """
    read = state_of or (lambda run: _state(run, study.prune is not None))
    sampler, outcomes = SAMPLERS[study.options.sampler](study), None
    result, reached = Survey([], {}, []), dict[int, list[float]]()
    while not result.due:
        try:
            drawn = sampler.send(outcomes)
        except StopIteration:
            break
        first = len(result.runs) // len(study.seeds)
        group: dict[int, list[Run]] = {}
        for configuration, settings in enumerate(drawn, first):
            for seed in study.seeds:
                where = folder / f"c{configuration:03d}-s{seed}"
                run = Run(configuration, seed, len(result.runs), study.recipe(settings, seed), where, State())
                result.runs.append(run._replace(state=read(run)))
                group.setdefault(configuration, []).append(result.runs[-1])
        result.due.extend(_judge(study, group, reached, result.outcomes))
        outcomes = [] if result.due else [result.outcomes[configuration] for configuration in group]
    return result


def _judge(
    study: Study, group: Mapping[int, list[Run]], reached: dict[int, list[float]], outcomes: dict[int, Outcome]
) -> list[Task]:
    """Return what is due of a round; if nothing is, add the outcomes of its configurations to `outcomes`.

    Args:
      study: of the round.
      group: configuration -> its runs.
      reached: epoch -> what configurations of earlier rounds had there, and then those of this one.
      outcomes: to be added to.
    """
    alive, prune, reports = list(group), study.prune, {configuration: dict[int, float]() for configuration in group}
    for epoch in () if prune is None else prune.epochs:
        runs = [run for configuration in alive for run in group[configuration]]
        if behind := [Task(run, epoch) for run in runs if not run.state.over and run.state.epochs < epoch]:
            return behind
        assert prune is not None
        for configuration in alive:
            values = [run.state.after(epoch, prune.metric, prune.sign) for run in group[configuration]]
            reports[configuration][epoch] = float(np.mean(values))
        ranked = reached.setdefault(epoch, [])
        ranked += [reports[configuration][epoch] for configuration in alive]
        least = sorted(ranked, reverse=True)[max(1, math.ceil(prune.keep * len(ranked) - 1e-9)) - 1]
        pruned = [configuration for configuration in alive if reports[configuration][epoch] < least]
        outcomes |= {configuration: Outcome("pruned", None, reports[configuration]) for configuration in pruned}
        alive = [configuration for configuration in alive if configuration not in pruned]
    metric = study.options.metrics[0]
    for configuration in alive:
        states = [run.state for run in group[configuration]]
        if any(state.diverged for state in states):
            outcomes[configuration] = Outcome("diverged", None, reports[configuration])
        elif all(state.results for state in states):
            values = [numbers_of(state.results).get(metric) for state in states]
            numbers = [value for value in values if value is not None]
            mean = float(np.mean(numbers)) if len(numbers) == len(values) else None
            outcomes[configuration] = Outcome("finished", mean, reports[configuration])
    return [Task(run, None) for configuration in alive for run in group[configuration] if not run.state.over]


def numbers_of(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of `metrics` and `overview` in results.json by their paths."""
    measured = {name: results[name] for name in MEASURED if name in results}
    return {path: row["value"] for path, row in contents.numbers(measured)}


def _state(run: Run, with_history: bool) -> State:
    """Return the state of a run from its folder; that of an unfinished one with its epochs and history, if asked."""
    path = run.folder / store.RECIPE
    if not path.is_file():
        return State()
    if changed := run.recipe.changed_since(recipes.read(path)):
        raise UserError(
            f"The folder {run.folder.parent} holds another study: in {run.name}, {changed}. Choose another folder, or "
            f"remove that one to begin anew."
        )
    if results := store.Entry(run.name, run.folder).results:
        training = results["training"]
        return State(training["epochs"], training["history"], results)
    ended = run.folder / DIVERGED
    state = State(diverged=ended.read_text(encoding="utf-8") if ended.is_file() else "")
    if with_history:
        from keras_vae.zoo import checkpoints

        if latest := checkpoints.latest(run.folder, run.recipe.content):
            return state._replace(epochs=latest.progress.epochs, history=latest.progress.history)
    return state
