"""The command line: the library's words, one command each.

A command's module imports TensorFlow only inside the commands that need it, so that `list`, `show`, `check` and `bench`
work where none is installed, and answer at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
import typer.core

from keras_vae.cli import anomaly, demo, deploy, labels, quickstart, report, tasks, use, zoo
from keras_vae.errors import UserError


class _Interrupted(Exception):
    """Ctrl-C, as an exception that typer lets pass."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Interrupted from error


app = typer.Typer(
    cls=_Commands,
    help="Variational autoencoders: trained, measured, exported, timed. Begin with: keras-vae quickstart",
    epilog="Any command takes --debug, which shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("list")(zoo.list_command)
app.command("show")(zoo.show_command)
app.command("train")(zoo.train_command)
app.command("evaluate")(zoo.evaluate_command)
app.command("verify")(zoo.verify_command)
app.command("sample")(use.sample_command)
app.command("encode")(use.encode_command)
app.command("traverse")(use.traverse_command)
app.command("interpolate")(tasks.interpolate_command)
app.command("manifold")(tasks.manifold_command)
app.command("embed")(tasks.embed_command)
app.command("impute")(tasks.impute_command)
app.command("compress")(tasks.compress_command)
app.command("attribute")(labels.attribute_command)
app.command("classify")(labels.classify_command)
app.command("anomaly")(anomaly.anomaly_command)
app.command("report")(report.report_command)
app.command("export")(deploy.export_command)
app.command("check")(deploy.check_command)
app.command("bench")(deploy.bench_command)
app.command("demo")(demo.demo_command)
app.command("quickstart")(quickstart.quickstart_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0, or 1 after an error in one line, or 2 after words that do not fit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app(args=[word for word in words if word != "--debug"], prog_name="keras-vae")
    except (UserError, OSError) as error:
        if debug:
            raise
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if debug or (error.name or "keras_vae").startswith("keras_vae"):
            raise
        package = (error.name or "").split(".")[0]
        print(
            f"Error: this command needs the module {package}, which is not installed here. Install keras-vae with its "
            f"dependencies: pip install keras-vae. Without them, list, show, check and bench work, on ONNX Runtime.",
            file=sys.stderr,
        )
        sys.exit(1)
    except (_Interrupted, KeyboardInterrupt):
        if debug:
            raise
        print("Interrupted. What was finished is kept; nothing is half-written.", file=sys.stderr)
        sys.exit(130)
