"""The folders of the zoo's entries, and their files. Needs no TensorFlow."""

import fnmatch
import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_vae.errors import CorruptFileError, UserError, reading
from keras_vae.files import digest, sha256, write_json
from keras_vae.registry import choose, nearest
from keras_vae.zoo import contents, fetching, hub_folders, recipes

LOG_PROBS = "log_prob.npy"  # log p(x) of each example that the card's mean is of, nats, float32
RECIPE, WEIGHTS, RESULTS, CARD = "recipe.toml", "model.safetensors", "results.json", "README.md"
NEXT = "next.toml"  # the recipe that an entry is to be trained with next; until then it keeps its own
OLD_WEIGHTS = "model.weights.h5"  # of entries and runs of earlier versions
PRIOR = "prior.npz"
SHARED = (RECIPE, RESULTS, WEIGHTS, OLD_WEIGHTS, PRIOR, LOG_PROBS, CARD, "*.png")  # on the Hub, as globs
FILES = (RESULTS, WEIGHTS, OLD_WEIGHTS, CARD, LOG_PROBS)  # written last by training; can be removed in this order


class Entry(NamedTuple):
    """A zoo entry or a run, which have the same files."""

    name: str
    folder: Path

    @property
    def in_zoo(self) -> bool:
        """Return whether it is an entry of the zoo, which is loaded by its name."""
        return self.folder.resolve().parent == root().resolve()

    @property
    def reference(self) -> str:
        """Return the argument for `load` and the commands: the name of a zoo entry, an address, a run's folder."""
        return self.name if self.in_zoo else str(hub_folders.address_of(self.folder) or self.folder.as_posix())

    @property
    def recipe(self) -> recipes.Recipe:
        """Return the configuration of the weights."""
        return recipes.read(self.folder / RECIPE)

    @property
    def results(self) -> dict[str, Any]:
        """Return the contents of results.json; empty before training.

        Raises:
          CorruptFileError: the file is not what training wrote, or the recipe is not what it was then.
        """
        return self._checked({})

    @property
    def trained(self) -> dict[str, Any]:
        """Return `results` for a reader of weights: the recipe may say otherwise what is measured, in [evaluation].

        Raises:
          CorruptFileError: as `results`.
        """
        return self._checked({"evaluation": {}})

    def _checked(self, ignored: Mapping[str, Any]) -> dict[str, Any]:
        """Return the contents of results.json; everything that reads a trained model goes through here.

        This finds accidental edits of the file, and of the recipe since training, but for its sections `ignored`. It is
        no protection against forgery.
        """
        path = self.folder / RESULTS
        if not path.is_file():
            return {}
        with reading(path, "is not the JSON that training wrote", repair(self)):
            results = json.loads(path.read_text(encoding="utf-8"))
            sealed = isinstance(results, dict) and {"recipe", "sha256"} & results.keys()  # not of earlier versions
            if sealed and results.get("sha256") != _results_sha256(results):
                raise ValueError("its digest is another than it says")
            if wrong := contents.fault_of(results):
                raise ValueError(wrong)
        recipe = self.recipe
        if sealed:
            changed = recipes.difference({**results.get("recipe", {}), **ignored}, {**recipe.content, **ignored})
        else:
            same = results["recipe_sha256"] == hashlib.sha256(recipe.text.encode()).hexdigest()
            changed = "" if same else "its text has another SHA-256, and an earlier version wrote no more of it"
        if changed:
            path = self.folder / RECIPE
            raise CorruptFileError(
                f"{path} is not the recipe of the weights and numbers beside it: {changed}. Put that back; or train "
                f"the new one: keras-vae train {shlex.quote(str(path))} --output FOLDER; or build it untrained: "
                f"keras_vae.zoo.load({self.reference!r}, weights=False)."
            )
        return results


def root() -> Path:
    """Return the zoo's folder: the wheel's if there is one, else the checkout's."""
    packaged = Path(__file__).parents[1] / "_zoo"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "zoo"


def _packaged() -> bool:
    """Return whether the zoo is a wheel's, which may lack weights, and not a checkout's."""
    return root().name == "_zoo"


def names(
    pattern: str = "*", sort: str = "name", data: str | None = None, max_parameters: float | None = None
) -> list[str]:
    """Return the names of the trained models that match a glob such as `"*mnist*"`.

    Args:
      pattern: of names.
      sort: "name"; or "nll", -log p(x) of held-out examples, "parameters", or "squared_error", the smallest first and
        models without that number last. The NLL of a conditional model is that of x given its label, or of both
        together, as its card says. Models of binarised pixels come first: that of a density may be below zero.
      data: only models of this dataset, named as in their recipes.
      max_parameters: only models of so many trained numbers at most.

    Raises:
      UserError: an unknown order.
    """
    number = choose("order", sort, _ORDERS)
    folders = (path.parent.name for path in root().glob(f"*/{RECIPE}"))
    selected = [Entry(name, root() / name) for name in sorted(folders) if fnmatch.fnmatchcase(name, pattern)]
    if data is not None:
        selected = [where for where in selected if where.recipe.data.title == data]
    if max_parameters is not None:
        selected = [where for where in selected if _parameters(where.results) <= max_parameters]
    if sort != "name":
        selected.sort(key=lambda where: number(where.results))
    return [where.name for where in selected]


def _metric(results: Mapping[str, Any], name: str, sign: float = 1.0) -> float:
    """Return a metric of the card times `sign`; infinity where there is none."""
    row = results.get("metrics", {}).get(name)
    return float("inf") if row is None else sign * row["value"]


