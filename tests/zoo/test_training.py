"""zoo.train: what is refused before anything is written, what is not done twice, what a diverged run leaves."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_vae import weights, zoo
from keras_vae.data import sources
from keras_vae.errors import DivergedError, UserError
from keras_vae.zoo import checkpoints, examples, fitting, loading, optimizers, recipes
from tests import toy_runs

# (what is changed in a good recipe, what the message says)
REFUSED = {
    "model class": ({"model.class": "BetaVEA"}, r"Unknown model class 'BetaVEA'\. Did you mean 'BetaVAE'"),
    "not a model": ({"model.class": "os.system"}, r"Unknown model class 'os\.system'\. Known: AAE, .*BetaVAE"),
    "model argument": ({"model.latent_din": 3}, r"BetaVAE has no argument 'latent_din'\. Did you mean 'latent_dim'"),
    "image shape": ({"model.image_shape": 28}, r"image_shape is \(height, width, channels\)\. Given: 28\."),
    "other images": ({"model.image_shape": [28, 28, 3]}, r"must have shape \(batch, 28, 28, 3\)\. Given: .*28, 28, 1"),
    "latent size": ({"model.latent_dim": 2.5}, r"latent_dim must be a whole number, 1 or more\. Given: 2\.5\."),
    "network": ({"model.encoder": "mpl"}, r"Unknown encoder 'mpl'\. Did you mean 'mlp'\?"),
    "network argument": ({"model.decoder.hiden": [4]}, r"decoder 'mlp' has no argument 'hiden'\. Did you mean 'hidd"),
    "network size": ({"model.encoder.hidden": 16}, r"hidden sizes of an MLP are positive integers\. Given: 16\."),
    "activation": ({"model.encoder.activation": "rleu"}, r"Unknown activation 'rleu'\. Did you mean 'relu'"),
    "what Keras refuses": ({"model.encoder.activity_regularizer": "l3"}, r"BetaVAE do not fit: .* identifier: l3\.$"),
    "likelihood": ({"model.likelihood": "bernouli"}, r"Unknown likelihood 'bernouli'\. Did you mean 'bernoulli'"),
    "scale": ({"model.likelihood": {"name": "gaussian", "scale": -1.0}}, r"positive number, .* Given: -1\.0\."),
    "schedule": ({"model.beta": {"name": "sigmod"}}, r"Unknown schedule 'sigmod'\. Did you mean 'sigmoid'\?"),
    "schedule argument": ({"model.beta": {"name": "linear", "step": 3}}, r"'linear' has no argument 'step'.*'steps'"),
    "negative beta": ({"model.beta": -1}, r"beta must be a finite number, 0 or more\. Given: -1\."),
    "free bits": ({"model.free_bits": -0.5}, r"free_bits is a number of nats, 0 or more\. Given: -0\.5\."),
    "optimizer": ({"training.optimizer": "adma"}, r"Unknown optimizer 'adma'\. Did you mean .*'adam'"),
    "optimizer of nothing": ({"training.optimizer": {}}, r"a table of 'name' and arguments\. Given: \{\}"),
    "optimizer argument": ({"training.optimizer.learning_rat": 1}, r"no argument 'learning_rat'.*'learning_rate'\?"),
    "learning rate": ({"training.optimizer.learning_rate": "x"}, r"argument learning_rate must be a number\. Given: "),
    "negative rate": ({"training.optimizer.learning_rate": -1}, r"learning_rate must be a positive number\. Given: -1"),
    "schedule of the rate": (
        {"training.optimizer.learning_rate": {"name": "CosinDecay", "initial_learning_rate": 0.1}},
        r"Unknown learning rate schedule 'CosinDecay'\. Did you mean 'CosineDecay'",
    ),
    "argument of the rate": (
        {"training.optimizer.learning_rate": {"name": "CosineDecay", "initial_rate": 0.1}},
        r"schedule 'CosineDecay' has no argument 'initial_rate'",
    ),
    "word in the rate": (
        {"training.optimizer.learning_rate": {"name": "CosineDecay", "initial_learning_rate": "x"}},
        r"The schedule's argument initial_learning_rate must be a number",
    ),
    "patience": ({"training.patience": 0}, r"training\.patience must be 1 or more\. Given: 0\."),
    "patience of stages": ({"training.patience": 1, "training.grow": [1]}, r"one stage\. Given: grow too\. Leave one"),
    "player": ({"training.optimizer": {"critic": "adam"}}, r"one optimizer for each of \['model'\]\. Given: \['crit"),
    "dataset": ({"data.name": "mnits"}, r"Unknown dataset 'mnits'\. Did you mean 'mnist'"),
    "grey digits": ({"data.binarize": toy_runs.REMOVED}, r"Bernoulli likelihood is .* Given: grey.*Binarise them"),
    "batch": ({"training.batch_size": 5000}, r"one full batch: 5000 examples\. Given: 1000\. Lower batch_size"),
    "training split": ({"data.train": "trian"}, r"split is one of .* Given: 'trian'\."),
    "validation split": ({"data.validation": "validation[:0]"}, r"'validation\[:0\]' of 'mnist' holds no examples"),
    "evaluation split": ({"evaluation.split": "tset"}, r"split is one of .* Given: 'tset'\."),
    "sequences of images": ({**toy_runs.WORDS, "data.name": "mnist"}, r"must .*batch, 16.* Given: float32 of shape"),
    "binary letters": ({**toy_runs.WORDS, "data.binarize": "dynamic"}, r"are for grey levels\. Given: tokens"),
    "prior": ({"prior.class": "MixtruePrior"}, r"Unknown prior class 'MixtruePrior'\. Did you mean 'MixturePrior'"),
    "prior's argument": ({"prior": {"class": "FlowPrior", "dept": 1}}, r"FlowPrior has no argument 'dept'\."),
    "prior of other codes": ({"prior.class": "AutoregressivePrior"}, r"codes that are an array of integers\. Given: "),
    "prior of more components": ({"prior": {"class": "MixturePrior", "components": 1001}}, r"needs 1001 codes or more"),
    "prior of larger batches": ({"prior": {"class": "FlowPrior", "batch_size": 1001}}, r"1001 codes .* Given: 1000\."),
    "one example": ({"evaluation.split": "test[:1]"}, r"measured on two examples or more.*'test\[:1\]', with 1\."),
    **{
        f"{key} of {value}": ({f"training.optimizer.{key}": value}, rf"argument {key} must be a.* Given: {value}\.")
        for key, value in [
            ("learning_rate", -0.001), ("learning_rate", 0), ("learning_rate", True), ("beta_1", 1.0), ("beta_2", -0.1),
            ("epsilon", -1), ("weight_decay", -0.1), ("clipnorm", 0), ("ema_momentum", 1.5),
        ]
    },
    "a schedule's rate": (
        {"training.optimizer.learning_rate": {"name": "CosineDecay", "initial_learning_rate": -1.0}},
        r"schedule's argument initial_learning_rate must be a positive number\. Given: -1\.0\.",
    ),
    "unknown key": ({"training.epoch": 3}, r"unknown key training\.epoch\. Did you mean 'epochs'\?"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_recipe_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch, what):
    """From Python, and from the command line in one line, with exit status 1."""
    from keras_vae.cli import main

    changes, message = REFUSED[what]
    recipe = toy_runs.write_recipe(tmp_path / "toy.toml", changes)
    with pytest.raises(UserError, match=message) as caught:
        zoo.train(recipe, tmp_path / "out", verbose=0)
    assert os.listdir(tmp_path) == ["toy.toml"]
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["train", str(recipe), "--output", "out"])
    assert left.value.code == 1
    printed = capsys.readouterr()
    assert printed.err == f"Error: {' '.join(str(caught.value).split())}\n"
    assert printed.out == ""
    assert os.listdir(tmp_path) == ["toy.toml"]


def test_overwrite_does_not_delete_a_run_for_a_recipe_that_is_refused(own_run):
    recipe = toy_runs.write_recipe(own_run.parent / "bad.toml", {"model.encoder": "mpl"})
    before = {name: (own_run / name).read_bytes() for name in os.listdir(own_run)}
    with pytest.raises(UserError, match="Unknown encoder"):
        zoo.train(recipe, own_run, overwrite=True, verbose=0)
    assert {name: (own_run / name).read_bytes() for name in os.listdir(own_run)} == before


def test_a_finished_run_is_not_repeated(own_run, monkeypatch):
    monkeypatch.setattr(fitting, "fit", lambda *_: pytest.fail("trained again"))
    before = {name: (own_run / name).stat().st_mtime_ns for name in os.listdir(own_run)}
    model = zoo.train(own_run / "recipe.toml", own_run)
    assert {name: (own_run / name).stat().st_mtime_ns for name in os.listdir(own_run)} == before
    assert int(model.step.numpy()) == 20, "the trained model: 2 epochs of 10 steps"


@pytest.mark.slow
def test_another_recipe_is_refused_and_overwrite_starts_anew(own_run):
    other = toy_runs.write_recipe(own_run.parent / "other.toml", {"training.epochs": 1, "training.seed": 1})
    before = (own_run / "checkpoint.safetensors").read_bytes()
    with pytest.raises(
        UserError,
        match=r"toy holds a run of another recipe: training\.epochs is 1, and was 2\. Choose another .*--overwrite",
    ):
        zoo.train(other, own_run, verbose=0)
    assert (own_run / "checkpoint.safetensors").read_bytes() == before
    model = zoo.train(other, own_run, overwrite=True, verbose=0)
    assert int(model.step.numpy()) == 10, "from the first step, not on from the other recipe's checkpoint"
    assert (own_run / "recipe.toml").read_text() == other.read_text()
    assert sorted(os.listdir(own_run)) == toy_runs.FILES
    assert zoo.card(own_run).results["training"]["epochs"] == 1


@pytest.mark.slow  # of a lock in general: tests/test_locks.py
def test_a_second_training_into_a_folder_is_refused(tmp_path, monkeypatch):
    """Real processes: the first ends as if it had been alone, and leaves no lock."""
    recipe = toy_runs.write_recipe(tmp_path / "toy.toml", {"training.epochs": 1})
    script = (
        "import keras_vae.zoo.fitting as fitting; from keras_vae import zoo; fit = fitting.fit; "
        "fitting.fit = lambda *words: (print('trains', flush=True), input(), fit(*words))[-1]; "
        "zoo.train('toy.toml', 'out', verbose=0)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env=toy_runs.environment(), text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdout.readline() == "trains\n"
    for overwrite in (False, True):
        with pytest.raises(UserError, match=rf"^Another process trains here \(pid {first.pid} on .*\)\. Given: .*out/"):
            zoo.train(recipe, tmp_path / "out", overwrite=overwrite, verbose=0)
    first.communicate("\n", timeout=300)
    assert first.returncode == 0 and sorted(os.listdir(tmp_path / "out")) == toy_runs.FILES
    assert sorted(os.listdir(tmp_path)) == ["out", "toy.toml"]


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    recipe = toy_runs.write_recipe(tmp_path / "toy.toml")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("precious")
    with pytest.raises(UserError, match=r"with recipe\.toml in it\)\. Given: .*thesis, which has other contents"):
        zoo.train(recipe, tmp_path / "thesis", verbose=0)
    with pytest.raises(UserError, match=r"The output must be a folder\. Given: .*chapter\.tex, which is a file"):
        zoo.train(recipe, tmp_path / "thesis/chapter.tex", verbose=0)
    assert os.listdir(tmp_path / "thesis") == ["chapter.tex"]


@pytest.mark.parametrize(
    ("given", "folder"),
    [("digits.toml", "runs/digits"), ("mine/recipe.toml", "runs/mine"), ("mine", "runs/mine"), ("mine/", "runs/mine")],
)
def test_the_default_folder_is_runs_and_the_name(tmp_path, monkeypatch, given, folder):
    monkeypatch.chdir(tmp_path)
    toy_runs.write_recipe(tmp_path / (given if given.endswith(".toml") else "mine/recipe.toml"))
    seen = []
    monkeypatch.setattr(fitting, "fit", lambda where, *_: seen.append(where) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        zoo.train(given)
    assert (str(seen[0].folder), seen[0].name) == (folder, folder.split("/")[1])


def test_training_the_recipe_of_the_folder_we_are_in(tmp_path, monkeypatch):
    toy_runs.write_recipe(tmp_path / "here/recipe.toml")
    monkeypatch.chdir(tmp_path / "here")
    seen = []
    monkeypatch.setattr(fitting, "fit", lambda where, *_: seen.append(where) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        zoo.train(".")
    assert str(seen[0].folder) == "runs/here"


@pytest.mark.slow
def test_training_into_the_zoo_lists_the_model_and_leaves_no_checkpoint(own_zoo, run, monkeypatch):
    recipe = toy_runs.write_recipe(own_zoo.parent / "toy.toml", {"training.epochs": 1})
    model = zoo.train(recipe, own_zoo / "toy_mnist", verbose=0)
    assert model.provenance.name == "toy_mnist"
    assert zoo.names() == ["toy_mnist"]
    assert sorted(os.listdir(own_zoo / "toy_mnist")) == [
        name for name in toy_runs.FILES if name != "checkpoint.safetensors"
    ]
    assert zoo.card("toy_mnist").results["name"] == "toy_mnist"
    monkeypatch.setattr(fitting, "fit", lambda *_: pytest.fail("trained again"))
    zoo.train("toy_mnist", own_zoo / "toy_mnist")


def test_a_run_named_like_a_zoo_model_is_the_run(own_run, own_zoo, monkeypatch):
    """A Path is a folder, even where the zoo has that name."""
    toy_runs.write_recipe(own_zoo / "toy/recipe.toml", {"summary": "The zoo's."})
    monkeypatch.chdir(own_run.parent)
    model = zoo.train("toy/recipe.toml", "toy")
    assert model.provenance.folder.resolve() == own_run.resolve()
    assert zoo.card("toy").recipe.summary == "The zoo's."


def test_diverged_in_the_first_epoch(tmp_path):
    """A learning rate that no weight survives: step 0 has a loss, what it made of the weights has none."""
    changes = {"training.optimizer": {"name": "sgd", "learning_rate": 1e30}}
    recipe = toy_runs.write_recipe(tmp_path / "toy.toml", changes)
    with pytest.raises(
        DivergedError, match=r"the loss of 'model' is not finite at step 1\. Lower the learning"
    ) as caught:
        zoo.train(recipe, tmp_path / "out", verbose=0)
    assert str(caught.value).endswith("The last good checkpoint: none was written yet.")
    assert os.listdir(tmp_path / "out") == ["recipe.toml"]


@pytest.mark.slow
def test_diverged_after_good_epochs(tmp_path, monkeypatch):
    """Two good epochs, then the learning rate is set to what no loss survives."""
    recipe = toy_runs.write_recipe(
        tmp_path / "toy.toml", {"training.epochs": 9, "training.optimizer": {"name": "sgd", "learning_rate": 1e-3}}
    )
    original = checkpoints.SaveProgress.on_epoch_end

    def then_explode(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            self.model.optimizer.learning_rate.assign(1e30)

    monkeypatch.setattr(checkpoints.SaveProgress, "on_epoch_end", then_explode)
    with pytest.raises(DivergedError, match=r"the loss of 'model' is not finite at step 2\d\. ") as caught:
        zoo.train(recipe, tmp_path / "out", verbose=0)
    assert str(caught.value).endswith("checkpoint.safetensors, after 2 epochs.")
    checkpoint = tmp_path / "out/checkpoint.safetensors"
    finite_after(checkpoint, str(caught.value))
    assert sorted(os.listdir(tmp_path / "out")) == [checkpoints.PREVIOUS, checkpoints.NAME, "recipe.toml"]
    model = loading.build(recipes.read(recipe))
    model.compile(keras.optimizers.SGD(), jit_compile=False)
    kept = checkpoints.read(checkpoint, recipes.read(recipe).content)
    kept.restore(model)
    assert kept.progress.epochs == 2
    assert int(model.step.numpy()) == 20


def test_a_held_out_number_that_is_not_finite_is_no_good_checkpoint(tmp_path):
    """JSON has no NaN either: results.json could not be written, after all the epochs."""
    save = checkpoints.SaveProgress(tmp_path, {}, lambda: 0.0)
    with pytest.raises(DivergedError, match=r"val_loss is nan after epoch 3\."):
        save.on_epoch_end(2, {"loss": 1.0, "val_loss": float("nan")})
    assert os.listdir(tmp_path) == []


def finite_after(checkpoint, message):
    assert str(checkpoint) in message
    arrays, about = weights.read(checkpoint, None, "", sealed=True)
    assert arrays and all(np.isfinite(array).all() for array in arrays.values())
    assert np.isfinite(about["history"]["loss"]).all()


def test_an_optimizer_for_each_player():
    made = optimizers.from_spec({"model": "adam", "critic": {"name": "SGD", "learning_rate": 0.5}})
    assert isinstance(made["model"], keras.optimizers.Adam) and isinstance(made["critic"], keras.optimizers.SGD)
    assert float(made["critic"].learning_rate.numpy()) == 0.5


def test_every_optimizer_of_keras_that_stands_alone_can_be_named():
    for name in ("Adam", "adamw", "SGD", "rmsprop", "nadam", "Lion", "adagrad", "adadelta", "adafactor", "ftrl"):
        assert type(optimizers.from_spec(name)).__name__.lower() == name.lower()


def test_each_split_is_read_once_for_all_that_is_measured_and_shown(tmp_path, monkeypatch):
    """Metrics, pictures and texts are of the same held-out examples; a prior's codes are of the training ones."""
    splits, read = [], examples.read

    def counted(source, split, *rest, **options):
        splits.append(split)
        return read(source, split, *rest, **options)

    monkeypatch.setattr(examples, "read", counted)
    changes = {"training.epochs": 1, "prior": {"class": "MixturePrior", "components": 2}}
    zoo.train(toy_runs.write_recipe(tmp_path / "toy.toml", changes), tmp_path / "out", verbose=0)
    assert sorted(splits) == ["test[:300]", "train[:1000]"]


