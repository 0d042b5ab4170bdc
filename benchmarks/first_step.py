"""What does a training wait for before its first step, and which programs does XLA compile, then and later?

    python benchmarks/first_step.py [--output benchmarks/first_step.json]

Each row is a process of its own that trains a dense VAE 784-400-400-20 on 1,000 digits for two epochs, and validates on
200, the last batch of which is smaller: CPU seconds from `fit` to the end of the first execution, to the end of the
training, and the programs that XLA wrote down by then, by their names. `steps_per_execution=1` shows the first step
itself. The persistent cache of TensorFlow's XLA is tried with an empty folder and with the one that this has left.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from keras_vae.benchmarking import machine
from keras_vae.files import write_json
from keras_vae.zoo.results import PACKAGES

SCHEMA = "keras_vae.first_step/1"
CHILD = """
import json, sys, time
import keras
from keras_vae import data
from keras_vae.models import VAE
options, dumps = json.loads(sys.argv[1]), sys.argv[2]
train, held_out = data.load_arrays("mnist", "train[:1000]", "static"), data.load_arrays("mnist", "test[:200]", "static")
network = {"name": "mlp", "hidden": (400, 400)}
model = VAE(latent_dim=20, encoder=network, decoder=network)
model.compile(**options)
start, first = time.process_time(), []

class Mark(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        first.append(time.process_time() - start)

model.fit(train, epochs=2, validation_data=held_out, verbose=0, callbacks=[Mark()])
print(json.dumps({"first_execution_seconds": first[0], "training_seconds": time.process_time() - start}))
"""
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "defaults": ({}, ""),
    "one step in each call": ({"steps_per_execution": 1}, ""),
    "without XLA": ({"jit_compile": False}, ""),
    "XLA's cache, empty": ({}, "cache"),
    "XLA's cache, filled": ({}, "cache"),
}


def measure(options: dict[str, Any], cache: Path | None, dump: bool) -> dict[str, Any]:
    """The times of one process, or the programs that it compiled: to write them down takes time."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if dump:
            environment["XLA_FLAGS"] = f"--xla_dump_to={folder} --xla_dump_hlo_as_text"
        if cache is not None:
            environment["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={cache}"
        words = [sys.executable, "-c", CHILD, json.dumps(options), folder]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        names = [path.name for path in Path(folder).glob("module_*.before_optimizations.txt")]
        programs = Counter(re.sub(r"\d+", "", name.split(".")[1]).strip("_") for name in names)
        return {"programs": dict(programs)} if dump else json.loads(done.stdout.splitlines()[-1])


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = ["| | first execution, CPU s | two epochs, CPU s | XLA programs |", "| --- | ---: | ---: | ---: |"]
    for name, row in result["rows"].items():
        programs = sum(row["programs"].values()) if "programs" in row else ""
        lines.append(f"| {name} | {row['first_execution_seconds']:.1f} | {row['training_seconds']:.1f} | {programs} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    described, rows = machine.describe(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (options, cache) in CASES.items():
            path = Path(folder) / cache if cache else None
            rows[name] = measure(options, path, dump=False)
            if not cache:
                rows[name] |= measure(options, None, dump=True)
            print(name, rows[name], flush=True)
    if arguments.output is not None:
        versions = {package: version(package) for package in PACKAGES}
        result = {"schema": SCHEMA, "machine": described, "warnings": machine.warnings(described), "versions": versions}
        write_json(arguments.output, {**result, "rows": rows})


if __name__ == "__main__":
    main()
