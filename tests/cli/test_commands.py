"""Each command in this process: one JSON document for machines, files for people, one line for mistakes."""

import gc
import json
import os
import pickle
import shutil
import sys

import numpy as np
import pytest

from keras_vae import data, zoo
from keras_vae.cli import main
from keras_vae.errors import UserError
from tests import toy_runs


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run_command(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run_command


def document(result):
    code, out, err = result
    assert code == 0, err
    assert err == ""
    return json.loads(out)  # fails on a second document, or on anything beside it


def error(result):
    """The one line of a user's mistake, without "Error: "."""
    code, out, err = result
    assert code == 1
    assert out == ""
    assert err.startswith("Error: ") and err.count("\n") == 1 and err.endswith("\n")
    return err[len("Error: ") : -1]


# --- what is listed and shown ---


def test_list_and_show(call, run, own_zoo):
    toy_runs.copy_of(run, own_zoo / "toy_mnist")
    toy_runs.write_recipe(own_zoo / "untrained/recipe.toml")
    listed = document(call("list", "--json"))
    assert [each["name"] for each in listed] == ["toy_mnist", "untrained"]
    assert listed[0]["metrics"] == zoo.card("toy_mnist").results["metrics"] and listed[1]["metrics"] == {}
    assert [each["name"] for each in document(call("list", "*mnist*", "--json"))] == ["toy_mnist"]
    assert document(call("list", "nothing*", "--json")) == []
    code, out, err = call("list")
    assert code == 0 and err == "" and "toy_mnist" in out and "not trained" in out
    assert f"{listed[0]['metrics']['elbo']['value']:.2f}" in out

    shown = document(call("show", "toy_mnist", "--json"))
    assert shown["results"] == zoo.card("toy_mnist").results
    assert shown["recipe"] == (run / "recipe.toml").read_text()
    code, out, _ = call("show", "toy_mnist")
    assert f"below:{own_zoo / 'toy_mnist/reconstructions.png'}" in "".join(out.split())
    assert code == 0 and "toy_mnist" in out and "binarised once" in out
    assert error(call("show", "toy_mnits")).startswith("Unknown model 'toy_mnits'. Did you mean 'toy_mnist'?")


# --- training and numbers ---


def test_train_reports_what_it_wrote(call, run, tmp_path):
    """Over a finished run: nothing is trained, and the answer is the same."""
    toy_runs.copy_of(run, tmp_path / "out")
    answer = document(call("train", "out/recipe.toml", "--output", "out", "--json"))
    assert answer == {"folder": "out", "results": zoo.card(tmp_path / "out").results}
    code, out, _ = call("train", "out", "--output", "out")
    assert code == 0 and "Written: out/ (model.safetensors, results.json, README.md and pictures)" in out
    assert "out, 300 images of test[:300]" in out and "reconstruction, log p(x|z) " in out and "log_px" not in out
    toy_runs.copy_of(run, tmp_path / "runs/out")
    assert error(call("show", "out2")).startswith("Unknown model 'out2'")
    os.rename(tmp_path / "runs/out", tmp_path / "runs/mine")
    assert error(call("encode", "mine")) == "Unknown model 'mine'. Did you mean runs/mine?"


@pytest.mark.slow
def test_training_from_nothing_with_json_prints_one_document(call, tmp_path):
    toy_runs.write_recipe(tmp_path / "toy.toml", {"training.epochs": 1})
    answer = document(call("train", "toy.toml", "--json"))
    assert answer["folder"] == "runs/toy" and answer["results"]["training"]["epochs"] == 1
    assert sorted(os.listdir(tmp_path / "runs/toy")) == toy_runs.FILES


def test_evaluate_and_verify(call, run):
    measured = document(call("evaluate", run, "--json", "--samples", "8"))
    assert measured["examples"] == 300 and measured["split"] == "test[:300]"
    for metric, row in zoo.card(run).results["metrics"].items():
        assert measured["metrics"][metric]["value"] == pytest.approx(row["value"], abs=1e-4)
    other = document(call("evaluate", run, "--json", "--samples", 0, "--split", "validation[:20]", "--seed", 3))
    assert other["examples"] == 20 and "log_prob" not in other["metrics"]
    verified = document(call("verify", run, "--json"))
    assert verified["agrees"] is True and set(verified["metrics"]) == set(zoo.card(run).results["metrics"])
    code, out, _ = call("verify", run)
    assert code == 0 and "agrees with its card" in out
    assert "two images or more. Given: 1." in error(call("evaluate", run, "--json", "--split", "test[:1]"))
    assert "split is one of" in error(call("evaluate", run, "--split", "tset"))
    assert "samples must be a whole number" in error(call("evaluate", run, "--samples", "-1"))
    assert "seed must be a whole number" in error(call("evaluate", run, "--seed", "-1"))


def test_evaluate_by_sections(call, run):
    found = document(call("evaluate", run, "--json", "--latent", "--representation", "--split", "test[:200]"))
    assert found["examples"] == 200 and {"latent", "representation", "without"} <= set(found)
    assert found["latent"]["active_units"]["of"] == 3 and "generation" not in found
    assert 0.1 < found["representation"]["probes"]["linear"]["all"]["value"] < 1
    assert found["without"]["latent.codebook"].startswith("Codebook usage is of integer codes.")
    code, out, _ = call("evaluate", run, "--latent", "--split", "test[:50]")
    assert code == 0 and "mutual_information" in out and "No latent.codebook" in out
    assert "kl_per_dimension.z2" in out and "Collapse: " in out


def test_verify_of_a_wrong_number_exits_with_1(call, own_run):
    toy_runs.edit_results(own_run, lambda results: results["metrics"]["elbo"].update(value=-1.0))
    assert "does not give the numbers of its card: elbo" in error(call("verify", own_run, "--json"))


def test_the_whole_zoo_is_verified(call, run, own_zoo):
    """One model agrees, one has a wrong number, the data of one are missing; one that is not trained is no row."""
    for name in ("a_toy", "b_wrong", "c_gone"):
        toy_runs.copy_of(run, own_zoo / name)
    toy_runs.edit_results(own_zoo / "b_wrong", lambda results: results["metrics"]["elbo"].update(value=-1.0))
    changes = {"data.name": "emoji", "data.binarize": toy_runs.REMOVED}
    toy_runs.write_recipe(own_zoo / "c_gone/recipe.toml", changes)
    toy_runs.edit_results(own_zoo / "c_gone", lambda results: results)
    toy_runs.write_recipe(own_zoo / "d_new/recipe.toml")
    code, out, _ = call("verify", "--all", "--likelihood-examples", 20, "--json")
    models = json.loads(out)["models"]
    assert code == 1 and {name: one["agrees"] for name, one in models.items()} == {
        "a_toy": True, "b_wrong": False, "c_gone": None
    }  # fmt: skip
    stored = np.load(own_zoo / "a_toy/log_prob.npy")[:20].mean(dtype="float64")
    assert models["a_toy"]["metrics"]["log_prob"]["expected"] == pytest.approx(stored)
    assert "elbo" in models["b_wrong"]["reason"] and "KERAS_VAE_EMOJI" in models["c_gone"]["reason"]
    shutil.rmtree(own_zoo / "b_wrong")
    code, out, _ = call("verify", "--all", "--likelihood-examples", 0)
    assert code == 0 and "agrees" in out and "not measured" in out and "c_gone: " in out
    for words in ((), ("a_toy", "--all")):
        assert "Verify one model, or with --all the whole zoo" in error(call("verify", *words))


# --- what is drawn and written ---


def test_sample(call, run, tmp_path):
    answer = document(call("sample", run, "--count", 5, "--seed", 3, "--output", "a.npy", "--json"))
    assert answer == {"file": "a.npy", "shape": [5, 28, 28, 1]}
    images = np.load(tmp_path / "a.npy", allow_pickle=False)
    np.testing.assert_array_equal(images, zoo.load(run).sample(5, seed=3))
    assert images.dtype == "float32" and images.min() >= 0 and images.max() <= 1
    first = (tmp_path / "a.npy").read_bytes()
    call("sample", run, "--count", 5, "--seed", 3, "--output", "a.npy")
    assert (tmp_path / "a.npy").read_bytes() == first, "the same seed, the same images"
    call("sample", run, "--count", 5, "--seed", 4, "--output", "a.npy")
    assert (tmp_path / "a.npy").read_bytes() != first, "and another one, others; the file is replaced"
    assert document(call("sample", run, "--json"))["file"] == "runs/toy/samples.png"
    assert (tmp_path / "runs/toy/samples.png").read_bytes().startswith(b"\x89PNG")
    assert "A picture needs at least one image" in error(call("sample", run, "--count", 0))
    assert "count must be a whole number, 0 or more. Given: -1." in error(call("sample", run, "--count", -1))
    assert "seed must be a whole number, 0 or more. Given: -1." in error(call("sample", run, "--seed", -1))
    assert "Given: count=100000000, which takes 314.8 GB. Take " in error(call("sample", run, "--count", 10**8))
    assert sorted(os.listdir(tmp_path)) == ["a.npy", "runs"] and os.listdir(tmp_path / "runs/toy") == ["samples.png"]


def test_encode(call, run, tmp_path):
    model, images = zoo.load(run), data.load_arrays("mnist", "test[:7]", "static")
    np.save(tmp_path / "x.npy", images)
    answer = document(call("encode", run, "x.npy", "--output", "z.npy", "--json"))
    assert answer == {"file": "z.npy", "shape": [7, 3]}
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), model.encode(images))
    answer = document(call("encode", run, "test[:7]", "--json"))
    assert answer == {"file": "runs/toy/codes.npy", "shape": [7, 3]}
    np.testing.assert_array_equal(np.load(tmp_path / "runs/toy/codes.npy"), np.load(tmp_path / "z.npy"))
    assert error(call("encode", run, "x.npy", "--output", "z.npz")).endswith("are written as .npy. Given: z.npz.")
    np.save(tmp_path / "y.npy", np.zeros(7, "int32"))
    assert "BetaVAE takes no condition" in error(call("encode", run, "x.npy", "--labels", "y.npy"))
    said = "takes one as its condition. Given: --label 3, for a BetaVAE without. Leave it out."
    assert error(call("sample", run, "--label", 3)).endswith(said)


