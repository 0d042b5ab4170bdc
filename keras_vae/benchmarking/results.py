"""The results of a benchmark: JSON, with names for its parts, and a short text in a terminal or a notebook."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from keras_vae.runtimes.bundle import Quality
from keras_vae.runtimes.notebooks import html_table

SCHEMA = "keras_vae.benchmark/4"
Signature = Literal["encode", "decode"]
SIGNATURES: tuple[Signature, ...] = ("encode", "decode")
ResultsLike: TypeAlias = Mapping[str, Any]  # results, or the same as plain JSON
Recommendation: TypeAlias = Mapping[str, Any]  # what `recommend` returns


class Latency(TypedDict):
    """The durations of single calls at one batch size, in microseconds."""

    calls: int
    p50_us: float
    p90_us: float
    p99_us: float
    bare_p50_us: float  # of the runtime's call alone


class Figures(Latency):
    """A row's figures at one batch size."""

    images_per_second: float  # median over rounds


class SingleStream(Latency):
    """MLPerf's single_stream: single calls at the smallest batch."""

    batch: int


class Offline(TypedDict):
    """MLPerf's offline: images a second at the best batch."""

    batch: int
    images_per_second: float


class Scenarios(TypedDict):
    """Both scenarios of one signature."""

    single_stream: SingleStream
    offline: Offline


class Row(TypedDict):
    """A runtime in one mode and precision; a row that was not timed has its status and the reason alone."""

    runtime: str
    mode: str | None
    format: str
    precision: str
    status: str
    version: str
    bundle: NotRequired[str]
    reason: NotRequired[str]
    settings: dict[str, Any]
    processors: list[int] | None
    file_bytes: int
    open_seconds: float
    cold_start_seconds: float
    peak_memory_mb: float | None
    errors: dict[str, float]
    quality: Quality | None
    encode: dict[str, Figures]
    decode: dict[str, Figures]
    scenarios: dict[Signature, Scenarios]


def timed_rows(results: ResultsLike) -> list[Row]:
    """Return the rows that were timed; the others have a status and a reason alone."""
    return [row for row in results["rows"] if row["status"] == "ok"]


class Results(dict[str, Any]):
    """The results of `benchmark`, a dict of JSON with a short repr. `benchmark_all` documents its keys."""

    @property
    def name(self) -> str:
        """The zoo name, or the folder, of the bundle or bundles."""
        bundles = self.get("bundles") or [self["bundle"]]
        return ", ".join(bundle["zoo_name"] or bundle["path"] for bundle in bundles)

    def __repr__(self) -> str:
        timed = len(timed_rows(self))
        return f"<Results of {self.name}: {timed} of {len(self['rows'])} rows timed, {self['seconds']} s>"

    def _repr_html_(self) -> str:
        rows = [
            [
                *([row["bundle"]] if "bundle" in row else []),
                row["runtime"],
                row["format"],
                signature,
                f"{scenarios['single_stream']['p50_us']:,.0f}",
                f"{scenarios['offline']['images_per_second']:,.0f}",
            ]
            for row in timed_rows(self)
            for signature, scenarios in row["scenarios"].items()
        ]
        titles = ["runtime", "format", "call", "single_stream p50, µs", "offline, images/s"]
        return html_table([*(["model"] if "bundles" in self else []), *titles], rows, repr(self).strip("<>"))
