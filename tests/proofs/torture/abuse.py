"""What happens to processes: signals at random moments, two writers into one folder, a full disk, eight threads."""

import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.proofs.torture import pool
from tests.proofs.torture.subjects import RUNTIMES

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
THREADS = 8
_SECONDS = 240  # that a command may take on a busy machine before it counts as hanging
COMMANDS: dict[str, list[str]] = {
    "train": ["train", "store/new/recipe.toml", "--output", "result"],
    "export": ["export", "store/run", "result", "--format", "onnx", "--format", "keras"],
    "demo": ["demo", "store/bundle", "--output", "result"],
    "demo, serving": ["demo", "store/bundle", "--port", "0", "--no-browser"],
    "sample": ["sample", "store/run", "--count", "3", "--output", "result.npy"],
    "encode": ["encode", "store/run", "store/saved/images.npy", "--output", "result.npy"],
}
_INTERRUPTED = ("train", "export", "demo", "demo, serving")
_FULL = ("train", "export", "demo", "sample", "encode")
_WRITERS = ("train", "export", "demo", "sample")


class Event(NamedTuple):
    """One thing that happened to a command, or a runtime."""

    what: str  # "signals", "two writers", "full disk", "threads"
    subject: str
    word: str  # of worker.OUTCOMES
    said: str


class Ended(NamedTuple):
    """A command that ended."""

    status: int  # negative: of a signal; 999: it did not end
    errors: str
    seconds: float


