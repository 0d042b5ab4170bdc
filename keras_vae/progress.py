"""How far a long operation is, said to whoever listens: a function of the caller's, a terminal, a notebook's cell."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

Report = Callable[[str], None]
_PATIENCE = 1.0  # seconds that work lasts before a cell shows it
_listener: ContextVar[Report | None] = ContextVar("listener", default=None)


def say(text: str) -> None:
    """Tell the listener, if there is one, how far the work is."""
    if (report := _listener.get()) is not None:
        report(text)


def count(done: int, rows: int) -> None:
    """Tell the listener how many rows are done."""
    say(f"{done:,} of {rows:,}")


@contextlib.contextmanager
def listening(title: str, report: Report | None = None) -> Iterator[None]:
    """Let `report` hear what is said inside; by default whoever listens already, else the notebook's cell that runs.

    As a decorator, inside a call.

    Args:
      title: of the work, before each text that another listener or a cell shows; may be empty.
      report: a function of a text.
    """
    outer, cell = _listener.get(), None
    if report is None and outer is not None:
        report = outer if not title else lambda text: outer(f"{title}: {text}")
    elif report is None and (display := _display()) is not None:
        report = cell = _Line(title, display)
    token = _listener.set(report)
    try:
        yield
    finally:
        _listener.reset(token)
        if cell is not None:
            cell.clear()


def _display() -> Callable[..., Any] | None:
    """Return IPython's `display` where a notebook's kernel runs, which has imported it."""
    ipython: Any = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return None
    from IPython.display import display

    return display


class _Line:
    """A line below the cell that runs: each text takes the place of the one before, and none is left at the end."""

    def __init__(self, title: str, display: Callable[..., Any]) -> None:
        self.title, self.display, self.began = title, display, time.monotonic()
        self.handle: Any = None

    def __call__(self, text: str) -> None:
        if time.monotonic() - self.began < _PATIENCE:
            return
        shown = {"text/plain": f"{self.title}: {text}" if self.title else text}
        if self.handle is None:
            self.handle = self.display(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)

    def clear(self) -> None:
        if self.handle is not None:
            self.handle.update({"text/plain": ""}, raw=True)
