"""Latents as maps: the networks see a shape, and everything else the same numbers in one row."""

import keras
import numpy as np
import onnxruntime
import pytest

from keras_vae import export
from keras_vae.errors import UserError
from keras_vae.models import IWAE, MODELS, VAE, VampVAE
from tests.conformance.cases import CASES, make
from tests.toys import PLAIN, binary, mlp, toy

X = binary(40, (8, 8, 1))
RESIDUAL = {"name": "residual", "filters": [8, 8]}
MAPS = {
    "image_shape": (8, 8, 1),
    "latent_dim": None,
    "latent_shape": (2, 2, 3),
    "encoder": RESIDUAL,
    "decoder": RESIDUAL,
}


def test_a_shape_is_the_same_numbers_in_another_order():
    """Of dense networks: with the weights of a vector's model in that order, every number is the same."""
    flat, shaped = toy(seed=3, latent_dim=6), toy(seed=3, latent_dim=None, latent_shape=(2, 3))
    assert shaped.latent_dim == 6 and [w.shape for w in flat.weights] == [w.shape for w in shaped.weights]
    order = np.array([[i * 3 + j for j in range(3)] + [6 + i * 3 + j for j in range(3)] for i in range(2)]).ravel()
    shaped.set_weights(flat.get_weights())
    last = [weight for weight in shaped.encoder.weights if weight.shape[-1] == 12]
    assert len(last) == 2
    for weight in last:
        weight.assign(np.asarray(weight)[..., order])
    x = binary(9)
    np.testing.assert_allclose(shaped.encode(x), flat.encode(x), atol=1e-6)
    np.testing.assert_allclose(shaped.elbo(x, seed=4), flat.elbo(x, seed=4), rtol=1e-5)
    np.testing.assert_allclose(shaped.decode(flat.encode(x)), flat.decode(flat.encode(x)), atol=1e-6)
    np.testing.assert_allclose(shaped.sample(3, seed=1), flat.sample(3, seed=1), atol=1e-6)


@pytest.mark.parametrize("cls", [IWAE, VampVAE])
def test_maps_train_without_a_dense_layer_and_are_saved(cls, tmp_path):
    arguments = {"pseudo_inputs": 4} if cls is VampVAE else {}
    model = toy(cls, **MAPS, **arguments)
    assert not [layer for layer in (*model.encoder.stack.layers, *model.decoder.stack.layers)
                if isinstance(layer, keras.layers.Dense)]  # fmt: skip
    model.compile("adam", **PLAIN)
    assert np.isfinite(model.fit(X, epochs=1, batch_size=20, verbose=0).history["loss"]).all()
    assert model.encode(X).shape == (40, 12) and model.decode(np.zeros((2, 12))).shape == (2, 8, 8, 1)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.latent_shape == (2, 2, 3) and again.get_config() == model.get_config()
    np.testing.assert_allclose(again.encode(X), model.encode(X), atol=1e-6)


@pytest.mark.slow
def test_maps_are_exported(tmp_path):
    model = toy(**MAPS)
    export.export(model, tmp_path / "bundle", "onnx", export.Examples(X, origin="a test"), sampler=True)
    session = onnxruntime.InferenceSession(tmp_path / "bundle/encoder.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["mean"], {"x": X})[0], model.encode(X), atol=1e-4)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_takes_a_shape_or_refuses_it_by_name(name):
    arguments = {key: value for key, value in CASES[name].items() if key != "latent_dim"}
    if MODELS[name].network_shapes is VAE.network_shapes:
        assert MODELS[name](**arguments, latent_shape=(1, 2)).latent_dim == 2
    else:
        with pytest.raises(UserError, match="latent_shape"):
            make(name, latent_shape=(1, 2))


@pytest.mark.parametrize("shape", [(), "88", 4, (2, 0), (2.5, 1)])
def test_what_is_no_shape(shape):
    with pytest.raises(UserError, match="latent_shape"):
        toy(latent_dim=None, latent_shape=shape)


def test_an_encoder_of_ones_own_gives_a_map():
    layers = [keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(6, 2, strides=2)]
    decoder = keras.Sequential([keras.layers.Input((2, 2, 3)), keras.layers.Conv2DTranspose(1, 2, strides=2)])
    model = VAE((4, 4, 1), encoder=keras.Sequential(layers), decoder=decoder, latent_shape=(2, 2, 3))
    assert model.reconstruct(binary(2)).shape == (2, 4, 4, 1)
    with pytest.raises(UserError, match=r"The encoder must map \(batch, 4, 4, 1\) to \(batch, 2, 2, 6\)"):
        VAE((4, 4, 1), encoder=keras.Sequential([*layers[:1], keras.layers.Conv2D(4, 2, strides=2)]),
            decoder=mlp(), latent_shape=(2, 2, 3))  # fmt: skip
