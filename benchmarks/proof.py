"""Proofs: what takes too long for `make test-all`. `make proof-NAME` runs one, and records it in benchmarks/proofs.

`python benchmarks/proof.py` lists them, with when each last ran. A record has the commit, the command, its duration,
its exit status and the last lines that it printed; a proof that fails is recorded too, and exits with 1.
"""

import argparse
import datetime
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from keras_vae import files

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "benchmarks" / "proofs"
# name -> what it shows, and the arguments of Python that show it, in the root of a checkout
PROOFS: dict[str, tuple[str, tuple[str, ...]]] = {
    "zoo": (
        "every entry of the zoo gives the numbers of its card, log p(x) too",
        ("-m", "pytest", "-m", "", "-p", "no:xdist", "tests/proofs/test_zoo.py"),
    ),
    "score": (
        "a million images scored on a cluster of Ray that loses an actor and a machine, as on this one undisturbed",
        ("-m", "tests.proofs.score"),
    ),
    "stream": (
        "8 GB of pictures trained on in less than 1.5 GB, and the digits as fast from shards as in memory, or nearly",
        ("-m", "tests.proofs.stream"),
    ),
    "cells": (
        "a million cells of 2,000 genes in sparse shards, one epoch, in less than 8 GB",
        ("-m", "tests.proofs.cells"),
    ),
    "workers": (
        "three workers train one model, each is killed once, and the run ends with the weights of an undisturbed one",
        ("-m", "tests.proofs.workers"),
    ),
    "torture": (
        "bad input ends in a right answer or an error: mutated files, bad calls, signals, threads, a full disk",
        ("-m", "tests.proofs.torture"),
    ),
    "load": (
        "the tests of `make test` pass beside eight busy processes, in a random order",
        ("-m", "tests.proofs.load"),
    ),
}
_LINES = 12  # of the output, that a record keeps
_NOISE = re.compile(
    r"^[IWE]\d{4} |^WARNING: All log|\(raylet\)|\[state-dump\]|streaming_executor|^\t\(\d\) |^To enable"
)  # of engines


def run(name: str) -> int:
    """Run a proof, with its output shown, and write its record; returns its exit status."""
    shows, arguments = PROOFS[name]
    commit = _git("rev-parse", "HEAD")
    changed = bool(_git("status", "--porcelain"))  # files that are not in that commit
    started, start = datetime.datetime.now(datetime.UTC), time.monotonic()
    last: deque[str] = deque(maxlen=_LINES)
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if not _NOISE.search(line):
                last.append(line.rstrip().replace(str(ROOT), "."))
    record = {
        "proof": name,
        "shows": shows,
        "command": shlex.join(["python", *arguments]),
        "commit": commit,
        "changed": changed,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - start, 1),
        "status": process.returncode,
        "passed": process.returncode == 0,
        "output": list(last),
    }
    RECORDS.mkdir(exist_ok=True)
    files.write_json(RECORDS / f"{name}.json", record)
    return process.returncode


def listed() -> str:
    """One line for each proof: its name, when it last passed or failed, and what it shows."""
    lines = []
    for name, (shows, _) in PROOFS.items():
        path = RECORDS / f"{name}.json"
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            outcome = "passed" if record["passed"] else "FAILED"
            last = f"{outcome} on {record['started'][:10]} at {record['commit'][:9]}, {record['seconds']:,.0f} s"
        else:
            last = "not run yet"
        lines.append(f"{name:12} {last:48} {shows}")
    return "\n".join(lines)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", choices=sorted(PROOFS))
    name = parser.parse_args().name
    if name is None:
        print(listed())
        return 0
    return run(name)


if __name__ == "__main__":
    sys.exit(main())
