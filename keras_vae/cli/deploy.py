"""The commands `export`, `check` and `bench`."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_vae import files
from keras_vae.cli.output import MODEL, Json, Overwrite, load_tensorflow, print_json, print_table, working
from keras_vae.errors import UserError

if TYPE_CHECKING:
    from keras_vae.export import Bundle, Parity
    from keras_vae.export.entries import Exported

_FORMATS = "saved_model, onnx, onnx_fp16, onnx_int8, litert, openvino, keras, or all. Repeat it for several."
_RUNTIMES = (
    "keras, saved_model, onnxruntime, openvino or litert. Repeat it for several; by default, all that are installed."
)
_MODES = "keras:eager, keras:XLA and openvino:bfloat16 choose a mode."
_ALL = "runs/export"
_Bundle = Annotated[Path, typer.Argument(help="The folder that `keras-vae export` wrote.")]
_Runtimes = Annotated[list[str] | None, typer.Option("--runtime", help=_RUNTIMES)]


def export_command(
    name: Annotated[str | None, typer.Argument(help=f"{MODEL} Not with --all.")] = None,
    output: Annotated[
        Path | None, typer.Argument(help="The folder to write: new, empty, or a bundle, which is replaced.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Export all models of the zoo, to folders of their names.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option("--output", help=f"With --all, the folder of the bundles' folders: {_ALL}.")
    ] = None,
    formats: Annotated[list[str] | None, typer.Option("--format", "-f", help=_FORMATS)] = None,
    opset: Annotated[int, typer.Option(help="Of the ONNX files, 13 to 21.")] = 18,
    batch: Annotated[
        int | None, typer.Option(help="The only batch size that the files take; by default they take any.")
    ] = None,
    sampler: Annotated[
        bool, typer.Option("--sampler", help="Also write the graph x, eps -> z, of a Gaussian posterior.")
    ] = False,
    elbo: Annotated[
        bool, typer.Option("--elbo", help="Also write the graph x, eps -> ELBO, of a Gaussian posterior: for score.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write int8 that loses over 1 nat of ELBO, or 2% of error.")
    ] = False,
    prior: Annotated[
        Path | None,
        typer.Option(help="The autoregressive prior to write too, a file of its save(). Default: the model's own."),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(help="A .npy of x to measure on, or a file such as the recipe's. Default: the split of the card."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Of a conditional model and --examples: a .npy of a condition for each.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a model's encoder and decoder as a bundle, and prove that each runtime here agrees with Keras.

    A bundle is one folder: the files, bundle.json (names, shapes, preprocessing, sha256, measured differences) and
    golden.json (real inputs with Keras's outputs). Its graphs hold no random operation: the encoder gives the
    posterior's mean and log_var, the decoder the likelihood's parameters and mean. The batch is dynamic. If any output
    differs by more than its precision explains, nothing is left and the error says which.

    By default SavedModel and ONNX are written. onnx_int8 is calibrated on examples; it and onnx_fp16 say what they cost
    on others, in nats of ELBO and in reconstruction error. Then: keras-vae check OUTPUT. Speed is measured by
    keras-vae bench OUTPUT.

    With --all, a format that cannot hold a model is left out and named; the status is 1 only if something failed.
    """
    from keras_vae.export.support import check_opset, chosen_formats

    names = chosen_formats(formats)
    options = {"opset": check_opset(opset), "batch": batch, "sampler": sampler, "elbo": elbo, "force": force}
    if every:
        excluded = name or output or prior or examples or labels
        if excluded is not None:
            raise UserError(f"--all exports every model into --output. Given: {excluded} too. Leave it out.")
        _export_every(into or Path(_ALL), names, json, overwrite=overwrite, **options)
        return
    if name is None or (output or into) is None or (output and into):
        raise UserError("export needs a model and a folder: keras-vae export NAME OUTPUT. Or: keras-vae export --all.")
    folder = files.check_output_folder(output or into or "", "bundle.json", overwrite)
    with working(f"Exporting {name}", quiet=json):
        load_tensorflow()
        from keras_vae.export import entries

        bundle = entries.export_entry(name, folder, names, prior, overwrite, examples, labels, **options)
    if json:
        summary = {"path": str(bundle.path), "digest": bundle.digest, "bytes": bundle.size, "formats": bundle.formats}
        print_json({**summary, "parity": [row._asdict() for row in bundle.parity]})
        return
    title = f"Largest difference from Keras, on {bundle.manifest['parity_inputs']}"
    note = f"{len(bundle.parity)} comparisons, all within tolerance. {bundle.size / 1e6:.1f} MB in {bundle.path}"
    note += f"\nDigest: {bundle.digest}"
    missing = [f"Left out: {part}, as {why}." for part, why in bundle.manifest["left_out"].items()]
    _print_parity(bundle.parity, title, "\n".join([*_qualities(bundle), *missing, note]))


