"""study.toml: a sweep as a person writes it: a recipe, spaces of values, seeds, and how they are searched."""

import copy
import dataclasses
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vae.errors import UserError
from keras_vae.registry import choose
from keras_vae.sweeps import samplers, spaces
from keras_vae.sweeps.spaces import Settings, Space
from keras_vae.zoo import recipes, store, toml_files

STUDY = "study.toml"
_MOST = 100_000  # runs
_SIGNS = {"maximize": 1.0, "minimize": -1.0}
_PARSED = 1_000  # settings that are all read before the first run; of more, those at the corners


@dataclasses.dataclass(frozen=True)
class Options:
    """The keys of a study but for its spaces and its pruning."""

    recipe: str  # the path of a recipe, from the folder of the study; or a name of the zoo
    metrics: list[str]  # of results.json, as "metrics.elbo"; the first is what the study is for
    summary: str = ""
    sampler: str = "grid"  # "grid", "random" or "tpe"
    seeds: int | list[int] = 1  # so many, or these
    goal: str = "maximize"  # or "minimize": of the first metric
    configurations: int | None = None  # of "random" and "tpe"
    round: int = 8  # configurations of "tpe" that are drawn before the results of one of them count
    seed: int = 0  # of the draws


@dataclasses.dataclass(frozen=True)
class Pruning:
    """When configurations are given up: as a whole, by the mean of all of their seeds."""

    epochs: list[int]  # after which they are compared
    keep: float = 0.5  # the share, of all that have come so far, that is trained on
    metric: str = "val_elbo"  # of the history
    goal: str = "maximize"  # or "minimize": of that metric

    @property
    def sign(self) -> float:
        """Return 1 where more is better, and -1 where less is."""
        return _SIGNS[self.goal]


