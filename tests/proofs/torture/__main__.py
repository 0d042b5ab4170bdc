"""Torture: `python -m tests.proofs.torture`, 30 minutes; with --quick, a minute's worth.

Every run tries the same cases of fixed seeds, and others of a fresh seed that it prints. `--fresh SEED` repeats one;
`--case "ONNX/flipped bit/sealed/3"` or `--case call/17` runs one alone and shows its traceback.
"""

import argparse
import multiprocessing
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.proofs.torture import abuse, pool, report, subjects, worker
from tests.proofs.torture.calls import Call
from tests.proofs.torture.mutations import MUTATIONS

_PER_CELL, _CALLS = 6, 500  # cases; of five in a cell every digest is made to fit, where that can be
_FRESH = 1_000  # where fresh seeds begin
# Of the form of a minute: cases, calls, and the kinds whose readers are slow.
_QUICK_CASES, _QUICK_CALLS, _SLOW = 60, 30, ("checkpoint",)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute's worth, and no record")
    parser.add_argument("--fresh", type=int, default=None, help="the seed of the cases that differ each time")
    parser.add_argument("--case", help="run one case, as it is printed")
    parser.add_argument("--only", default="", help="kinds of file that have this in their name; no record")
    parser.add_argument("--store", type=Path, help="a folder to make the files in, and to find them in next time")
    words = parser.parse_args()
    fresh = secrets.randbelow(10**6) if words.fresh is None else words.fresh
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        store = (words.store or Path(scratch)) / "store"
        store.parent.mkdir(parents=True, exist_ok=True)
        if not store.exists():
            store.mkdir()
            _once(store, (subjects.make, store, words.quick))
        if words.case:
            return _one(store, words.case)
        print(f"Seeds: fixed 0, fresh {fresh}.", flush=True)
        counts = report.Counts(0, fresh)
        requests = [*_cases(fresh, words.quick, words.only), *_calls(fresh, words.quick, words.only)]
        for request, answer in pool.answers(store, requests):
            counts.add(request, answer)
            _say(f"{request}", *answer[:2])
        if not words.only:
            counts.events += _once(store, (abuse.threads, store, 10 if words.quick else 200, fresh))
            if not words.quick:
                for event in abuse.everything(store, fresh, moments=4, limits=6):
                    counts.events.append(event)
                    _say(f"{event.what}/{event.subject}", event.word, event.said)
    record = counts.record(time.monotonic() - start)
    print(report.printed(record))
    if not words.quick and not words.only:
        report.write(record)
    return 1 if counts.broken else 0


def _cases(fresh: int, quick: bool, only: str) -> Iterator[worker.Case]:
    """Cases of every cell, half of fixed seeds; of the quick form, a draw in which every row and column is hit."""
    cells = [(kind.name, mutation) for kind in subjects.KINDS for mutation in MUTATIONS if only in kind.name]
    seeds = [(seed, seed % 3 > 0) for seed in range(_PER_CELL // 2)]
    seeds += [(_FRESH * (fresh + 1) + seed, True) for seed in range(_PER_CELL // 2)]
    cases = [worker.Case(*cell, sealed, seed) for cell in cells for seed, sealed in seeds]
    if quick:
        noise = random.Random(fresh)
        noise.shuffle(cases)
        by_row = {case.kind: case for case in cases if case.kind not in _SLOW}
        by_column = {case.mutation: case for case in cases if case.kind not in _SLOW}
        chosen = dict.fromkeys([*by_row.values(), *by_column.values(), *(c for c in cases if c.kind not in _SLOW)])
        cases = [*[case for case in cases if case.kind in _SLOW][:2], *list(chosen)[:_QUICK_CASES]]
    yield from cases


def _calls(fresh: int, quick: bool, only: str) -> Iterator[Call]:
    count = 0 if only else _QUICK_CALLS if quick else _CALLS
    yield from (Call(seed) for seed in range(count // 2))
    yield from (Call(_FRESH * (fresh + 1) + seed) for seed in range(count // 2))


def _once(store: Path, request: Any) -> Any:
    """The answer of a process of its own to one request."""
    ((_, answer),) = pool.answers(store, [request], 1, patient=True)
    if isinstance(answer, tuple) and answer and answer[0] in ("hang", "crash"):
        raise SystemExit(f"{request[0].__name__} failed: {answer}")
    return answer


def _one(store: Path, text: str) -> int:
    parts = text.split("/")
    request = Call(int(parts[1])) if parts[0] == "call" else worker.Case(
        "/".join(parts[:-3]), parts[-3], parts[-2] == "sealed", int(parts[-1]))  # fmt: skip
    function = worker.call if isinstance(request, Call) else worker.run
    print(*_once(store, (function, request, True)), sep="\n")
    return 0


def _say(what: str, word: str, said: str) -> None:
    if worker.OUTCOMES[word][0]:
        print(f"{what}: {word}: {said}"[:400], flush=True)


if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
