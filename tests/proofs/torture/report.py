"""The counts of a run: printed, and written as JSON and as a page."""

import datetime
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from keras_vae import files
from tests.proofs.torture.abuse import Event
from tests.proofs.torture.calls import Call
from tests.proofs.torture.mutations import MUTATIONS
from tests.proofs.torture.subjects import KINDS
from tests.proofs.torture.worker import OUTCOMES, Case, Outcome

ROOT = Path(__file__).parents[3]
RECORD, PAGE = ROOT / "benchmarks/torture.json", ROOT / "docs/torture.md"
NOT_TRIED = (
    "Files that are changed while they are read, and failing disks: bits that differ from one reading to the next.",
    "A file system that is full, read-only or over a quota: RLIMIT_FSIZE, a limit on each file's size, stands for it.",
    "An attacker who searches: mutations are blind draws, and a forged SavedModel that writes a file is the only "
    "program among them.",
    "Files of TensorFlow Datasets, `bench.json`, the reduced precisions onnx_fp16 and onnx_int8, and checkpoints and "
    "bundles of earlier versions in HDF5.",
    "Objects that are no model, or no prior, where a function takes one: `make lint` finds those.",
    "`report`, `quickstart`, `bench`, the other commands that only draw, and the web page in a browser.",
    "Windows and macOS, GPUs, several machines, and network file systems, whose renames and locks may be others.",
    "Power failure: a killed process leaves the kernel's buffers intact.",
)


def bound(failures: int, trials: int) -> float:
    """The largest rate that such counts allow, at 95 %: Clopper and Pearson 1934, one-sided."""
    return 1.0 if failures >= trials else float(stats.beta.ppf(0.95, failures + 1, trials - failures))


class Counts:
    """All outcomes of a run."""

    def __init__(self, fixed: int, fresh: int) -> None:
        self.seeds = {"fixed": fixed, "fresh": fresh}
        self.mutations: dict[tuple[str, str], list[tuple[Case, Outcome]]] = defaultdict(list)
        self.calls: list[tuple[Call, Outcome]] = []
        self.events: list[Event] = []

    def add(self, request: Any, answer: Any) -> None:
        outcome = answer if isinstance(answer, Outcome) else Outcome(*answer)
        if isinstance(request, Case):
            self.mutations[request.kind, request.mutation].append((request, outcome))
        else:
            self.calls.append((request, outcome))

    @property
    def words(self) -> list[tuple[str, str, str]]:
        """What was tried, the outcome's word, and what was said, of everything."""
        rows = [(str(case), o.word, o.said) for cell in self.mutations.values() for case, o in cell]
        rows += [(str(call), outcome.word, outcome.said) for call, outcome in self.calls]
        return rows + [(f"{event.what}/{event.subject}", event.word, event.said) for event in self.events]

    @property
    def broken(self) -> list[tuple[str, str, str]]:
        return [row for row in self.words if OUTCOMES[row[1]][0]]

    def record(self, seconds: float) -> dict[str, Any]:
        cases = [pair for cell in self.mutations.values() for pair in cell]
        digested = {kind.name for kind in KINDS if kind.digests}
        by_reader: dict[str, Counter[str]] = defaultdict(Counter)
        for _, outcome in cases:
            by_reader[outcome.reader or "killed"][outcome.word] += 1
        by_event: dict[str, Counter[str]] = defaultdict(Counter)
        for event in self.events:
            by_event[f"{event.what}: {event.subject}"][event.word] += 1
        return {
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds),
            "seeds": self.seeds,
            "mutations": len(cases),
            "sealed": sum(outcome.sealed for _, outcome in cases),
            "without_digest": sum(case.kind not in digested for case, _ in cases),
            "cells": len(self.mutations),
            "empty_cells": len(KINDS) * len(MUTATIONS) - len(self.mutations),
            "table": {
                kind.name: {
                    mutation: dict(Counter(outcome.word for _, outcome in self.mutations[kind.name, mutation]))
                    for mutation in MUTATIONS
                    if (kind.name, mutation) in self.mutations
                }
                for kind in KINDS
            },
            "readers": {reader: _counted(words) for reader, words in sorted(by_reader.items())},
            "calls": _counted(Counter(outcome.word for _, outcome in self.calls)),
            "events": {name: _counted(words) for name, words in by_event.items()},
            "outcomes": dict(Counter(word for _, word, _ in self.words)),
            "broken": [f"{what}: {word}: {said}"[:300] for what, word, said in self.broken],
        }


def _counted(words: Mapping[str, int]) -> dict[str, Any]:
    trials, failures = sum(words.values()), sum(count for word, count in words.items() if OUTCOMES[word][0])
    return {"tried": trials, "broken": failures, "bound": round(bound(failures, trials), 4), "outcomes": dict(words)}


