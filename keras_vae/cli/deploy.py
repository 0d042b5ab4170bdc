"""`keras-vae export`, `check` and `bench`: a model leaves Python, is proven, and is timed."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_vae import files
from keras_vae.cli.output import Json, load_tensorflow, print_json, print_table, working

if TYPE_CHECKING:
    from keras_vae.export import Parity

_FORMATS = "saved_model, onnx, litert, openvino, keras, or all. Repeat it for several."
_RUNTIMES = (
    "keras, saved_model, onnxruntime, openvino or litert. Repeat it for several; by default, all that are installed."
)
_Bundle = Annotated[Path, typer.Argument(help="The folder that `keras-vae export` wrote.")]
_Runtimes = Annotated[list[str] | None, typer.Option("--runtime", help=_RUNTIMES)]


def export_command(
    name: Annotated[str, typer.Argument(help="A model of the zoo; `keras-vae list` shows them.")],
    output: Annotated[Path, typer.Argument(help="The folder to write: new, empty, or a bundle, which is replaced.")],
    formats: Annotated[list[str] | None, typer.Option("--format", "-f", help=_FORMATS)] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a folder with other contents.")] = False,
    json: Json = False,
) -> None:
    """Write a model's encoder and decoder as a bundle, and prove that each runtime here agrees with Keras.

    A bundle is one folder: the files, bundle.json (names, shapes, preprocessing, sha256, measured differences) and
    golden.json (real inputs with Keras's outputs). Its graphs hold no random operation: the encoder gives the
    posterior's mean and log_var, the decoder the likelihood's parameters and mean. The batch is dynamic. If any output
    differs by more than float32 explains, nothing is left and the error says which.

    By default SavedModel and ONNX are written. Then: keras-vae check OUTPUT, and keras-vae bench OUTPUT.
    """
    with working(f"Exporting {name}", quiet=json):
        load_tensorflow()
        from keras_vae import zoo
        from keras_vae.export import export
        from keras_vae.export.formats import FORMATS

        chosen = list(FORMATS) if formats == ["all"] else formats or ["saved_model", "onnx"]
        files.check_output_folder(output, "bundle.json", overwrite)  # before the seconds that loading takes
        bundle = export(zoo.load(name), output, chosen, overwrite)
    if json:
        summary = {"path": str(bundle.path), "bytes": bundle.size, "formats": bundle.formats}
        print_json({**summary, "parity": [row._asdict() for row in bundle.parity]})
        return
    title = f"Largest difference from Keras, on {bundle.manifest['parity_inputs']}"
    note = f"{len(bundle.parity)} comparisons, all within tolerance. {bundle.size / 1e6:.1f} MB in {bundle.path}"
    _print_parity(bundle.parity, title, note)


def check_command(bundle: _Bundle, runtimes: _Runtimes = None, json: Json = False) -> None:
    """Verify a bundle's files, and compare the runtimes of this machine with the outputs that Keras gave.

    Works on another machine, long after, and without TensorFlow where the runtime is not TensorFlow: the inputs and
    Keras's outputs are in golden.json. Exits with a status other than 0 if a file was changed or an output differs.
    """
    with working(f"Checking {bundle}", quiet=json):
        from keras_vae.export import check

        report = check(bundle, runtimes)
    if json:
        rows = [row._asdict() for row in report.rows]
        print_json({"path": str(bundle), "passed": True, "rows": rows, "skipped": dict(report.skipped)})
        return
    proven = f"{bundle}: every file is the one that was exported, and every runtime above agrees with Keras."
    _print_parity(report.rows, "Largest difference from golden.json", "\n".join([*report.skipped.values(), proven]))


def bench_command(
    bundle: _Bundle,
    runtimes: _Runtimes = None,
    batch_sizes: Annotated[
        list[int] | None, typer.Option("--batch", help="Images in a call. Repeat it; by default 1, 32 and 256.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="That each runtime may use; by default, every processor.")] = None,
    calls: Annotated[int, typer.Option(help="Timed calls at the smallest batch, at least.")] = 1000,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder for bench.json, bench.md and bench.png; by default runs/bench/BUNDLE."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an output folder with other contents.")] = False,
    json: Json = False,
) -> None:
    """Time a bundle's encoder and decoder on every runtime: latency, and images a second.

    Each runtime runs in a process of its own with equal threads, in float32, and is compared with Keras before it is
    timed. All start first; then they take turns, so that all meet the same state of the machine. p50, p90 and p99 are
    of single calls at the smallest batch. A runtime that is not installed, or has no file in the bundle, is a row that
    says so. To time all five: keras-vae export NAME OUTPUT --format all.
    """
    from keras_vae.runtimes import benchmark, markdown, plot
    from keras_vae.runtimes.tables import cells, conditions, not_timed

    folder = output or Path("runs") / "bench" / bundle.resolve().name
    files.check_output_folder(folder, "bench.json", overwrite)
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=json or not console.is_terminal) as progress:
        task = progress.add_task("starting")
        results = benchmark(
            bundle,
            batch_sizes or (1, 32, 256),
            runtimes,
            threads,
            calls=calls,
            on_progress=lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
        )
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        files.write_json(temporary / "bench.json", results)
        files.write_text(temporary / "bench.md", markdown(results))
        try:
            plot(results, temporary / "bench.png")
            written = "bench.json, bench.md, bench.png"
        except ModuleNotFoundError:  # the numbers need no matplotlib
            written = "bench.json, bench.md; for a picture, pip install matplotlib"
    if json:
        print_json(results)
        return
    titles, rows = cells(results)
    written = f"Written to {folder}: {written}"
    print_table("", titles, rows, numbers_from=2, note="\n".join([*not_timed(results), conditions(results), written]))


def _print_parity(rows: Iterable["Parity"], title: str, note: str) -> None:
    from keras_vae.export.parity import worst

    titles = ["runtime (file)", "output", "worst at", "batch", "error", "allowed"]
    cells = [
        [
            row.runtime if row.runtime == row.format else f"{row.runtime} ({row.format})",
            f"{row.graph}.{row.output}",
            row.case,
            str(row.batch),
            *(f"{figure:.1e}" for figure in (row.max_error, row.tolerance)),
        ]
        for row in worst(rows)
    ]
    print_table(title, titles, cells, numbers_from=3, note=note)
