"""Ctrl-C, SIGTERM and SIGHUP end a command alike: one line, the status 128 + n, and nothing half-written."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from tests import toy_runs
from tests.processes import interruptible

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
LINES = {
    signal.SIGINT: "Interrupted. What was finished is kept; nothing is half-written.\n",
    signal.SIGTERM: "Ended by SIGTERM. What was finished is kept; nothing is half-written.\n",
    signal.SIGHUP: "Ended by SIGHUP. What was finished is kept; nothing is half-written.\n",
}
GOES_ON = " The same command goes on from the last checkpoint."
MAIN = "from keras_vae.cli import main; main()"
WRITING = """
    import signal, sys, time
    from keras_vae import cli, files, locks
    def command():
        with locks.only_writer("runs/a/recipe.toml"), files.atomic_folder("b") as folder:
            (folder / "half").write_text("half")
            print("writing", flush=True)
            time.sleep(60 if len(sys.argv) == 1 else 0.5)
    cli.app.command("write")(command)
    if len(sys.argv) > 1:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    cli.main(["write"])
"""


def start(folder, *words):
    with interruptible():
        return subprocess.Popen(
            [sys.executable, "-c", *words], cwd=folder, env=toy_runs.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def ended(process, number, note=""):
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, f"{LINES[number][:-1]}{note}\n")


def wait_for(process, condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("held", "overwrite", "note"),
    [
        (["checkpoint.safetensors"], False, GOES_ON),
        (["checkpoint.safetensors"], True, GOES_ON.replace("command", "command, without overwrite,")),
        ([], False, ""),
        (["checkpoint.safetensors", "results.json"], False, ""),  # a finished run, which is measured again
    ],
)
def test_an_interrupted_training_says_how_to_go_on(tmp_path, monkeypatch, capsys, held, overwrite, note):
    from keras_vae import cli
    from keras_vae.zoo import recipes, store, training

    recipe = recipes.read(toy_runs.write_recipe(tmp_path / store.RECIPE))

    def command():
        with training._noting_how_to_resume(store.Entry("a", tmp_path), recipe, overwrite):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    for name in held:
        (tmp_path / name).touch()
    app = cli.typer.Typer(cls=cli._Commands)
    app.callback()(lambda: None)
    app.command("train")(command)
    monkeypatch.setattr(cli, "app", app)
    with interruptible(), pytest.raises(SystemExit) as left:
        cli.main(["train"])
    assert left.value.code == 130
    assert capsys.readouterr().err == f"{LINES[signal.SIGINT][:-1]}{note}\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_writes_leaves_nothing(tmp_path, number):
    process = start(tmp_path, textwrap.dedent(WRITING))
    assert process.stdout.readline() == "writing\n"
    ended(process, number)
    assert os.listdir(tmp_path) == []


IMPORTS = {
    "a module": "import slow",
    # That calls Python, of another file.
    "TensorFlow's C++": "exec(compile('read()', '/x/tensorflow/python/util/nest_util.py', 'exec'), "
    "{'read': lambda: exec(open('slow.py').read())})",
}


@pytest.mark.parametrize(("number", "importing"), [*((n, "a module") for n in SIGNALS), (2, "TensorFlow's C++")])
def test_a_module_that_is_being_imported_is_imported_first(tmp_path, number, importing):
    """An extension may lose an exception that is raised meanwhile, and a module be half of itself."""
    (tmp_path / "slow.py").write_text("import time; print('importing', flush=True); time.sleep(0.5); print('done')")
    number = signal.Signals(number)
    code = """
        import sys, time
        from keras_vae import cli
        sys.path.insert(0, ".")
        def command():
            IMPORT
            time.sleep(60)
        cli.app.command("import")(command)
        cli.main(["import"])
    """
    process = start(tmp_path, textwrap.dedent(code).replace("IMPORT", IMPORTS[importing]))
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (128 + number, "done\n", LINES[number])


@pytest.mark.parametrize("number", SIGNALS)
def test_an_error_in_the_place_of_a_signal_is_that_signal(tmp_path, number):
    """An extension that calls Python may turn what is raised there into an error of its own."""
    code = """
        import time
        from keras_vae import cli
        def command():
            try:
                print("waiting", flush=True)
                time.sleep(60)
            except BaseException as error:
                raise SystemError("returned a result with an exception set") from error
        cli.app.command("extension")(command)
        cli.main(["extension"])
    """
    process = start(tmp_path, textwrap.dedent(code))
    assert process.stdout.readline() == "waiting\n"
    ended(process, signal.Signals(number))


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """nohup keras-vae train ..."""
    process = start(tmp_path, textwrap.dedent(WRITING), "nohup")
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0
    assert os.listdir(tmp_path) == ["b"]


@pytest.mark.slow  # a minute of torture sends some
@pytest.mark.parametrize("number", [signal.SIGTERM, *SIGNALS[::2]])
def test_a_training_keeps_its_checkpoint_and_goes_on(tmp_path, number):
    toy_runs.write_recipe(tmp_path / "toy.toml", {"training.epochs": 100_000})
    process = start(tmp_path, MAIN, "train", "toy.toml", "--output", "out", "--json")
    wait_for(process, (tmp_path / "out/checkpoint.safetensors").is_file)
    time.sleep(np.random.default_rng(int(number)).uniform(0.0, 0.5))
    ended(process, number, GOES_ON)
    kept = {"checkpoint.safetensors", "recipe.toml"}
    assert set(os.listdir(tmp_path / "out")) - {"checkpoint.previous.safetensors"} == kept
    assert sorted(os.listdir(tmp_path)) == ["out", "toy.toml"]

    from keras_vae.zoo import checkpoints, recipes

    content = recipes.read(tmp_path / "toy.toml").content
    assert checkpoints.latest(tmp_path / "out", content).progress.epochs >= 1


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("seconds", [0.0, 1.0, 3.0])
def test_an_export_leaves_nothing(run, tmp_path, number, seconds):
    process = start(tmp_path, MAIN, "export", str(run), "bundle", "--json")
    wait_for(process, lambda: os.listdir(tmp_path))
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    # Once all is done Python gives signals their own actions back, before it ends.
    assert (process.returncode, errors) in [(128 + number, LINES[number]), (0, ""), (-number, "")]
    assert os.listdir(tmp_path) == ([] if process.returncode > 0 else ["bundle"])


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS[1:])
def test_a_demo_that_serves_ends(run, tmp_path, number):
    """Ctrl-C is how it is ended by hand, with status 0."""
    process = start(tmp_path, MAIN, "demo", str(run), "--port", "0", "--no-browser", "--json")
    while "url" not in (line := process.stdout.readline()):
        assert line
    ended(process, number)
    assert os.listdir(tmp_path / "runs/demo") == ["toy"]