BAD_ARRAYS = {
    "a flat image": (np.zeros((2, 784)), r"x must have shape (batch, 28, 28, 1). Given: (2, 784)."),
    "no channel": (np.zeros((2, 28, 28)), "Add the channel axis"),
    "grey levels to 255": (np.full((2, 28, 28, 1), 200.0), "must lie in [0, 1]. Given: values from 200 to 200; divide"),
    "negative": (np.full((2, 28, 28, 1), -1.0), "must lie in [0, 1]. Given: values from -1 to -1"),
    "NaN": (np.full((2, 28, 28, 1), np.nan), "x must be finite. Given: 1568 values that are NaN"),
    "words": (np.full((2, 28, 28, 1), "a"), "x must be an array of floats. Given: dtype <U1"),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_encode_refuses_arrays_that_are_no_images(call, run, tmp_path, what):
    array, message = BAD_ARRAYS[what]
    np.save(tmp_path / "x.npy", array)
    assert message in error(call("encode", run, "x.npy", "--output", "z.npy"))
    assert os.listdir(tmp_path) == ["x.npy"]


class Bomb:
    def __reduce__(self):
        return (open, ("executed", "w"))


def test_encode_unpickles_nothing(call, run, tmp_path):
    np.save(tmp_path / "x.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "executed").unlink(missing_ok=True)
    assert "Cannot read an array of numbers from x.npy: Object arrays cannot" in error(call("encode", run, "x.npy"))
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Bomb()))
    assert "Cannot read an array of numbers from y.npy: " in error(call("encode", run, "y.npy"))
    np.savez(tmp_path / "z.npz", a=np.zeros(3))
    os.rename(tmp_path / "z.npz", tmp_path / "z.npy")
    assert "z.npy: it holds several" in error(call("encode", run, "z.npy"))
    gc.collect()  # a file that was left open warns here, and a warning is an error
    (tmp_path / "empty.npy").write_bytes(b"")
    assert "Cannot read an array of numbers from empty.npy: " in error(call("encode", run, "empty.npy"))
    assert "No such file" in error(call("encode", run, "none.npy"))
    assert error(call("encode", run, "tset")).startswith("split is one of")
    (tmp_path / "pics").mkdir()
    assert "was trained on data that keras_vae has, and reads a .npy of its x. Given: pics." in error(
        call("encode", run, "pics")
    )
    (tmp_path / "pics").rmdir()
    assert sorted(os.listdir(tmp_path)) == ["empty.npy", "x.npy", "y.npy", "z.npy"], "nothing was executed or written"


