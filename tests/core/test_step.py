"""What a training step costs, as far as it can be counted: matrix products, generators of noise, traces."""

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import backend
from keras_vae.models import IWAE, VAE, VQVAE, BetaTCVAE, FlowVAE, InfoVAE, VampVAE
from tests.toys import SHAPE, binary, compiled, mlp, toy

# The encoder has two layers, and so has the decoder: a product forward, and two gradients, but the image's own.
PRODUCTS = 3 * 4 - 1


def hlo(model):
    """The step as TensorFlow gives it to XLA."""
    step: Any = backend.compiled(model.train_step, jit_compile=True)
    return step.experimental_get_compiler_ir({"x": tf.constant(binary(8))})(stage="hlo")


@pytest.mark.parametrize(("cls", "arguments"), [(VAE, {}), (IWAE, {"importance_samples": 5})], ids=["VAE", "IWAE"])
def test_a_step_has_the_matrix_products_of_its_equation_and_no_more(cls, arguments):
    model = compiled(cls, **arguments)
    assert len(re.findall(r"\bdot\(", hlo(model))) == PRODUCTS
    model.watch.skip_training(False)
    # The watch over a stream counts broken examples by one, and another where there are some.
    assert len(re.findall(r"\bdot\(", hlo(model))) == PRODUCTS + 2


@pytest.mark.parametrize(
    "cls",
    [VAE, IWAE, *(pytest.param(cls, marks=pytest.mark.slow) for cls in (BetaTCVAE, FlowVAE, InfoVAE, VampVAE, VQVAE))],
)
def test_noise_is_of_the_generator_that_xla_computes_once_a_number(cls):
    """The rounds of TensorFlow's own choice are computed anew for each number: twenty times the cost."""
    networks = {"image_shape": SHAPE, "encoder": mlp(), "decoder": mlp()}
    extra = {BetaTCVAE: {"dataset_size": 48}, FlowVAE: {"depth": 2, "flow_hidden": (6,)}, VampVAE: {"pseudo_inputs": 4}}
    model = VQVAE((3,), 5, 2, **networks) if cls is VQVAE else toy(cls, **extra.get(cls, {}))
    model.compile("adam")
    assert set(re.findall(r"algorithm=(\w+)", hlo(model))) == {"rng_philox"}


def test_a_second_fit_traces_nothing():
    traces = []

    class Counted(VAE):
        def terms(self, batch, training):
            traces.append(training)
            return super().terms(batch, training)

    model = toy(Counted)
    model.compile("adam", jit_compile=False, steps_per_execution=4)
    for _ in range(2):
        model.fit(binary(64), batch_size=16, epochs=2, verbose=0)
        assert len(traces) == 1
    assert np.isfinite(model.elbo(binary(4))).all()
