"""recipe.toml: the configuration of a training, written by a person. Data, never code."""

import dataclasses
import json
import math
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_vae.errors import UserError
from keras_vae.registry import nearest
from keras_vae.zoo import toml_files

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "float64")
STORAGES = ("float32", "float16", "int8")  # of `keras_vae.weights`, which imports Keras


@dataclasses.dataclass(frozen=True)
class ClassSection:
    """`class`, a name in `keras_vae.models` or in `keras_vae.priors`, and that class's constructor arguments."""

    class_name: str
    arguments: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class DataSection:
    """Arguments of `keras_vae.data.load` for training; `validation` and `test` never overlap `train`."""

    name: str = ""  # of a dataset; left out: data of your own, from `source`
    train: str = "train"
    validation: str = "validation"
    binarize: str | None = None  # left out: grey levels
    dequantize: bool = False
    labelled: int | None = None  # the number of training examples that keep their label; left out: all
    labelled_in_batch: int | None = None  # of each training batch; left out: where chance puts them
    stream: bool = False  # read examples when a batch needs them: of "folder", "array", and TFDS's ArrayRecord
    source: str = ""  # of your own data, such as "folder" or "table", whose arguments are keys beside it, as `path`
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the name of the dataset, or of the file or folder of a user's own data."""
        return self.name or Path(str(self.arguments.get("path", self.source))).name

    @property
    def noise(self) -> str:
        """Return what training makes of the pixels, to follow the title: ", binarised", ", dequantised" or nothing."""
        return ", binarised" if self.binarize else ", dequantised" if self.dequantize else ""


@dataclasses.dataclass(frozen=True)
class TrainingSection:
    """Arguments of `compile` and `fit`."""

    epochs: int
    batch_size: int = 128
    optimizer: str | dict[str, Any] = "adam"  # a name, {name, arguments}, or {player: {name, arguments}}
    seed: int = 0
    precision: str = "float32"
    jit_compile: bool | str = "auto"
    steps_per_execution: int = 32
    devices: int | str = 1  # of this machine, that share each batch: GPUs where there are any; "all": all of these
    patience: int | None = None  # stop after so many epochs without a better validation bound, with the best weights
    grow: list[int] | None = None  # epochs after which "growing" networks and images double; left out: one size
    storage: str = "float16"  # of the finished weights, which are measured as they are stored: or "int8", or "float32"


@dataclasses.dataclass(frozen=True)
class EvaluationSection:
    """The data, noise and extent of the results."""

    split: str = "test"
    seed: int = 0
    samples: int = 200  # importance samples of log_prob, for each example
    likelihood_examples: int | None = None  # of log_prob, the first ones; left out: all
    overview: bool | list[str] = True  # also record the metrics of `keras_vae.evaluation.evaluate`; or only these


@dataclasses.dataclass(frozen=True)
class PublishedSection:
    """The number of a paper to compare one of the results with."""

    metric: str
    value: float
    source: str
    url: str
    differences: str = ""
    standard_error: float | None = None  # of what, `differences` says; left out: not published


class _Dataclass(typing.Protocol):
    __dataclass_fields__: typing.ClassVar[dict[str, Any]]


Section = typing.TypeVar("Section", bound=_Dataclass)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The configuration of one zoo entry or run."""

    summary: str
    model: ClassSection
    data: DataSection
    training: TrainingSection
    evaluation: EvaluationSection
    published: PublishedSection | None
    text: str  # the file, word for word
    prior: ClassSection | None = None  # fitted to the codes of the finished model
    folder: Path = Path()  # of the file

    @property
    def data_path(self) -> Path | None:
        """Return the path of a user's own data, which counts from the folder of the recipe; None of other data."""
        path = self.data.arguments.get("path")
        return None if path is None else (self.folder / Path(path).expanduser()).resolve()

    def changed_since(self, before: "Recipe") -> str:
        """The first key that differs from another recipe's, or the path of the data; empty if none does."""
        if before.data_path != self.data_path:
            return f"data.path is {self.data_path}, and was {before.data_path}"
        return difference(before.content, self.content)

    def training_changed_since(self, before: "Recipe") -> str:
        """As `changed_since`, of what the training depends on: not how it is measured, stored, or given a prior."""
        if before.data_path != self.data_path:
            return self.changed_since(before)
        return difference(of_training(before.content), of_training(self.content))

    @property
    def content(self) -> dict[str, Any]:
        """The keys that weights and numbers depend on: no `summary`, no `published`, and no key that has its default.

        Layout, comments and a key that a later version adds change nothing in it, nor does 4.0 for 4.
        """
        return {
            name: _canonical(_written(section))
            for name in ("model", "prior", "data", "training", "evaluation")
            if (section := getattr(self, name)) is not None
        }