def _parameters(results: Mapping[str, Any]) -> float:
    return results["weights"]["parameters"] if results else float("inf")


def _nll(results: Mapping[str, Any]) -> tuple[bool, bool, float]:
    nll = _metric(results, "log_prob", -1.0)
    return nll == float("inf"), not results.get("evaluation", {}).get("binarize"), nll


_ORDERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "name": lambda results: 0.0,
    "nll": _nll,
    "parameters": _parameters,
    "squared_error": lambda results: _metric(results, "squared_error"),
}


def entry(name: str | Path) -> Entry:
    """Return the zoo entry `name`, the run in the folder `name`, or the model on the Hub at the address `name`.

    A `Path` is always a folder. What is on the Hub is fetched, and then in the cache of huggingface_hub.

    Raises:
      UserError: none of these; the message has the nearest names.
      UnavailableError: the Hub cannot be reached, and the cache does not have it.
    """
    if isinstance(name, str) and name.startswith(hub_folders.SCHEME):
        return _from_hub(hub_folders.parse(name))
    if isinstance(name, str) and name in names():
        return Entry(name, root() / name)
    folder = Path(name)
    try:
        is_run = (folder / RECIPE).is_file()
    except OSError:  # a name that is too long for a file
        is_run = False
    if is_run:
        address = hub_folders.address_of(folder)
        return Entry(address.name if address else folder.resolve().name, folder)
    if not folder.is_absolute() and os.path.isfile(Path("runs") / folder / RECIPE):
        raise UserError(f"Unknown model {str(name)!r}. Did you mean {Path('runs') / folder}?")
    raise UserError(
        f"Unknown model {str(name)!r}.{nearest(str(name), names())} It is neither in the zoo, which `keras-vae list` "
        f"shows, nor a folder with a {RECIPE}."
    )


def _from_hub(address: hub_folders.Address) -> Entry:
    folder = hub_folders.fetch(address, SHARED)
    if not (folder / RECIPE).is_file():
        raise UserError(
            f"{address} is no model of keras_vae: it has no {RECIPE}. Such models are what keras-vae push wrote."
        )
    return Entry(address.name, folder)


def write_results(where: Entry, results: Mapping[str, Any]) -> dict[str, Any]:
    """Write results.json with the recipe that it is of, and with digests of both; return what was written."""
    content = where.recipe.content
    record = {**results, "recipe_sha256": digest(content), "recipe": content}
    record["sha256"] = _results_sha256(record)
    write_json(where.folder / RESULTS, record)
    return record


def _results_sha256(results: Mapping[str, Any]) -> str:
    return digest({key: value for key, value in results.items() if key != "sha256"})


def checked_weights(where: Entry) -> Path:
    """Return the path of the weights that results.json names, after comparing them with the SHA-256 in it.

    Raises:
      CorruptFileError: missing, truncated, changed or a link; names the file, both hashes and the command that repairs
        it.
      UnavailableError: the wheel came without them, and they cannot be fetched.
    """
    if not (where.folder / RESULTS).is_file():
        raise CorruptFileError(
            f"{where.name} is not trained to its end: {where.folder / RESULTS} is missing. {repair(where)}"
        )
    record = where.trained["weights"]
    if record["file"] not in (WEIGHTS, OLD_WEIGHTS):
        raise CorruptFileError(
            f"{where.folder / RESULTS} must name the weights file {WEIGHTS}, or {OLD_WEIGHTS} of earlier versions. "
            f"Given: {record['file']!r}. {repair(where)}"
        )
    return _checked_file(where, record["file"], record, "The weights {} are not those")


def checked_prior(where: Entry) -> Path | None:
    """Return the path of the fitted prior, compared as `checked_weights`; None without one."""
    record = where.trained.get("prior")
    return None if record is None else _checked_file(where, PRIOR, record, "The prior {} is not that")


def _checked_file(where: Entry, file: str, record: Mapping[str, Any], rule: str) -> Path:
    path = where.folder / file
    if where.in_zoo and _packaged() and not path.exists():
        return fetching.fetched(where.name, file, record)
    # An installer may link the files of a package, and huggingface_hub those of its cache.
    if path.is_symlink() and not where.in_zoo and not hub_folders.in_cache(where.folder, path):
        raise CorruptFileError(
            f"A file of a run is no symbolic link. Given: {path}. Copy the run with what it leads to: cp -rL."
        )
    actual, expected = sha256(path) if path.is_file() else "missing", record["sha256"]
    if actual != expected:
        size = f", {path.stat().st_size} of {record['bytes']} bytes" if path.is_file() else ""
        raise CorruptFileError(
            f"{rule.format(path)} of the card: expected sha256 {expected}, actual {actual}{size}. {repair(where)}"
        )
    return path


def repair(where: Entry) -> str:
    """A sentence with the command that puts the files of an entry right.

    A run without results is trained on: its checkpoint has the weights, which `--overwrite` would discard.
    """
    if hub_folders.address_of(where.folder):
        return hub_folders.repair(where.folder)
    if not where.in_zoo:
        recipe, folder = (shlex.quote(str(path)) for path in (where.folder / RECIPE, where.folder))
        command = f"keras-vae train {recipe} --output {folder}"
        if not (where.folder / RESULTS).is_file():
            return f"To finish it: {command}"
        command += " --overwrite"
    elif _packaged():
        command = "pip install --force-reinstall --no-deps keras_vae"
    else:
        command = f"git checkout -- zoo/{where.name}"
    return f"To repair it: {command}"
