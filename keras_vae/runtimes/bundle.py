"""A bundle: a folder of exported files, with `bundle.json`, their description and hashes, and `golden.json`.

Reading one needs numpy only, so that a deployed decoder never imports TensorFlow.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np

from keras_vae import files
from keras_vae.errors import CorruptFileError, UserError, reading
from keras_vae.runtimes.contents import MANIFEST as MANIFEST
from keras_vae.runtimes.contents import check_contents, require_file
from keras_vae.runtimes.notebooks import html_table
from keras_vae.schema import fault
from keras_vae.types import DtypeName, InputEntry

GOLDEN = "golden.json"
SCHEMA = "keras_vae.bundle/1"
_KEYS = ("schema", "model", "preprocessing", "graphs", "formats", "files", "parity", "versions", "digest")
_REPAIR = "Export the model again: keras-vae export NAME"


class OutputEntry(TypedDict):
    """An output of a graph in `bundle.json`."""

    shape: list[int | None]
    dtype: DtypeName
    tolerance: str  # "absolute" or "relative"


class GraphEntry(TypedDict):
    """A graph in `bundle.json`."""

    signature: str
    result: str
    inputs: dict[str, InputEntry]
    outputs: dict[str, OutputEntry]


class Quality(TypedDict):
    """The cost of a precision on `examples` examples: Keras's values in float32, and the changes from them."""

    examples: int
    reconstruction_error: float | None  # squared error an image, summed over pixels
    reconstruction_change: float | None  # as a share of it
    elbo: float | None  # nats, one sample
    elbo_change: float | None
    forced: NotRequired[bool]


# A format in `bundle.json`; "with" is a keyword of Python.
FormatEntry = TypedDict(
    "FormatEntry",
    {
        "files": dict[str, str],  # graph -> its file or folder
        "with": NotRequired[list[str]],  # suffixes of companion files, which are opened with them
        "precision": NotRequired[str],  # float32 if missing
        "opset": NotRequired[int],
        "batch_dimension": NotRequired[str | None],
        "quality": NotRequired[Quality],
        "modes": NotRequired[dict[str, dict[str, Quality]]],
    },
)


class FileEntry(TypedDict):
    """A file in `bundle.json`."""

    sha256: str
    bytes: int


_ModelEntry = TypedDict(
    "_ModelEntry",
    {
        "class": str,
        "zoo_name": str | None,
        "labels": NotRequired[Any],
        "likelihood": NotRequired[Any],
        "tells_total": NotRequired[bool],
    },
)


class Preprocessing(TypedDict, total=False):
    """The description in `bundle.json` of an x that the encoder reads; no kind of x has all keys."""

    dtype: DtypeName
    layout: str
    rule: str
    range: list[float]
    binarized: bool  # of images
    crop: bool  # whether pictures of another shape are cut to that of x; left out: they are squeezed in
    alphabet: str  # of tokens that are letters
    axes: list[str]  # of numbers: "columns"; or "steps", "channels"
    columns: list[str]  # the names of a row's numbers
    kinds: list[str]  # the kind of each column, where they differ, of `keras_vae.columns`
    classes: dict[str, list[str]]  # of a column of classes, by its name: their names, of which the first is 0


class Manifest(TypedDict):
    """`bundle.json`, as far as it is read in Python."""

    schema: str
    model: _ModelEntry
    preprocessing: Preprocessing
    graphs: dict[str, GraphEntry]
    formats: dict[str, FormatEntry]
    files: dict[str, FileEntry]
    parity: list[list[Any]]
    versions: dict[str, str]
    digest: str
    batch: NotRequired[int | None]
    limits: NotRequired[dict[str, dict[str, dict[str, dict[str, float]]]]]
    left_out: NotRequired[dict[str, str]]


class GoldenArray(TypedDict):
    """An array in `golden.json`."""

    shape: list[int]
    dtype: DtypeName
    data: list[Any]  # numbers, None where one is missing


class GoldenGraph(TypedDict):
    """A graph in `golden.json`: inputs, and Keras's outputs for them."""

    inputs: dict[str, GoldenArray]
    outputs: dict[str, GoldenArray]


class Golden(TypedDict):
    """`golden.json`."""

    graphs: dict[str, GoldenGraph]


class Parity(NamedTuple):
    """The difference of a runtime's output from Keras's, in one case."""

    runtime: str
    format: str  # of the file it opened
    graph: str
    case: str
    batch: int
    output: str
    max_error: float  # the largest |difference|, or another statistic for int8; for integers, the share that differ
    tolerance: float
    statistic: str = "max"  # of |difference|: "max", "mean", or "p99", the 99th percentile

    @property
    def passed(self) -> bool:
        return self.max_error <= self.tolerance < float("inf")


