"""Processes that tests start and interrupt."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """What is started inside takes SIGINT as from a terminal, also where pytest was started with SIGINT ignored.

    A shell starts its jobs in the background so, and their children inherit it. A handler they do not inherit: a
    process that is started while there is one has the default.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
