"""The tests of `make test` beside eight busy processes, in a random order: `python -m tests.proofs.load`.

Three times as long as without them: Linux gives half of two cores to the session of the eight, and all of it to the
tests where sessions do not count. With further arguments pytest runs a part.
"""

import contextlib
import os
import random
import signal
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
    """Keep as many processes busy as `BUSY` says, in a session of their own, as of another user of the machine."""
    program = f"import os\nfor _ in range({BUSY - 1}):\n    os.fork() or exec('while True: pass')\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