def markdown(record: Mapping[str, Any]) -> str:
    """The page of a run, docs/torture.md."""
    seeds = record["seeds"]
    lines = [
        "# What bad input does",
        "",
        "`make proof-torture` wrote this page. It changes files of every kind that the library reads, at random, and "
        "reads them; calls functions with arguments that they do not take; and interrupts, doubles and starves "
        "commands. Whatever it is given, the library answers rightly or with an error of its own: never with a wrong "
        "number, a traceback or a half-written file.",
        "",
        f"{record['mutations']:,} mutations in {record['cells']} cells ({record['empty_cells']} are empty), of which "
        f"{record['sealed']:,} had every digest made to fit and {record['without_digest']:,} are of files without one; "
        f"{record['calls']['tried']:,} bad calls; {sum(row['tried'] for row in record['events'].values()):,} "
        f"interruptions and the like. Seeds: fixed ones from {seeds['fixed']}, and fresh ones from {seeds['fresh']}. "
        f"Run on {record['started'][:10]}, in {record['seconds'] / 60:.0f} minutes.",
        "",
        f"**{len(record['broken'])} of {sum(record['outcomes'].values()):,} broke the promise.**",
        "",
        "## Outcomes",
        "",
        *_table(["outcome", "breaks the promise", "meaning", "count"],
                [[word, "yes" if bad else "", meaning, record["outcomes"].get(word, 0)]
                 for word, (bad, meaning) in OUTCOMES.items()]),
        "",
        "## Mutations: kind of file x kind of change",
        "",
        "Cases; after a slash those that broke the promise, where there are any.",
        "",
        *_table(["", *MUTATIONS], [[kind, *(_cell(row.get(name, {})) for name in MUTATIONS)]
                                   for kind, row in record["table"].items()]),
        "",
        "## Readers",
        "",
        "The bound is the largest rate of broken promises that such counts allow, at 95 % (Clopper and Pearson): 3/n "
        "where none of n broke it. It is of mutations drawn as these are, and of no others.",
        "",
        *_table(["reader", "cases", "broken", "bound"], _rows(record["readers"])),
        *_table(["calls", "cases", "broken", "bound"], _rows({"the public API": record["calls"]}))[2:],
        "",
        "## Interruptions, two writers, a full disk, eight threads",
        "",
        *_table(["what", "cases", "broken", "bound"], _rows(record["events"])),
        "",
        *(["## Open", "", *(f"- {line}" for line in record["broken"]), ""] if record["broken"] else []),
        "## What was not tried",
        "",
        *(f"- {line}" for line in NOT_TRIED),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def write(record: Mapping[str, Any], record_path: Path = RECORD, page: Path = PAGE) -> None:
    page.parent.mkdir(exist_ok=True)
    files.write_text(record_path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    files.write_text(page, markdown(record))


def printed(record: Mapping[str, Any]) -> str:
    """The same for a terminal: the last lines are the verdict, which the proof's record keeps."""
    lines = ["", "cases/broken by kind of file and kind of change:"]
    for kind, row in record["table"].items():
        counts = [_cell(words) for words in row.values()]
        lines.append(f"  {kind:28} {' '.join(f'{cell:>5}' for cell in counts)}")
    for name, row in {**record["readers"], "bad calls": record["calls"], **record["events"]}.items():
        lines.append(f"  {name:28} {row['tried']:5} cases {row['broken']:4} broken, at most {row['bound']:.2%} at 95 %")
    counts = ", ".join(f"{word} {count:,}" for word, count in sorted(record["outcomes"].items()))
    return "\n".join([
        *lines,
        f"{record['mutations']:,} mutations in {record['cells']} cells, {record['empty_cells']} empty; "
        f"{record['sealed']:,} with every digest made to fit; {record['calls']['tried']} bad calls; "
        f"{record['seconds']} s.",
        f"Outcomes: {counts}.",
        f"Seeds: fixed {record['seeds']['fixed']}, fresh {record['seeds']['fresh']}.",
        f"{len(record['broken'])} of {sum(record['outcomes'].values()):,} broke the promise.",
    ])  # fmt: skip


def _cell(words: Mapping[str, int]) -> str:
    broken = sum(count for word, count in words.items() if OUTCOMES[word][0])
    return f"{sum(words.values())}" + (f"/{broken}" if broken else "")


def _rows(counted: Mapping[str, Mapping[str, Any]]) -> list[list[Any]]:
    return [[name, row["tried"], row["broken"], f"{row['bound']:.2%}"] for name, row in counted.items()]


def _table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]
