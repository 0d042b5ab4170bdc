"""Processes that tests start and interrupt."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """What is started inside takes SIGINT and SIGHUP as from a terminal, also where pytest was started to ignore them.

    A shell starts its jobs in the background without SIGINT, nohup without SIGHUP, and their children inherit it. A
    handler they do not inherit: a process that is started while there is one has the default.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
