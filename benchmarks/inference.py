"""Which runtime should serve an encoder or a decoder?

Exports the models of the zoo in every format that a runtime here opens, compares the outputs, and times them as
`keras-vae bench` does: one process a runtime, mode and precision, interleaved rounds, equal threads. A model that
8 bits cost more than the bounds of `export` is timed without them.

    python benchmarks/inference.py [PATTERN] [--bundles FOLDER] [--export-only] [--rounds 10] [--output FILE]

Exports take most of the time and no quiet machine: first --bundles FOLDER --export-only, then --bundles FOLDER.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from keras_vae import export, runtimes, zoo
from keras_vae.cli.quickstart import formats_here
from keras_vae.errors import ExportError
from keras_vae.files import write_json
from keras_vae.runtimes.comparing import GOALS


def exported(name: str, folder: Path) -> export.Bundle:
    """The model in every format, and without int8 where that loses too much; as it is, if it is there already."""
    if (folder / "bundle.json").exists():
        found = export.read_bundle(folder)
        if found.manifest["model"]["weights_sha256"] == zoo.card(name).results["weights"]["sha256"]:
            return found
    model, formats = zoo.load(name), [*formats_here(), "onnx_fp16"]  # a prior has no part in what is timed
    try:
        return export.export(model, folder, [*formats, "onnx_int8"])
    except ExportError as error:
        print(error)
        return export.export(model, folder, formats)


def timed(name: str, bundle: export.Bundle, rounds: int) -> dict[str, Any]:
    """What `keras_vae.runtimes.benchmark` returns, without the folder, and with what it recommends."""
    result = runtimes.benchmark(bundle, rounds=rounds)
    result["bundle"]["path"] = name
    result["recommended"] = {goal: runtimes.recommend(result, goal) for goal in GOALS}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="*", help="the models whose names match this glob")
    parser.add_argument("--bundles", default=None, type=Path, help="keep the bundles here, and take those that are")
    parser.add_argument("--export-only", action="store_true", help="time nothing")
    parser.add_argument("--rounds", default=10, type=int, help="turns that each runtime has")
    parser.add_argument("--output", default=None, type=Path, help="write the results here: JSON, {model: result}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundles = {
            name: exported(name, (arguments.bundles or Path(folder)) / name) for name in zoo.names(arguments.pattern)
        }
        results = {}
        for name, bundle in {} if arguments.export_only else bundles.items():
            results[name] = timed(name, bundle, arguments.rounds)
            print(f"\n{name}\n\n{runtimes.markdown(results[name])}", flush=True)
    if arguments.output and results:
        before = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.exists() else {}
        kept = {name: result for name, result in before.items() if name in zoo.names()}
        write_json(arguments.output, dict(sorted((kept | results).items())))


if __name__ == "__main__":
    main()
