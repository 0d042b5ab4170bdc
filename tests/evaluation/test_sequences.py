"""What of a sequence comes back, counted by hand."""

import numpy as np
import pytest

from keras_vae.errors import UserError
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