@dataclasses.dataclass(frozen=True, repr=False)
class Bundle:
    """An exported model.

    Args:
      path: its folder.
      manifest: the contents of `bundle.json`: `model` (class, zoo_name, likelihood, latent_dim, prior, labels,
        image_shape), `preprocessing`, `licences`, `batch` (None: any), `graphs` (inputs and outputs by name, with shape
        and dtype), `examples` (origin, licence, the numbers that were measured and calibrated on; None: there were
        none), `left_out` (what is missing without examples -> the reason), `limits` (graph -> output -> precision ->
        statistic -> the limit of the difference from golden.json), `formats` (the file of each graph; the precision,
        and its cost, where it is not float32), `latent` (the prior, and the statistics of the examples' codes), `files`
        (sha256 and bytes), `parity` (one row a runtime, graph, case, batch and output), `versions`. Earlier bundles
        have neither `examples` nor `left_out`.
    """

    path: Path
    manifest: Mapping[str, Any]

    def __repr__(self) -> str:
        model = self.manifest["model"]
        return (
            f"<Bundle of {model['zoo_name'] or model['class']} in {str(self.path)!r}: "
            f"{', '.join(self.graphs)} in {', '.join(self.formats)}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            [name, self.precision_of(name), ", ".join(entry["files"]), f"{self.size_of(name) / 1e6:.2f}"]
            for name, entry in self.formats.items()
        ]
        return html_table(["format", "precision", "graphs", "MB"], rows, repr(self).strip("<>"))

    @property
    def graphs(self) -> dict[str, GraphEntry]:
        """The signature, inputs and outputs of each graph, by name."""
        return self.manifest["graphs"]

    @property
    def formats(self) -> dict[str, FormatEntry]:
        """The entry of each format, with its files, by name."""
        return self.manifest["formats"]

    @property
    def batch(self) -> int | None:
        """The fixed batch size of the files, or None."""
        return self.manifest.get("batch")

    def limits(self, graph: str, output: str, precision: str = "float32") -> dict[str, float]:
        """Return the limits of an output's difference from golden.json: `max`, and for int8 also `mean` and `p99`.

        `max` limits the largest |difference|; for integers of a reduced precision, the share that differ.
        """
        return dict(self.manifest.get("limits", {}).get(graph, {}).get(output, {}).get(precision, {}))

    def precision_of(self, format_name: str) -> str:
        """Return the precision that a format computes in."""
        return self.formats[format_name].get("precision", "float32")

    @property
    def digest(self) -> str:
        """The SHA-256 of the whole bundle: of `bundle.json`, which has those of all other files."""
        return self.manifest["digest"]

    @property
    def forced(self) -> list[str]:
        """The formats in int8 that were exported although they lose more than the library allows."""
        entries = self.formats.items()
        return [name for name, entry in entries if name == "onnx_int8" and entry.get("quality", {}).get("forced")]

    @property
    def parity(self) -> list[Parity]:
        """The comparisons with Keras that were made at the export."""
        return [Parity(*row) for row in self.manifest["parity"]]

    @property
    def size(self) -> int:
        """The size in bytes of all files that the manifest lists."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    def graph_of(self, format_name: str, signature: str) -> str | None:
        """Return the graph with this signature that the bundle holds in a format, or None."""
        held = self.formats[format_name]["files"]
        return next(
            (name for name, graph in self.graphs.items() if graph["signature"] == signature and name in held), None
        )

    def files_of(self, format_name: str) -> list[str]:
        """Return the files of a format, as listed in the manifest."""
        parts = [PurePosixPath(part) for part in self.formats[format_name]["files"].values()]
        stems = {part.with_suffix("") for part in parts if part.suffix == ".xml"}  # OpenVINO opens the .bin by itself
        return [
            name
            for name in self.manifest["files"]
            if PurePosixPath(name).with_suffix("") in stems
            or any(PurePosixPath(name).is_relative_to(part) for part in parts)
        ]

    def size_of(self, format_name: str) -> int:
        """Return the size in bytes of a format's files."""
        return sum(self.manifest["files"][name]["bytes"] for name in self.files_of(format_name))

    def read(self, name: str) -> bytes:
        """Return the contents of a file, verified.

        Raises:
          CorruptFileError: the file is missing, truncated, or not the one that was exported.
        """
        entry = self.manifest["files"].get(name)
        if entry is None:
            raise CorruptFileError(f"{self.path / MANIFEST} does not list the file {name}. {_REPAIR} {self.path}.")
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CorruptFileError(
                f"{self.path / name} must be readable. Given: {reason}. {_REPAIR} {self.path}."
            ) from error
        actual = hashlib.sha256(content).hexdigest()
        if actual != entry["sha256"] or len(content) != entry["bytes"]:
            raise CorruptFileError(
                f"{self.path / name} is not the file that was exported. Expected: sha256 {entry['sha256']}, "
                f"{entry['bytes']} bytes. Given: sha256 {actual}, {len(content)} bytes. {_REPAIR} {self.path}."
            )
        return content

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Verify the sha256 of files, by default of all in the manifest, and that the folder holds no others.

        Raises:
          CorruptFileError: a file is missing, truncated, not the one that was exported, or not listed; or none is.
        """
        names = list(self.manifest["files"] if names is None else names)
        if not names:
            raise CorruptFileError(f"{self.path / MANIFEST} lists no file to be verified. {_REPAIR} {self.path}.")
        check_contents(self.path, self.manifest)
        for name in names:
            self.read(name)

    def golden(self) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """Return graph -> "inputs" or "outputs" -> name -> array: inputs, and Keras's outputs for them.

        Raises:
          CorruptFileError: `golden.json` is missing or was changed.
        """
        content = self.read(GOLDEN)
        with reading(self.path / GOLDEN, "does not hold the outputs of Keras", f"{_REPAIR} {self.path}."):
            golden = json.loads(content)
            if wrong := fault(golden, Golden):
                raise ValueError(wrong)
            arrays = {
                graph: {
                    part: {name: array_of(stored) for name, stored in arrays.items()} for part, arrays in parts.items()
                }
                for graph, parts in golden["graphs"].items()
            }
            named = [(name, a, kind) for parts in arrays.values() for kind in parts for name, a in parts[kind].items()]
            for name, array, kind in named:
                wrong_in = np.isinf if (kind, name) == ("inputs", "x") else lambda array: ~np.isfinite(array)
                if array.dtype.kind not in "iuf" or wrong_in(array).any():
                    raise ValueError(f"{name} has values that are no finite numbers")
            return arrays


def read_bundle(bundle: "Bundle | str | Path") -> Bundle:
    """Return the bundle in a folder, checked to hold what `bundle.json` lists and nothing else.

    The contents of a file are checked when it is opened.

    Raises:
      UserError: the folder is no bundle.
      CorruptFileError: `bundle.json` is damaged, was edited, or is of another version of the format; or the folder
        holds what it does not list, or links.
    """
    if isinstance(bundle, Bundle):
        return bundle
    if not isinstance(bundle, str | Path) or "\0" in str(bundle):
        raise UserError(f"A bundle is a folder, by its path. Given: {bundle!r}. Give the path.")
    path = Path(bundle)
    try:
        require_file(path / MANIFEST)
        text = (path / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise UserError(
                f"A bundle is a folder with {MANIFEST} in it. Given: {path}, without one. Make one: keras-vae "
                f"export NAME {path}."
            ) from error
        raise CorruptFileError(f"{path / MANIFEST} cannot be read: {error}. {_REPAIR} {path}.") from error
    with reading(path / MANIFEST, "is not JSON", f"{_REPAIR} {path}."):
        manifest = json.loads(text)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        version = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise CorruptFileError(
            f"{path / MANIFEST} must have the schema {SCHEMA!r}. Given: {version!r}. {_REPAIR} {path}."
        )
    missing = [key for key in _KEYS if key not in manifest]
    if missing or manifest["digest"] != digest(manifest):
        problem = f"{', '.join(missing)} missing" if missing else "its contents do not match its digest"
        raise CorruptFileError(f"{path / MANIFEST} was changed after the export: {problem}. {_REPAIR} {path}.")
    with reading(path / MANIFEST, "does not describe a bundle", f"{_REPAIR} {path}."):
        if wrong := fault(manifest, Manifest):
            raise ValueError(wrong)
        check_contents(path, manifest)
        bundle = Bundle(path, manifest)
        _ = bundle.parity  # its rows are read now
        return bundle


def example_shape(entry: InputEntry | OutputEntry) -> tuple[int, ...]:
    """Return the shape of one example of an input or output, without the batch."""
    return tuple(size for size in entry["shape"][1:] if size is not None)


def array_of(stored: GoldenArray) -> np.ndarray:
    """Return an array of `golden.json`, NaN where a number is missing."""
    return np.array(stored["data"], stored["dtype"]).reshape(stored["shape"])


def digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without `digest`: against damage and edits, not against forgery."""
    return files.digest({key: value for key, value in manifest.items() if key != "digest"})


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """Return `bundle.json` as readable text: indented, with parity rows and lists of numbers on one line each."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in manifest["parity"])
    text = json.dumps({**manifest, "parity": []}, indent=1, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"\[\n\s*((?:null|[-+.,\de\s])+?)\s*\]", lambda match: f"[{' '.join(match[1].split())}]", text)
    return text.replace('"parity": []', f'"parity": [\n{rows}\n ]') + "\n"


def fingerprints(folder: Path) -> dict[str, FileEntry]:
    """Return path -> sha256 and bytes, for every file below `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": files.sha256(path), "bytes": path.stat().st_size}
        for path in paths
    }
