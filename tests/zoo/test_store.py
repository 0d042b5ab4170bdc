"""Finding entries, and what spoiled files get: a message with the file, both hashes and the command that repairs it."""

import json
import pickle
import shlex
import subprocess

import numpy as np
import pytest

from keras_vae import zoo
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.files import sha256
from keras_vae.models import VAE
from keras_vae.zoo import examples, recipes, store
from keras_vae.zoo.examples import read
from tests import toy_runs


def entries(own_zoo, *names):
    for name in names:
        toy_runs.write_recipe(own_zoo / name / "recipe.toml", {"summary": f"This is {name}."})


def test_names_are_sorted_and_globs_choose(own_zoo):
    entries(own_zoo, "vae_mnist", "beta_vae_mnist", "beta_vae_cifar")
    (own_zoo / "notes").mkdir()
    (own_zoo / "README.md").write_text("not an entry")
    assert zoo.names() == ["beta_vae_cifar", "beta_vae_mnist", "vae_mnist"]
    assert zoo.names("*mnist*") == ["beta_vae_mnist", "vae_mnist"]
    assert zoo.names("beta_vae_[cm]*") == ["beta_vae_cifar", "beta_vae_mnist"]
    assert zoo.names("BETA*") == []


@pytest.mark.parametrize("function", [zoo.card, zoo.load, zoo.train, zoo.verify])
def test_an_unknown_name_is_refused_with_the_nearest(own_zoo, function):
    entries(own_zoo, "beta_vae_mnist", "vae_mnist")
    with pytest.raises(UserError, match=r"^Unknown model 'beta_vae_minst'\. Did you mean 'beta_vae_mnist'.*vae list"):
        function("beta_vae_minst")
    with pytest.raises(UserError, match=r"^Unknown model 'xyz'\. It is neither in the zoo"):
        function("xyz")


def test_a_card_before_training(own_zoo):
    entries(own_zoo, "toy")
    card = zoo.card("toy")
    assert (card.name, card.recipe.summary, card.results) == ("toy", "This is toy.", {})
    assert "This is toy." in card.markdown() and "## Measured" not in card.markdown()
    with pytest.raises(
        CorruptFileError, match=r"toy is not trained to its end: .*results\.json is missing\. To repair"
    ):
        zoo.load("toy")
    assert zoo.load("toy", weights=False).latent_dim == 3


def test_what_needs_no_tensorflow_imports_none(own_zoo):
    """In processes of their own; TensorFlow takes seconds, and may not be installed."""
    look = "; import sys; bad = {'tensorflow', 'keras', 'h5py', 'matplotlib'} & set(sys.modules); assert not bad, bad"
    script = "from keras_vae import zoo; [zoo.card(name).markdown() for name in zoo.names()]; dir(zoo)" + look
    done = toy_runs.python(["-c", script], own_zoo)
    assert done.returncode == 0, done.stderr
    for words in (["list"], ["list", "--json"], ["show", "beta_vae_mnist"], ["show", "beta_vae_mnist", "--json"]):
        script = f"from keras_vae.cli import app; app({words!r}, standalone_mode=False)" + look
        done = toy_runs.python(["-c", script], own_zoo)
        assert done.returncode == 0, done.stderr
        assert "beta_vae_mnist" in done.stdout


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


