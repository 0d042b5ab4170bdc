"""Constructor arguments: networks of one's own, numpy scalars, and arguments that a class does not take."""

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.models import VAE, VQVAE, BetaVAE, HypersphericalVAE
from tests import toys


def two_outputs(latent_dim=toys.LATENT):
    """An encoder as Keras examples write it: a functional model that returns [mean, log_var]."""
    x = keras.Input(toys.SHAPE)
    hidden = keras.layers.Dense(8, activation="tanh")(keras.layers.Flatten()(x))
    return keras.Model(x, [keras.layers.Dense(latent_dim, name=name)(hidden) for name in ("mean", "log_var")])


def test_an_encoder_may_return_mean_and_log_var():
    encoder = two_outputs()
    model = toys.compiled(VAE, encoder=encoder)
    x = toys.binary(64)
    history = model.fit(x, epochs=1, batch_size=32, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    codes = model.encode(x)
    assert codes.shape == (64, toys.LATENT)
    mean, log_var = encoder(x)
    np.testing.assert_allclose(codes, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.posterior(x).stddev(), np.exp(np.asarray(log_var) / 2), rtol=1e-3)


def test_an_encoder_of_another_size_is_refused_with_the_shape_of_both_outputs():
    with pytest.raises(UserError, match=r"The encoder must map .* to \(batch, 4\) .* of shape \(batch, 6\)"):
        toys.toy(VAE, encoder=two_outputs(latent_dim=3))


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (VAE, {"latent_dims": 3}, r"^VAE has no argument 'latent_dims'\. Did you mean 'latent_dim'"),
        (BetaVAE, {"bta": 2}, r"^BetaVAE has no argument 'bta'\. Did you mean 'beta'"),
        (
            VQVAE,
            {"latent_dim": 8},
            r"^VQVAE does not take latent_dim\. .*code_shape.*embedding_dim.*: latent_dim=8",
        ),
    ],
)
def test_arguments_that_a_class_does_not_take(cls, arguments, message):
    with pytest.raises(UserError, match=message):
        cls(**arguments)


def test_the_arguments_listed_are_those_that_a_class_takes():
    with pytest.raises(UserError, match="Its arguments: ") as caught:
        VQVAE(colour=1)
    listed = str(caught.value).split("Its arguments: ")[1].rstrip(".").split(", ")
    assert "embedding_dim" in listed and not {"latent_dim", "beta", "free_bits"} & set(listed)


def test_numpy_scalars_are_numbers():
    model = toys.toy(VAE, latent_dim=np.int64(2), beta=np.float32(0.5), free_bits=np.float32(0.25))
    assert model.latent_dim == 2 and model.beta.value == 0.5
    assert toys.toy(VAE, encoder=toys.mlp(hidden=(np.int64(8),))).encode(toys.binary(1)).shape == (1, 2)
    sphere = toys.toy(HypersphericalVAE, latent_dim=3, maximum_concentration=np.float32(100))
    assert sphere.maximum_concentration == 100
    gaussian = toys.toy(VAE, likelihood={"name": "gaussian", "scale": np.float32(0.5)})
    assert gaussian.likelihood_family.scale == 0.5
    for wrong in (np.True_, True):
        with pytest.raises(UserError, match="beta must be a number"):
            toys.toy(VAE, beta=wrong)
