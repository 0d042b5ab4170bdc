"""What tests of sequences share: a model whose sequences can all be listed, and their probabilities one by one."""

import itertools
from typing import Any

import numpy as np

from keras_vae.models import SequenceVAE

SIZE, LENGTH, LATENT = 3, 4, 2
# Every array of tokens, and which of them are sequences: nothing but 0 after the first 0.
EVERY = np.array(list(itertools.product(range(SIZE), repeat=LENGTH)), "int32")
VALID = EVERY[~((EVERY[:, :-1] == 0) & (EVERY[:, 1:] != 0)).any(1)]
Z = np.random.default_rng(5).normal(size=(2, LATENT)).astype("float32")


def tiny(**arguments: Any) -> Any:
    """Far from its initial weights, so that the probabilities of sequences differ much."""
    network = {"name": "gru", "units": 5, "embedding_dim": 3}
    given = {"length": LENGTH, "vocabulary_size": SIZE, "latent_dim": LATENT, "encoder": network, "decoder": network}
    model: Any = SequenceVAE(**{**given, **arguments})
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    return model


def probabilities(model: Any, z: Any, temperature: float = 1.0) -> np.ndarray:
    """Of each of `VALID` under z, one code or one each: the product over steps of the decoder's softmax, in float64."""
    z = np.broadcast_to(z, (len(VALID), LATENT))
    state, previous, log_p = model.decoder.initial_state(z), np.zeros(len(VALID), "int32"), np.zeros(len(VALID))
    for place in range(LENGTH):
        logits, state = model.decoder.step(previous, state, z)
        scaled = np.asarray(logits, "float64") / temperature
        own = np.take_along_axis(scaled, VALID[:, place, None], 1)[:, 0] - np.logaddexp.reduce(scaled, axis=1)
        log_p += np.where((previous == 0) & (place > 0), 0.0, own)
        previous = VALID[:, place]
    return np.exp(log_p)
