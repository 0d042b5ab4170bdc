"""Every registered model can be evaluated: it gets the numbers that it has, and a sentence for each that it lacks."""

import json

import pytest

from keras_vae.evaluation import evaluate
from tests.conformance.cases import Y, every_model, examples, make


@pytest.mark.slow
@every_model
def test_evaluate(name):
    model = make(name)
    x, image = examples(model), model.x_spec().kind == "image"
    found = evaluate(model, x, Y, metrics=("likelihood", "latent", "generation", "representation"), samples=2,
                     train=x, train_labels=Y, repetitions=2)  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert ("nats" in found["likelihood"]) == model.stochastic
    assert ("codebook" in found["latent"]) != ("active_units" in found["latent"])
    assert ("reconstruction" in found["generation"]) == image and "probes" in found["representation"]
    assert all(reason.endswith((".", "!")) for reason in found["without"].values())
