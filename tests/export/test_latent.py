"""`latent` of bundle.json: the prior as a program without Keras can draw from it, and the order of the dimensions."""

import json

import numpy as np
import pytest

from keras_vae import data
from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.export.latent import latent_facts, prior_facts
from keras_vae.models import AE, CVAE, RAE, VAE, VQVAE, HierarchicalVAE, HypersphericalVAE, VampVAE
from tests.export.bundles import bundle_of, model_of, stirred
from tests.toys import SHAPE, binary, mlp

pytestmark = pytest.mark.slow  # models of each kind are exported

TOY = {"image_shape": SHAPE, "encoder": mlp(), "decoder": mlp(), "seed": 3}


def test_facts_are_those_of_the_codes():
    model, x = stirred(VAE(**TOY, latent_dim=3)), binary(20)
    facts = latent_facts(model, {"x": x})
    codes = model.encode(x)
    # Four digits are kept.
    np.testing.assert_allclose(facts["codes"]["z"]["mean"], codes.mean(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(facts["codes"]["z"]["scale"], codes.std(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(facts["codes"]["z"]["kl"], kl_per_dimension(model, x), rtol=1e-3)
    assert facts["prior"] == {"name": "normal", "mean": [0, 0, 0], "scale": [1, 1, 1]}


def test_a_learned_prior_has_a_row_for_each_class():
    model = stirred(CVAE(**TOY, latent_dim=2, num_classes=3, learned_prior=True))
    prior = prior_facts(model)
    inner = model.prior(np.arange(3, dtype="int32")).distribution
    np.testing.assert_allclose(prior["mean"], inner.loc, rtol=1e-3)
    np.testing.assert_allclose(prior["scale"], inner.scale, rtol=1e-3)
    assert np.shape(prior["mean"]) == (3, 2) and np.ptp(prior["mean"], axis=0).min() > 0
    labels = np.array([0, 1, 2, 0, 1, 2], "int32")
    facts = latent_facts(model, {"x": binary(6), "condition": labels})
    np.testing.assert_allclose(facts["codes"]["z"]["kl"], kl_per_dimension(model, binary(6), labels), rtol=1e-3)


def test_a_mixture_has_a_row_for_each_component():
    model = stirred(VampVAE(**TOY, latent_dim=2, pseudo_inputs=4))
    facts = prior_facts(model)
    posterior = model.posterior(1 / (1 + np.exp(-np.asarray(model.raw_pseudo_inputs)))).distribution
    np.testing.assert_allclose(facts["mean"], posterior.loc, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(facts["scale"], posterior.scale, rtol=1e-3)
    assert facts["weights"] == [0.25] * 4


@pytest.mark.parametrize(
    ("model", "prior", "has_kl"),
    [
        (lambda: CVAE(**TOY, latent_dim=2, num_classes=3), "normal", True),
        (lambda: CVAE(**TOY, latent_dim=2, condition_dim=3), "normal", True),
        (lambda: CVAE(**TOY, latent_dim=2, condition_dim=3, learned_prior=True), "other", True),
        (lambda: HypersphericalVAE(**TOY, latent_dim=3), "sphere", False),
        (lambda: VampVAE(**TOY, latent_dim=2, pseudo_inputs=4), "mixture", False),
        (lambda: HierarchicalVAE(**TOY, latent_dims=(3, 2), hidden=6), "graph", False),
        (lambda: VQVAE(**TOY, code_shape=(3,), entries=5, embedding_dim=2), "other", False),
        (lambda: AE(**TOY, latent_dim=2), "none", False),
        (lambda: RAE(**TOY, latent_dim=2), "none", False),
    ],
)
def test_a_prior_is_called_what_it_is(model, prior, has_kl):
    model = model()
    spec = model.condition_spec()
    conditions = {name: np.zeros((4, *one.shape), one.dtype) for name, one in spec.items()}
    facts = latent_facts(model, {"x": binary(4)} | conditions)
    assert facts["prior"]["name"] == prior
    real = {name: given.shape[0] for name, given in model.latent_spec().items() if given.kind != "index"}
    assert {name: len(part["mean"]) for name, part in facts["codes"].items()} == real
    assert any("kl" in part for part in facts["codes"].values()) == has_kl


def test_a_bundle_holds_them_and_the_digits_classes():
    bundle = bundle_of("mlp")
    images = data.load_arrays("mnist", "test[:1000]", binarize="static")
    assert bundle.manifest["latent"] == latent_facts(model_of("mlp"), {"x": images})
    golden = json.loads(bundle.read("golden.json"))
    assert golden["labels"] == next(iter(data.load("mnist", "test[:16]").as_numpy_iterator()))["y"].tolist()
    assert "labels" not in json.loads(bundle_of("colour").read("golden.json"))
