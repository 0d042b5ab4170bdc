"""No room for a file, for each kind that is written: one line that says so, and nothing half-written.

A limit on the size of files (RLIMIT_FSIZE) stands for a full disk. It is set in one process of its own: HDF5 used to
crash the process that met it.
"""

import json
import os
import re

import pytest

from tests import toy_runs

pytestmark = pytest.mark.slow  # of each writer: tests/test_files.py
DRIVER = """
import contextlib, io, json, os, resource, shutil, sys
from keras_vae import files, plots, weights, zoo
from keras_vae.cli import main
from keras_vae.export import entries
from keras_vae.pages import demo
from keras_vae.zoo import checkpoints, pictures, results, store

# Not what this is about, and seconds each time.
results.results_of = lambda *_, **__: json.load(open("run/results.json"))

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def limited(module, name, size, when=lambda path: True):
    # Only the write of one kind meets the limit.
    function = getattr(module, name)
    def wrapped(*args, **kwargs):
        if any(isinstance(each, (str, os.PathLike)) and when(str(each)) for each in args):
            limit(size)
        try:
            return function(*args, **kwargs)
        finally:
            limit(resource.RLIM_INFINITY)
    setattr(module, name, wrapped)
    return lambda: setattr(module, name, function)

def attempt(kind, words, patch, folder):
    restore = patch()
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            main(words)
        except SystemExit as left:
            code = left.code
    restore()
    found = sorted(os.listdir(folder)) if os.path.isdir(folder) else None
    print("RESULT", json.dumps([kind, code, err.getvalue(), out.getvalue(), found]), flush=True)

def unfinished(name):
    # All epochs are done; what comes after training is not.
    os.makedirs(name)
    for file in ("recipe.toml", "checkpoint.safetensors"):
        shutil.copy(f"run/{file}", name)
    return ["train", "toy.toml", "--output", name, "--json"]

small, new = 20_000, ["train", "toy.toml", "--output", "new", "--json"]
attempt("checkpoint", new, lambda: limited(checkpoints, "write", small, lambda p: "checkpoint" in p), "new")
attempt("weights", unfinished("w"), lambda: limited(weights, "save", small, lambda p: "model" in p), "w")
attempt("picture", unfinished("p"), lambda: limited(plots, "save", 1000), "p")
pictures.write = lambda *_, **__: []
attempt("card", unfinished("c"), lambda: limited(files, "write_text", 500, lambda p: "README" in p), "c")
attempt("results", unfinished("r"), lambda: limited(store, "write_json", 500), "r")
attempt("recipe", ["train", "toy.toml", "--output", "t", "--json"],
        lambda: limited(files, "write_text", 20, lambda p: "recipe" in p), "t")
for suffix in ("png", "npy"):
    os.mkdir(suffix)
    open(f"{suffix}/a.{suffix}", "w").write("old")
attempt("png", ["sample", "run", "--output", "png/a.png"], lambda: limited(plots, "save", 1000), "png")
attempt("npy", ["sample", "run", "--output", "npy/a.npy"], lambda: limited(files, "write_array", 1000), "npy")
for size in (4000, 20_000, 60_000):  # in less, TensorFlow writes no temporary file of AutoGraph, and says so
    attempt(f"export {size}", ["export", "run", f"e{size}/bundle", "-f", "saved_model", "-f", "onnx", "-f", "keras"],
            lambda: limited(entries, "export_entry", size), f"e{size}")
attempt("demo", ["demo", "run", "--output", "d/page"], lambda: limited(demo, "build", 20_000), "d")
print("OLD", open("png/a.png").read(), open("npy/a.npy").read())
"""
# kind -> the file of the message, and what the folder then holds
KEPT = ["checkpoint.safetensors", "recipe.toml"]
EXPECTED = {
    "checkpoint": ("new/checkpoint.safetensors", ["recipe.toml"]),
    "weights": ("w/model.safetensors", KEPT),
    "picture": ("p/reconstructions.png", [KEPT[0], "model.safetensors", KEPT[1]]),
    "card": ("c/README.md", [KEPT[0], "model.safetensors", KEPT[1]]),
    "results": ("r/results.json", ["README.md", KEPT[0], "model.safetensors", KEPT[1]]),
    "recipe": ("t/recipe.toml", None),
    "png": ("png/a.png", ["a.png"]),
    "npy": ("npy/a.npy", ["a.npy"]),
}


@pytest.fixture(scope="module")
def outcome(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    toy_runs.copy_of(run, folder / "run")
    (folder / "toy.toml").write_text((run / "recipe.toml").read_text())
    done = toy_runs.python(["-c", DRIVER], folder)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}\n{done.stderr[-4000:]}"
    lines = done.stdout.splitlines()
    found = {kind: rest for kind, *rest in (json.loads(line[7:]) for line in lines if line.startswith("RESULT "))}
    return found, lines[-1]


@pytest.mark.skipif(os.name != "posix", reason="limits on the size of files are POSIX")
@pytest.mark.parametrize("kind", EXPECTED)
def test_no_room_is_one_line_and_leaves_nothing_half_written(outcome, kind):
    code, errors, printed, found = outcome[0][kind]
    path, listing = EXPECTED[kind]
    assert code == 1
    assert errors == (
        f"Error: Cannot write {path}: File too large. Nothing was left behind; free some room or write elsewhere.\n"
    )
    assert printed == ""
    assert found == listing, "nothing half-written, no hidden temporary folder, and what was there before"


@pytest.mark.skipif(os.name != "posix", reason="limits on the size of files are POSIX")
@pytest.mark.parametrize("kind", ["export 4000", "export 20000", "export 60000", "demo"])
def test_an_export_without_room_is_one_line_too(outcome, kind):
    """Each format meets it in another library, in words of its own."""
    code, errors, printed, found = outcome[0][kind]
    folder = {"demo": "d/page"}.get(kind, f"e{kind.removeprefix('export ')}/bundle")
    assert re.fullmatch(rf"Error: Cannot write \S*/{folder}\S*: File too large\. Nothing was left .*\n", errors), errors
    assert (code, printed, found) == (1, "", None) and ".keras_vae-" not in errors


def test_old_files_stay(outcome):
    assert outcome[1] == "OLD old old"
