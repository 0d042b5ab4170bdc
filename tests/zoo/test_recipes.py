"""recipe.toml: what is read, and what is refused in words that say how to mend it. No TensorFlow is needed here."""

import json
import os

import pytest

from keras_vae.errors import UserError
from keras_vae.zoo import recipes
from tests.toy_runs import REMOVED, recipe_text, write_recipe

PUBLISHED = {"metric": "elbo", "value": -84, "source": "A paper", "url": "https://example.org"}


def refused(tmp_path, changes, match):
    with pytest.raises(UserError, match=match) as caught:
        recipes.read(write_recipe(tmp_path / "r.toml", changes))
    assert "r.toml" in str(caught.value), "the message names the file"


def test_a_full_recipe(tmp_path):
    changes = {
        "data.dequantize": False, "training.seed": 7, "training.precision": "mixed_bfloat16", "evaluation.seed": 3,
        **{f"published.{key}": value for key, value in PUBLISHED.items()}, "published.differences": "None.",
    }  # fmt: skip
    recipe = recipes.read(write_recipe(tmp_path / "r.toml", changes))
    assert recipe.summary == "A toy that learns little."
    assert recipe.model.class_name == "BetaVAE"
    assert recipe.model.arguments == {
        "image_shape": [28, 28, 1], "latent_dim": 3, "encoder": {"name": "mlp", "hidden": [16]},
        "decoder": {"name": "mlp", "hidden": [16]},
        "beta": {"name": "sigmoid", "final": 4.0, "threshold": 20, "rate": 5},
    }  # fmt: skip
    assert recipe.data == recipes.DataSection("mnist", "train[:1000]", "validation[:200]", "dynamic", False)
    assert recipe.training == recipes.TrainingSection(
        2, 100, {"name": "adam", "learning_rate": 0.003}, 7, "mixed_bfloat16", False, 4
    )
    assert recipe.evaluation == recipes.EvaluationSection("test[:300]", 3, 8, overview=False)
    assert recipe.published == recipes.PublishedSection("elbo", -84, "A paper", "https://example.org", "None.")
    assert recipe.text == recipe_text(changes), "the text is the file, word for word"