def everything(store: Path, seed: int, moments: int, limits: int) -> Iterator[Event]:
    """Every abuse: `moments` signals of each kind for each command, `limits` sizes of a disk."""
    noise = random.Random(seed)
    with ThreadPoolExecutor(2) as workers:
        references = dict(zip(COMMANDS, workers.map(lambda name: _Reference(store, name), COMMANDS), strict=True))
        jobs: list[Callable[[], Event]] = []
        for name in _INTERRUPTED:
            for number in SIGNALS:
                jobs += [_bind(_interrupt, references[name], number, noise.random()) for _ in range(moments)]
        for name in _FULL:
            jobs += [_bind(_fill, references[name], int(10 ** noise.uniform(1, 6))) for _ in range(limits)]
        jobs += [_bind(_write_twice, references[name]) for name in _WRITERS for _ in range(max(1, moments // 3))]
        yield from workers.map(lambda job: job(), jobs)


def threads(store: Path, calls: int, seed: int) -> list[Event]:
    """Eight threads on every runtime, and on a model itself, each with its own inputs."""
    from keras_vae import runtimes, zoo

    opened: dict[str, Any] = {name: runtimes.open(store / "bundle", name) for name in RUNTIMES.values()}
    opened["model"] = zoo.load(store / "run")
    return [_together(name, runtime, calls, seed) for name, runtime in opened.items()]


def _together(name: str, runtime: Any, calls: int, seed: int) -> Event:
    noise = np.random.default_rng(seed)
    xs = [(noise.random((1 + index % 3, 28, 28, 1)) < 0.5).astype("float32") for index in range(THREADS)]
    zs = [noise.normal(size=(1 + index % 3, 3)).astype("float32") for index in range(THREADS)]
    expected = [(runtime.encode(x), runtime.decode(z)) for x, z in zip(xs, zs, strict=True)]
    wrong: list[str] = []
    start = threading.Barrier(THREADS)

    def ask(index: int) -> None:
        start.wait()
        for _ in range(calls):
            try:
                answers = (runtime.encode(xs[index]), runtime.decode(zs[index]))
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")
                continue
            pairs = list(zip(answers, expected[index], strict=True))
            if not all(a.shape == b.shape and np.allclose(a, b, atol=1e-6) for a, b in pairs):
                wrong.append("another answer")

    workers = [threading.Thread(target=ask, args=(index,)) for index in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    word = "same" if not wrong else "changed" if "another answer" in wrong else "traceback"
    said = f"{len(wrong)} of {THREADS * calls} answers of 8 threads are wrong, such as {wrong[0]}" if wrong else ""
    return Event("threads", name, word, said[:300])


class _Reference:
    """A command that nothing happened to: its duration, and what it wrote."""

    def __init__(self, store: Path, name: str) -> None:
        self.store, self.name = store, name
        with _place(store) as place:
            ended = self.run(place, stop_after=20.0 if "serving" in name else None)
            if ended.status not in ((0,) if "serving" not in name else (0, 130)):
                raise RuntimeError(f"{name} does not work: {ended}")
            self.seconds, self.written = min(ended.seconds, 20.0), _contents(place)

    def run(
        self, place: Path, number: int = signal.SIGINT, stop_after: float | None = None, limit: int | None = None
    ) -> Ended:
        return _run(place, COMMANDS[self.name], number, stop_after, limit)

    def fault(self, place: Path) -> str | None:
        """What is wrong with the output of a command that ended with status 0."""
        if (place / "result/bundle.json").is_file() or (place / "result/demo.json").is_file():
            from keras_vae.errors import UserError
            from keras_vae.runtimes.bundle import read_bundle

            try:
                read_bundle(place / "result" / ("bundle" if self.name == "demo" else "")).verify()
            except UserError as error:
                return str(error)
            return None
        written = _contents(place)
        differ = [name for name in self.written if written.get(name) != self.written[name]]
        return f"not as without: {', '.join(differ)}" if differ else None


def _interrupt(reference: _Reference, number: int, share: float) -> Event:
    moment = reference.seconds * share
    what = f"{signal.Signals(number).name} after {moment:.1f} of {reference.seconds:.1f} s"
    with _place(reference.store) as place:
        ended = reference.run(place, number, moment)
        said = f"{what}: status {ended.status}, {ended.errors[-300:]!r}"
        event = lambda word, text=said: Event("signals", reference.name, word, text)  # noqa: E731
        if ended.status == 999:
            return event("hang")
        if "Traceback" in ended.errors:
            return event("traceback")
        if number != signal.SIGKILL:
            if ended.status < 0:
                return event("crash", f"{said}: it did not end by itself")
            if left := _leftovers(place):
                return event("leftover", f"{said}: {', '.join(left)}")
        if reference.name == "demo, serving":
            return event("same")
        if fault := _half(place, reference):
            return event("invalid", f"{said}: {fault}")
        again = reference.run(place)
        if again.status or "Traceback" in again.errors:
            return event("changed", f"{said}: again: status {again.status}, {again.errors[-300:]!r}")
        if left := _leftovers(place):
            return event("leftover", f"{said}: after the same command again: {', '.join(left)}")
        fault = reference.fault(place)
        return event("changed", f"{said}: {fault}") if fault else event("same")


def _fill(reference: _Reference, limit: int) -> Event:
    with _place(reference.store) as place:
        ended = reference.run(place, limit=limit)
        said = f"files of at most {limit} bytes: status {ended.status}, {ended.errors[-300:]!r}"
        event = lambda word, text=said: Event("full disk", reference.name, word, text)  # noqa: E731
        if ended.status == 999:
            return event("hang")
        if "Traceback" in ended.errors:
            return event("traceback")
        if ended.status < 0:
            return event("crash")
        if left := _leftovers(place):
            return event("leftover", f"{said}: {', '.join(left)}")
        fault = reference.fault(place) if ended.status == 0 else _half(place, reference)
        if fault:
            return event("invalid", f"{said}: {fault}")
        if ended.status and (ended.errors.count("\n") != 1 or not ended.errors.startswith("Error: ")):
            return event("silent")
        return event("refused" if ended.status else "same")


def _write_twice(reference: _Reference) -> Event:
    with _place(reference.store) as place, ThreadPoolExecutor(2) as two:
        first, second = two.map(lambda _: reference.run(place), range(2))
        said = f"status {first.status} and {second.status}: {first.errors[-200:]!r} {second.errors[-200:]!r}"
        event = lambda word, text=said: Event("two writers", reference.name, word, text)  # noqa: E731
        if 999 in (first.status, second.status):
            return event("hang")
        if "Traceback" in first.errors + second.errors:
            return event("traceback")
        if first.status and second.status:
            return event("invalid", f"{said}: neither ended well")
        if left := _leftovers(place):
            return event("leftover", f"{said}: {', '.join(left)}")
        fault = reference.fault(place)
        return event("changed", f"{said}: {fault}") if fault else event("same")


def _half(place: Path, reference: _Reference) -> str | None:
    """What is half-written in the output of a command that was interrupted."""
    result = place / "result"
    if reference.name in ("export", "demo") and result.exists():
        marker = result / ("bundle.json" if reference.name == "export" else "demo.json")
        return reference.fault(place) if marker.is_file() else f"a folder without {marker.name}"
    if (place / "result.npy").exists():
        return reference.fault(place)
    known = {Path(name).name for name in reference.written}
    # A killed process leaves its lock and what it was writing; they hold nobody up, and the same command removes them.
    of_the_killed = (".keras_vae-", "checkpoint")
    strange = [
        path.name
        for path in result.rglob("*")
        if path.name not in known and not any(part.startswith(of_the_killed) for part in path.relative_to(result).parts)
    ]
    return f"files that a whole run has not: {', '.join(strange)}" if strange else None


def _contents(place: Path) -> dict[str, str]:
    """Digests of what a command wrote: of numbers, not of times and versions."""
    from keras_vae import weights

    found: dict[str, str] = {}
    for path in sorted(place.glob("result*")):
        for file in [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file()):
            name = file.relative_to(place).as_posix()
            if file.suffix == ".safetensors":
                arrays = weights.read(file, 2**31)[0]
                parts = [f"{key}{arrays[key].dtype}".encode() + arrays[key].tobytes() for key in sorted(arrays)]
                found[name] = hashlib.sha256(b"".join(parts)).hexdigest()
            elif file.suffix in (".npy", ".npz", ".toml", ".onnx"):
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
            else:
                found[name] = ""
    return found


def _leftovers(place: Path) -> list[str]:
    """Temporary files."""
    return [path.relative_to(place).as_posix() for path in (*place.rglob(".keras_vae-*"), *(place / "tmp").iterdir())]


class _place:
    """A folder in which a command runs, beside the store."""

    def __init__(self, store: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="torture-", dir=store.parent))
        (self.path / "tmp").mkdir()
        (self.path / "store").symlink_to(store)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _run(place: Path, words: list[str], number: int, stop_after: float | None, limit: int | None) -> Ended:
    """Run a command in a process that has imported everything already, and send it a signal after some seconds."""
    ours, theirs = pool.context.Pipe(duplex=False)
    process = pool.context.Process(target=_command, args=(str(place), words, limit, theirs))
    process.start()
    theirs.close()
    ours.recv_bytes()  # it has begun
    begun = time.monotonic()
    with os.fdopen(os.dup(ours.fileno()), "rb") as stream, ThreadPoolExecutor(1) as reading:
        ours.close()
        errors = reading.submit(stream.read)
        if stop_after is not None:
            process.join(max(0.0, stop_after))
            if process.is_alive() and process.pid:
                os.kill(process.pid, number)
        process.join(_SECONDS)
        status = 999 if process.is_alive() else int(process.exitcode or 0)
        process.kill()
        process.join()
        return Ended(status, errors.result().decode(errors="replace"), time.monotonic() - begun)


def _command(place: str, words: list[str], limit: int | None, errors: Connection) -> None:
    from keras_vae import cli
    from keras_vae.pages import demo

    os.chdir(place)
    os.environ["TMPDIR"] = tempfile.tempdir = str(Path(place) / "tmp")
    demo._npm = lambda *_: "npm is not tried"
    for name, handler in (
        ("SIGINT", signal.default_int_handler),
        ("SIGTERM", signal.SIG_DFL),
        ("SIGHUP", signal.SIG_DFL),
    ):
        signal.signal(getattr(signal, name), handler)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    errors.send_bytes(b"begun")
    for stream, target in ((1, nowhere), (2, errors.fileno())):
        os.dup2(target, stream)
        os.close(target)
    sys.stderr, sys.stdout = os.fdopen(2, "w", closefd=False), os.fdopen(1, "w", closefd=False)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    cli.main(words)


def _bind(function: Callable[..., Event], *arguments: Any) -> Callable[[], Event]:
    return lambda: function(*arguments)
