"""The quickstart: a trained model is loaded, measured, drawn, exported and timed, and a page reports on it."""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae import export, files, runtimes, zoo
from keras_vae.benchmarking import tables
from keras_vae.export.parity import worst
from keras_vae.pages import html
from keras_vae.zoo import pictures
from keras_vae.zoo.cards import Card
from keras_vae.zoo.results import processor

if TYPE_CHECKING:
    from keras_vae.runtimes.bundle import Bundle

MODEL = "beta_vae_mnist"
MANIFEST = "quickstart.json"
_USUAL_MODES = {"keras": "keras:tf.function"}  # `keras-vae bench` times the other modes too

Stage = Callable[[str], contextlib.AbstractContextManager[object]]


def run(
    name: str | Path = MODEL,
    output: str | Path = "runs/quickstart",
    overwrite: bool = False,
    stage: Stage = contextlib.nullcontext,
    say: Callable[[str], None] = lambda line: None,
    began: float | None = None,
) -> dict[str, Any]:
    """Verify, draw, export and time a model, and write pictures, bundle, bench.json and report.html to a folder.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      output: the folder, which appears whole or not at all: new, empty, or one that this function wrote.
      overwrite: replace a folder with other contents.
      stage: a context that each stage runs in, made from its title.
      say: called with a line about each finished stage.
      began: `time.monotonic()` at the start of the work that `seconds` counts; by default now.

    Returns:
      The contents of quickstart.json: model, report, bundle, verified, largest_pixel_difference, benchmark,
      measured_on and seconds.

    Raises:
      UserError: an unknown name, a folder that is not ours, or numbers that are not those of the card.
      ExportError: a runtime that disagrees with Keras.
    """
    began, output = time.monotonic() if began is None else began, Path(output)
    files.check_output_folder(output, MANIFEST, overwrite)
    with files.atomic_folder(output) as folder:
        summary = _work(name, folder, stage, say)
        summary |= {"report": str(output / "report.html"), "bundle": str(output / "bundle")}
        summary["seconds"] = round(time.monotonic() - began, 1)
        files.write_json(folder / MANIFEST, summary)
    return summary


def _work(name: str | Path, folder: Path, stage: Stage, say: Callable[[str], None]) -> dict[str, Any]:
    card = zoo.card(name)
    with stage("1/4  Loading the model and measuring it again"):
        verified = zoo.verify(name, log_prob=False)  # the slowest number; `keras-vae verify` measures it too
        model = zoo.load(name)
    metric, row = next(iter(verified.items()))
    say(f"1/4  {card.name} gives the numbers of its card: {metric} {row['measured']:.2f} {row['unit']}")
    with stage("2/4  Drawing what it has learned"):
        drawn = pictures.write(folder, model, card.recipe, card.results["training"]["history"], zoo.prior(name))
    say(f"2/4  Drawn: {', '.join(drawn)}")
    with stage("3/4  Exporting, and comparing every runtime with Keras"):
        bundle = export.export(model, folder / "bundle", formats=formats_here())
    difference = max(row.max_error for row in bundle.parity if row.graph == "decoder" and row.output == "mean")
    say(f"3/4  Exported {', '.join(bundle.formats)}; decoded pixels differ from Keras's by {difference:.1e} at most")
    with stage("4/4  Timing every runtime"):
        results = runtimes.benchmark(
            bundle, runtimes=[_USUAL_MODES.get(runtime, runtime) for runtime in runtimes.names()]
        )
        files.write_json(folder / "bench.json", results)
        runtimes.plot(results, folder / "bench.png")
    files.write_text(folder / "report.html", report(folder, card, verified, bundle, results))
    return {
        "model": card.name,
        "report": "",
        "bundle": "",
        "verified": verified,
        "largest_pixel_difference": difference,
        "benchmark": results,
        "measured_on": processor(),
    }


def report(
    folder: Path,
    card: Card,
    verified: Mapping[str, Mapping[str, Any]],
    bundle: "Bundle",
    results: dict[str, Any],
) -> str:
    """Return the page: the card's numbers measured again, the pictures in `folder`, the exports and the benchmark.

    Args:
      folder: with the pictures.
      card: of the model.
      verified: the rows of `keras_vae.zoo.verify`.
      bundle: of the model.
      results: of `keras_vae.runtimes.benchmark`.
    """
    agreement = [
        [metric, *(f"{row[key]:.4f}" for key in ("expected", "measured", "difference", "tolerance")), row["unit"]]
        for metric, row in verified.items()
    ]
    parity = [
        [f"{row.runtime} ({row.format})", row.graph, row.output, f"{row.case}, batch {row.batch}"]
        + [f"{number:.1e}" for number in (row.max_error, row.tolerance)]
        for row in worst(bundle.parity)
    ]
    parts = [
        html.heading("Measured again"),
        html.paragraph("Test images, means per example: the numbers of the card, and those of this machine."),
        html.table(["metric", "card", "measured", "difference", "tolerance", "unit"], agreement),
        html.heading("What it has learned"),
        *(html.picture(folder / file, title) for file, title in card.captions.items() if (folder / file).is_file()),
        html.heading("Exported, and equal to Keras"),
        html.paragraph(
            f"{len(bundle.parity)} comparisons at several batch sizes, on digits, noise and extremes; for each output "
            f"of each runtime the one nearest to its tolerance."
        ),
        html.table(["runtime", "graph", "output", "case", "largest difference", "tolerance"], parity),
        html.heading("Inference"),
        html.table(*tables.cells(results)),
        html.paragraph(tables.conditions(results)),
        html.picture(folder / "bench.png", "single_stream latency and offline throughput, by runtime"),
    ]
    return html.page(card.name, card.recipe.summary, parts)


def formats_here() -> tuple[str, ...]:
    """Return every format that a runtime which is installed here opens."""
    usable = [name for name, status in runtimes.installed().items() if status.reason is None]
    return tuple(dict.fromkeys(runtimes.formats_of(name)[0] for name in usable))