def test_the_least_recipe(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('summary = "s"\n[model]\nclass = "VAE"\n[data]\nname = "mnist"\n[training]\nepochs = 1\n')
    recipe = recipes.read(path)
    assert recipe.model == recipes.ClassSection("VAE", {})
    assert recipe.data == recipes.DataSection("mnist", "train", "validation", None, False)
    assert recipe.training == recipes.TrainingSection(1, 128, "adam", 0, "float32", "auto", 32)
    assert recipe.evaluation == recipes.EvaluationSection("test", 0, 200)
    assert recipe.published is None and recipe.prior is None


def test_the_overview_is_all_metrics_none_or_a_list(tmp_path):
    for overview in (True, False, [], ["disentanglement", "latent.collapse"]):
        read = recipes.read(write_recipe(tmp_path / "r.toml", {"evaluation.overview": overview}))
        assert read.evaluation.overview == overview
    message = "evaluation.overview must be true or false or a list of strings. Given: "
    refused(tmp_path, {"evaluation.overview": [1]}, message)
    refused(tmp_path, {"evaluation.overview": "latent"}, message)
    refused(tmp_path, {"training.grow": ["a"]}, "training.grow must be a list of whole numbers. Given")


def test_a_prior_to_be_fitted(tmp_path):
    read = recipes.read(write_recipe(tmp_path / "r.toml", {"prior.class": "AutoregressivePrior", "prior.blocks": 3}))
    assert read.prior == recipes.ClassSection("AutoregressivePrior", {"blocks": 3})
    refused(tmp_path, {"prior.blocks": 3}, r"the key prior\.class is missing")
    refused(tmp_path, {"prior.class": "FlowPrior", "prior.seed": 3}, r"write training\.seed, not prior\.seed")


@pytest.mark.parametrize(
    ("key", "near"),
    [("sumary", "summary"), ("modl", "model"), ("data.binarise", "binarize"), ("training.epoch", "epochs"),
     ("training.learning_rate", ""), ("evaluation.sample", "samples"), ("published.sourze", "source")],
)  # fmt: skip
def test_an_unknown_key_is_named_with_the_nearest(tmp_path, key, near):
    changes = {f"published.{name}": value for name, value in PUBLISHED.items()} if "published" in key else {}
    hint = rf" Did you mean .*'{near}'.*\?" if near else ""
    refused(tmp_path, {**changes, key: 1}, rf"unknown key {key}\.{hint} Known here: \w+, ")


@pytest.mark.parametrize("key", ["summary", "model", "data", "training", "model.class", "data.name", "training.epochs"])
def test_a_missing_key_is_named(tmp_path, key):
    refused(tmp_path, {key: REMOVED}, rf"the key {key} is missing\. Required here: .*{key.split('.')[-1]}")


@pytest.mark.parametrize("key", sorted(PUBLISHED))
def test_a_published_number_has_a_source(tmp_path, key):
    given = {f"published.{name}": value for name, value in PUBLISHED.items() if name != key}
    refused(tmp_path, given, rf"the key published\.{key} is missing")


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("summary", 3, "a string"), ("model", 3, "a table"), ("data", "mnist", "a table"), ("training", [1], "a table"),
        ("evaluation", True, "a table"), ("model.class", 3, "a string"), ("data.name", ["mnist"], "a string"),
        ("data.train", 0, "a string"), ("data.validation", False, "a string"), ("data.binarize", True, "a string"),
        ("data.labelled", "100", "a whole number"),
        ("data.dequantize", "yes", "true or false"), ("data.dequantize", 1, "true or false"),
        ("training.epochs", 1.5, "a whole number"), ("training.epochs", True, "a whole number"),
        ("training.epochs", "2", "a whole number"), ("training.batch_size", 1e2, "a whole number"),
        ("training.optimizer", 0.1, "a string or a table"), ("training.seed", "0", "a whole number"),
        ("training.precision", 32, "a string"), ("training.jit_compile", 0, "true or false or a string"),
        ("training.steps_per_execution", "8", "a whole number"), ("evaluation.split", [], "a string"),
        ("training.devices", 1.5, "a whole number or a string"),
        ("evaluation.seed", 0.5, "a whole number"), ("evaluation.samples", "8", "a whole number"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_said_with_what_was_given(tmp_path, key, value, rule):
    refused(tmp_path, {key: value}, rf"r\.toml: {key} must be {rule}\. Given: .")


@pytest.mark.parametrize(("key", "value"), [("metric", 1), ("value", "84"), ("value", True), ("url", 0)])
def test_the_types_of_a_published_number(tmp_path, key, value):
    given = {f"published.{name}": each for name, each in (PUBLISHED | {key: value}).items()}
    refused(tmp_path, given, rf"published\.{key} must be a (string|number)\. Given: ")


@pytest.mark.parametrize(
    ("key", "least"),
    [("data.labelled", 0), ("training.epochs", 1), ("training.batch_size", 1), ("training.steps_per_execution", 1),
     ("training.devices", 1), ("training.seed", 0), ("evaluation.seed", 0), ("evaluation.samples", 1)],
)  # fmt: skip
def test_numbers_out_of_range(tmp_path, key, least):
    refused(tmp_path, {key: least - 1}, rf"{key} must be {least} or more\. Given: {least - 1}\.")
    recipes.read(write_recipe(tmp_path / "r.toml", {key: least}))


def test_words_out_of_range(tmp_path):
    refused(tmp_path, {"training.storage": "int4"}, r"training\.storage must be one of float32, .*'int4'")
    refused(tmp_path, {"training.precision": "float8"}, r"training\.precision must be one of float32, .*'float8'")
    refused(tmp_path, {"training.jit_compile": "yes"}, r"jit_compile must be true, false or 'auto'\. Given: 'yes'")
    refused(tmp_path, {"training.devices": "GPU"}, r"training\.devices must be a whole number or 'all'\. Given: 'GPU'")
    refused(tmp_path, {"data.binarize": "yes"}, r"data\.binarize must be 'dynamic' or 'static', or left out .*'yes'")


@pytest.mark.parametrize(
    ("train", "key", "split"),
    [
        ("train", "data.validation", "train"),
        ("train+validation", "data.validation", "validation"),
        ("train+validation", "evaluation.split", "validation"),
        ("train[:1000]", "data.validation", "train[:10]"),
        ("train", "evaluation.split", "train[50000:]"),
        ("train", "data.validation", "train+validation"),
        ("test[:100]", "evaluation.split", "test"),
    ],
)
def test_what_is_trained_on_is_neither_validated_nor_measured_on(tmp_path, train, key, split):
    changes = {"data.train": train, "data.validation": "test" if "validation" in train else "validation", key: split}
    if train.startswith("test"):
        changes["data.validation"] = "validation"
    refused(tmp_path, changes, rf"{key} must not overlap data\.train\. Given: '{split.split('[')[0].split('+')[0]}")


def test_the_best_epoch_is_not_one_of_the_test_digits(tmp_path):
    """Early stopping chooses weights by the validation split, on which they are then not measured."""
    changes = {"training.patience": 1, "data.train": "train+validation", "data.validation": "test[:300]"}
    refused(tmp_path, changes, r"must not overlap evaluation\.split\. Given: 'test\[:300\]' and 'test\[:300\]'\. Use")
    changes |= {"data.train": "train", "data.validation": "validation"}
    assert recipes.read(write_recipe(tmp_path / "fair.toml", changes)).training.patience == 1
    del changes["training.patience"]
    watched = {"data.train": "train+validation", "data.validation": "test"}
    assert recipes.read(write_recipe(tmp_path / "watched.toml", watched)).data.validation == "test"


def test_no_toml_and_no_file(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("summary = \n")
    with pytest.raises(UserError, match=r"A recipe is a TOML file\. Given: .*r\.toml: .*line 1, column"):
        recipes.read(path)
    path.write_text(f"summary = {'1' * 5000}\n")
    with pytest.raises(UserError, match=r"A recipe is a TOML file\. Given: .*r\.toml: Exceeds the limit"):
        recipes.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"Cannot read the recipe .*r\.toml: .*utf-8"):
        recipes.read(path)
    with pytest.raises(UserError, match=r"Cannot read the recipe .*none\.toml: No such file or directory\."):
        recipes.read(tmp_path / "none.toml")
    with pytest.raises(UserError, match=r"Cannot read the recipe .*: Is a directory\."):
        recipes.read(tmp_path)


def test_seed_and_precision_have_one_home(tmp_path):
    refused(tmp_path, {"model.seed": 1}, r"write training\.seed, not model\.seed")
    refused(tmp_path, {"model.dtype": "float32"}, r"write training\.precision, not model\.dtype")


SERIALISED = {"module": "os", "class_name": "system", "config": {"command": "echo"}, "registered_name": "system"}


@pytest.mark.parametrize("key", ["model.encoder", "model.activity_regularizer", "training.optimizer"])
def test_serialised_keras_objects_are_refused(tmp_path, key):
    """Keras imports the module that one names, so `load` would run code."""
    rule = r"a recipe is data, and names things that keras_vae knows: .* Given: the key '(module|class_name)'"
    refused(tmp_path, {key: SERIALISED}, rule)
    refused(tmp_path, {key: {"name": "mlp", "activation": SERIALISED}}, rule)
    refused(tmp_path, {key: {"name": "mlp", "hidden": [SERIALISED]}}, rule)


@pytest.mark.parametrize(
    ("key", "value"),
    [("model.beta.final", float("nan")), ("training.optimizer.learning_rate", float("inf")),
     ("model.free_bits", float("-inf")), ("model.latent_dim", 2**63), ("model.encoder.hidden", [4, -(2**64)])],
)  # fmt: skip
def test_numbers_are_finite_and_have_64_bits(tmp_path, key, value):
    refused(tmp_path, {key: value}, rf"{key} must be a finite number, within 64 bits if it is whole\. Given: ")


@pytest.mark.parametrize("key", ["training.seed", "training.epochs", "training.batch_size", "evaluation.samples"])
def test_sizes_and_seeds_have_32_bits(tmp_path, key):
    refused(tmp_path, {key: 2**31}, rf"{key} must be at most 2147483647\. Given: 2147483648")


def test_a_date_is_no_value_of_a_recipe(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(recipe_text().replace("latent_dim = 3", "latent_dim = 1979-05-27"))
    with pytest.raises(UserError, match=r"model\.latent_dim must be a string, a number, .* Given: 1979-05-27, a date"):
        recipes.read(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "r.toml")
    with pytest.raises(UserError, match=r"Cannot read the recipe .*r\.toml: it is no regular file\."):
        recipes.read(tmp_path / "r.toml")


def test_a_nest_without_end(tmp_path):
    (tmp_path / "r.toml").write_text("summary = " + "[" * 10_000)
    with pytest.raises(UserError, match=r"r\.toml"):
        recipes.read(tmp_path / "r.toml")


def test_the_content_of_a_recipe_is_what_its_numbers_depend_on(tmp_path):
    """Not its layout, comments, summary, defaults that are written out, nor 4.0 for 4."""
    plain = recipes.read(write_recipe(tmp_path / "a.toml")).content
    text = recipe_text({"summary": "Another.", "training.seed": 0, "model.beta.final": 4, "model.latent_dim": 3})
    (tmp_path / "b.toml").write_text(text.replace("[data]", "# Digits.\n[data]"))
    assert recipes.read(tmp_path / "b.toml").content == plain == json.loads(json.dumps(plain))
    assert recipes.difference(plain, plain) == ""
    published = {f"published.{key}": value for key, value in PUBLISHED.items()}
    assert recipes.read(write_recipe(tmp_path / "c.toml", published)).content == plain
    for devices in (1, 8, "all"):  # the batch is theirs together, and the recipe of any machine the same
        assert recipes.read(write_recipe(tmp_path / "e.toml", {"training.devices": devices})).content == plain
    other = recipes.read(write_recipe(tmp_path / "d.toml", {"model.encoder.hidden": [16, 8], "data.labelled": 5}))
    assert recipes.difference(plain, other.content) == "data.labelled is 5, and was left out"
    assert recipes.difference(other.content, plain) == "data.labelled is left out, and was 5"
