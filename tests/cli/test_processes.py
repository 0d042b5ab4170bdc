"""The command line as a process: its imports, and what a shell sees."""

import inspect
import os
import sys
import textwrap

import pytest

from keras_vae import cli
from tests import toy_runs

# All that `list` needs from elsewhere: typer and rich, and pydantic for the recipes, each with its dependencies.
LIGHT = {"annotated_doc", "annotated_types", "click", "colorama", "markdown_it", "mdurl", "pydantic", "pydantic_core",
         "pygments", "rich", "shellingham", "typer", "typing_extensions", "typing_inspection"}  # fmt: skip
ROOMS = {"cli", "errors", "files", "lazy", "locks", "registry", "schema", "types", "zoo"}


def test_list_imports_and_reads_little(tmp_path):
    """Counted, not timed: no array library, no model, and no file of the zoo that is larger than a card."""
    script = """
        import builtins, io, os, sys
        imported, files = set(sys.modules), []
        sys.addaudithook(lambda event, args: files.append(args[0]) if event == "open" else None)
        from keras_vae.cli import main
        try:
            main(["list"])
        except SystemExit as left:
            assert not left.code
        new = set(sys.modules) - imported
        print("TOP", *{name.partition(".")[0] for name in new if not name.startswith("_sysconfigdata")})
        print("ROOMS", *{name.split(".")[1] for name in new if name.startswith("keras_vae.")})
        read = [str(name) for name in files if "/zoo/" in str(name) and ".py" not in str(name)]
        print("FILES", *{os.path.basename(name) for name in read if not os.path.isdir(name)})
    """
    done = toy_runs.python(["-c", textwrap.dedent(script)], tmp_path)
    assert done.returncode == 0, done.stderr
    counted = {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()[-3:]}
    assert counted["TOP"] - set(sys.stdlib_module_names) <= {"keras_vae", *LIGHT}
    assert counted["ROOMS"] <= ROOMS
    assert counted["FILES"] == {"recipe.toml", "results.json"}


def test_a_mistake_in_a_real_process_is_one_line(tmp_path):
    """TensorFlow is imported and in use by then: nothing that it says of processors and drivers is shown."""
    toy_runs.write_recipe(tmp_path / "toy.toml", {"training.batch_size": 5000})
    done = toy_runs.cli(["train", "toy.toml"], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: Training needs at least one full batch: 5000 examples. Given: 1000. Lower batch_size.\n"
    )
    assert os.listdir(tmp_path) == ["toy.toml"]
    done = toy_runs.cli(["show", "nonsense", "--debug"], tmp_path)
    assert done.returncode == 1 and "Traceback (most recent call last)" in done.stderr


@pytest.mark.slow
def test_sampling_in_a_real_process(run, tmp_path):
    done = toy_runs.cli(["sample", str(run), "--count", "4", "--output", "a.npy", "--json"], tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == '{\n  "file": "a.npy",\n  "shape": [\n    4,\n    28,\n    28,\n    1\n  ]\n}\n'


def test_a_reader_that_leaves_early(tmp_path):
    """`keras-vae list | head -n 0`: no traceback."""
    script = "import sys; from keras_vae.cli import main; main(['list'])"
    done = toy_runs.python(
        ["-c", f"import subprocess, sys; p = subprocess.Popen([{sys.executable!r}, '-c', {script!r}], "
               "stdout=subprocess.PIPE, stderr=subprocess.PIPE); p.stdout.close(); "
               "sys.stdout.write(p.stderr.read().decode()); p.wait()"],
        tmp_path,
    )  # fmt: skip
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_is_shown_in_whole_paragraphs(name, monkeypatch, capsys):
    """Lines break where the terminal ends, and not where they do in the source."""
    monkeypatch.setenv("COLUMNS", "2000")
    with pytest.raises(SystemExit) as left:
        cli.main([name, "--help"])
    assert left.value.code == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for paragraph in (inspect.getdoc(cli.COMMANDS[name]) or "").split("\n\n"):
        assert " ".join(paragraph.split()) in shown


@pytest.mark.parametrize(
    ("words", "answer"), [("keras-vae tra", ["train", "traverse"]), ("keras-vae show vq", ["vq_vae_mnist"])]
)
def test_the_shell_completes_commands_and_names(tmp_path, monkeypatch, words, answer):
    for name, value in {"_KERAS_VAE_COMPLETE": "complete_bash", "COMP_WORDS": words}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    done = toy_runs.cli([], tmp_path)
    assert done.stdout.split() == answer, done.stderr