def _export_every(folder: Path, formats: list[str], json: bool, **options: Any) -> None:
    """Export the zoo and print the outcomes. Exit with status 1 if something failed; a refusal is no failure."""
    load_tensorflow()
    from keras_vae.export import entries

    stage = functools.partial(working, quiet=json)
    outcomes = entries.export_every(folder, formats, stage=stage, **options)
    failed = [outcome for outcome in outcomes if outcome.error]
    seconds = round(sum(outcome.seconds for outcome in outcomes), 1)
    if json:
        summaries = [outcome.summary() for outcome in outcomes]
        print_json({"passed": not failed, "seconds": seconds, "models": summaries})
    else:
        titles = ["model", "formats", "MB", "comparisons", "worst error, of what is allowed", "s"]
        print_table("", titles, [_outcome_cells(outcome) for outcome in outcomes], numbers_from=2)
        print(f"{len(outcomes) - len(failed)} models exported in {seconds:.0f} s to {folder}.")
        for outcome in outcomes:
            for format_name, reason in outcome.refused.items():
                print(f"{outcome.name} without {format_name}: {' '.join(reason.split())}")
        for outcome in failed:
            print(f"{outcome.name}: {' '.join((outcome.error or '').split())}")
    if failed:
        raise typer.Exit(1)


def _outcome_cells(outcome: "Exported") -> list[str]:
    seconds = f"{outcome.seconds:.0f}"
    if outcome.bundle is None:
        return [outcome.name, "failed", "", "", "", seconds]
    row = outcome.summary()
    share = f"{row['worst']['max_error']:.1e} of {row['worst']['tolerance']:.1e}"
    size = f"{row['bytes'] / 1e6:.1f}"
    return [outcome.name, ", ".join(row["formats"]), size, str(row["comparisons"]), share, seconds]


def _qualities(bundle: "Bundle") -> list[str]:
    """A sentence on the cost of each reduced precision."""
    sentences = []
    for name, entry in bundle.formats.items():
        if "quality" in entry:
            cost, size = entry["quality"], bundle.size_of(name)
            elbo = "" if cost["elbo_change"] is None else f"ELBO {cost['elbo_change']:+.3f} nats, "
            change = cost["reconstruction_change"]
            error = "" if change is None else f"reconstruction error {change:+.2%}, "
            sentences.append(f"{name}: {size / 1e6:.2f} MB, {elbo}{error}on {cost['examples']} examples.")
    return sentences


def check_command(
    bundle: _Bundle,
    runtimes: _Runtimes = None,
    digest: Annotated[
        str | None, typer.Option(help="What export printed of this bundle, learned from elsewhere than the bundle.")
    ] = None,
    json: Json = False,
) -> None:
    """Verify the files of a bundle, and compare the runtimes of this machine with the stored outputs of Keras.

    Works on another machine, long after, and without TensorFlow if the runtime needs none: the inputs and the outputs
    of Keras are in golden.json. Exits with a status other than 0 if a file was changed or an output differs. A file
    that could do more than compute is refused before a runtime opens it. Whoever changes a bundle can make the digests
    in it fit; --digest HEX compares with one that came another way.
    """
    _require_bundle(bundle)
    with working(f"Checking {bundle}", quiet=json, silent=True):
        from keras_vae.export import check

        report = check(bundle, runtimes, digest)
    if json:
        rows = [row._asdict() for row in report.rows]
        summary = {"path": str(bundle), "digest": report.digest, "passed": True}
        print_json({**summary, "rows": rows, "skipped": dict(report.skipped), "forced": list(report.forced)})
        return
    forced = [f"{name} was exported with --force: its limits are not the library's." for name in report.forced]
    whose = "the one of the digest given" if digest else "the one that bundle.json lists"
    proven = f"{bundle}: every file is {whose}, and every runtime above agrees with Keras.\nDigest: {report.digest}"
    _print_parity(
        report.rows, "Largest difference from golden.json", "\n".join([*report.skipped.values(), *forced, proven])
    )


