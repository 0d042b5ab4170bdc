"""Training by several workers, of which one is killed: `python -m tests.proofs.workers`, about ten minutes.

Three processes train a recipe undisturbed; and again, while a worker is killed at a random moment, each of them once.
The others end with one line within a bounded time, and all are started again. Both runs end with equal weights.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests import toy_runs, workers

BOUND = 60  # seconds, until the others have ended
LINE = "Error: Workers go on together, and one of them has ended."


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workers-") as scratch:
        away = disturbed(Path(scratch), arguments.workers, arguments.kills)
    print(f"Largest difference from the undisturbed run: {away:.1e}.")
    return 0 if away < 1e-6 else 1


def disturbed(folder: Path, count: int, kills: int) -> float:
    """Train with and without kills; returns the largest difference of their checkpoints' numbers.

    Raises:
      AssertionError: a worker that ends otherwise than it should.
    """
    recipe = toy_runs.write_recipe(folder / "toy.toml", {"training.epochs": 4 * kills + 2, "training.batch_size": 60})
    whole, killed, generator = folder / "whole", folder / "killed", np.random.default_rng(count)
    finish(command(recipe, whole), count)
    for number in range(kills):
        victim = number % count
        with workers.started(command(recipe, killed), count) as processes:
            await_epoch(killed / "checkpoint.safetensors", processes)
            time.sleep(generator.uniform(0, 1))
            processes[victim].kill()
            start = time.monotonic()
            for index, process in enumerate(processes):
                _, errors = process.communicate(timeout=BOUND)
                if index != victim:
                    assert process.returncode == 1, (index, process.returncode, errors)
                    assert errors.startswith(LINE) and errors.count("\n") == 1, errors
            print(f"Worker {victim} killed: the others ended after {time.monotonic() - start:.1f} s.", flush=True)
        assert not (killed / "results.json").exists()
    finish(command(recipe, killed), count)
    first, second = (toy_runs.arrays_in(run / "checkpoint.safetensors") for run in (whole, killed))
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def command(recipe: Path, run: Path) -> list[str]:
    return ["-m", "keras_vae", "train", str(recipe), "--output", str(run), "--quick"]


def finish(train: list[str], count: int) -> None:
    """Run a training to its end: the first worker says so, and the others say nothing."""
    with workers.started(train, count) as processes:
        outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outputs
    assert "Written: " in outputs[0][0]
    assert outputs[1:] == [("", "")] * (count - 1), outputs[1:]


def await_epoch(checkpoint: Path, processes: list[subprocess.Popen[str]]) -> None:
    """Wait until these workers have ended an epoch."""

    def written() -> int:
        return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    before = written()
    while written() == before:
        assert all(process.poll() is None for process in processes), "a worker ended by itself"
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