def test_what_training_dequantises_is_measured_so(tmp_path):
    """Pixels with the noise of training, drawn once: the card's nats are of the density that was trained."""
    changes = {
        "data.binarize": toy_runs.REMOVED,
        "data.dequantize": True,
        "model.likelihood": {"name": "gaussian", "scale": "global", "minimum_scale": 0.001},
        "model.beta": 1.0,
        "data.validation": "validation[:2000]",
        "evaluation": {"split": "validation[:2000]", "samples": 8, "overview": ["likelihood.bits_per_dim"]},
    }
    zoo.train(toy_runs.write_recipe(tmp_path / "toy.toml", changes), tmp_path / "toy", verbose=0)
    card = zoo.card(tmp_path / "toy")
    x, grey = examples.examples_of(card.recipe).images, sources.read("mnist", "validation[:2000]").images
    noise = 256.0 * x - grey
    assert noise.min() >= 0.0 and noise.max() <= 1.0 + 1e-4 and noise.mean() == pytest.approx(0.5, abs=2e-3)
    results = card.results
    assert results["evaluation"]["dequantize"] is True and results["evaluation"]["binarize"] is None
    assert "2,000 images of the split `validation[:2000]`, pixels dequantised once" in card.markdown()
    elbo, bits = results["metrics"]["elbo"], results["overview"]["likelihood"]["bits_per_dim"]
    trained = results["training"]["history"]["val_elbo"][-1]  # of other noise, and weights of float32
    assert elbo["value"] == pytest.approx(trained, abs=max(1.0, 4 * elbo["standard_error"]))
    log_prob = np.load(tmp_path / "toy" / "log_prob.npy")[: bits["examples"]].mean()
    assert bits["value"] == pytest.approx(8.0 - log_prob / (784 * np.log(2)), rel=1e-5)
