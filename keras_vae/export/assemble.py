"""From a model to a bundle on disk: written, checked, opened in its runtimes and compared, and only then named."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras_vae
from keras_vae import files
from keras_vae import runtimes as known_runtimes
from keras_vae.errors import ExportError, UnavailableError, UserError
from keras_vae.export import cases as trials
from keras_vae.export.bundle import GOLDEN, MANIFEST, SCHEMA, Bundle, Parity, digest, fingerprints, manifest_text
from keras_vae.export.formats import FORMATS
from keras_vae.export.formats.failures import ops_in
from keras_vae.export.graphs import TracedGraph, as_float32, graphs_of, trace
from keras_vae.export.latent import latent_facts
from keras_vae.export.parity import Case, measure, require
from keras_vae.export.remedies import remedy
from keras_vae.naming import choose

_PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "openvino", "ai-edge-litert", "numpy")


def export(
    model: Any, output: str | Path, formats: Sequence[str] = ("saved_model", "onnx"), overwrite: bool = False
) -> Bundle:
    """Write a model's encoder and decoder to `output`, and prove that each runtime here agrees with Keras.

    Graphs: `encoder`, x -> the posterior's parameters; `decoder`, z -> the likelihood's parameters and `mean`, an
    image. They hold no random op. The batch is dynamic. The folder appears whole, or not at all.

    Args:
      model: a `keras_vae.models.VAE`; one of mixed precision is exported with the same weights in float32.
      output: a folder that is new, empty, or a bundle, which is replaced.
      formats: any of `"saved_model"`, `"onnx"`, `"litert"`, `"openvino"`, `"keras"`.
      overwrite: replace a folder with other contents.

    Returns:
      The bundle; its `parity` has a row for each runtime, graph, case, batch size and output.

    Raises:
      UserError: an unknown format, a folder that is not ours, or no room.
      UnavailableError: no runtime is installed that could check a format.
      ExportError: an operation that a format cannot hold, or outputs that differ from Keras's.
    """
    formats = _checked_formats(formats)
    folder = files.check_output_folder(Path(output).resolve(), MANIFEST, overwrite)
    model = as_float32(model)
    graphs = [trace(graph) for graph in graphs_of(model)]
    source, images = trials.images_for(model)
    labels = trials.labels_for(model)
    cases = trials.cases_for(graphs, model, images)
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        manifest = _write(graphs, model, formats, temporary)
        golden = {
            "about": f"Outputs of Keras on {source}, and on codes of the prior.",
            "graphs": trials.golden(graphs, cases),
        }
        if labels is not None:
            golden["labels"] = labels[: trials.GOLDEN_EXAMPLES].tolist()
        (temporary / GOLDEN).write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")
        manifest["latent"] = latent_facts(model, next(iter(images.values())), trials.true_condition(model, labels))
        manifest["files"] = fingerprints(temporary)
        parity = _proven(Bundle(temporary, manifest), cases)
        rows = [[*row[:-2], *(float(f"{figure:.3g}") for figure in row[-2:])] for row in parity]
        manifest |= {"parity_inputs": source, "parity": rows}
        manifest["digest"] = digest(manifest)
        (temporary / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
    return Bundle(folder, manifest)


def _checked_formats(formats: Sequence[str]) -> list[str]:
    names = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    if not names:
        raise UserError(f"export needs at least one format. Given: none. Known: {', '.join(FORMATS)}.")
    installed = known_runtimes.installed()
    for name in names:
        choose("export format", name, FORMATS)
        able = [runtime for runtime in known_runtimes.names() if name in known_runtimes.formats_of(runtime)]
        if not any(installed[runtime].version for runtime in able):
            raise UnavailableError(
                f"A file is exported only if a runtime here can prove it. Given: the format {name!r}. "
                f"{' '.join(str(installed[runtime].reason) for runtime in able)}"
            )
    return names


def _write(graphs: Sequence[TracedGraph], model: Any, formats: Sequence[str], folder: Path) -> dict[str, Any]:
    grey = trials.takes_grey(model)
    described: dict[str, Any] = {
        "class": type(model).__name__,
        "zoo_name": getattr(model, "zoo_name", None),
        "weights_sha256": getattr(model, "weights_sha256", None),
        "likelihood": type(model.likelihood_family).__name__.lower(),
        "latent_dim": model.latent_dim,
        "image_shape": list(model.image_shape),
    }
    preprocessing = {
        "dtype": "float32",
        "range": [0, 1],
        "layout": "batch, height, width, channels",
        "binarized": not grey,
        "rule": "grey levels divided by 255"
        if grey
        else "pixels are 0 or 1: grey levels divided by 255, then binarised",
    }
    if model.x_spec()["kind"] == "tokens":
        highest, rule = model.x_spec()["classes"] - 1, "token ids; 0 ends a sequence, and only 0 follows it"
        preprocessing = {"dtype": "int32", "range": [0, highest], "layout": "batch, length", "rule": rule}
    versions = _versions()
    metadata = {f"keras_vae.{key}": str(value) for key, value in described.items() if value is not None}
    metadata |= {"keras_vae.preprocessing": json.dumps(preprocessing, sort_keys=True)}
    metadata |= {
        f"version.{name}": versions[name]
        for name in ("keras_vae", "tensorflow", "keras", "tf2onnx")
        if name in versions
    }
    return {
        "schema": SCHEMA,
        "model": described,
        "preprocessing": preprocessing,
        "graphs": {traced.name: traced.description() for traced in graphs},
        "formats": {name: FORMATS[name](graphs, model, metadata, folder) for name in formats},
        "versions": versions,
    }


def _proven(bundle: Bundle, cases: Mapping[str, Sequence[Case]]) -> list[Parity]:
    """The rows of every runtime that is installed and has a file, all of them within tolerance."""
    rows: list[Parity] = []
    for format_name in bundle.formats:
        for name in known_runtimes.names():
            if format_name not in known_runtimes.formats_of(name) or not known_runtimes.installed()[name].version:
                continue
            try:
                runtime = known_runtimes.open(bundle, name, format_name=format_name)
                rows += measure(runtime, cases)
            except UserError:
                raise
            except Exception as error:
                ops = ops_in(str(error))
                reason = " ".join(str(error).split())[:300].rstrip(".")
                named = f" Operations: {', '.join(ops)}." if ops else ""
                raise ExportError(
                    f"{name} refuses the {format_name} files that were written, so they were removed: {reason}."
                    f"{named} {remedy(ops or [''])}"
                ) from error
    require(rows, "The exported files do not agree with the model, and were removed")
    return rows


def _versions() -> dict[str, str]:
    found = {"keras_vae": keras_vae.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
