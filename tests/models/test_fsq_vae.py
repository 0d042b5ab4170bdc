"""FSQVAE: levels, their numbers, and the gradient of rounding."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.distributions import quantizers
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.models.fsq_vae import FSQVAE
from tests.digits import assert_learned, trained
from tests.export.bundles import stirred
from tests.toys import binary, mlp

X = binary(32)
LEVELS = (8, 5, 2, 3)


def fsq(**arguments) -> Any:
    return FSQVAE(**{"image_shape": (4, 4, 1), "code_shape": (3,), "levels": LEVELS, "encoder": mlp(), "decoder": mlp(),
                     **arguments})  # fmt: skip


def test_codes_and_points_are_a_bijection():
    table = quantizers.finite_table(LEVELS)
    assert table.shape == (240, 4) and len(np.unique(table, axis=0)) == 240
    np.testing.assert_array_equal(quantizers.finite_index(tf.constant(table, "float32"), LEVELS), np.arange(240))
    np.testing.assert_array_equal(table[1] - table[0], [1, 0, 0, 0])  # the first number is the fastest


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_every_level_is_reached_and_no_other(count):
    """Even counts are shifted by half a level: -L/2 to L/2 - 1; odd ones are symmetric. Zero is level 0."""
    vectors = tf.constant(np.concatenate([np.linspace(-9, 9, 4001), [-1e4, 0, 1e4]])[:, None], "float32")
    points = quantizers.finite_levels(vectors, (count,)).numpy().ravel()
    np.testing.assert_allclose(points, np.round(points), atol=1e-5)  # straight-through: x + (rounded - x)
    assert sorted(set(np.round(points))) == list(range(-(count // 2), count - count // 2))
    assert (np.diff(points[:4001]) > -1e-5).all() and abs(points[-2]) < 1e-6
    # Each inner level holds as much of the tanh's range as the others: the bins are one wide.
    shift = np.arctanh(0.5 / ((count - 1) * 1.001 / 2)) if count in (4, 8) else 0
    bounded = np.tanh(vectors.numpy() + shift)
    np.testing.assert_array_equal(
        np.round(points), np.round(bounded.ravel() * (count - 1) * 1.001 / 2 - (0.5 if count % 2 == 0 else 0)) + 0.0
    )


@pytest.mark.parametrize("count", [1_001, 1_002, 1_003, 2_001, 2**16])
def test_many_levels_stay_in_their_table(count):
    """The tanh is 0.1 % wider than the levels, half a level at 1,001: its ends are the first and the last of them."""
    vectors = tf.constant([[-1e4], [-9.0], [0.0], [9.0], [1e4]], "float32")
    codes = quantizers.finite_index(tf.round(quantizers.finite_levels(vectors, (count,))), (count,))
    np.testing.assert_array_equal(codes, [0, 0, count // 2, count - 1, count - 1])
    model = fsq(levels=(count,))
    model.encoder.set_weights([1e4 * weight for weight in model.encoder.get_weights()])
    assert np.isfinite(model.decode(model.encode(X))).all()


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_an_encoders_zero_has_a_gradient(count):
    """Where training starts: half a level's width or more, whatever the number of levels."""
    vectors = tf.zeros((1, 1), "float64")
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        value = quantizers.finite_levels(vectors, (count,))
    assert tape.gradient(value, vectors).numpy().item() >= 0.5


def test_the_gradient_is_that_of_the_bound_alone():
    vectors = tf.constant(np.random.default_rng(0).normal(size=(50, 4)))
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        value = tf.reduce_sum(quantizers.finite_levels(vectors, LEVELS) * tf.constant([1.0, 2.0, 3.0, 4.0], "float64"))
    gradient: Any = tape.gradient(value, vectors)
    half = (np.array(LEVELS) - 1) * 1.001 / 2
    shift = np.arctanh(np.where(np.array(LEVELS) == 8, 0.5, 0) / half)
    expected = [1, 2, 3, 4] * half * (1 - np.tanh(vectors.numpy() + shift) ** 2)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)


def test_codes_in_and_out_and_the_same_image_from_points():
    model = stirred(fsq())
    codes = model.encode(X)
    assert codes.dtype == np.int32 and codes.shape == (32, 3) and len(np.unique(codes)) > 5
    points = quantizers.finite_levels(model.apply_network(model.encoder, X, False), LEVELS)
    np.testing.assert_array_equal(quantizers.finite_table(LEVELS)[codes], np.round(points))
    np.testing.assert_allclose(model.likelihood_parameters(points)["mean"], model.decode(codes), atol=1e-5)
    with pytest.raises(UserError, match=r"codes must lie from 0 to 239"):
        model.decode(codes + 240)
    assert model.sample(5, seed=1).shape == (5, 4, 4, 1)


def test_the_elbo_has_a_constant_kl_and_every_weight_a_gradient():
    model = stirred(fsq())
    with tf.GradientTape() as tape, model.draws.using((0, 1)):
        terms = model.terms({"x": tf.constant(X)}, training=True)
        loss = model.objective(terms)
    gradients: Any = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    np.testing.assert_allclose(terms.kl, np.full((32, 1), 3 * np.log(240)), rtol=1e-6)
    np.testing.assert_allclose(model.elbo(X), terms.log_px - 3 * np.log(240), rtol=1e-5)
    weights = model.log_weights(X, 2, seed=0)
    np.testing.assert_allclose(weights, np.broadcast_to(model.elbo(X), (2, 32)), rtol=1e-5)
    uses = np.stack([np.bincount(code.ravel(), minlength=240) for code in model.encode(X)])
    np.testing.assert_array_equal(terms.logs["perplexity"], uses)
    metric = model.make_metric("perplexity")
    metric.update_state(terms.logs["perplexity"])
    shares = uses.sum(0)[uses.sum(0) > 0] / 96
    assert float(metric.result()) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)


@pytest.mark.slow
def test_exports_codes_as_int32(tmp_path):
    from keras_vae import runtimes

    model = stirred(fsq())
    bundle = export(model, tmp_path / "bundle", ("onnx", "saved_model"))
    assert bundle.graphs["decoder"]["inputs"]["codes"]["dtype"] == "int32"
    runtime = runtimes.open(bundle, "onnxruntime")
    np.testing.assert_array_equal(runtime.encode(X), model.encode(X))
    again = FSQVAE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.elbo(X), model.elbo(X))


@pytest.mark.slow
def test_learns_digits():
    model = trained(FSQVAE, latent_dim=None, code_shape=(16,), levels=(5, 5, 4))
    assert_learned(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": (5, 1)}, r"a count in levels must be a whole number, 2 or more\. Given: 1"),
        ({"levels": ()}, r"levels with a product from 2 to 65536"),
        ({"levels": (256, 257)}, r"levels with a product from 2 to 65536\. Given: .*levels=\(256, 257\)"),
        ({"free_bits": 1.0}, r"FSQVAE does not take free_bits"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        fsq(**arguments)
