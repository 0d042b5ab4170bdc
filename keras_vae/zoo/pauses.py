"""A sign to the training queue, `keras_vae.zoo.queueing`, that something else needs the machine.

with pauses.paused():
    ...  # measure

A sign is a file that is named after its process, which holds a lock on it. One that a killed process has left behind is
not locked any more, and is removed: its number alone may be another process's by now.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_vae import locks

FOLDER = Path(tempfile.gettempdir()) / f"keras_vae-pause-{os.getuid()}"
INTERVAL = 1.0  # seconds between two looks of the queue
_NUMBERS = itertools.count()  # of the signs of this process


@contextmanager
def paused() -> Iterator[None]:
    """Let every training queue of this user stand still until the block ends."""
    FOLDER.mkdir(exist_ok=True)
    sign = FOLDER / f"{os.getpid()}-{next(_NUMBERS)}"
    while (held := locks.take(sign)) is None:
        time.sleep(INTERVAL / 100)  # a queue is looking whether it is locked
    try:
        time.sleep(2 * INTERVAL)  # until it has seen the sign
        yield
    finally:
        sign.unlink(missing_ok=True)
        held.close()


def holders() -> list[int]:
    """Return the processes that have set a sign."""
    named = {path: path.name.partition("-")[0] for path in FOLDER.glob("*")}
    return sorted({int(process) for path, process in named.items() if process.isdigit() and _is_held(path)})


def _is_held(sign: Path) -> bool:
    if (file := locks.take(sign)) is None:
        return True
    sign.unlink(missing_ok=True)
    file.close()
    return False