def test_traverse(call, run, tmp_path):
    answer = document(call("traverse", run, "--steps", 4, "--span", 2, "--start", 9, "--json"))
    assert answer == {"file": "runs/toy/traversal.png", "shape": [3, 4, 28, 28, 1]}
    assert (tmp_path / "runs/toy/traversal.png").read_bytes().startswith(b"\x89PNG")
    assert "steps must be a whole number, 2 or more. Given: 1." in error(call("traverse", run, "--steps", 1))
    assert "span must be a positive number. Given: -1.0." in error(call("traverse", run, "--span", -1))
    assert "start must be the number of an image, 0 to 299" in error(call("traverse", run, "--start", 300))


@pytest.mark.parametrize(
    ("command", "output", "rule"),
    [("sample", "a.jpg", ".png or .npy"), ("sample", "a", ".png or .npy"), ("encode", "a.png", ".npy or .npz"),
     ("traverse", "a.npy", ".png")],
)  # fmt: skip
def test_the_kind_of_file_is_told_by_its_ending(call, run, tmp_path, command, output, rule):
    assert error(call(command, run, "--output", output)) == f"The output must end in {rule}. Given: {output}."
    assert os.listdir(tmp_path) == []


def test_a_file_does_not_take_the_place_of_a_folder(call, run, tmp_path):
    (tmp_path / "a.npy").mkdir()
    (tmp_path / "a.npy/precious").write_text("")
    assert "Cannot write a.npy: it is a folder" in error(call("sample", run, "--output", "a.npy", "--count", 2))
    assert os.listdir(tmp_path) == ["a.npy"] and os.listdir(tmp_path / "a.npy") == ["precious"]


