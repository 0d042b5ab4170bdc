"""The tests of `make test` beside eight busy processes, in a random order: `python -m tests.proofs.load`.

About an hour on two cores. With further arguments pytest runs a part.
"""

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUSY = 8
DISTRIBUTED = ("-n", "2", "--dist", "loadscope", "--no-loadscope-reorder", "--max-worker-restart", "0")


def main() -> int:
    shuffle = random.SystemRandom().randrange(1000)
    command = [sys.executable, "-m", "pytest", *DISTRIBUTED, "--shuffle", str(shuffle), *sys.argv[1:]]
    print(f"Beside {BUSY} busy processes: pytest {' '.join(command[3:])}", flush=True)
    with busy():
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(f"Load of the last 15 minutes: {os.getloadavg()[2]:.1f}")
    return status


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep as many processes busy as `BUSY` says."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
