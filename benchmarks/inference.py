"""Which runtime should serve an encoder or a decoder?

Exports the models of the zoo in every format that a runtime here opens, compares the outputs, and times them as
`keras-vae bench` does: one process a runtime, interleaved rounds, equal threads.

    python benchmarks/inference.py [--output benchmarks/inference.json]
"""

import argparse
import tempfile
from pathlib import Path

from keras_vae import export, runtimes, zoo
from keras_vae.cli.quickstart import formats_here
from keras_vae.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default=None, help="write the results here, as JSON: {model: result}")
    arguments = parser.parse_args()
    results = {}
    for name in zoo.names():
        with tempfile.TemporaryDirectory() as folder:
            bundle = export.export(zoo.load(name), Path(folder) / name, formats=formats_here())
            results[name] = runtimes.benchmark(bundle)
            results[name]["bundle"]["path"] = name  # the folder was temporary
        print(f"\n{name}\n\n{runtimes.markdown(results[name])}")
    if arguments.output:
        write_json(arguments.output, results)


if __name__ == "__main__":
    main()
