"""What of a sequence comes back, counted by hand."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.evaluation import evaluate
from keras_vae.evaluation.sequences import reconstructed_tokens
from tests.sequences import VALID, tiny
from tests.toys import toy

X = np.array([[1, 2, 0, 0], [1, 2, 1, 2], [0, 0, 0, 0], [2, 2, 2, 0], [1, 0, 0, 0]], "int32")
BACK = np.array([[1, 2, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [2, 2, 2, 2], [1, 1, 0, 0]], "int32")


def test_tokens_and_sequences_that_are_right(monkeypatch):
    """Of 3 tokens all; 2 of 4; 0 of 1, the end; 3 of 4; 1 of 2. What follows an end is not counted."""
    model = tiny()
    monkeypatch.setattr(model, "decode", lambda z, condition=None: BACK)
    found = reconstructed_tokens(model, X)
    np.testing.assert_allclose(found["tokens_right"], [1, 0.5, 0, 0.75, 0.5])
    np.testing.assert_array_equal(found["sequences_right"], [1, 0, 0, 0, 0])


def test_a_models_own_reconstructions():
    model = tiny()
    found = reconstructed_tokens(model, VALID)
    np.testing.assert_array_equal(found["sequences_right"], (model.reconstruct(VALID) == VALID).all(1))
    assert 0 < found["tokens_right"].mean() < 1 and (found["tokens_right"] == 1).sum() == found["sequences_right"].sum()


def test_images_have_none():
    with pytest.raises(UserError, match=r"errors of token sequences\. Given: a VAE of images"):
        reconstructed_tokens(toy(), np.zeros((2, 4, 4, 1)))
    with pytest.raises(UserError, match="must lie from 0 to 2"):
        reconstructed_tokens(tiny(), X + 2)


def test_bits_a_token_by_hand():
    """3, 4, 1, 4 and 2 tokens: the sum of -log2 p(x) over 14, not the mean of ratios."""
    model = tiny()
    bits = evaluate(model, X, metrics=["likelihood.per_token"], samples=7)["likelihood"]["per_token"]
    log_prob = model.log_prob(X, samples=7).astype("float64")
    assert bits["value"] == pytest.approx(-log_prob.sum() / np.log(2) / 14, rel=1e-5)
    assert bits["examples"] == 5 and bits["samples"] == 7 and bits["unit"] == "bits a token"


def test_of_a_uniform_model_a_token_has_the_bits_of_its_alphabet():
    """All weights are 0: q(z|x) is the prior, and each of 3 tokens is as likely, whatever the code."""
    model = tiny()
    for weight in (*model.encoder.weights, *model.decoder.weights):
        weight.assign(np.zeros(weight.shape))
    bits = evaluate(model, X, metrics=["likelihood.per_token"], samples=2)["likelihood"]["per_token"]
    assert bits["value"] == pytest.approx(np.log2(3), rel=1e-5) and bits["standard_error"] < 1e-5
