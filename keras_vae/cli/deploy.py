"""`keras-vae export`, `check` and `bench`: a model leaves Python, is proven, and is timed."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_vae import files
from keras_vae.cli.output import Json, load_tensorflow, print_json, print_table, working
from keras_vae.errors import ExportError, UserError
from keras_vae.registry import choose

if TYPE_CHECKING:
    from keras_vae.export import Bundle, Examples, Parity

_FORMATS = "saved_model, onnx, onnx_fp16, onnx_int8, litert, openvino, keras, or all. Repeat it for several."
_RUNTIMES = (
    "keras, saved_model, onnxruntime, openvino or litert. Repeat it for several; by default, all that are installed."
)
_MODES = "keras:eager, keras:XLA and openvino:bfloat16 are of one mode."
_ALL = "runs/export"
_Bundle = Annotated[Path, typer.Argument(help="The folder that `keras-vae export` wrote.")]
_Runtimes = Annotated[list[str] | None, typer.Option("--runtime", help=_RUNTIMES)]


def export_command(
    name: Annotated[
        str | None, typer.Argument(help="A model of the zoo; `keras-vae list` shows them. Not with --all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Argument(help="The folder to write: new, empty, or a bundle, which is replaced.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Export every model of the zoo, each into its folder.")] = False,
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
    force: Annotated[
        bool, typer.Option("--force", help="Write int8 that loses over 1 nat of ELBO, or 2% of error.")
    ] = False,
    prior: Annotated[
        Path | None,
        typer.Option(help="The autoregressive prior to write too, a file of its save(). Default: the model's own."),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(help="A .npy of real x, to calibrate and measure on. Default: the split that the card is of."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Of a conditional model and --examples: a .npy of a condition for each.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a folder with other contents.")] = False,
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
    options = {"opset": opset, "batch": batch, "sampler": sampler, "force": force}
    options |= {"prior": prior, "overwrite": overwrite, "examples": examples, "labels": labels}
    if every:
        excluded = name or output or prior or examples or labels
        if excluded is not None:
            raise UserError(f"--all exports every model into --output. Given: {excluded} too. Leave it out.")
        _export_all(into or Path(_ALL), formats, options, json)
        return
    if name is None or (output or into) is None or (output and into):
        raise UserError("export needs a model and a folder: keras-vae export NAME OUTPUT. Or: keras-vae export --all.")
    folder = Path(output or into or "")
    with working(f"Exporting {name}", quiet=json):
        bundle = _export_one(name, folder, formats, options)
    if json:
        summary = {"path": str(bundle.path), "bytes": bundle.size, "formats": bundle.formats}
        print_json({**summary, "parity": [row._asdict() for row in bundle.parity]})
        return
    title = f"Largest difference from Keras, on {bundle.manifest['parity_inputs']}"
    note = f"{len(bundle.parity)} comparisons, all within tolerance. {bundle.size / 1e6:.1f} MB in {bundle.path}"
    missing = [f"Left out: {part}, as {why}." for part, why in bundle.manifest["left_out"].items()]
    _print_parity(bundle.parity, title, "\n".join([*_qualities(bundle), *missing, note]))


def _export_one(name: str, folder: Path, formats: list[str] | None, options: Mapping[str, Any]) -> "Bundle":
    load_tensorflow()
    from keras_vae import priors, zoo
    from keras_vae.export import export
    from keras_vae.zoo import fitted

    chosen = _chosen(formats)
    files.check_output_folder(folder, "bundle.json", options["overwrite"])  # before the seconds that loading takes
    examples = _examples(options["examples"], options["labels"])
    model = zoo.load(name)
    prior = fitted.exported(model) if options["prior"] is None else priors.load(options["prior"])
    others = {key: value for key, value in options.items() if key not in ("prior", "examples", "labels")}
    return export(model, folder, chosen, examples, prior=prior, **others)


def _examples(path: Path | None, labels: Path | None) -> "Examples | None":
    from keras_vae.types import Examples

    if path is None:
        if labels is not None:
            raise UserError(f"--labels are the conditions of --examples. Given: {labels} alone.")
        return None
    condition = None if labels is None else files.read_array(labels)
    return Examples(files.read_array(path), condition, origin=f"the file {path.name}")


def _export_all(folder: Path, formats: list[str] | None, options: Mapping[str, Any], json: bool) -> None:
    """Every model of the zoo. A format that cannot hold a model is left out and named; what else fails is a row.

    The exit status is 1 if something failed: a runtime that disagrees or refuses a file, a full disk, an error of a
    library. A refusal is no failure unless nothing of the model is left.
    """
    from keras_vae import zoo

    rows, names, first = [], zoo.names(), time.monotonic()
    for place, name in enumerate(names, 1):
        started = time.monotonic()
        row: dict[str, Any] = {"name": name, "path": str(folder / name), "error": None, "refused": {}}
        with working(f"Exporting {name}, {place} of {len(names)}", quiet=json):
            try:
                bundle = _export_what_can_be(name, folder / name, formats, options, row["refused"])
                worst = max(bundle.parity, key=lambda each: each.max_error / (each.tolerance or 1.0))
                row |= {"bytes": bundle.size, "formats": list(bundle.formats), "comparisons": len(bundle.parity)}
                row |= {"worst": worst._asdict()}
            except UserError as error:
                row["error"] = str(error)
            except Exception as error:  # one model's must not cost the others, and the report of what was done
                row["error"] = f"{type(error).__name__}: {error}"
        rows.append(row | {"seconds": round(time.monotonic() - started, 1)})
    failed, seconds = [row for row in rows if row["error"]], round(time.monotonic() - first, 1)
    if json:
        print_json({"passed": not failed, "seconds": seconds, "models": rows})
    else:
        titles = ["model", "formats", "MB", "comparisons", "worst error, of what is allowed", "s"]
        print_table("", titles, [_row_of_all(row) for row in rows], numbers_from=2)
        print(f"{len(rows) - len(failed)} models exported in {seconds:.0f} s to {folder}.")
        for row in rows:
            for format_name, reason in row["refused"].items():
                print(f"{row['name']} without {format_name}: {' '.join(reason.split())}")
        for row in failed:
            print(f"{row['name']}: {' '.join(row['error'].split())}")
    if failed:
        raise typer.Exit(1)


def _export_what_can_be(
    name: str, folder: Path, formats: list[str] | None, options: Mapping[str, Any], refused: dict[str, str]
) -> "Bundle":
    """A bundle of the formats that can hold the model; `refused` gets the others, with the reason."""
    chosen = _chosen(formats)
    while True:
        try:
            return _export_one(name, folder, chosen, options)
        except ExportError as error:
            if error.format_name is None or len(chosen) == 1:
                raise
            refused[error.format_name] = str(error)
            chosen = [each for each in chosen if each != error.format_name]


def _chosen(formats: list[str] | None) -> list[str]:
    from keras_vae.export.support import FORMATS

    return list(FORMATS) if formats == ["all"] else list(formats or ["saved_model", "onnx"])


def _row_of_all(row: Mapping[str, Any]) -> list[str]:
    if row["error"]:
        return [row["name"], "failed", "", "", "", f"{row['seconds']:.0f}"]
    worst, size = row["worst"], f"{row['bytes'] / 1e6:.1f}"
    share = f"{worst['max_error']:.1e} of {worst['tolerance']:.1e}"
    return [row["name"], ", ".join(row["formats"]), size, str(row["comparisons"]), share, f"{row['seconds']:.0f}"]


def _qualities(bundle: "Bundle") -> list[str]:
    """A sentence for each reduced precision: what it costs."""
    said = []
    for name, entry in bundle.formats.items():
        if "quality" in entry:
            cost, size = entry["quality"], bundle.size_of(name)
            elbo = "" if cost["elbo_change"] is None else f"ELBO {cost['elbo_change']:+.3f} nats, "
            grown = cost["reconstruction_change"]
            error = "" if grown is None else f"reconstruction error {grown:+.2%}, "
            said.append(f"{name}: {size / 1e6:.2f} MB, {elbo}{error}on {cost['examples']} examples.")
    return said


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
        bool, typer.Option("--any-quality", help="Recommend also what loses over 1 nat of ELBO, or 2% of error.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder for bench.json, bench.md and bench.png; by default runs/bench/BUNDLE."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an output folder with other contents.")] = False,
    json: Json = False,
) -> None:
    """Time bundles' encoders and decoders on every runtime: latency, images a second, cold start, memory.

    Each row, a runtime in one mode and precision, runs in a process of its own with equal threads and is compared with
    Keras before it is timed. First each starts alone, three times, for the cold start; then the rows of all bundles
    take turns, so that all meet the same state of the machine. By MLPerf's names, single_stream is p50, p90 and p99 of
    single calls at the smallest batch, and offline images a second at the best. A runtime that is not installed, or has
    no file in the bundle, is a row that says so. Results of other machines or settings are never put in one table. To
    time everything: keras-vae export NAME OUTPUT --format all.
    """
    from keras_vae.benchmarking.comparing import GOALS, sentence
    from keras_vae.benchmarking.tables import cells, conditions, costs, not_timed, remarks
    from keras_vae.runtimes import join, markdown, plot, recommend

    if goal is not None:
        choose("goal", goal, dict.fromkeys(GOALS))
    folder = output or Path("runs") / "bench" / "-".join(each.resolve().stem for each in bundles)
    files.check_output_folder(folder, "bench.json", overwrite)
    each = _timed(bundles, batch_sizes, runtimes, threads, calls, json)
    if goal is not None:
        for one in each:
            one["recommended"] = [recommend(one, goal, any_quality)]
    results = each[0] if len(each) == 1 else join(each)
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
    words = 3 if len(each) > 1 else 2
    print_table("", *cells(results), numbers_from=words)
    print_table("", *costs(results), numbers_from=words)
    said = [sentence(chosen) for chosen in results.get("recommended", ())]
    said += [*not_timed(results), *remarks(results), conditions(results), f"Written to {folder}: {written}"]
    print("\n".join(said))


def _timed(
    given: Sequence[Path],
    sizes: Sequence[int] | None,
    names: Sequence[str] | None,
    threads: int | None,
    calls: int,
    json: bool,
) -> list[dict[str, Any]]:
    """The results of each bundle: timed now, all folders in the same rounds, or read where a file is named."""
    from rich.console import Console
    from rich.progress import Progress

    from keras_vae.benchmarking.comparing import read_results
    from keras_vae.runtimes import benchmark_all

    read = {path: read_results(path) for path in given if path.is_file()}
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=json or not console.is_terminal) as progress:
        task = progress.add_task("starting")
        timed = benchmark_all(
            [path for path in given if path not in read],
            sizes,
            names,
            threads,
            calls=calls,
            on_progress=lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
        )
    new = iter(timed)
    return [read[path] if path in read else next(new) for path in given]


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