def of_training(content: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a recipe's content that a checkpoint depends on."""
    training = {key: value for key, value in content["training"].items() if key != "storage"}
    return {"model": content["model"], "data": content["data"], "training": training}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first key in which two contents of recipes differ, with both values; empty if they are the same."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for key in sorted(before | after):
        if before.get(key) != after.get(key):
            return f"{key} is {after.get(key, 'left out')}, and was {before.get(key, 'left out')}"
    return ""


def _written(section: Any) -> dict[str, Any]:
    """The keys of a section that are not at their default; not where data or devices are, which may be others."""
    if isinstance(section, ClassSection):
        return {"class": section.class_name, **section.arguments}
    fields = {field.name: field.default for field in dataclasses.fields(section)}
    held = {name: value for name, value in vars(section).items() if value != fields[name]}
    for name in ("stream", "devices"):  # change no number, but for sums in another order
        held.pop(name, None)
    return held | {name: value for name, value in held.pop("arguments", {}).items() if name != "path"}


def _canonical(value: Any) -> Any:
    """A value of a recipe, its whole numbers without a point."""
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value)


def read(path: str | Path) -> Recipe:
    """Return the recipe of a TOML file.

    Raises:
      UserError: a missing file, invalid TOML, an unknown or missing key, a wrong type, or a value out of range.
    """
    text, table = toml_files.read(path, "recipe")
    return parsed(table, text, Path(path), Path(path).parent)


def parsed(table: Mapping[str, Any], text: str, path: Path, folder: Path) -> Recipe:
    """Return the recipe of the contents of a TOML file.

    Args:
      table: the contents.
      text: of the file.
      path: of the file that messages name.
      folder: from which the path of a user's own data counts.

    Raises:
      UserError: an unknown or missing key, a wrong type, or a value out of range.
    """
    sections = {"model", "data", "training", "evaluation", "published", "prior"}
    check_keys(table, {"summary", *sections}, {"summary", "model", "data", "training"}, path, "")
    for name in sections & set(table):
        _check_type(table[name], dict[str, Any], path, name)
    _check_type(table["summary"], str, path, "summary")
    _check_data_only(table, path)
    recipe = Recipe(
        summary=table["summary"],
        model=_class_section(table["model"], path, "model", {"seed": "training.seed", "dtype": "training.precision"}),
        data=_data_section(table["data"], path),
        training=section_of(TrainingSection, table["training"], path, "training"),
        evaluation=section_of(EvaluationSection, table.get("evaluation", {}), path, "evaluation"),
        published=section_of(PublishedSection, table["published"], path, "published") if "published" in table else None,
        text=text,
        prior=_class_section(table["prior"], path, "prior", {"seed": "training.seed"}) if "prior" in table else None,
        folder=folder,
    )
    _check_ranges(recipe, path)
    return recipe


def _class_section(table: Mapping[str, object], path: Path, name: str, reserved: Mapping[str, str]) -> ClassSection:
    """Return the section of a class and its arguments; `reserved` has the keys to write instead of arguments."""
    arguments = dict(table)
    check_keys(arguments, {"class", *arguments}, {"class"}, path, f"{name}.")
    _check_type(arguments["class"], str, path, f"{name}.class")
    for key, instead in reserved.items():
        if key in arguments:
            raise UserError(f"{path}: write {instead}, not {name}.{key}: it is one number for the whole run.")
    return ClassSection(str(arguments.pop("class")), arguments)


