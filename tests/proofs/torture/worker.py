"""One case in a sandbox, in a process that the pool may kill: what happened, a word of `OUTCOMES` and a sentence."""

import contextlib
import gc
import hashlib
import os
import resource
import shutil
import stat
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.proofs.torture import calls, readers, subjects
from tests.proofs.torture.mutations import MUTATIONS

# outcome -> whether it breaks the promise, and what it says
OUTCOMES = {
    "refused": (False, "an error of ours, which names the file"),
    "same": (False, "accepted, with the numbers of before bit for bit"),
    "valid": (False, "accepted with other numbers, all finite: no digest spoke against it"),
    "changed": (True, "accepted with other numbers against a digest"),
    "invalid": (True, "accepted with numbers that are none"),
    "traceback": (True, "an exception that is not ours"),
    "silent": (True, "an error of ours that does not name the file"),
    "hang": (True, "no answer within 20 s"),
    "crash": (True, "the process died"),
    "outside": (True, "a file outside of the output, a program or a connection"),
    "leftover": (True, "a temporary file left behind"),
}
_MEMORY = 4 * 2**30  # bytes beyond what the process has at its start
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")


class Case(NamedTuple):
    """A cell of the table, and the seed of its noise."""

    kind: str
    mutation: str
    sealed: bool  # every digest is made to fit
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.mutation}/{'sealed' if self.sealed else 'plain'}/{self.seed}"


class Outcome(NamedTuple):
    """What happened."""

    word: str
    said: str
    reader: str = ""
    sealed: bool = False  # whether the digests could be made to fit


_watched: dict[str, Any] = {"root": None, "seen": []}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    root = _watched["root"]
    if root is None:
        return
    if event == "open":
        path, _, flags = arguments
        writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not writing or not isinstance(path, str | bytes | os.PathLike):
            return
        full = os.path.abspath(os.fsdecode(path))
        if not full.startswith((root, "/dev/null", "/proc/")):
            _watched["seen"].append(f"opened {full} to write")
    elif event in _PROGRAMS:
        _watched["seen"].append(f"{event} {arguments[:1]}")


def prepare(store: Path) -> None:
    """Settings of a worker, once."""
    sys.dont_write_bytecode = True
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.addaudithook(_audit)
    _reference.clear()
    _reference["store"] = store


_reference: dict[Any, Any] = {}


def run(case: Case, debug: bool = False) -> Outcome:
    """Mutate a copy of a subject, read it, and judge."""
    kind = next(kind for kind in subjects.KINDS if kind.name == case.kind)
    twice = case.sealed and not kind.digests  # nothing is to be made to fit: another mutation, not the same again
    noise = np.random.default_rng(
        [case.seed, twice, *hashlib.sha256(f"{kind.name}/{case.mutation}".encode()).digest()[:8]]
    )
    reader = kind.readers[(case.seed + list(MUTATIONS).index(case.mutation)) % len(kind.readers)]
    with sandbox(_reference["store"]) as place:
        expected = _expected(kind, reader, place)
        subject = Path(shutil.copytree(place / "store" / kind.subject, place / "subject"))
        others = [
            place / "store" / f"{kind.subject}_twin" / kind.file,
            *(place / "store" / name for name in kind.others),
        ]
        others = [path for path in others if path.exists()]
        MUTATIONS[case.mutation](subject / kind.file, noise, kind.form, others[noise.integers(len(others))])
        sealed = case.sealed and subjects.seal(subject, kind.file)
        sealed = sealed or (kind.within and case.mutation == "another valid file")
        before = _listing(place)
        _watched.update(root=str(place), seen=[])
        numbers, error = None, None
        try:
            numbers = readers.READERS[reader](subject, place / "out")
        except BaseException as raised:
            error = raised
            if debug:
                traceback.print_exc()
        finally:
            _watched["root"] = None
        word, said = _judge(error, numbers, expected, sealed or not kind.digests)
        return _with_strays(place, before, Outcome(word, said, reader, sealed), readers.WRITES.get(reader, ()))


