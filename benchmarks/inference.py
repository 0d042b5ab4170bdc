"""Which runtime should serve an encoder or a decoder?

Exports the models of the zoo in every format that a runtime here opens, int8 whatever it loses, compares the outputs,
and times them as `keras-vae bench` does: one process a runtime, mode and precision, interleaved rounds, equal threads.
A format that cannot be exported is a row with the reason. What is recommended loses no more than `export` allows.

    python benchmarks/inference.py [--models GLOB] [--bundles FOLDER] [--export-only] [--output FILE] [--again]

Exports take most of the time and no quiet machine: first --bundles FOLDER --export-only, then --bundles FOLDER.
--output is written after each model, and what it holds already, of the same bundle, machine and settings, is not timed
again unless the machine was busy. Every mode of each runtime is timed for one model in full, and the usual one
for the others.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras_vae
from keras_vae import files, runtimes, zoo
from keras_vae.benchmarking import comparing, machine, tables
from keras_vae.benchmarking.results import SCHEMA, SIGNATURES
from keras_vae.errors import UserError
from keras_vae.zoo import pauses

DETAILED = "beta_vae_mnist"
PRECISIONS = {"onnx_fp16": "float16", "onnx_int8": "int8"}
BRIEF = {"rounds": 3, "cold_starts": 1}  # of the other models


def wanted() -> list[str]:
    """Every format that a runtime here opens."""
    here = [name for name, status in runtimes.installed().items() if status.version]
    return list(dict.fromkeys(each for name in here for each in runtimes.formats_of(name)))


def exported(name: str, folder: Path) -> dict[str, str]:
    """Export a model into a folder, unless it is there; gives the formats that were refused -> why.

    The reasons are kept beside the folder.
    """
    kept = folder.with_suffix(".refused.json")
    if kept.exists() and _is_current(name, folder, json.loads(kept.read_text(encoding="utf-8"))):
        return json.loads(kept.read_text(encoding="utf-8"))
    from keras_vae import export

    model, refused = zoo.load(name), {}  # a fitted prior has no part in what is timed
    try:
        export.export(model, folder, wanted(), force=True)
    except UserError:
        for each in wanted():
            with tempfile.TemporaryDirectory() as alone:
                try:
                    export.export(model, Path(alone) / name, [each], force=True)
                except UserError as error:
                    refused[each] = " ".join(str(error).split()).replace(f"{alone}/", "")  # a folder of this run
        export.export(model, folder, [each for each in wanted() if each not in refused], force=True)
    files.write_json(kept, refused)
    return refused


def _is_current(name: str, folder: Path, refused: Mapping[str, str]) -> bool:
    """Whether a bundle is of these weights, formats and versions."""
    from keras_vae.runtimes.bundle import read_bundle

    try:
        manifest = read_bundle(folder).manifest
    except UserError:
        return False
    own = {"python": platform.python_version(), "keras_vae": keras_vae.__version__}
    current = {package: own[package] if package in own else version(package) for package in manifest["versions"]}
    same = manifest["model"]["weights_sha256"] == weights_of(name) and manifest["versions"] == current
    return same and {*manifest["formats"], *refused} == {*wanted()}


def options_for(name: str) -> dict[str, Any]:
    """Of `benchmark`: everything for one model, and less of each for the others."""
    if name == DETAILED:
        return {}
    usual = {known: f"{known}:{each.modes[0]}" if each.modes[0] else known for known, each in runtimes.KNOWN.items()}
    return {"runtimes": list(usual.values()), **BRIEF}


def timed(name: str, folder: Path, refused: Mapping[str, str], **options: Any) -> dict[str, Any]:
    """What `benchmark` returns, without the folder, with a row for each refusal, and with what is recommended."""
    result = runtimes.benchmark(folder, **options)
    result["bundle"] |= {"path": name, "weights_sha256": weights_of(name)}
    further = refusals(refused)
    known = {row["runtime"] for row in further}  # why a runtime has no file
    rows = [row for row in result["rows"] if row["status"] != "no file" or row["runtime"] not in known]
    result["rows"] = rows + further
    result["recommended"] = []
    for goal in comparing.GOALS:
        try:
            result["recommended"].append(runtimes.recommend(result, goal))
        except UserError as error:  # nothing could be timed: the rows say why
            print(f"{name}: {error}", flush=True)
    return result


def weights_of(name: str) -> str | None:
    """The SHA-256 of the weights that an entry has now; None: it is not trained."""
    return zoo.card(name).results.get("weights", {}).get("sha256")


def current(results: Mapping[str, Any]) -> dict[str, Any]:
    """The results of weights that the entries still have; those of earlier ones are to be timed again."""
    return {name: one for name, one in results.items() if one["bundle"].get("weights_sha256") == weights_of(name)}


def refusals(refused: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each runtime that would open a format which was refused."""
    row = {"mode": None, "status": "refused", "version": None}
    return [
        {"runtime": known, "format": each, "precision": PRECISIONS.get(each, "float32"), "reason": reason} | row
        for each, reason in refused.items()
        for known in runtimes.names()
        if each in runtimes.formats_of(known)
    ]