def _data_section(table: Mapping[str, Any], path: Path) -> DataSection:
    """Return the section of the data: of a dataset by name, or of a source with arguments of its own."""
    if "source" not in table:
        if "name" not in table:
            raise UserError(
                f"{path}: the key data.name is missing. Required here: name, of a dataset; or source and path, for "
                f"data of your own."
            )
        return section_of(DataSection, table, path, "data")
    if "name" in table:
        raise UserError(
            f"{path}: data.name is a dataset that keras_vae has, data.source is your own. Given: {table['name']!r} and "
            f"{table['source']!r}. Leave one out."
        )
    names = {field.name for field in dataclasses.fields(DataSection)} - {"arguments"}
    section = section_of(DataSection, {key: table[key] for key in table if key in names}, path, "data")
    arguments = {key: value for key, value in table.items() if key not in names}
    if "path" in arguments:
        _check_type(arguments["path"], str, path, "data.path")
    return dataclasses.replace(section, arguments=arguments)


def moved(recipe: Recipe, folder: Path) -> str:
    """Return the text of a recipe as it stands in another folder: a relative `data.path` leads to the same data.

    Raises:
      UserError: the path is not on a line of its own.
    """
    written = recipe.data.arguments.get("path", "")
    if (
        recipe.data_path is None
        or Path(written).expanduser().is_absolute()
        or folder.resolve() == recipe.folder.resolve()
    ):
        return recipe.text
    relative = Path(os.path.relpath(recipe.data_path, folder.resolve())).as_posix()
    line = r"""(?m)^(\s*path\s*=\s*)("[^"\n]*"|'[^'\n]*')"""
    for match in re.finditer(line, recipe.text):
        text = f"{recipe.text[: match.start(2)]}{json.dumps(relative)}{recipe.text[match.end(2) :]}"
        if tomllib.loads(text)["data"].get("path") == relative:
            return text
    raise UserError(f"data.path stands on a line of its own, below [data]. Given: {written!r}. Write it there.")


def section_of(kind: type[Section], table: Mapping[str, Any], path: Path, name: str) -> Section:
    """Return the section of a dataclass, with the types of its fields checked; `name` is empty for a whole file.

    Raises:
      UserError: an unknown or missing key, or a wrong type.
    """
    prefix = f"{name}." if name else ""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name != "arguments"}
    required = {field.name for field in fields.values() if field.default is dataclasses.MISSING}
    check_keys(table, set(fields), required, path, prefix)
    hints = typing.get_type_hints(kind)
    for key, value in table.items():
        _check_type(value, hints[key], path, f"{prefix}{key}")
    return kind(**table)


def _check_data_only(value: object, path: Path, name: str = "") -> None:
    """Refuse what is no data at any depth: dates, numbers beyond 64 bits or not finite, serialised Keras objects.

    Keras would import the module that the latter name.
    """
    if isinstance(value, list):
        for element in value:
            _check_data_only(element, path, name)
    elif isinstance(value, dict):
        for key, element in value.items():
            if key in ("class_name", "module", "registered_name"):
                raise UserError(
                    f"{path}: a recipe is data, and names things that keras_vae knows: {{ name = ... }}. Given: the "
                    f"key {key!r}, of a serialised Keras object."
                )
            _check_data_only(element, path, f"{name}.{key}" if name else key)
    elif not isinstance(value, str | int | float):
        raise UserError(f"{path}: {name} must be a string, a number, true or false. Given: {value}, a date or a time.")
    elif not math.isfinite(value) if isinstance(value, float) else isinstance(value, int) and abs(value) >= 2**63:
        raise UserError(f"{path}: {name} must be a finite number, within 64 bits if it is whole. Given: {value}.")


def check_keys(table: Mapping[str, object], allowed: set[str], required: set[str], path: Path, prefix: str) -> None:
    """Raise UserError for a key that is not allowed, or a required one that is missing."""
    for key in table:
        if key not in allowed:
            raise UserError(
                f"{path}: unknown key {prefix}{key}.{nearest(key, allowed)} Known here: {', '.join(sorted(allowed))}."
            )
    for key in sorted(required - set(table)):
        raise UserError(f"{path}: the key {prefix}{key} is missing. Required here: {', '.join(sorted(required))}.")


