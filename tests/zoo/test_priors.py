"""Priors that a recipe asks for: fitted after training, kept with the entry, used by name."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import priors, zoo
from keras_vae.errors import CorruptFileError
from keras_vae.export import read_bundle
from keras_vae.zoo import training
from keras_vae.zoo.examples import examples_of
from tests import toy_runs

VQ = {
    "model.class": "VQVAE",
    "model.beta": toy_runs.REMOVED,
    "model.latent_dim": toy_runs.REMOVED,
    "model.code_shape": [4],
    "model.entries": 8,
    "model.embedding_dim": 4,
    "training.epochs": 1,
    "prior": {"class": "AutoregressivePrior", "filters": 4, "blocks": 2, "kernel_size": 3, "epochs": 1},
}


def test_without_one_there_is_none(run):
    assert zoo.prior(run) is None


def test_a_prior_that_is_not_the_cards(own_run):
    toy_runs.edit_results(
        own_run, lambda results: results.update(prior={"file": "prior.npz", "sha256": "0" * 64, "bytes": 7})
    )
    with pytest.raises(CorruptFileError, match=r"prior\.npz is not that of the card: .*, actual missing\. To repair"):
        zoo.prior(own_run)
    (own_run / "prior.npz").write_bytes(b"spoilt")
    with pytest.raises(CorruptFileError, match=r"expected sha256 0{64}, actual [0-9a-f]{64}, 6 of 7 bytes\."):
        zoo.prior(own_run)


@pytest.mark.slow
def test_a_recipe_with_a_prior_becomes_an_entry_that_draws(tmp_path, monkeypatch):
    """The prior is that of a hand-made fit to the stored model's codes, and its ELBO is on the card."""
    from keras_vae.cli import main

    model = zoo.train(toy_runs.write_recipe(tmp_path / "toy.toml", VQ), tmp_path / "toy", verbose=0)
    card, prior = zoo.card(tmp_path / "toy"), zoo.prior(tmp_path / "toy")
    examples = examples_of(card.recipe, "train[:1000]")
    arguments = {name: value for name, value in VQ["prior"].items() if name != "class"}
    own = priors.AutoregressivePrior(**arguments, seed=0).fit(model, examples.images)
    codes = model.encode(examples.images[:50])
    held, whole = np.load(tmp_path / "toy" / "prior.npz"), own.arrays()
    matrices = {name: array for name, array in whole.items() if array.ndim > 1}
    assert all(held[f"array/{name}"].dtype == np.float16 for name in matrices)  # as the weights of the model are stored
    own.restore(whole | {name: array.astype(np.float16).astype(np.float32) for name, array in matrices.items()})
    np.testing.assert_allclose(prior.log_prob(codes), own.log_prob(codes), rtol=1e-4)
    x = examples_of(card.recipe).images
    found = model.encode(x)
    by_hand = model.likelihood(tf.constant(found)).log_prob(x).numpy() + prior.log_prob(found)
    rows = card.results["metrics"]
    assert rows["elbo_fitted"]["value"] == pytest.approx(by_hand.mean(), rel=1e-4)
    assert rows["elbo_fitted"]["value"] != pytest.approx(rows["elbo"]["value"], abs=0.1)
    rate = -prior.log_prob(found)  # the KL of an integer code, which is certain
    assert rows["kl_fitted"]["value"] == pytest.approx(rate.mean(), rel=1e-4)
    assert rows["kl_fitted"]["standard_error"] == pytest.approx(rate.std(ddof=1) / len(rate) ** 0.5, rel=1e-3)
    assert zoo.verify(tmp_path / "toy", log_prob=False)["elbo_fitted"]["difference"] == pytest.approx(0, abs=1e-3)
    again = training.measure_again(tmp_path / "toy", ["summary.fitted_terms"])
    assert again["metrics"] == rows and again["overview"] == card.results["overview"]
    text = card.markdown()
    assert "images = model.sample(16, prior=prior)" in text and "| ELBO with the fitted prior |" in text
    assert "Prior: AutoregressivePrior, fitted to the codes" in text and "samples.png" in card.results["pictures"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["sample", "toy", "--count", "5", "--output", "s.npy"])
    assert left.value.code == 0
    np.testing.assert_array_equal(np.load("s.npy"), model.sample(5, prior=prior))
    with pytest.raises(SystemExit) as left:
        main(["export", "toy", "out", "--format", "onnx"])
    assert left.value.code == 0
    assert "prior_sampler" in read_bundle("out").formats["onnx"]["files"], "its prior leaves Python with the model"
