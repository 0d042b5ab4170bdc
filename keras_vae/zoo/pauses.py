"""A sign to the training queue, `keras_vae.zoo.queueing`, that something else needs the machine.

with pauses.paused():
    ...  # measure

A sign is a file that is named after its process. One that a process that was killed has left behind is ignored.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()) / f"keras_vae-pause-{os.getuid()}"
INTERVAL = 1.0  # seconds between two looks of the queue


@contextmanager
def paused() -> Iterator[None]:
    """Let every training queue of this user stand still until the block ends."""
    FOLDER.mkdir(exist_ok=True)
    sign = FOLDER / str(os.getpid())
    sign.touch()
    try:
        time.sleep(2 * INTERVAL)  # until it has seen the sign
        yield
    finally:
        sign.unlink(missing_ok=True)


def holders() -> list[int]:
    """Return the living processes that have set a sign."""
    return [int(path.name) for path in FOLDER.glob("*") if path.name.isdigit() and _lives(int(path.name))]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
