"""quickstart: the main job in one command."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_vae.cli.output import Json, Overwrite, load_tensorflow, print_json, working

if TYPE_CHECKING:
    from keras_vae.runtimes.bundle import Bundle
    from keras_vae.zoo.cards import Card

MODEL = "beta_vae_mnist"
MANIFEST = "quickstart.json"
USUAL = {"keras": "keras:tf.function"}  # `keras-vae bench` times the other modes too


def quickstart_command(
    train: Annotated[bool, typer.Option("--train", help="Train the model first, into OUTPUT-training.")] = False,
    output: Annotated[str, typer.Option(help="The folder for everything; replaced whole.")] = "runs/quickstart",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """The main job: load a trained model, check it, look at it, export it, time it, and write a report."""
    from keras_vae import files

    files.check_output_folder(output, MANIFEST, overwrite)
    started = time.monotonic()
    load_tensorflow()
    from keras_vae import zoo

    name: str | Path = MODEL
    if train:
        name = Path(f"{output}-training")
        zoo.train(MODEL, name, overwrite, verbose=0 if json else "auto")
    with files.atomic(output) as folder:
        folder.mkdir()
        summary = _main_job(name, folder, Path(output), json)
        summary["seconds"] = round(time.monotonic() - started, 1)
        files.write_json(folder / MANIFEST, summary)
    if json:
        print_json(summary)
    else:
        print(f"Done in {summary['seconds']:.0f} s. Open {output}/report.html")


def _main_job(name: str | Path, folder: Path, final: Path, json: bool) -> dict[str, Any]:
    from keras_vae import export, files, runtimes, zoo
    from keras_vae.benchmarking import tables
    from keras_vae.zoo import pictures
    from keras_vae.zoo.results import processor

    card = zoo.card(name)
    with working("1/4  Loading the model and measuring it again", quiet=json):
        verified = zoo.verify(name, log_prob=False)  # the slowest number; `keras-vae verify` measures it too
        model = zoo.load(name)
    metric, row = next(iter(verified.items()))
    _say(f"1/4  {card.name} gives the numbers of its card: {metric} {row['measured']:.2f} {row['unit']}", json)
    with working("2/4  Drawing what it has learned", quiet=json):
        drawn = pictures.write(folder, model, card.recipe, card.results["training"]["history"], zoo.prior(name))
    _say(f"2/4  Drawn: {', '.join(drawn)}", json)
    with working("3/4  Exporting, and comparing every runtime with Keras", quiet=json):
        bundle = export.export(model, folder / "bundle", formats=formats_here())
        worst = max(row.max_error for row in bundle.parity if row.graph == "decoder" and row.output == "mean")
    _say(f"3/4  Exported {', '.join(bundle.formats)}; decoded pixels differ from Keras's by {worst:.1e} at most", json)
    with working("4/4  Timing every runtime", quiet=json):
        results = runtimes.benchmark(bundle, runtimes=[USUAL.get(name, name) for name in runtimes.names()])
        files.write_json(folder / "bench.json", results)
        runtimes.plot(results, folder / "bench.png")
    columns, rows = tables.cells(results)
    if not json:
        from keras_vae.cli.output import print_table

        print_table("4/4  Inference", columns, rows, numbers_from=2)
    files.write_text(folder / "report.html", report(folder, card, verified, bundle, results))
    return {
        "model": card.name,
        "report": str(final / "report.html"),
        "bundle": str(final / "bundle"),
        "verified": verified,
        "largest_pixel_difference": worst,
        "benchmark": results,
        "measured_on": processor(),
    }


def report(folder: Path, card: "Card", verified: dict[str, Any], bundle: "Bundle", results: dict[str, Any]) -> str:
    """The page: the card's numbers measured again, the pictures, the exports and the benchmark."""
    from keras_vae.benchmarking import tables
    from keras_vae.export.parity import worst
    from keras_vae.pages import model_report as build
    from keras_vae.zoo.cards import PICTURES

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
        build.heading("Measured again"),
        build.paragraph("Test images, means per example: what the card says, and what this machine gave."),
        build.table(["metric", "card", "measured", "difference", "tolerance", "unit"], agreement),
        build.heading("What it has learned"),
        *(build.picture(folder / file, title) for file, title in PICTURES.items() if (folder / file).is_file()),
        build.heading("Exported, and equal to Keras"),
        build.paragraph(
            f"{len(bundle.parity)} comparisons at several batch sizes, on digits, noise and extremes; for each output "
            f"of each runtime the one nearest to its tolerance."
        ),
        build.table(["runtime", "graph", "output", "case", "largest difference", "tolerance"], parity),
        build.heading("Inference"),
        build.table(*tables.cells(results)),
        build.paragraph(tables.conditions(results)),
        build.picture(folder / "bench.png", "single_stream latency and offline throughput, by runtime"),
    ]
    return build.page(card.name, card.recipe.summary, parts)


def formats_here() -> tuple[str, ...]:
    """Every format that a runtime which is installed here opens."""
    from keras_vae import runtimes

    usable = [name for name, status in runtimes.installed().items() if status.reason is None]
    return tuple(dict.fromkeys(runtimes.formats_of(name)[0] for name in usable))


def _say(what: str, json: bool) -> None:
    if not json:
        print(what, flush=True)