SPOILED = {
    "a flipped bit": flipped,
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_weights_are_refused_with_both_hashes(own_run, how):
    path = own_run / "model.safetensors"
    expected, size = sha256(path), path.stat().st_size
    SPOILED[how](path)
    with pytest.raises(CorruptFileError) as caught:
        zoo.load(own_run)
    message = str(caught.value)
    actual = sha256(path) if path.exists() else "missing"
    assert f"The weights {path} are not those of the card: expected sha256 {expected}, actual {actual}" in message
    if path.exists():
        assert f", {path.stat().st_size} of {size} bytes. " in message
    command = f"keras-vae train {own_run}/recipe.toml --output {own_run} --overwrite"
    assert message.endswith(f"To repair it: {command}")
    assert zoo.load(own_run, weights=False).latent_dim == 3, "the untrained model needs no weights"


def stopped_after_training(run):
    """A run that was stopped between its last epoch and its results: the checkpoint has all that was learned."""
    (run / "results.json").unlink()
    assert (run / "checkpoint.safetensors").is_file()
    with pytest.raises(CorruptFileError) as caught:
        zoo.load(run)
    return str(caught.value)


def test_a_run_without_results_is_finished_and_not_overwritten(own_run):
    message = stopped_after_training(own_run)
    assert message == (
        f"toy is not trained to its end: {own_run}/results.json is missing. To finish it: keras-vae train "
        f"{own_run}/recipe.toml --output {own_run}"
    )


@pytest.mark.slow
def test_finishing_a_run_keeps_its_weights(own_run, monkeypatch, capsys):
    """The very words of the message: nothing is trained again."""
    from keras_vae.cli import main

    expected = zoo.load(own_run).get_weights()
    words = shlex.split(stopped_after_training(own_run).split("To finish it: keras-vae ")[1])
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0, capsys.readouterr().err
    for weight, before in zip(zoo.load(own_run).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, before)


@pytest.mark.slow
def test_the_repair_of_a_run_repairs_it(own_run, monkeypatch, capsys):
    """The very words of the message, given to the command line; the folder's name has a space in it."""
    from keras_vae.cli import main

    folder = own_run.rename(own_run.with_name("my toy"))
    (folder / "model.safetensors").unlink()
    with pytest.raises(CorruptFileError) as caught:
        zoo.load(folder)
    program, *words = shlex.split(str(caught.value).split("To repair it: ")[1])
    assert program == "keras-vae"
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0, capsys.readouterr().err
    assert zoo.load(folder).latent_dim == 3


def test_the_repair_in_a_checkout_is_git(own_run, own_zoo, monkeypatch):
    """Tried in a real repository; a relative path to the folder gets the same words as the name."""
    folder = toy_runs.copy_of(own_run, own_zoo / "toy")

    def git(*words):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *identity, *words], cwd=own_zoo.parent, check=True, capture_output=True)

    git("init", "-q")
    git("add", "zoo")
    git("commit", "-q", "-m", "zoo")
    monkeypatch.chdir(own_zoo.parent)
    for name in ("toy", "zoo/toy", folder):
        flipped(folder / "model.safetensors")
        with pytest.raises(CorruptFileError, match=r"To repair it: git checkout -- zoo/toy$") as caught:
            zoo.load(name)
        git(*shlex.split(str(caught.value).split("To repair it: git ")[1]))
        assert zoo.load(name).latent_dim == 3


def test_the_repair_of_a_wheel_is_pip(own_run, monkeypatch, tmp_path):
    packaged = tmp_path / "site-packages/keras_vae/_zoo"
    monkeypatch.setattr(store, "root", lambda: packaged)
    toy_runs.copy_of(own_run, packaged / "toy")
    (packaged / "toy/model.safetensors").write_bytes(b"spoilt")
    with pytest.raises(CorruptFileError, match=r"To repair it: pip install --force-reinstall --no-deps keras_vae$"):
        zoo.load("toy")


@pytest.mark.parametrize("content", ["{", "[]", "3", '{"weights": {}}', "\x00"])
def test_results_that_are_not_what_training_wrote(own_run, content):
    (own_run / "results.json").write_text(content)
    for function in (zoo.card, zoo.load, zoo.verify):
        with pytest.raises(CorruptFileError, match=r"results\.json is not the JSON that training wrote: .*pair it: k"):
            function(own_run)
    (own_run / "results.json").write_bytes(b"\xff")
    with pytest.raises(CorruptFileError, match=r"results\.json is not the JSON that training wrote: .*utf-8"):
        zoo.card(own_run)


@pytest.mark.parametrize("what", ["pickle", "text", "another model"])
def test_weights_of_the_right_hash_that_are_no_weights(own_run, what):
    """Somebody who can write results.json too: nothing is unpickled, and the message is the same kind."""

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    path = own_run / "model.safetensors"
    if what == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif what == "text":
        path.write_text("weights")
    else:
        recipe = toy_runs.recipe_text({"model.latent_dim": 2})
        (own_run / "recipe.toml").write_text(recipe)
    toy_runs.edit_results(own_run, lambda results: results["weights"].update(sha256=sha256(path)))
    with pytest.raises(CorruptFileError, match=r"model\.safetensors does not hold .*weights.*: .*To rep"):
        zoo.load(own_run)