def _check_type(value: object, hint: object, path: Path, name: str) -> None:
    """Raise UserError unless a value is of a type, such as `str | None`; a whole number is also a float."""
    union = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    accepted: list[type] = []
    elements: list[type] = []  # of lists that are accepted
    for member in union:
        if typing.get_origin(member) is list:
            elements += typing.get_args(member)
        else:
            accepted += {float: [float, int], type(None): []}.get(member, [typing.get_origin(member) or member])
    if isinstance(value, list) and any(all(type(inner) is kind for inner in value) for kind in elements):
        return
    if not isinstance(value, tuple(accepted)) or (isinstance(value, bool) and bool not in accepted):
        words = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", dict: "a table"}
        rules = [words[kind] for kind in accepted if kind is not int or float not in accepted]
        rules += [f"a list of {words[kind].removeprefix('a ')}s" for kind in elements]
        raise UserError(f"{path}: {name} must be {' or '.join(dict.fromkeys(rules))}. Given: {value!r}.")


def _check_ranges(recipe: Recipe, path: Path) -> None:
    """Raise UserError for a number that is too small, an unknown option, or splits that overlap."""
    data, training, evaluation = recipe.data, recipe.training, recipe.evaluation
    minimums = {
        "training.epochs": (training.epochs, 1),
        "training.batch_size": (training.batch_size, 1),
        "training.steps_per_execution": (training.steps_per_execution, 1),
        "training.seed": (training.seed, 0),
        "evaluation.seed": (evaluation.seed, 0),
        "evaluation.samples": (evaluation.samples, 1),
    }
    minimums |= {} if data.labelled is None else {"data.labelled": (data.labelled, 0)}
    fewer = evaluation.likelihood_examples
    minimums |= {} if fewer is None else {"evaluation.likelihood_examples": (fewer, 2)}
    minimums |= {} if isinstance(training.devices, str) else {"training.devices": (training.devices, 1)}
    minimums |= {} if training.patience is None else {"training.patience": (training.patience, 1)}
    for name, (value, minimum) in minimums.items():
        if not minimum <= value < 2**31:
            rule = f"{minimum} or more" if value < minimum else f"at most {2**31 - 1}"
            raise UserError(f"{path}: {name} must be {rule}. Given: {value}.")
    if training.patience is not None and training.grow:
        raise UserError(f"{path}: training.patience ends a training of one stage. Given: grow too. Leave one out.")
    if training.precision not in PRECISIONS:
        raise UserError(
            f"{path}: training.precision must be one of {', '.join(PRECISIONS)}. Given: {training.precision!r}."
        )
    if training.storage not in STORAGES:
        raise UserError(f"{path}: training.storage must be one of {', '.join(STORAGES)}. Given: {training.storage!r}.")
    if isinstance(training.devices, str) and training.devices != "all":
        raise UserError(f"{path}: training.devices must be a whole number or 'all'. Given: {training.devices!r}.")
    if training.jit_compile not in (True, False, "auto"):
        raise UserError(f"{path}: training.jit_compile must be true, false or 'auto'. Given: {training.jit_compile!r}.")
    if data.binarize not in (None, "dynamic", "static"):
        raise UserError(
            f"{path}: data.binarize must be 'dynamic' or 'static', or left out for grey levels. Given: "
            f"{data.binarize!r}."
        )
    trained_on = set(data.train.split("[")[0].split("+"))
    for name, split in (("data.validation", data.validation), ("evaluation.split", evaluation.split)):
        if trained_on & set(split.split("[")[0].split("+")):
            raise UserError(
                f"{path}: {name} must not overlap data.train. Given: {split!r} and {data.train!r}. "
                f"The splits are train, validation, train+validation and test."
            )
    watched = set(data.validation.split("[")[0].split("+"))
    if training.patience is not None and watched & set(evaluation.split.split("[")[0].split("+")):
        raise UserError(
            f"{path}: with training.patience the weights are of the best epoch on data.validation, which must not "
            f"overlap evaluation.split. Given: {data.validation!r} and {evaluation.split!r}. Use train, validation and "
            f"test; or leave patience out."
        )