def bench_command(
    bundles: Annotated[
        list[Path], typer.Argument(help="Folders that `keras-vae export` wrote, or the bench.json of earlier runs.")
    ],
    runtimes: Annotated[list[str] | None, typer.Option("--runtime", help=f"{_RUNTIMES} {_MODES}")] = None,
    batch_sizes: Annotated[
        list[int] | None, typer.Option("--batch", help="Images in a call. Repeat it; by default 1, 32 and 256.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="That each runtime may use; by default, every processor.")] = None,
    calls: Annotated[int, typer.Option(help="Timed calls at the smallest batch, at least.")] = 1000,
    goal: Annotated[
        str | None, typer.Option("--recommend", help="latency or throughput: say which runtime to deploy.")
    ] = None,
    any_quality: Annotated[
        bool,
        typer.Option("--any-quality", help="Also recommend what loses over 1 nat of ELBO, or 2% of error."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder for bench.json, bench.md and bench.png; by default runs/bench/BUNDLE."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Time bundles' encoders and decoders on every runtime: latency, images a second, cold start, memory.

    A row is a runtime in one mode and precision. It runs in its own process, with as many threads as the others, and is
    compared with Keras before it is timed. First each starts alone, three times, for the cold start; then the rows of
    all bundles take turns, so that all meet the same state of the machine.

    In MLPerf's terms, single_stream is the p50, p90 and p99 of single calls at the smallest batch, and offline the
    images a second at the best batch. A runtime that is not installed, or that has no file in the bundle, gets a row
    with the reason. Results of different machines or settings are never put in one table. To time everything:
    keras-vae export NAME OUTPUT --format all.
    """
    for path in bundles:
        _require_bundle(path)
    from keras_vae.benchmarking.collecting import MANIFEST, joined, time_or_read, write
    from keras_vae.benchmarking.comparing import GOALS
    from keras_vae.registry import choose

    if goal is not None:
        choose("goal", goal, dict.fromkeys(GOALS))
    folder = output or Path("runs") / "bench" / "-".join(path.resolve().stem for path in bundles)
    files.check_output_folder(folder, MANIFEST, overwrite)
    with _progress_bar(quiet=json) as on_progress:
        timed = time_or_read(bundles, batch_sizes, runtimes, threads, calls, on_progress)
    results = joined(timed, goal, any_quality)
    written = write(results, folder)
    if json:
        print_json(results)
        return
    _print_results(results, columns_of_text=3 if len(timed) > 1 else 2)
    no_picture = "" if "bench.png" in written else "; for a picture, pip install matplotlib"
    print(f"Written to {folder}: {', '.join(written)}{no_picture}")


def _require_bundle(path: Path) -> None:
    """Raise UserError with the way to a bundle, for a model's name or the folder of a run."""
    from keras_vae.zoo import store

    is_model = str(path) in store.names() or os.path.isfile(path / store.RECIPE)  # False for a name that is too long
    if is_model and not (path / "bundle.json").exists():
        folder = Path(_ALL) / path.resolve().name
        raise UserError(
            f"This takes a bundle, a folder that export wrote. Given: {path}, a model. Make one: keras-vae export "
            f"{path} {folder}; then give {folder}."
        )


@contextlib.contextmanager
def _progress_bar(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callable that moves a bar on standard error: a title, the steps done, and how many there are."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("starting")
        yield lambda title, done, total: progress.update(task, description=title, completed=done, total=total)


def _print_results(results: Mapping[str, Any], columns_of_text: int) -> None:
    from keras_vae.benchmarking import tables
    from keras_vae.benchmarking.comparing import sentence

    print_table("", *tables.cells(results), numbers_from=columns_of_text)
    print_table("", *tables.costs(results), numbers_from=columns_of_text)
    lines = [sentence(recommended) for recommended in results.get("recommended", ())]
    lines += [*tables.not_timed(results), *tables.remarks(results), tables.conditions(results)]
    print("\n".join(lines))


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