SYSTEM = {"class_name": "system", "module": "os", "config": {"command": "touch executed"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.class": "keras.Model"}, "Unknown model class 'keras.Model'"),
        ({"model.class": "system"}, "Unknown model class 'system'"),
        ({"model.encoder": SYSTEM}, "a recipe is data"),
        ({"model.encoder.activation": SYSTEM}, "a recipe is data"),
        ({"model.beta": {**SYSTEM, "name": "sigmoid"}}, "a recipe is data"),
        ({"model.decoder": {"name": "lambda"}}, "Unknown decoder 'lambda'"),
        ({"model.likelihood": "os>system"}, "Unknown likelihood 'os>system'"),
    ],
)
def test_loading_runs_no_code(own_run, change, message, monkeypatch):
    """A recipe of a stranger names classes, modules and functions that are not ours."""
    monkeypatch.chdir(own_run)
    (own_run / "recipe.toml").write_text(toy_runs.recipe_text(change))
    with pytest.raises(UserError, match=message):
        zoo.load(own_run)
    assert not (own_run / "executed").exists()


def test_a_loaded_model_is_the_one_that_was_measured(run):
    model = zoo.load(run)
    assert (model.provenance.name, model.provenance.folder) == ("toy", run)
    assert int(model.step.numpy()) == 20
    assert model.dtype_policy.name == "float32"
    results = json.loads((run / "results.json").read_text())
    assert results["weights"]["sha256"] == sha256(run / "model.safetensors")
    assert results["weights"]["bytes"] == (run / "model.safetensors").stat().st_size


def test_the_examples_of_a_recipe_are_read_when_they_are_asked_for(run, monkeypatch):
    reads = []
    monkeypatch.setattr(examples, "read", lambda *a, **k: reads.append(a) or read(*a, **k))
    model = zoo.load(run)
    assert reads == []
    real = model.provenance.examples()
    assert len(reads) == 1
    np.testing.assert_array_equal(real.x, examples.examples_of(recipes.read(run / "recipe.toml")).images)
    assert real.condition is None and real.labels.shape == real.x.shape[:1]
    assert real.licence == "CC-BY-SA-3.0" and "mnist" in real.origin


def test_a_model_that_is_not_of_the_zoo_has_no_provenance(run):
    assert zoo.load(run, weights=False).provenance.weights_sha256 is None
    assert VAE(image_shape=(4, 4, 1), encoder={"name": "mlp"}, decoder={"name": "mlp"}).provenance is None


def test_names_in_another_order_and_of_some_only():
    """NLL ascends, of binarised pixels and then of others; models without one come last.

    Filters are those of recipe and card.
    """
    ordered = zoo.names(sort="nll")
    assert sorted(ordered) == zoo.names()
    cards = [zoo.card(name) for name in ordered]
    values = [card.results["metrics"].get("log_prob", {"value": -np.inf})["value"] for card in cards]
    measured = len(values) - values.count(-np.inf)
    binary = sum(card.recipe.data.binarize is not None for card in cards[:measured])
    assert 0 < binary < measured < len(values)
    assert all(card.recipe.data.binarize for card in cards[:binary])
    for part in (values[:binary], values[binary:measured]):
        assert part == sorted(part, reverse=True) and -np.inf not in part
    some = zoo.names(data="mnist", max_parameters=1e6)
    assert 0 < len(some) < len(zoo.names())
    for name in zoo.names():
        card = zoo.card(name)
        fits = card.recipe.data.name == "mnist" and card.results["weights"]["parameters"] <= 1e6
        assert (name in some) == fits
    sizes = [zoo.card(name).results["weights"]["parameters"] for name in zoo.names(sort="parameters")]
    assert sizes == sorted(sizes)
    with pytest.raises(UserError, match=r"Unknown order 'nlll'\. Did you mean 'nll'"):
        zoo.names(sort="nlll")
