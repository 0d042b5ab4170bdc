"""One small case for each registered model: the constructor arguments to test it with, and data it takes.

A model that is registered in `keras_vae.models.MODELS` and has no case here fails every conformance test.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.models import MODELS
from tests.toys import SHAPE, binary, mlp

# Networks with BatchNorm, so that both modes of a layer are met.
_TOY = {
    "image_shape": SHAPE,
    "latent_dim": 2,
    "encoder": mlp(batch_norm=True),
    "decoder": mlp(batch_norm=True),
    "seed": 3,
}
# For codes that are not one vector.
_PIXELS = {name: value for name, value in _TOY.items() if name != "latent_dim"}

CASES: dict[str, dict[str, Any]] = {
    "VAE": _TOY,
    "AAE": {**_TOY, "critic": mlp(batch_norm=True)},
    "AE": _TOY,
    "AnnealedVAE": {**_TOY, "gamma": 1.0, "capacity": {"name": "linear", "final": 2.0, "steps": 4}},
    "BetaTCVAE": {**_TOY, "dataset_size": 48},
    "BetaVAE": {**_TOY, "beta": {"name": "sigmoid", "final": 4.0, "threshold": 4, "rate": 2}, "free_bits": 0.05},
    "CVAE": {**_TOY, "num_classes": 2, "learned_prior": True},
    "DIPVAE": _TOY,
    "FactorVAE": {**_TOY, "critic": mlp(batch_norm=True)},
    "FlowPriorVAE": {**_TOY, "depth": 2, "flow_hidden": (6,)},
    "FlowVAE": {**_TOY, "depth": 2, "flow_hidden": (6,)},
    "FSQVAE": {**_PIXELS, "code_shape": (3,), "levels": (4, 3)},
    "HierarchicalVAE": {**_PIXELS, "latent_dims": (3, 2), "hidden": 6},
    "HypersphericalVAE": {**_TOY, "latent_dim": 3},
    "IWAE": {**_TOY, "gradient": "dreg"},
    "InfoVAE": {**_TOY, "alpha": 0.5},
    "LibraryVAE": {
        **{name: value for name, value in _TOY.items() if name != "image_shape"},
        "x_shape": (4,),
        "library": (2.5, 0.5),
    },
    "RAE": {**_TOY, "regulariser": "gradient"},
    "ResidualVQVAE": {**_PIXELS, "code_shape": (3,), "depth": 2, "entries": 5, "embedding_dim": 2},
    "SequenceVAE": {
        "length": 5,
        "vocabulary_size": 4,
        "latent_dim": 2,
        "encoder": {"name": "gru", "units": 6, "embedding_dim": 3, "unroll": True},  # for LiteRT
        "decoder": {"name": "gru", "units": 6, "embedding_dim": 3},
        "word_dropout": 0.3,
        "seed": 3,
    },
    "SemiSupervisedVAE": {**_TOY, "num_classes": 2, "classifier": mlp(batch_norm=True)},
    "VAEGAN": {**_TOY, "critic": mlp(batch_norm=True), "features": 5},
    "VampVAE": {**_TOY, "pseudo_inputs": 4},
    "VQVAE": {**_PIXELS, "code_shape": (3,), "entries": 5, "embedding_dim": 2},
    "WAE": _TOY,
}

# What a model has none of, and says so: method -> models.
_NO_POSTERIOR = ("AAE", "AE", "RAE", "WAE")
WITHOUT = {"elbo": _NO_POSTERIOR, "log_prob": _NO_POSTERIOR, "sample": ("AE", "RAE")}
# TFP has two samplers of the gamma distribution, and TensorFlow chooses one by where a graph runs: other draws under a
# strategy, and outside of graphs.
OTHER_DRAWS = {"HypersphericalVAE"}
# Weights that training leaves alone: an RAE's density is fitted afterwards; the prior of a library size is an argument.
AT_REST = ("density_mean", "density_factor", "normalisation_library")

X = binary(48)
# For models whose x is no image: kind of x -> 48 of them. Sequences of every length from 0 to 5; counts.
_LENGTHS = np.arange(48)[:, None] % 6
_TOKENS = np.random.default_rng(0).integers(1, 4, (48, 5), dtype="int32")
_COUNTS = np.random.default_rng(0).negative_binomial(2, 0.4, (48, 4)).astype("float32")
EXAMPLES = {
    "image": X,
    "tokens": np.where(np.arange(5) < _LENGTHS, _TOKENS, 0).astype("int32"),
    "numbers": _COUNTS,
}
# Given to models that are conditional.
Y = (np.arange(48) % 2).astype("int32")

every_model = pytest.mark.parametrize("name", sorted(MODELS))
# Of what takes seconds for each model, the fast tests take the one that has most of what is special: codes of integers,
# and a codebook of moving averages. What a VAE does there, tests/test_core.py and tests/test_training.py say.
every_model_slowly = pytest.mark.parametrize(
    "name", [name if name == "VQVAE" else pytest.param(name, marks=pytest.mark.slow) for name in sorted(MODELS)]
)


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Inside, nothing is traced: for what is called once, on little, that takes a tenth of the time."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def make(name: str, **arguments: Any) -> Any:
    if name not in CASES:
        pytest.fail(f"{name} is registered in keras_vae.models.MODELS and has no case in tests/conformance/cases.py")
    return MODELS[name](**{**CASES[name], **arguments})


def examples(model: Any) -> Any:
    return EXAMPLES[model.x_spec().kind]


def labels(model: Any) -> Any:
    return Y if model.conditional else None
