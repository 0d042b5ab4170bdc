"""What training and decoding take of memory, each in a process of its own: the peak of its resident set.

    python benchmarks/memory.py [--output FILE]

`training data`: what the peak of one epoch of an MLP grows by with the examples, a share of the bytes that these are
given as: grey levels as bytes, as `keras_vae.data.batches` takes them, or floats, as `fit` does. `decode`: what the
peak grows by with the codes, a share of the bytes of the images. `training`: the peak of one epoch of an MLP on MNIST,
a multiple of that of a process that has imported all it needs. Peaks hardly depend on what else the machine does, whose
load the record has all the same.
"""

import argparse
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from keras_vae import files
from keras_vae.benchmarking import machine
from keras_vae.zoo.results import PACKAGES

SCHEMA = "keras_vae.memory/1"
PIXELS = 28 * 28
# What a process does, as source: it gets `count`, examples or codes.
SETUP = """
import numpy as np
import keras_vae
from keras_vae import data
from keras_vae.models import VAE
noise = np.random.default_rng(0)
model = VAE(encoder={"name": "mlp", "hidden": (400, 400)}, decoder={"name": "mlp", "hidden": (400, 400)})
"""
COMPILE = "model.compile()\n"
CASES = {
    "imports": "import keras_vae.zoo\n",
    "training": COMPILE + 'model.fit(data.load("mnist", "train", "dynamic"), verbose=0)\n',
    "bytes": COMPILE
    + "x = noise.integers(0, 256, (count, 28, 28, 1), dtype='uint8')\n"
    + "model.fit(data.batches(x, binarize='dynamic', training=True), verbose=0, steps_per_epoch=32)\n",
    "floats": COMPILE
    + "x = noise.random((count, 28, 28, 1), dtype='float32') < np.float32(0.5)\n"
    + "model.fit(x.astype('float32'), verbose=0, steps_per_epoch=32)\n",
    "decode": "model.decode(noise.normal(size=(count, 20)).astype('float32'))\n",
}
FEW, MANY = 8_192, {"bytes": 400_000, "floats": 100_000, "decode": 100_000}
BYTES = {"bytes": PIXELS, "floats": 4 * PIXELS, "decode": 4 * PIXELS}  # of an example


def peak(case: str, count: int) -> int:
    """Return the largest resident set, in bytes, of a process of one case."""
    code = f"count = {count}\n{SETUP}{CASES[case]}"
    code += "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024)


def measure() -> dict[str, Any]:
    """Return the record: of each case its bytes and the share; and the machine as it was before the first of them."""
    described = machine.describe()
    imports, training = peak("imports", FEW), peak("training", FEW)
    rows: dict[str, dict[str, float]] = {
        "training": {"imports": imports, "peak": training, "share": training / imports}
    }
    for case, many in MANY.items():
        few, whole = peak(case, FEW), peak(case, many)
        size = (many - FEW) * BYTES[case]
        rows[case] = {"few": few, "many": whole, "bytes": size, "share": (whole - few) / size}
    return {
        "schema": SCHEMA,
        "machine": described,
        "versions": {name: version(name) for name in PACKAGES},
        "examples": {"few": FEW, "many": MANY},
        "rows": rows,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table, in MB."""
    rows, many = result["rows"], result["examples"]["many"]
    training, lines = rows["training"], ["| | bytes, MB | peak grows by, MB | share |", "| --- | ---: | ---: | ---: |"]
    kinds = {"bytes": "training data as uint8", "floats": "training data as float32", "decode": "decode"}
    for case, what in kinds.items():
        row = rows[case]
        grown, share = (row["many"] - row["few"]) / 1e6, row["share"]
        lines.append(f"| {what}, {many[case]:,} images | {row['bytes'] / 1e6:,.0f} | {grown:,.0f} | {share:.2f} |")
    peaks = f"{training['peak'] / 1e6:,.0f} MB, {training['share']:.2f} of the process after its imports"
    return "\n".join([*lines, "", f"An epoch of the MLP on MNIST peaks at {peaks}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    result = measure()
    print(markdown(result))
    files.write_json(arguments.output, result)


if __name__ == "__main__":
    main()
