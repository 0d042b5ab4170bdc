"""Shared by the commands: their common arguments, the paths of their output, tables, progress and JSON documents."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer


def complete_names(incomplete: str) -> list[str]:
    """Return the models of the zoo that a word may become, for the shell."""
    from keras_vae import zoo

    return zoo.names(f"{incomplete}*")


MODEL = "A model of the zoo (see: keras-vae list), a folder that train wrote, or hf://USER/MODEL."
Name = Annotated[str, typer.Argument(help=MODEL, autocompletion=complete_names)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Seed = Annotated[int, typer.Option(help="Seed of the noise: the same seed gives the same result.")]
Picture = Annotated[str | None, typer.Option(help="A .png; by default in runs/NAME.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what the output holds.")]

_NAME = 30  # a cell of fewer characters is a name or a number, which is not broken


def output_path(name: str, output: str | None, default: str, suffixes: tuple[str, ...]) -> Path:
    """Return the path that a command writes to: `output`, or `default` in runs/NAME.

    Raises:
      UserError: an unknown model, or a path that does not end in one of `suffixes`.
    """
    from keras_vae.errors import UserError
    from keras_vae.zoo import cards

    path = Path(output) if output else Path("runs") / cards.card(name).name / default
    if path.suffix not in suffixes:
        raise UserError(f"The output must end in {' or '.join(dict.fromkeys(suffixes))}. Given: {path}.")
    return path


def is_file(examples: str, *names: str) -> bool:
    """Return whether a word is a file or a folder of examples: not the name of a split, nor one of `names`."""
    from keras_vae.data import splits

    if Path(examples).suffix or "/" in examples:
        return True
    return os.path.exists(examples) and not splits.is_split(examples) and examples not in names


def require_images(name: str, rule: str) -> None:
    """Raise UserError with the rule in it, unless `name` is a model of images. Needs no TensorFlow."""
    from keras_vae.errors import UserError
    from keras_vae.zoo import cards, wording

    if (kind := cards.card(name).kind) != "image":
        others = "evaluate, encode, embed, anomaly, report" + (", steps" if kind == "numbers" else "")
        raise UserError(f"{rule} Given: {name}, a model of {wording.NOUNS[kind]}s. Of these, use {others}.")


def print_written(path: Path, shape: Sequence[int] | Mapping[str, Sequence[int]], json: bool) -> None:
    """Print the file that was written, and the shape of the array that it shows; of levels, the shape of each."""
    if json:
        listed = {level: list(size) for level, size in shape.items()} if isinstance(shape, Mapping) else list(shape)
        print_json({"file": str(path), "shape": listed})
    else:
        print(f"Written: {path}, of shape {shape if isinstance(shape, Mapping) else tuple(shape)}")


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1, note: str = ""
) -> None:
    """Print a table, its columns from `numbers_from` on aligned right, and a note below it."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table, rows = Table(title=title or None, title_justify="left", box=SIMPLE), list(rows)
    for number, column in enumerate(columns):
        name_like = all(len(row[number]) < _NAME for row in rows)
        justify = "right" if number >= numbers_from else "left"
        table.add_column(column.replace(", ", "\n"), justify=justify, no_wrap=name_like)
    for row in rows:
        table.add_row(*row)
    console = Console()
    width = console.measure(table, options=console.options.update(width=10 * console.width)).maximum
    if width > console.width and not console.is_terminal:  # a file or a pipe is as wide as the table
        console = Console(width=width)
    elif width > console.width:  # names break, so that no number loses its digits
        for column in table.columns[:numbers_from]:
            column.no_wrap = False
    console.print(table)
    if note:
        console.print(note, style="dim", markup=False)


@contextlib.contextmanager
def silenced() -> Iterator[int]:
    """Keep standard error empty while the block runs: C++ writes there of processors, drivers and delegates.

    Yields a descriptor of what it was.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield kept
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def working(title: str, quiet: bool = False, silent: bool = False) -> Iterator[None]:
    """Show `title` and the progress on standard error while the block runs; with `silent`, nothing else."""
    hushed = silenced() if silent else contextlib.nullcontext()
    if quiet or not sys.stderr.isatty():
        with hushed:
            yield
        return
    from rich.console import Console

    from keras_vae import progress

    with (
        os.fdopen(os.dup(2), "w") as terminal,
        Console(file=terminal).status(title) as status,
        progress.listening("", lambda text: status.update(f"{title}: {text}")),
        hushed,
    ):
        yield


def counter(noun: str, json: bool) -> Callable[[int, int], None]:
    """Return a callback that prints how many of all examples or rows are done; with --json, nothing."""

    def count(done: int, all_: int) -> None:
        if not json:
            print(f"{done:,} of {all_:,} {noun}", flush=True)

    return count


def verbosity(json: bool) -> int:
    """Return Keras's `verbose` of a training: a bar that moves on a terminal, elsewhere a line for each epoch."""
    return 0 if json else 1 if sys.stdout.isatty() else 2


def load_tensorflow() -> None:
    """Import TensorFlow without its messages on processors and drivers, unless an import fails; a terminal says so."""
    waits = sys.stderr.isatty() and "keras_vae.backend" not in sys.modules
    with silenced() as terminal:
        try:
            if waits:
                os.write(terminal, b"Starting TensorFlow ...")
            import keras_vae.backend
            import keras_vae.data.sources  # noqa: F401
        finally:
            if waits:
                os.write(terminal, b"\r\x1b[K")