def call(request: calls.Call, debug: bool = False) -> Outcome:
    """Make a bad call in a sandbox, and judge."""
    with sandbox(_reference["store"]) as place:
        before = _listing(place)
        _watched.update(root=str(place), seen=[])
        try:
            word, said, name = calls.run(request, place, _reference["store"], debug)
        finally:
            _watched["root"] = None
        return _with_strays(place, before, Outcome(word, said, name), ())


def _with_strays(place: Path, before: Any, outcome: Outcome, allowed: tuple[str, ...]) -> Outcome:
    """The outcome, or that files were written where none belong."""
    word, said = outcome.word, outcome.said
    gc.collect()
    left = [*place.rglob(".keras_vae-*"), *(place / "tmp").iterdir()]
    if left:
        word, said = "leftover", f"{', '.join(map(str, left))}; {word}: {said}"
    escaped = [*_watched["seen"], *_strays(before, _listing(place), allowed)]
    if escaped:
        word, said = "outside", f"{'; '.join(escaped)}; {word}: {said}"
    return outcome._replace(word=word, said=said.replace(str(place), "."))


def _judge(
    error: BaseException | None, numbers: readers.Numbers | None, expected: readers.Numbers, free: bool
) -> tuple[str, str]:
    from keras_vae.errors import UserError

    if isinstance(error, UserError):
        return "refused", str(error)
    if error is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "keras_vae" in frame.filename]
        where = f"{Path((ours or [last])[-1].filename).name}:{(ours or [last])[-1].lineno}"
        text = (str(error).splitlines() or [""])[0][:200]
        return "traceback", f"{type(error).__module__}.{type(error).__name__} at {where}: {text}"
    assert numbers is not None
    if readers.same(numbers, expected):
        return "same", ""
    names = [
        name
        for name in expected
        if name not in numbers or not readers.same({name: numbers[name]}, {name: expected[name]})
    ]
    if not free:
        return "changed", f"other numbers: {', '.join(names[:3])}"
    wrong = readers.faults(numbers)
    return ("invalid", "; ".join(wrong)) if wrong else ("valid", f"other numbers: {', '.join(names[:3])}")


def _expected(kind: subjects.Kind, reader: str, place: Path) -> readers.Numbers:
    key = (kind.subject, reader)
    if key not in _reference:
        subject = Path(shutil.copytree(place / "store" / kind.subject, place / "subject"))
        _reference[key] = readers.READERS[reader](subject, place / "out")
        for folder in (place / "subject", place / "out"):
            shutil.rmtree(folder)
        (place / "out").mkdir()
        for stray in (*place.glob("tmp/*"), *place.glob("cwd/*")):
            shutil.rmtree(stray) if stray.is_dir() else stray.unlink()
    return _reference[key]


@contextlib.contextmanager
def sandbox(store: Path) -> Iterator[Path]:
    """A folder that is the whole world of a case: its current folder, home and temporary files are in it."""
    place = Path(tempfile.mkdtemp(prefix="torture-", dir=store.parent))
    for name in ("out", "tmp", "cwd", "home"):
        (place / name).mkdir()
    (place / "store").symlink_to(store)
    kept, here = {name: os.environ.get(name) for name in ("HOME", "TMPDIR")}, os.getcwd()
    os.environ.update(HOME=str(place / "home"), TMPDIR=str(place / "tmp"))
    tempfile.tempdir = str(place / "tmp")
    os.chdir(place / "cwd")
    try:
        yield place
    finally:
        os.chdir(here)
        tempfile.tempdir = None
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        shutil.rmtree(place, ignore_errors=True)


def _listing(place: Path) -> dict[str, tuple[int, int, str]]:
    """Type, size and digest of all in a sandbox but its output and its temporary files; links are not followed."""
    found = {}
    for path in place.rglob("*"):
        name = path.relative_to(place).as_posix()
        if name.split("/")[0] in ("out", "tmp", "store"):
            continue
        status = path.lstat()
        regular = stat.S_ISREG(status.st_mode)
        found[name] = (
            stat.S_IFMT(status.st_mode),
            status.st_size if regular else 0,
            hashlib.sha256(path.read_bytes()).hexdigest() if regular else "",
        )
    return found


def _strays(before: Any, after: Any, allowed: tuple[str, ...]) -> list[str]:
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [f"changed {name}" for name in changed if name.split("/")[0] not in allowed]
