"""One contender in a process of its own: says when it is ready, then trains or evaluates at each line it is sent.

Imports nothing of keras_vae, since a peer's interpreter may not have it. `benchmarks/training.py` starts it.
"""

import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np


def images(path: str, case: dict) -> tuple[np.ndarray, np.ndarray]:
    """Binary images as float32, `(count, height, width, 1)`: as many as the case trains on, and all test images."""
    with np.load(path) as arrays:
        return arrays["train"][: case["examples"]].astype("float32"), arrays["test"].astype("float32")


def main() -> None:
    name, case, path = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "w")  # what a library prints is not an answer
    os.dup2(2, 1)

    def answer(**what: object) -> None:
        print(json.dumps(what), file=answers, flush=True)

    module = importlib.import_module(name)
    contender = module.Contender(case, *getattr(module, "read", images)(path, case))  # images, or what it reads itself
    start, cpu = time.perf_counter(), time.process_time()
    contender.epochs(1)
    answer(
        first_epoch_seconds=time.perf_counter() - start,
        first_epoch_cpu_seconds=time.process_time() - cpu,
        versions={package: version(package) for package in module.PACKAGES},
    )
    for line in sys.stdin:
        what, count = line.split()
        if what != "epochs":  # "bound", or "recovered"
            answer(**{what: getattr(contender, what)()})
            continue
        start, cpu = time.perf_counter(), time.process_time()
        contender.epochs(int(count))
        answer(seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu)


if __name__ == "__main__":
    main()
