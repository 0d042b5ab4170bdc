"""What comes out of a user's layers is checked where it enters; NaN that a model computes is not returned silently."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models
from keras_vae.errors import UserError
from tests.toys import LATENT, SHAPE, binary, mlp, toy

X = binary(5)


class Through(keras.layers.Layer):
    """A user's function as a layer that maps to `size` numbers."""

    def __init__(self, function, size, **kwargs):
        super().__init__(**kwargs)
        self.function, self.flat, self.dense = function, keras.layers.Flatten(), keras.layers.Dense(size)

    def call(self, inputs):
        return self.function(self.dense(self.flat(inputs)))


def images(outputs):
    return ops.reshape(outputs, (-1, *SHAPE))


def test_layers_that_fit_are_taken():
    model = toy(encoder=Through(lambda y: y, 2 * LATENT), decoder=Through(images, 16))
    assert np.isfinite(model.reconstruct(X)).all()
    toy(encoder=Through(lambda y: ops.cast(y, "float16"), 2 * LATENT))
    toy(encoder=Through(lambda y: [y[:, :LATENT], y[:, LATENT:]], 2 * LATENT))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda y: ops.reshape(y, (-1, 2 * LATENT)),
            r"one result for each example\. Given: .* returns \(6, 4\) for 3 ",
        ),
        (lambda y: ops.mean(y[:, : 2 * LATENT], axis=0, keepdims=True), r"one result .* Given: .* returns \(1, 4"),
        (lambda y: ops.cast(y[:, :4], "int32"), r"floats, which have gradients\. Given: .* int32"),
        (lambda y: ops.log(y[:, :4] * 0.0 - 1.0), r"finite numbers\. Given: .* NaN or infinity"),
        (lambda y: 1.0 / (y[:, :4] * 0.0), r"finite numbers\. Given: .* NaN or infinity"),
    ],
)  # fmt: skip
def test_encoders_that_are_refused(function, message):
    with pytest.raises(UserError, match=f"^The encoder must return {message}"):
        toy(encoder=Through(function, 4 * LATENT))


def test_a_decoder_that_changes_the_batch_is_refused():
    with pytest.raises(
        UserError, match=r"^The decoder must return one result for each example\. Given: .*\(6, 4, 4, 1"
    ):
        toy(decoder=Through(images, 32))


def test_codes_that_overflow_are_refused_in_the_dtype_of_the_graph():
    model = toy()
    for code in (1e300, -1e39):
        with pytest.raises(
            UserError, match=r"^z must be finite in float32\. Given: 1e\+3.*, which is not\. Use smaller"
        ):
            model.decode([[code, 0.0]])
    assert np.isfinite(toy(dtype="float64").decode([[1e150, 0.0]])).all()
    ladder = toy(models.HierarchicalVAE, latent_dim=None, latent_dims=(2, 1), hidden=3)
    with pytest.raises(UserError, match=r"^z2 must be finite in float32"):
        ladder.decode({"z1": np.zeros((1, 2)), "z2": [[1e39]]})
    conditional = toy(models.CVAE, condition_dim=1)
    with pytest.raises(UserError, match=r"^condition must be finite in float32"):
        conditional.encode(X, condition=np.full((5, 1), 1e39))


class TestInferenceThatGivesNaN:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        """NaN where the first pixel is white."""

        def encoded(y):
            return y * ops.where(y[:, :1] > 50.0, np.nan, 1.0)

        model = toy(encoder=Through(encoded, 2 * LATENT), decoder=mlp())
        kernel, bias = model.encoder.dense.weights
        kernel.assign(100.0 * np.eye(16, 2 * LATENT)), bias.assign(np.zeros(2 * LATENT))
        return model

    @pytest.mark.parametrize("method", ["encode", "reconstruct", "elbo", "log_prob"])
    def test_it_says_so(self, model, method):
        x = np.zeros((5, *SHAPE), "float32")
        arguments = {"samples": 2} if method == "log_prob" else {}
        assert np.isfinite(getattr(model, method)(x, **arguments)).all()
        x[2:4, 0, 0] = 1.0
        name = {"elbo": "The ELBO", "log_prob": r"log p\(x\)"}.get(method, method)
        message = (
            rf"^{name} must give numbers\. Given by the model: NaN or infinity for 2 of 5 examples, the first of them n"
        )
        with pytest.raises(UserError, match=message + r"umber 2\. Look for NaN in its weights"):
            getattr(model, method)(x, **arguments)

    @pytest.mark.parametrize("method", ["decode", "sample"])
    def test_of_weights_that_are_nan(self, method):
        model = toy()
        model.decoder.set_weights([np.full(weight.shape, np.nan) for weight in model.decoder.get_weights()])
        with pytest.raises(
            UserError, match=rf"^{method} must give numbers.*for 3 of 3 examples, the first of them number 0"
        ):
            model.sample(3) if method == "sample" else model.decode(np.zeros((3, LATENT)))