def is_done(result: Mapping[str, Any] | None, folder: Path, options: Mapping[str, Any]) -> bool:
    """Whether a result is of this bundle, machine and settings, of a quiet machine, and need not be timed again."""
    if not result or result.get("schema") != SCHEMA or result["warnings"]:
        return False
    here, passing = machine.describe(), ("load", "commit")
    same = all(result["machine"].get(key) == value for key, value in here.items() if key not in passing)
    asked = all(result["settings"].get(key) == value for key, value in options.items() if key != "runtimes")
    return same and asked and result["bundle"]["sha256"] == files.sha256(folder / "bundle.json")


def markdown(results: Mapping[str, Any], signature: str) -> str:
    """A table of the zoo: for each model what is recommended, what it gives, and what int8 costs."""
    titles = ["model", "deploy", "single_stream p50, µs", "p90, µs", "p99, µs", "deploy", "offline, images/s"]
    titles += ["at batch", "files, MB", "error", "int8 costs"]
    lines = [_line(name, result, signature) for name, result in results.items() if result["recommended"]]
    busy = list(dict.fromkeys(said for result in results.values() for said in result["warnings"]))
    return "\n\n".join([tables.table(titles, lines), *_notes(results), *busy[:1]])


def _line(name: str, result: Mapping[str, Any], signature: str) -> list[str]:
    chosen = {one["goal"]: one[signature] for one in result["recommended"]}
    first, second = (chosen[goal] for goal in comparing.GOALS)
    single, offline = tables.scenario_cells(first)[:3], tables.scenario_cells(second)[3:]
    sizes, error = (first["file_bytes"], second["file_bytes"]), max(row["largest_error"] for row in (first, second))
    return [
        f"[{name}](zoo/{name})",
        _deployed(first),
        *single,
        _deployed(second),
        *offline,
        " and ".join(dict.fromkeys(f"{size / 1e6:.2f}" for size in sizes)),
        f"{error:.1e}",
        _int8(result["rows"]),
    ]


def _deployed(row: Mapping[str, Any]) -> str:
    return f"{row['runtime']}, {row['precision']}"


def _int8(rows: Sequence[Mapping[str, Any]]) -> str:
    """What int8 costs, whether it was recommended or not: nats, or where a model has none, reconstruction error."""
    for row in rows:
        if row["format"] == "onnx_int8" and row["status"] == "refused":
            return "refused"
        if row["format"] == "onnx_int8" and row.get("quality"):
            elbo, error = row["quality"]["elbo_change"], row["quality"]["reconstruction_change"]
            if elbo is not None:
                return f"{round(-elbo, 2) + 0.0:.2f} nats"
            return "" if error is None else f"{error:+.1%} of error"
    return ""


def _notes(results: Mapping[str, Any]) -> list[str]:
    refused = [
        f"* {name}, {row['format']}: {row['reason']}"
        for name, result in results.items()
        for row in result["rows"]
        if row["status"] in ("refused", "failed")
    ]
    first = next(iter(results.values()))
    said = (
        f"On {first['machine']['processor']}, {first['settings']['threads']} threads. Recommended for latency, the "
        f"smallest p90 of single_stream at batch 1, and for throughput, the most offline images/s: of rows within 5% "
        f"the most precise, and none that loses over 1 nat of test ELBO or 2% of reconstruction error. Size and "
        f"largest difference from Keras are of the recommended files, encoder and decoder."
    )
    return ["\n".join(dict.fromkeys(refused)), said] if refused else [said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*", help="those whose names match this glob")
    parser.add_argument("--bundles", default=None, type=Path, help="keep the bundles here, and take those that are")
    parser.add_argument("--export-only", action="store_true", help="time nothing")
    parser.add_argument("--output", default=None, type=Path, help="the results: JSON, {model: result}")
    parser.add_argument("--again", action="store_true", help="time what the output holds already, too")
    arguments = parser.parse_args()
    names, results = zoo.names(arguments.models), {}
    if arguments.output and arguments.output.exists():
        held = json.loads(arguments.output.read_text(encoding="utf-8"))
        results = {name: each for name, each in held.items() if name in zoo.names() and each["schema"] == SCHEMA}
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            folder = (arguments.bundles or Path(temporary)) / name
            refused, options = exported(name, folder), options_for(name)
            print(f"{name}: exported. {' '.join(refused.values())}", flush=True)
            if arguments.export_only or (not arguments.again and is_done(results.get(name), folder, options)):
                continue
            results[name] = timed(name, folder, refused, **options)
            print(f"\n{name}\n\n{runtimes.markdown(results[name])}", flush=True)
            if arguments.output:
                files.write_json(arguments.output, dict(sorted(results.items())))
    if results:
        print("\n\n".join(f"{signature}\n\n{markdown(results, signature)}" for signature in SIGNATURES))


if __name__ == "__main__":
    with pauses.paused():
        main()
