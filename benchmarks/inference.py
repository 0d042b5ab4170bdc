"""Which runtime should serve an encoder or a decoder?

Exports the models of the zoo in every format that a runtime here opens, compares the outputs, and times them as
`keras-vae bench` does: one process a runtime, mode and precision, interleaved rounds, equal threads. A model that
8 bits cost more than the bounds of `export` is timed without them.

    python benchmarks/inference.py [--output benchmarks/inference.json]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from keras_vae import export, runtimes, zoo
from keras_vae.cli.quickstart import formats_here
from keras_vae.errors import ExportError
from keras_vae.files import write_json
from keras_vae.runtimes.comparing import GOALS


def exported(model: Any, folder: Path) -> export.Bundle:
    """The model in every format, and without int8 where that loses too much."""
    formats = [*formats_here(), "onnx_fp16"]
    try:
        return export.export(model, folder, [*formats, "onnx_int8"])
    except ExportError as error:
        print(error)
        return export.export(model, folder, formats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default=None, help="write the results here, as JSON: {model: result}")
    arguments = parser.parse_args()
    results = {}
    for name in zoo.names():
        with tempfile.TemporaryDirectory() as folder:
            bundle = exported(zoo.load(name), Path(folder) / name)
            results[name] = runtimes.benchmark(bundle)
            results[name]["bundle"]["path"] = name  # the folder was temporary
            results[name]["recommended"] = {goal: runtimes.recommend(results[name], goal) for goal in GOALS}
        print(f"\n{name}\n\n{runtimes.markdown(results[name])}")
    if arguments.output:
        write_json(arguments.output, results)


if __name__ == "__main__":
    main()