@dataclasses.dataclass(frozen=True)
class Study:
    """A study that was read and checked.

    Args:
      path: of its file.
      text: of the file, word for word.
      options: its keys.
      prune: or None.
      spaces: each a part of what is searched.
      base: the contents of its recipe.
      folder: of the recipe, from which paths of data count.
    """

    path: Path
    text: str
    options: Options
    prune: Pruning | None
    spaces: tuple[Space, ...]
    base: Mapping[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """Return the name of the file, or that of its folder if it is study.toml."""
        return self.path.stem if self.path.name != STUDY else self.path.resolve().parent.name

    @property
    def seeds(self) -> Sequence[int]:
        """Return the seeds of every configuration."""
        return numbers(self.options.seeds)

    @property
    def sign(self) -> float:
        """Return 1 where more is better, and -1 where less is."""
        return _SIGNS[self.options.goal]

    @property
    def keys(self) -> list[str]:
        """Return the keys of all spaces."""
        return list(dict.fromkeys(key for space in self.spaces for key in space))

    @property
    def searched(self) -> list[str]:
        """Return the keys that tell configurations apart: of several values in a space, or set in every space."""
        return [
            key
            for key in self.keys
            if all(key in space for space in self.spaces)
            or any(spaces.several(space.get(key)) for space in self.spaces)
        ]

    def recipe(self, settings: Settings, seed: int) -> recipes.Recipe:
        """Return the recipe of a run.

        Raises:
          UserError: as `recipes.read`, with the path of the study.
        """
        table = copy.deepcopy(dict(self.base))
        words = ", ".join(
            f"{key} = {toml_files.text_of(value)}" for key, value in settings.items() if not isinstance(value, dict)
        )
        table["summary"] = f"Study {self.name}: {words or 'the recipe itself'}, seed {seed}"
        table.pop("published", None)
        for key, value in {**settings, "training.seed": seed}.items():
            self._put(table, key, value)
        return recipes.parsed(table, toml_files.sections(table), self.path, self.folder)

    def _put(self, table: dict[str, Any], key: str, value: object) -> None:
        *sections, last = key.split(".")
        for name in sections:
            inner = table.get(name, {})
            inner = {"name": inner} if isinstance(inner, str) else inner  # "adam" is short for { name = "adam" }
            if not isinstance(inner, dict):
                raise UserError(f"{self.path}: {key} is a key of a table. Given: {name} = {inner!r} in the recipe.")
            table[name] = table = dict(inner)
        table[last] = value

    def corners(self) -> Iterator[recipes.Recipe]:
        """Yield recipes in which every value that the study may try occurs."""
        for space in self.spaces:
            for settings in spaces.corners(space):
                yield self.recipe(settings, self.seeds[0])

    def tried(self, most: int) -> Iterator[recipes.Recipe]:
        """Yield the recipes of all combinations, if these are of lists and at most so many; otherwise the corners."""
        listed = not any(isinstance(part, spaces.Range) for space in self.spaces for part in space.values())
        if not listed or sum(map(spaces.size, self.spaces)) > most:
            yield from self.corners()
            return
        for space in self.spaces:
            for settings in spaces.grid(space):
                yield self.recipe(settings, self.seeds[0])


def numbers(seeds: int | list[int]) -> Sequence[int]:
    """Return the seeds that a study names, or that it counts from 0."""
    return range(min(seeds, _MOST + 1)) if isinstance(seeds, int) else seeds


def read(path: str | Path) -> Study:
    """Return the study of a TOML file.

    Raises:
      UserError: a missing file, invalid TOML, an unknown or missing key, a wrong type, or a value out of range, here
        or in a recipe that the study would train.
    """
    path = Path(path)
    text, table = toml_files.read(path, "study")
    tables, prune = table.pop("space", []), table.pop("prune", None)
    if not isinstance(tables, list) or not all(isinstance(part, dict) for part in [*tables, prune or {}]):
        raise UserError(f"{path}: the spaces of a study are tables, [[space]], and so is [prune]. Given: other values.")
    options = recipes.section_of(Options, table, path, "")
    file = path.parent / options.recipe
    recipe = recipes.read(file) if file.suffix == ".toml" else store.entry(options.recipe).recipe
    study = Study(
        path=path,
        text=text,
        options=options,
        prune=None if prune is None else recipes.section_of(Pruning, prune, path, "prune"),
        spaces=tuple(spaces.read(part, path) for part in tables) or ({},),
        base=tomllib.loads(recipe.text),
        folder=recipe.folder,
    )
    _check(study)
    for recipe in study.tried(_PARSED):
        if study.prune is not None and study.prune.epochs[-1] >= recipe.training.epochs:
            last, end = study.prune.epochs[-1], recipe.training.epochs
            raise UserError(f"{path}: prune.epochs are before the last of training.epochs. Given: {last}, and {end}.")
    return study


def _check(study: Study) -> None:
    """Raise UserError for an unknown option, or a number that is out of range."""
    options, prune, seeds, count = study.options, study.prune, study.seeds, study.options.configurations
    choose("sampler", options.sampler, samplers.SAMPLERS)
    choose("goal", options.goal, _SIGNS)
    values = [part for space in study.spaces for part in space.values()]
    is_grid, ranges = options.sampler == "grid", [part for part in values if isinstance(part, spaces.Range)]
    others = [metric for metric in options.metrics if not metric.startswith(("metrics.", "overview."))]
    runs = len(seeds) * (sum(map(spaces.size, study.spaces)) if is_grid else count or 0)
    faults = [
        (not options.metrics, "metrics names one or more", "none"),
        (bool(others), 'metrics are paths of results.json, as "metrics.elbo", or of its "overview."', others),
        (not seeds or len({*seeds}) < len(seeds) or min(seeds) < 0, "seeds are different, 0 or more", options.seeds),
        (is_grid and bool(ranges), 'a grid takes lists of values; ranges are for "random" and "tpe"', ranges[:1]),
        (is_grid and count is not None, 'configurations are counted for "random" and "tpe"', count),
        (not is_grid and (count is None or count < 1), "configurations is their number, 1 or more", count),
        (options.round < 1, "round is 1 or more", options.round),
        (not 0 <= options.seed < 2**31, f"seed is 0 or more, at most {2**31 - 1}", options.seed),
        (runs > _MOST, f"a study has at most {_MOST:,} runs", f"{runs:,}"),
    ]
    if prune is not None:
        choose("prune.goal", prune.goal, _SIGNS)
        rising = prune.epochs and sorted({0, *prune.epochs}) == [0, *prune.epochs]
        faults += [
            (not rising, "prune.epochs are 1 or more, each more than the one before", prune.epochs),
            (not 0 < prune.keep < 1, "prune.keep is a share, above 0 and below 1", prune.keep),
        ]
    for broken, rule, value in faults:
        if broken:
            raise UserError(f"{study.path}: {rule}. Given: {value}.")
