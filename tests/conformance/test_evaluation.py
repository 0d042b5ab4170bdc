"""Every registered model can be evaluated: it gets the numbers that it has, and a sentence for each that it lacks."""

import json

import numpy as np
import pytest

from keras_vae.checks import BLOCK
from keras_vae.evaluation import evaluate
from tests.conformance.cases import CASES, WITHOUT, Y, every_model, examples, labels, make


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


# Of the kinds of posterior: TFP's own sampler, several draws in a step, levels, bijectors, classes.
@pytest.mark.parametrize(
    "name",
    ["HypersphericalVAE", "IWAE"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in CASES if name not in ("HypersphericalVAE", "IWAE")],
)
def test_the_noise_of_an_example_is_that_of_its_position(name):
    """In a batch of one, of three, and of more than a block, whose last is a block of its own."""
    if name in WITHOUT["elbo"]:
        pytest.skip("it has no nats")
    model = make(name)
    x, y = (
        None if all_ is None else np.resize(all_, (BLOCK + 3, *all_.shape[1:]))
        for all_ in (examples(model), labels(model))
    )

    def numbers(count):
        part = None if y is None else y[:count]
        return model.elbo(x[:count], 5, part), model.log_prob(x[:count], 33, 5, part)  # a chunk, and one draw

    whole = numbers(BLOCK + 3)
    for count in (1, 3, BLOCK + 1):
        for found, expected in zip(numbers(count), whole, strict=True):
            np.testing.assert_allclose(found, expected[:count], rtol=0, atol=1e-5)
