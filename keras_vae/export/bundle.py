"""A bundle: one folder with the exported files, `bundle.json` that describes and fingerprints them, and `golden.json`.

Reading one needs numpy only, so that a deployed decoder never imports TensorFlow.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from keras_vae import files
from keras_vae.errors import CorruptFileError, UserError

MANIFEST, GOLDEN = "bundle.json", "golden.json"
SCHEMA = "keras_vae.bundle/1"
_KEYS = ("schema", "model", "preprocessing", "graphs", "formats", "files", "parity", "versions", "digest")
_REPAIR = "Export the model again: keras-vae export NAME"


class Parity(NamedTuple):
    """How far one output of one runtime was from Keras's, in one case."""

    runtime: str
    format: str  # of the file it opened
    graph: str
    case: str
    batch: int
    output: str
    max_error: float  # the largest |difference|
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.max_error <= self.tolerance < float("inf")


@dataclasses.dataclass(frozen=True)
class Bundle:
    """An exported model.

    Args:
      path: its folder.
      manifest: what `bundle.json` says: `model` (class, zoo_name, likelihood, latent_dim, prior, labels, image_shape),
        `preprocessing`, `licences`, `batch` (None: any), `graphs` (inputs and outputs by name, with shape and dtype),
        `formats` (the file of each graph; the precision, and what it costs, where it is not float32), `latent` (the
        prior, and what its codes of real images are like), `files` (sha256 and bytes), `parity` (one row a runtime,
        graph, case, batch and output), `versions`.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def graphs(self) -> dict[str, Any]:
        """name -> its signature, inputs and outputs."""
        return self.manifest["graphs"]

    @property
    def formats(self) -> dict[str, Any]:
        """format -> its files."""
        return self.manifest["formats"]

    @property
    def batch(self) -> int | None:
        """The only batch size that the files take; None: any."""
        return self.manifest.get("batch")

    def precision_of(self, format_name: str) -> str:
        """The precision that a format computes in."""
        return self.formats[format_name].get("precision", "float32")

    @property
    def parity(self) -> list[Parity]:
        """What was measured when the bundle was made."""
        return [Parity(*row) for row in self.manifest["parity"]]

    @property
    def size(self) -> int:
        """Bytes of all files that the manifest lists."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    def graph_of(self, format_name: str, signature: str) -> str | None:
        """The graph with this signature that the bundle holds in a format."""
        held = self.formats[format_name]["files"]
        return next(
            (name for name, graph in self.graphs.items() if graph["signature"] == signature and name in held), None
        )

    def files_of(self, format_name: str) -> list[str]:
        """The manifest's files that make up a format."""
        parts = [PurePosixPath(part) for part in self.formats[format_name]["files"].values()]
        further = self.formats[format_name].get("with", [])
        parts += [part.with_suffix(f".{suffix}") for part in parts for suffix in further]
        return [
            name for name in self.manifest["files"] if any(PurePosixPath(name).is_relative_to(part) for part in parts)
        ]

    def size_of(self, format_name: str) -> int:
        """Bytes of the files that make up a format."""
        return sum(self.manifest["files"][name]["bytes"] for name in self.files_of(format_name))

    def read(self, name: str) -> bytes:
        """The contents of a file, verified.

        Raises:
          CorruptFileError: missing, truncated, or not the one that was exported.
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
        if actual != entry["sha256"]:
            raise CorruptFileError(
                f"{self.path / name} is not the file that was exported. Expected: sha256 {entry['sha256']}, "
                f"{entry['bytes']} bytes. Given: sha256 {actual}, {len(content)} bytes. {_REPAIR} {self.path}."
            )
        return content

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Check files, all of the manifest's by default, against their sha256.

        Raises:
          CorruptFileError: one is missing, truncated, or not the one that was exported.
        """
        for name in self.manifest["files"] if names is None else names:
            self.read(name)

    def golden(self) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """graph -> "inputs" and "outputs" -> name -> array: real inputs with the outputs that Keras gave.

        Raises:
          CorruptFileError: `golden.json` is missing or was changed.
        """
        graphs = json.loads(self.read(GOLDEN))["graphs"]
        return {
            graph: {
                part: {name: np.array(a["data"], a["dtype"]).reshape(a["shape"]) for name, a in arrays.items()}
                for part, arrays in parts.items()
            }
            for graph, parts in graphs.items()
        }


def read_bundle(bundle: "Bundle | str | Path") -> Bundle:
    """The bundle in a folder; its `bundle.json` is checked, its files are when they are opened.

    Raises:
      UserError: the folder is no bundle.
      CorruptFileError: `bundle.json` is damaged, was edited, or is of another version of the format.
    """
    if isinstance(bundle, Bundle):
        return bundle
    path = Path(bundle)
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise UserError(
                f"A bundle is a folder with {MANIFEST} in it. Given: {path}, which has none. Make one: keras-vae "
                f"export NAME {path}."
            ) from error
        raise CorruptFileError(f"{path / MANIFEST} cannot be read: {error}. {_REPAIR} {path}.") from error
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise CorruptFileError(f"{path / MANIFEST} is not JSON: {error}. {_REPAIR} {path}.") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        given = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        raise CorruptFileError(
            f"{path / MANIFEST} must have the schema {SCHEMA!r}. Given: {given!r}. {_REPAIR} {path}."
        )
    missing = [key for key in _KEYS if key not in manifest]
    if missing or manifest["digest"] != digest(manifest):
        problem = f"{', '.join(missing)} missing" if missing else "its contents do not match its own digest"
        raise CorruptFileError(f"{path / MANIFEST} was changed after the export: {problem}. {_REPAIR} {path}.")
    for name in manifest["files"]:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise CorruptFileError(
                f"{path / MANIFEST} names a file outside the bundle: {name}. Do not use this bundle."
            )
    return Bundle(path, manifest)


def digest(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of a manifest without its `digest`: it shows damage and edits, not a forger's work."""
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """`bundle.json` for people: indented, its hundreds of parity rows and each list of numbers one a line."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in manifest["parity"])
    text = json.dumps({**manifest, "parity": []}, indent=1, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"\[\n\s*((?:null|[-+.,\de\s])+?)\s*\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    return text.replace('"parity": []', f'"parity": [\n{rows}\n ]') + "\n"


def fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    """path -> sha256 and bytes, for every file below `folder`."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": files.sha256(path), "bytes": path.stat().st_size}
        for path in found
    }
