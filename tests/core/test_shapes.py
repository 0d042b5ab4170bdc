"""x of any number of axes: the axes of an x change nothing but its shape, as every number is one term of the sum."""

import keras
import numpy as np
import pytest

from keras_vae.core.estimators import bits_per_dim
from keras_vae.data import batches
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation import evaluate
from keras_vae.models import CVAE, MODELS, VAE
from keras_vae.tasks import anomaly_scores
from tests.conformance import cases
from tests.toys import LATENT, PLAIN, binary, grey, mlp, same, toy, weights

X = binary(40)
SHAPES = {
    "bernoulli": [(16,), (2, 2, 2, 2)],
    "continuous_bernoulli": [(2, 8)],
    # Several numbers of the decoder are of one number of x where the last axis has one.
    "gaussian": [(16, 1), (4, 4, 1)],
    "categorical": [(16, 1)],
}


def model_of(shape, cls=VAE, **arguments):
    return cls(x_shape=shape, latent_dim=LATENT, encoder=mlp(), decoder=mlp(), seed=1, **arguments)


@pytest.mark.parametrize(("name", "shape"), [(name, shape) for name, shapes in SHAPES.items() for shape in shapes])
def test_the_axes_of_x_change_nothing_but_its_shape(name, shape):
    likelihood = {"name": name, **({"scale": "pixel"} if name == "gaussian" else {})}
    image, model = toy(likelihood=likelihood, encoder=mlp(), seed=1), model_of(shape, likelihood=likelihood)
    model.set_weights(image.get_weights())
    x = X.reshape(-1, *shape)
    assert model.reconstruct(x).shape == x.shape and model.sample(3).shape == (3, *shape)
    np.testing.assert_array_equal(model.encode(x), image.encode(X))
    np.testing.assert_allclose(model.decode(np.ones((2, 2))).ravel(), image.decode(np.ones((2, 2))).ravel(), rtol=1e-6)
    np.testing.assert_allclose(model.elbo(x, seed=3), image.elbo(X, seed=3), rtol=1e-5)
    np.testing.assert_allclose(model.log_prob(x, 7, seed=3), image.log_prob(X, 7, seed=3), rtol=1e-5)


def test_training_is_that_of_images():
    image, model = toy(encoder=mlp(), seed=1), model_of((16,))
    for one, x in ((image, X), (model, X.reshape(-1, 16))):
        one.compile("sgd", **PLAIN)
        one.fit(x, batch_size=8, epochs=2, verbose=0)
    for ours, theirs in zip(weights(model), weights(image), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert model.evaluate(X.reshape(-1, 16), verbose=0)[0] == pytest.approx(image.evaluate(X, verbose=0)[0], rel=1e-5)
    assert model.predict(X.reshape(-1, 16), verbose=0).shape == (40, 16)
    rows = batches(X.reshape(-1, 16), batch_size=8, training=False, kind="numbers")
    np.testing.assert_array_equal(model.encode(rows), model.encode(X.reshape(-1, 16)))


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"SequenceVAE"}))
def test_every_model_takes_rows(name):
    """One eager step, and what a model does afterwards."""
    x = X.reshape(-1, 16)[:8]
    arguments = {name: value for name, value in cases.CASES[name].items() if name not in ("image_shape", "x_shape")}
    with cases.eagerly():
        model = MODELS[name](**arguments, x_shape=(16,))
        model.compile(**PLAIN)
        y = cases.Y[:8] if model.conditional else None
        model.train_step(keras.tree.map_structure(keras.ops.convert_to_tensor, (x,) if y is None else (x, y)))
        assert model.reconstruct(x, y).shape == x.shape
        if name not in cases.WITHOUT["elbo"]:
            assert model.elbo(x, condition=y).shape == (8,)


def test_a_layer_of_rows_takes_a_condition_as_more_columns():
    inputs = keras.Input((18,))
    encoder = keras.Model(inputs, keras.layers.Dense(4)(inputs))
    model = CVAE(2, x_shape=(16,), latent_dim=2, encoder=encoder, decoder=mlp())
    assert model.encode(X.reshape(-1, 16), np.arange(40) % 2).shape == (40, 2)


def test_the_configuration_holds_the_shape_under_its_name(tmp_path):
    model = model_of((2, 8))
    config = model.get_config()
    assert config["x_shape"] == (2, 8) and "image_shape" not in config
    assert model.x_spec().kind == "numbers" and toy().x_spec().kind == "image"
    assert "x_shape" not in toy().get_config() and toy().x_shape == toy().image_shape == (4, 4, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert same(weights(loaded), weights(model)) and loaded.x_shape == (2, 8)


def test_networks_of_images_read_three_axes():
    conv = {"name": "conv", "filters": (2,), "dense": 4}
    model = VAE(x_shape=(4, 4, 1), latent_dim=2, encoder=conv, decoder=conv)
    assert model.reconstruct(X).shape == X.shape
    for name in ("conv", "residual", "growing"):
        with pytest.raises(UserError, match=r"\(height, width, channels\)\. Given: x of shape \(16,\)\. Use an 'mlp'"):
            VAE(x_shape=(16,), encoder=name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x_shape": ()}, r"x_shape is the shape of one x, such as \(30,\) for a row\. Given: \(\)"),
        ({"x_shape": 30}, r"x_shape is the shape of one x.*Given: 30"),
        ({"x_shape": (3, 0)}, r"x_shape must be a whole number, 1 or more\. Given: 0"),
        ({"image_shape": (30,)}, r"image_shape is \(height, width, channels\)\. Given: \(30,\)\. .*x_shape=\(30,\)"),
    ],
)
def test_shapes_that_are_none(arguments, message):
    with pytest.raises(UserError, match=message):
        VAE(**arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X, r"x must have shape \(batch, 16\)\. Given: \(40, 4, 4, 1\)\. Reshape it: x\.reshape\(-1, 16\)\."),
        (X.reshape(-1, 16)[0], r"x must have shape \(batch, 16\)\. Given: \(16,\)\. Add the batch axis: x\[None\]\."),
        (7 * X.reshape(-1, 16) - 3, r"values from -3 to 4; rescale them.*likelihood='normal', and x_shape"),
        (grey(3, (16,)), r"pixels that are 0 or 1"),
    ],
)
def test_arrays_of_another_shape(x, message):
    model = model_of((16,))
    with pytest.raises(UserError, match=message):
        model.elbo(x)
    model.compile(**PLAIN)
    with pytest.raises(UserError, match=message):
        model.fit(x, batch_size=2)


def test_measures_of_images_are_refused_by_name():
    model, x = model_of((16,)), X.reshape(-1, 16)
    assert anomaly_scores(model, x).shape == (40,)
    assert evaluate(model, x, samples=2)["likelihood"]
    with pytest.raises(NotApplicable, match="model of numbers"):
        bits_per_dim(model, x)