# --- words that do not fit, and help ---

COMMANDS = {
    "list": ["PATTERN", "--json"],
    "show": ["NAME", "--json"],
    "train": ["NAME", "--output", "--overwrite", "--tensorboard", "--json", "recipe.toml", "resumes a run"],
    "sweep": ["STUDY", "--output", "--jobs", "--run", "--engine", "--overwrite", "--json", "grid", "seeds"],
    "evaluate": [
        "NAME",
        "--split",
        "--seed",
        "--samples",
        "--json",
        "nats",
        "--likelihood",
        "--latent",
        "--disentanglement",
        "--generation",
        "--representation",
        "--all",
    ],
    "verify": ["NAME", "--all", "--json", "exit status 1"],
    "sample": ["NAME", "--count", "--seed", "--label", "--prior", "mixture", "--output", "--json", ".npy"],
    "encode": ["NAME", "IMAGES", "--labels", "--output", "--json", ".npy"],
    "traverse": ["NAME", "--start", "--steps", "--span", "--output", "--json"],
    "interpolate": ["NAME", "--steps", "spherical", "posteriors"],
    "manifold": ["NAME", "--side", "--dimensions"],
    "embed": ["NAME", "tsne", "--count"],
    "impute": ["NAME", "--missing", "--steps"],
    "attribute": ["NAME", "--label", "--strength"],
    "classify": ["NAME", "--labels", "--epochs"],
    "compress": ["NAME", "bits", "--samples"],
    "anomaly": ["NAME", "--score", "--anomalies", "--leave-out", "--rate", "sprites"],
    "steps": ["NAME", "SERIES", "--samples", "--highest", "--output", "--json", ".npy"],
    "new": ["RECIPE", "--data", ".txt", "--overwrite"],
    "report": ["NAME", "--output", "--count"],
    "export": ["NAME", "OUTPUT", "--format", "--overwrite", "--json"],
    "check": ["BUNDLE", "--runtime", "--json"],
    "bench": ["BUNDLE", "--runtime", "--batch", "--threads", "--output", "--json"],
    "push": ["RUN", "ADDRESS", "--bundle", "--license", "--private", "--json", "HF_TOKEN"],
    "quickstart": ["--train", "--output", "--overwrite", "--json"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_the_arguments(call, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = call(command, "--help")
    assert code == 0 and err == ""
    for word in [f"keras-vae {command}", *COMMANDS[command]]:
        assert word.lower() in out.lower(), word


def test_help_of_the_program_names_every_command(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call("--help")
    assert code == 0 and all(command in out for command in COMMANDS)
    assert "keras-vae quickstart" in out and "--debug" in out


@pytest.mark.parametrize(
    "words",
    [["lst"], ["list", "--jsn"], ["show"], ["sample", "toy", "--count", "many"], ["traverse", "toy", "--span", "wide"],
     ["export", "toy", "out", "more"]],
)  # fmt: skip
def test_words_that_do_not_fit_exit_with_2(call, words):
    code, out, err = call(*words)
    assert code == 2 and out == "" and "Usage: keras-vae" in err and "Traceback" not in err


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(UserError, match="Unknown model 'nonsense'"):
        main(["show", "nonsense", "--debug"])


@pytest.mark.parametrize("command", ["show", "train", "evaluate", "verify", "sample", "encode", "traverse"])
def test_an_unknown_model(call, tmp_path, command):
    assert error(call(command, "beta_vae_minst")).startswith("Unknown model 'beta_vae_minst'. Did you mean 'beta_vae_m")
    assert os.listdir(tmp_path) == []


def test_a_missing_tensorflow_is_one_line_that_says_how_to_get_it(call, run, monkeypatch):

    monkeypatch.setitem(sys.modules, "tensorflow", None)
    message = error(call("sample", run))
    assert "needs the module tensorflow, which is not installed here" in message and "pip install keras-vae" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "RUN", "b", "--format", "tflite"], "Unknown export format 'tflite'"),
        (["export", "RUN", "b", "--opset", 99], "opset must lie from 13 to 21"),
        (["sample", "RUN", "--count", -3], "count must be a whole number, 0 or more"),
        (["evaluate", "RUN", "--samples", -4], "samples must be a whole number, 0 or more"),
        (["evaluate", "RUN", "--split", "tset"], "split is one of train"),
        (["new", "r.toml", "--data", "nothere"], "nothere does not exist. Correct the path."),
        (["train", "broken.toml"], "broken.toml"),
        (["train"], "train needs a model or a recipe: keras-vae train NAME. Or, of all: keras-vae train --all."),
        (["train", "RUN", "--jobs", 2], "--jobs is of --all. Given: 2 for RUN. Leave it out."),
        (["train", "--all", "--quick"], "--quick is of one training. Given: --all too. Leave it out."),
        (["train", "--all", "--jobs", 0], "jobs must be a whole number, 1 or more. Given: 0."),
        (["check", "RUN"], "Given: RUN, a model. Make one: keras-vae export RUN runs/export/toy; then give"),
        (["bench", "vae_mnist"], "Make one: keras-vae export vae_mnist runs/export/vae_mnist; then give"),
    ],
)
def test_mistakes_are_found_before_tensorflow_is_loaded(call, run, tmp_path, monkeypatch, words, message):
    monkeypatch.setitem(sys.modules, "keras_vae.backend", None)
    (tmp_path / "broken.toml").write_text("[model\n")
    words = [run if word == "RUN" else word for word in words]
    assert message.replace("RUN", str(run)) in error(call(*words))


def test_a_training_prints_bars_on_a_terminal_only(monkeypatch):
    from keras_vae.cli.output import verbosity

    assert (verbosity(True), verbosity(False)) == (0, 2)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert (verbosity(True), verbosity(False)) == (0, 1)


def test_libraries_that_write_to_standard_error_are_not_heard(capfd, monkeypatch):
    from keras_vae.benchmarking import doctor
    from keras_vae.cli import output

    with output.working("Checking", silent=True):
        os.write(2, b"I0000 Could not find cuda drivers\n")
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "heard again\n"
    of = {"processor": "", "processors": 1, "flags": [], "memory": 1.0}
    monkeypatch.setattr(doctor, "diagnose", lambda: os.write(2, b"noise\n") and {"machine": of, "problems": []})
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    assert capfd.readouterr().err == ""
