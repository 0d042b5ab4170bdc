"""results.json, and measuring again."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_vae
from keras_vae import data, weights, zoo
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.evaluation import Evaluation
from keras_vae.files import digest, sha256
from keras_vae.zoo import evaluations, recipes, training, verifying
from keras_vae.zoo.verifying import card_metrics
from tests import toy_runs


def test_every_number_has_its_split_seed_samples_and_standard_error(run):
    results = json.loads((run / "results.json").read_text())
    assert results["name"] == "toy"
    assert results["recipe_sha256"] == digest(recipes.read(run / "recipe.toml").content)
    assert results["weights"] == {
        "file": "model.safetensors",
        "sha256": sha256(run / "model.safetensors"),
        "bytes": (run / "model.safetensors").stat().st_size,
        # 784-16-(2*3) and 3-16-784, with biases.
        "parameters": (784 + 1) * 16 + (16 + 1) * 6 + (3 + 1) * 16 + (16 + 1) * 784,
    }
    assert results["evaluation"] == {
        "split": "test[:300]", "examples": 300, "binarize": "static", "condition": None, "seed": 0, "kind": "image",
    }  # fmt: skip
    assert {metric: row["samples"] for metric, row in results["metrics"].items()} == {
        "elbo": 1, "log_px": 1, "kl": 1, "log_prob": 8, "squared_error": 0, "active_units": 0
    }  # fmt: skip
    for metric, row in results["metrics"].items():
        assert row["unit"] and row["tolerance"] > 0, metric
        assert (row["standard_error"] is None) == (metric == "active_units")
    assert results["pictures"] == ["reconstructions.png", "samples.png", "traversal.png", "curves.png"]
    assert results["training"]["epochs"] == 2 and results["training"]["steps"] == 20
    history = results["training"]["history"]
    assert {"loss", "elbo", "log_px", "kl", "beta", "val_loss", "val_elbo"} <= set(history)
    assert {len(values) for values in history.values()} == {2}
    assert results["versions"]["tensorflow"] == tf.__version__ and results["versions"]["keras"] == keras.__version__
    assert results["versions"]["keras_vae"] == keras_vae.__version__ and results["versions"]["numpy"] == np.__version__
    assert re.fullmatch(r"3\.1\d\.\d+", results["versions"]["python"])
    assert results["machine"]["cores"] >= 1 and results["machine"]["processor"]


def test_the_numbers_are_the_means_of_the_models_own_and_their_standard_errors(run):
    """Against `model.elbo` and `model.log_prob`, and the formula s / sqrt(n) written out."""
    metrics = zoo.card(run).results["metrics"]
    model, images = zoo.load(run), data.load_arrays("mnist", "test[:300]", "static")
    for metric, values in (("elbo", model.elbo(images)), ("log_prob", model.log_prob(images, samples=8))):
        values = np.asarray(values, "float64")
        assert values.shape == (300,)
        mean = values.sum() / 300
        error = np.sqrt(((values - mean) ** 2).sum() / 299) / np.sqrt(300)
        # The same float32 numbers, read back and summed in float64: rounding of the last digits only.
        assert metrics[metric]["value"] == pytest.approx(mean, abs=1e-4)
        assert metrics[metric]["standard_error"] == pytest.approx(error, rel=1e-4)
    difference = metrics["log_px"]["value"] - metrics["kl"]["value"] - metrics["elbo"]["value"]
    assert abs(difference) < 1e-4, "elbo = log_px - kl"
    assert metrics["log_prob"]["value"] > metrics["elbo"]["value"], "more samples, a tighter bound"
    assert metrics["kl"]["value"] >= 0


def test_verify_measures_the_same_numbers_again(run):
    rows = zoo.verify(run)
    metrics = zoo.card(run).results["metrics"]
    assert list(rows) == ["elbo", "log_px", "kl", "log_prob", "squared_error", "active_units"]
    for metric, row in rows.items():
        assert row["expected"] == metrics[metric]["value"]
        assert row["difference"] == row["measured"] - row["expected"]
        assert abs(row["difference"]) < 1e-4, "the same machine, weights, digits and noise"
        assert row["tolerance"] == metrics[metric]["tolerance"]
    assert list(zoo.verify(run, log_prob=False)) == ["elbo", "log_px", "kl", "squared_error", "active_units"]


def test_log_prob_is_verified_on_some_examples(own_run):
    """The first ones, with the draws that they had among all; a number of them that is another is found."""
    stored = np.load(own_run / "log_prob.npy")
    row = zoo.verify(own_run, likelihood_examples=50)["log_prob"]
    assert row["expected"] == pytest.approx(stored[:50].mean(dtype="float64"), rel=1e-12)
    assert abs(row["difference"]) < 1e-4 and row["tolerance"] == 0.03
    row = zoo.verify(own_run, likelihood_examples=10**6)["log_prob"]
    assert row["expected"] == pytest.approx(stored.mean(dtype="float64"), rel=1e-12)
    np.save(own_run / "log_prob.npy", np.where(np.arange(300) == 7, stored - 10.0, stored))
    with pytest.raises(CorruptFileError, match=r"does not give the numbers of its card: log_prob -\d+\.\d+, not"):
        zoo.verify(own_run, likelihood_examples=50)
    assert "log_prob" in zoo.verify(own_run, likelihood_examples=7), "the eighth is not among them"
    (own_run / "log_prob.npy").unlink()  # of a run of an earlier version
    assert "log_prob" not in zoo.verify(own_run, likelihood_examples=50)
    with pytest.raises(UserError, match="likelihood_examples must be a whole number, 2 or more"):
        zoo.verify(own_run, likelihood_examples=1)


def test_verify_fails_when_a_number_is_changed(own_run):
    toy_runs.edit_results(own_run, lambda results: results["metrics"]["kl"].update(value=1.2345))
    with pytest.raises(
        CorruptFileError, match=r"^toy does not give the numbers of its card: kl .*, not 1\.2345 nats\. "
    ):
        zoo.verify(own_run, log_prob=False)


def test_verify_fails_when_a_number_is_measured_no_more(own_run):
    """But for log p(x), where it is left out on purpose."""
    toy_runs.edit_results(own_run, lambda results: results["metrics"].update(gone=results["metrics"]["kl"]))
    with pytest.raises(CorruptFileError, match=r"^toy has numbers on its card that are no longer measured: gone\. "):
        zoo.verify(own_run, log_prob=False)


def test_verify_fails_when_the_weights_are_others(own_run):
    """With the hash made to agree, so that only the numbers can tell."""
    model = zoo.load(own_run)
    last = model.decoder.stack.layers[-2].bias
    last.assign(last + 0.05)
    weights.save(own_run / "model.safetensors", weights.numpy_arrays(weights.named_variables(model), storage="float16"))
    with pytest.raises(CorruptFileError, match="are not those of the card: expected sha256"):
        zoo.verify(own_run)
    sha = sha256(own_run / "model.safetensors")
    toy_runs.edit_results(own_run, lambda results: results["weights"].update(sha256=sha))
    with pytest.raises(CorruptFileError, match=r"give the numbers of its card: .*log_px -\d+\.\d{4}, not -\d+"):
        zoo.verify(own_run, log_prob=False)


def test_what_is_measured_is_what_is_stored(run):
    """The float16 weights of the file, not the float32 ones that training ended with."""
    stored = toy_runs.arrays_in(run / "model.safetensors")
    ended = toy_runs.arrays_in(run / "checkpoint.safetensors")
    name = "decoder/stack/layers/2/kernel"
    assert stored[name].dtype == "float16" and ended[f"model/{name}"].dtype == "float32"
    np.testing.assert_array_equal(stored[name], ended[f"model/{name}"].astype("float16"))
    np.testing.assert_array_equal(
        np.asarray(zoo.load(run).decoder.stack.layers[1].kernel), stored[name].astype("float32")
    )


def test_what_cannot_be_measured(run):
    model = zoo.load(run)
    images = data.load_arrays("mnist", "test[:2]", "static")
    with pytest.raises(UserError, match=r"A standard error needs two images or more\. Given: 1\."):
        card_metrics(Evaluation(model, images[:1]))
    with pytest.raises(UserError, match=r"Bernoulli likelihood is .* Given: grey levels"):
        card_metrics(Evaluation(model, images * 0.5))
    with pytest.raises(UserError, match=r"seed must be a whole number, 0 or more\. Given: -1\."):
        card_metrics(Evaluation(model, images, seed=-1))
    assert "log_prob" not in card_metrics(Evaluation(model, images, samples=0))


# --- The zoo itself ---


@pytest.mark.parametrize("name", zoo.names())
def test_a_zoo_entry_is_whole(name):
    """Trained with the recipe that lies beside it, on the whole of its splits, each file as the program writes it."""
    from keras_vae.zoo import store

    card, folder = zoo.card(name), store.root() / name
    assert card.results, f"{name} is not trained"
    assert card.results["name"] == name
    assert card.results["recipe"] == card.recipe.content
    assert store.checked_weights(store.entry(name)) == folder / "model.safetensors"
    # The recipe that it is trained with next, and log p(x) of each example, are there or not.
    present = sorted({path.name for path in folder.iterdir()} - {"next.toml", store.LOG_PROBS})
    pictures = card.results["pictures"]
    prior = ["prior.npz"] if card.recipe.prior else []
    assert present == sorted(["README.md", "model.safetensors", "recipe.toml", "results.json", *prior, *pictures])
    if card.recipe.training.patience is None:
        assert card.results["training"]["epochs"] == card.recipe.training.epochs
    of_kind = {"image": {"squared_error"}, "tokens": {"tokens_right"}, "numbers": set()}[card.kind]
    assert {"log_px"} | of_kind < set(card.results["metrics"])
    assert "[" not in card.recipe.data.train + card.recipe.evaluation.split, "no subset"


def test_some_further_numbers_take_the_place_of_old_ones():
    old = {
        "split": "test", "without": {"latent.codebook": "None.", "latent.collapse": "Not then."},
        "latent": {"kl_split": 1, "kept": 2}, "generation": {"mnist_fd": 3},
    }  # fmt: skip
    new = {"split": "test", "without": {"latent.kl_split": "A flow."}, "latent": {"collapse": 4}}
    assert evaluations.updated(old, new) == {
        "split": "test", "without": {"latent.codebook": "None.", "latent.kl_split": "A flow."},
        "latent": {"kept": 2, "collapse": 4}, "generation": {"mnist_fd": 3},
    }  # fmt: skip


def test_log_prob_of_the_first_examples_only(own_run):
    """The card says how many, the file has each, and verify measures the same ones."""
    recipe = own_run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("samples = 8", "samples = 8\nlikelihood_examples = 50"))
    whole = np.load(own_run / "log_prob.npy")
    assert whole.shape == (300,) and whole.dtype == "float32"
    row = training.measure_again(own_run)["metrics"]["log_prob"]
    values = np.load(own_run / "log_prob.npy")
    np.testing.assert_array_equal(values, whole[:50])
    assert row["examples"] == 50
    assert row["value"] == pytest.approx(values.mean(dtype="float64"), abs=1e-4)
    assert row["standard_error"] == pytest.approx(values.std(ddof=1) / 50**0.5, rel=1e-3)
    assert verifying.verify(own_run)["log_prob"]["difference"] == 0
    assert ", of the first 50 images |" in (own_run / "README.md").read_text()
