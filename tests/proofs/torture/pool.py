"""Processes that answer a request at a time, forked from one that has imported everything, killed after 20 seconds."""

import itertools
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

SECONDS = 20.0
_PATIENCE = 300.0  # of a process that still computes, on a machine that is busy with others
_REQUESTS = 250  # that one process answers before it is replaced, so that no case weighs on too many others
_PRELOAD = ("tests.proofs.torture.preload",)

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(list(_PRELOAD))


def answers(
    store: Path, requests: Iterable[Any], processes: int = 2, patient: bool = False
) -> Iterator[tuple[Any, Any]]:
    """Each request with its answer, as they come; `("hang", ...)` and `("crash", ...)` are answers of the pool itself.

    A `patient` pool kills nothing.
    """
    waiting = iter(requests)
    busy: dict[Connection, _Process] = {}
    idle = [_Process(store) for _ in range(processes)]
    try:
        while True:
            while idle:
                request = next(waiting, None)
                if request is None:
                    break
                process = idle.pop()
                process.ask(request)
                busy[process.connection] = process
            if not busy:
                return
            ready = wait(list(busy), timeout=1.0)
            for connection in [
                *ready,
                *(key for key in list(busy) if key not in ready and not patient and busy[key].hangs()),
            ]:
                process = busy.pop(connection)  # pyright: ignore[reportArgumentType]
                answer = process.answer() if connection in ready else ("hang", f"no answer in {process.age:.0f} s")
                yield process.request, answer
                if (isinstance(answer, tuple) and answer[0] in ("hang", "crash")) or process.count >= _REQUESTS:
                    process.end()
                    process = _Process(store)
                idle.append(process)
    finally:
        for process in itertools.chain(idle, busy.values()):
            process.end()


class _Process:
    def __init__(self, store: Path) -> None:
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, store), daemon=False)
        self.process.start()
        other.close()
        self.count, self.request, self.start = 0, None, 0.0
        self._last: tuple[float, float] = (0.0, 0.0)
        self.connection.poll(120)
        self.connection.recv()  # it is ready

    @property
    def age(self) -> float:
        return time.monotonic() - self.start

    def ask(self, request: Any) -> None:
        self.count, self.request, self.start = self.count + 1, request, time.monotonic()
        self._begin = _cpu_seconds(self.process.pid)
        self._last = (self.start, self._begin)
        self.connection.send(request)

    def answer(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            return "crash", f"exit status {self.process.exitcode}"

    def hangs(self) -> bool:
        """Whether it has used its 20 seconds: of its processors, or, where it waits for something, of the clock."""
        now, used = time.monotonic(), _cpu_seconds(self.process.pid)
        if used - self._begin > SECONDS or self.age > _PATIENCE:
            return True
        if now - self._last[0] < 5.0:
            return False
        computes = used - self._last[1] > 0.05
        self._last = (now, used)
        return not computes and self.age > SECONDS

    def end(self) -> None:
        self.process.kill()
        self.process.join(10)
        self.connection.close()


def _cpu_seconds(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve(connection: Connection, store: Path) -> None:
    """The loop of a worker."""
    from tests.proofs.torture import calls, worker

    worker.prepare(store)
    connection.send("ready")
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        if isinstance(request, worker.Case):
            connection.send(worker.run(request))
        elif isinstance(request, calls.Call):
            connection.send(worker.call(request))
        else:
            function, *arguments = request
            connection.send(function(*arguments))
