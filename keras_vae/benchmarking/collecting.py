"""Results of several bundles, timed now or read from earlier runs, and the files that they are written to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_vae import files
from keras_vae.benchmarking.comparing import join, read_results, recommend
from keras_vae.benchmarking.rounds import benchmark_all
from keras_vae.benchmarking.tables import markdown

MANIFEST = "bench.json"


def time_or_read(
    paths: Sequence[Path],
    batch_sizes: Sequence[int] | None = None,
    runtimes: Sequence[str] | None = None,
    threads: int | None = None,
    calls: int = 1000,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Return the results of each bundle: of a folder timed now, all in the same rounds; of a bench.json read.

    Args:
      paths: of bundles, or of the bench.json of earlier runs.
      batch_sizes: as of `keras_vae.runtimes.benchmark`, as are the following.
      runtimes: to time.
      threads: that each runtime may use.
      calls: timed calls at the smallest batch, at least.
      on_progress: called with the current step in words, the number of steps done, and their total.

    Raises:
      UserError: as `keras_vae.runtimes.benchmark`, or a file that is no bench.json.
    """
    earlier = {path: read_results(path) for path in paths if path.is_file()}
    bundles = [path for path in paths if path not in earlier]
    timed = iter(benchmark_all(bundles, batch_sizes, runtimes, threads, calls=calls, on_progress=on_progress))
    return [earlier[path] if path in earlier else next(timed) for path in paths]


def joined(results: Sequence[dict[str, Any]], goal: str | None = None, any_quality: bool = False) -> dict[str, Any]:
    """Return the results as one document, with a recommendation for each bundle where there is a goal.

    Args:
      results: of `time_or_read`.
      goal: `"latency"` or `"throughput"`; None for no recommendation.
      any_quality: also recommend reduced precisions that lose more than `export` allows.

    Raises:
      UserError: results of several machines or settings.
    """
    if goal is not None:
        results = [result | {"recommended": [recommend(result, goal, any_quality)]} for result in results]
    return results[0] if len(results) == 1 else join(results)


def write(results: dict[str, Any], folder: str | Path) -> list[str]:
    """Write bench.json, bench.md and, where matplotlib is installed, bench.png; return their names.

    The folder appears whole, and replaces one of that name.
    """
    from keras_vae.benchmarking.picture import plot

    with files.atomic_folder(folder) as temporary:
        files.write_json(temporary / MANIFEST, results)
        files.write_text(temporary / "bench.md", markdown(results))
        try:
            plot(results, temporary / "bench.png")
        except ModuleNotFoundError:  # the numbers need no matplotlib
            return [MANIFEST, "bench.md"]
    return [MANIFEST, "bench.md", "bench.png"]
