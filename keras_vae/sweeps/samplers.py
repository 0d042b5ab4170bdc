"""Samplers: generators of rounds of settings, each sent the outcomes of its round before the next one is drawn.

A study is a function of its file and of the results of its runs: the same call, after an interruption or in another
process, draws the same settings from the same outcomes. Nothing else is stored.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from keras_vae import files
from keras_vae.errors import required
from keras_vae.sweeps import spaces
from keras_vae.sweeps.spaces import Settings

if TYPE_CHECKING:
    from keras_vae.sweeps.studies import Study


class Outcome(NamedTuple):
    """The end of a configuration."""

    status: str  # "finished", "pruned" or "diverged"
    value: float | None = None  # of the first metric, the mean over seeds, if it is finished and all have it
    reports: Mapping[int, float] = {}  # epoch -> mean over seeds of the metric of pruning; more is better


Rounds: TypeAlias = Generator[list[Settings], Sequence[Outcome] | None, None]


def grid(study: "Study") -> Rounds:
    """Every combination of every space; one that several spaces have, once."""
    different: dict[str, Settings] = {}
    for space in study.spaces:
        for settings in spaces.grid(space):
            recipe = study.recipe(settings, 0)
            different.setdefault(files.digest({"recipe": recipe.content, "data": str(recipe.data_path)}), settings)
    yield list(different.values())


def random(study: "Study") -> Rounds:
    """Settings drawn independently, each from a space that is drawn before; more of them begin with the same ones."""
    settings = []
    for number in range(study.options.configurations or 0):
        noise = np.random.default_rng([study.options.seed, number])
        settings.append(spaces.drawn(study.spaces[noise.integers(len(study.spaces))], noise))
    yield settings


def tpe(study: "Study") -> Rounds:
    """Settings by the tree-structured Parzen estimator of Optuna, to which a configuration with its seeds is a trial.

    Raises:
      UnavailableError: Optuna is not installed.
    """
    optuna, options = required("optuna", "keras_vae[sweep]"), study.options
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=options.seed))
    count = options.configurations or 0
    for first in range(0, count, options.round):
        trials = [search.ask() for _ in range(min(options.round, count - first))]
        outcomes = yield [_suggested(study, trial) for trial in trials]
        for trial, outcome in zip(trials, outcomes or (), strict=True):
            for epoch, value in outcome.reports.items():
                if math.isfinite(value):
                    trial.report(value, epoch)
            if outcome.value is None:  # pruned; or diverged or not measured, which without a report counts as worst
                search.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                search.tell(trial, study.sign * outcome.value)


def _suggested(study: "Study", trial: Any) -> Settings:
    """The settings of a trial of Optuna's, whose parameters are named by their space."""

    def choice(name: str, count: int) -> int:
        return trial.suggest_categorical(name, list(range(count))) if count > 1 else 0

    number = choice("space", len(study.spaces))
    settings: dict[str, Any] = {}
    for key, values in study.spaces[number].items():
        name = f"{number}.{key}"
        if isinstance(values, spaces.Range):
            suggest = trial.suggest_int if values.whole else trial.suggest_float
            settings[key] = suggest(name, values.low, values.high, log=values.log)
        else:
            settings[key] = values[choice(name, len(values))]
    return settings


SAMPLERS: dict[str, Callable[["Study"], Rounds]] = {"grid": grid, "random": random, "tpe": tpe}
