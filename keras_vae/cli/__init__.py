"""The command line: arguments and printing, around functions that are callable from Python.

The modules import TensorFlow only inside the commands that need it, so that `list`, `show`, `check` and `bench` work
where it is not installed, and answer at once.
"""

import contextlib
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Annotated, Any

import typer
import typer.core

from keras_vae.cli import (
    anomaly,
    build,
    demo,
    deploy,
    doctor,
    hub,
    labels,
    new,
    quickstart,
    report,
    score,
    sweep,
    tasks,
    train,
    use,
    verify,
    zoo,
)
from keras_vae.errors import UserError, reason_of

_MOMENT = 0.02  # seconds
_NESTS = os.path.join("tensorflow", "python", "util", "nest_util.py")  # calls C++ that imports, and that calls Python


class _Stopped(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP, raised where the main thread is, which cleans up. Typer does not catch it."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped from error


app = typer.Typer(
    cls=_Commands,
    help="Variational autoencoders: trained, measured, exported, timed. Begin with: keras-vae quickstart",
    epilog="Any command takes --debug, which shows the traceback of an error, and --allow-code, which lets a recipe "
    "name a class as package.module:Class, whose code is run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(asked: bool) -> None:
    if asked:
        import keras_vae

        print(f"keras-vae {keras_vae.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options of the program, before the name of a command."""


COMMANDS: dict[str, Callable[..., None]] = {
    "list": zoo.list_command,
    "show": zoo.show_command,
    "new": new.new_command,
    "train": train.train_command,
    "sweep": sweep.sweep_command,
    "evaluate": zoo.evaluate_command,
    "verify": verify.verify_command,
    "sample": use.sample_command,
    "encode": use.encode_command,
    "traverse": use.traverse_command,
    "interpolate": tasks.interpolate_command,
    "manifold": tasks.manifold_command,
    "embed": tasks.embed_command,
    "impute": tasks.impute_command,
    "compress": tasks.compress_command,
    "attribute": labels.attribute_command,
    "classify": labels.classify_command,
    "anomaly": anomaly.anomaly_command,
    "steps": anomaly.steps_command,
    "report": report.report_command,
    "export": deploy.export_command,
    "check": deploy.check_command,
    "bench": deploy.bench_command,
    "demo": demo.demo_command,
    "score": score.score_command,
    "push": hub.push_command,
    "doctor": doctor.doctor_command,
    "quickstart": quickstart.quickstart_command,
}


def _help(command: Callable[..., None]) -> str:
    """The docstring with each paragraph on one line: typer breaks lines where the docstring does."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _name, _command in COMMANDS.items():
    app.command(_name, help=_help(_command))(_command)
_data = typer.Typer(help="Data that do not fit in memory.", no_args_is_help=True, rich_markup_mode="rich")
_data.command("build", help=_help(build.build_command))(build.build_command)
app.add_typer(_data, name="data")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: with 0, 1 after an error in one line, 2 after a usage error, 128 + n after signal n."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if "--allow-code" in words:
        from keras_vae.zoo import trust

        sys.path.append(os.getcwd())
        trust.allow_code()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    raised: list[signal.Signals] = []
    try:
        with _signals_raised(raised):
            app(args=[word for word in words if word not in ("--debug", "--allow-code")], prog_name="keras-vae")
    except (Exception, _Stopped, KeyboardInterrupt) as error:
        if debug:
            raise
        if isinstance(error, Exception) and not raised:
            print(f"Error: {' '.join(_sentence(error).split())}", file=sys.stderr)
            sys.exit(1)
        # After a signal, whatever error: an extension may have put its own in the place of what was raised.
        number = raised[0] if raised else signal.SIGINT
        how = "Interrupted" if number == signal.SIGINT else f"Ended by {number.name}"
        kept = f"{how}. What was finished is kept; nothing is half-written."
        notes = [note for one in (error, error.__cause__) for note in getattr(one, "__notes__", ())]
        print(kept, *notes, file=sys.stderr)
        sys.exit(128 + number)


@contextlib.contextmanager
def _signals_raised(raised: list[signal.Signals]) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM (docker stop, Slurm) and SIGHUP (a closed terminal) end the block by an exception.

    Each is added to `raised`. A signal that is ignored, as under nohup, stays so. Of SIGTERM and SIGHUP only the first
    counts, so that a further one does not stop the cleaning up.
    """
    in_main = threading.current_thread() is threading.main_thread()
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if in_main else []
    before = {number: kept for number in numbers if (kept := signal.getsignal(number)) != signal.SIG_IGN}

    def stop(number: int, frame: FrameType | None) -> None:
        if _imports(frame):  # an extension that imports may lose what is raised there: a moment later
            threading.Timer(_MOMENT, os.kill, (os.getpid(), number)).start()
            return
        raised.append(signal.Signals(number))
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        for caught in before:
            signal.signal(caught, signal.SIG_IGN)
        raise _Stopped

    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> bool:
    """Return whether a module is being imported on the stack that ends in `frame`, or may be by C++."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") or name.endswith(_NESTS):
            return True
        frame = frame.f_back
    return False


def _sentence(error: Exception) -> str:
    """Return the sentence that the command line prints for an error; for one that nothing foresaw, how to report it."""
    if isinstance(error, UserError | OSError):
        return str(error)
    package = (getattr(error, "name", None) or "keras_vae").split(".")[0]
    if isinstance(error, ModuleNotFoundError) and package != "keras_vae":
        return (
            f"this command needs the module {package}, which is not installed here. Install keras-vae with its "
            f"dependencies: pip install keras-vae. Without them, list, show, check and bench work, on ONNX Runtime."
        )
    return (
        f"keras-vae met what it does not know, {type(error).__name__}: {reason_of(error)}. Nothing is half-written. "
        f"Please report it, with what the same command prints with --debug."
    )
