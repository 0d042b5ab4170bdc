"""Growing: at alpha 0 a grown model is the old one on images of twice the size; at 1 only the new stage counts."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import data
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.models import VAE, BetaVAE, VampVAE
from keras_vae.models.parts.growing import grow, inherit, stages
from keras_vae.networks import GrowingDecoder, GrowingEncoder
from tests.export.bundles import stirred
from tests.toys import binary, mlp, toy

SPEC = {"name": "growing", "filters": (3, 4), "dense": 5}
SHAPE = (8, 12, 2)
X = binary(6, SHAPE)
Z = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def small(cls=VAE, **arguments):
    """Weights of a trained model's size, so that no difference is lost in rounding."""
    defaults = {"image_shape": SHAPE, "latent_dim": 3, "encoder": SPEC, "decoder": SPEC}
    return stirred(cls(**{**defaults, **arguments}))


def doubled(images):
    return images.repeat(2, axis=1).repeat(2, axis=2)


def finished(model):
    """With whatever grew faded in."""
    for network in (model.encoder, model.decoder):
        network.steps.assign(network.fade_steps)
    return model


def stirred_new(model, seed=1):
    """The new stage's weights, which are small at first, of the size of others."""
    generator = np.random.default_rng(seed)
    for network in (model.encoder, model.decoder):
        for weight in (*network.stages[0].weights, *network.pixels[0].weights):
            weight.assign(generator.normal(size=weight.shape) / np.sqrt(np.prod(weight.shape[:-1])))
    return model


class TestAlphaZero:
    @pytest.fixture(scope="class")
    @classmethod
    def pair(cls):
        model = small()
        model.step.assign(70)
        return model, stirred_new(grow(model, filters=6, fade_steps=10))

    def test_images_are_the_old_ones_with_each_pixel_repeated(self, pair):
        model, grown = pair
        assert grown.image_shape == (16, 24, 2)
        np.testing.assert_array_equal(grown.decode(Z), doubled(model.decode(Z)))
        np.testing.assert_array_equal(grown.sample(5, seed=2), doubled(model.sample(5, seed=2)))

    def test_codes_are_those_of_the_image_at_half_the_size(self, pair):
        model, grown = pair
        np.testing.assert_array_equal(grown.encode(doubled(X)), model.encode(X))
        finer = binary(6, (16, 24, 2), seed=3)
        coarse = finer.reshape(6, 8, 2, 12, 2, 2).mean((2, 4))
        np.testing.assert_allclose(grown.encode(finer), model.encode(coarse), rtol=1e-5, atol=1e-6)

    def test_log_p_of_a_repeated_image_is_four_times_as_much(self, pair):
        model, grown = pair
        before, after = (each.likelihood(Z).log_prob(x) for each, x in ((model, X), (grown, doubled(X))))
        np.testing.assert_allclose(after, 4 * before, rtol=1e-5)

    def test_what_was_trained_is_kept(self, pair):
        model, grown = pair
        assert type(grown) is VAE and int(grown.step) == 70
        assert grown.encoder.filters == grown.decoder.filters == (6, 3, 4)
        for old, new in ((model.encoder, grown.encoder), (model.decoder, grown.decoder)):
            for mine, theirs in zip(new.stages[1:], old.stages, strict=True):
                for weight, known in zip(mine.weights, theirs.weights, strict=True):
                    np.testing.assert_array_equal(weight, known)


def test_halfway_is_the_mean_of_both():
    grown = stirred_new(grow(small(), fade_steps=10))
    outputs = []
    for steps in (0, 5, 10):
        for network in (grown.encoder, grown.decoder):
            network.steps.assign(steps)
        outputs.append(np.asarray(grown.decoder(Z)))
    assert np.abs(outputs[2] - outputs[0]).max() > 0.1
    np.testing.assert_allclose(outputs[1], (outputs[0] + outputs[2]) / 2, rtol=1e-5, atol=1e-6)


def test_alpha_one_is_a_network_that_never_grew():
    grown = finished(stirred_new(grow(small(), filters=6)))
    plain = VAE(grown.image_shape, 3, *({**SPEC, "filters": (6, 3, 4)},) * 2)
    for old, new in ((grown.encoder, plain.encoder), (grown.decoder, plain.decoder)):
        for mine, theirs in zip(
            [*new.stages, *new.pixels, new.head], [*old.stages, old.pixels[0], old.head], strict=True
        ):
            mine.set_weights(theirs.get_weights())
    x = binary(6, grown.image_shape)
    np.testing.assert_array_equal(grown.encode(x), plain.encode(x))
    np.testing.assert_array_equal(grown.decode(Z), plain.decode(Z))


def test_alpha_rises_with_training_only_and_an_interrupted_fade_goes_on(tmp_path):
    grown: Any = grow(small(), fade_steps=8)
    grown.compile("adam", jit_compile=False, steps_per_execution=2)
    x = binary(24, grown.image_shape)
    for epoch in (1, 2, 3):
        grown.fit(x, batch_size=6, verbose=0)
        assert [float(network.alpha) for network in (grown.encoder, grown.decoder)] == [min(4 * epoch / 8, 1.0)] * 2
        if epoch == 1:
            grown.evaluate(x, verbose=0)
            grown.save_weights(tmp_path / "a.weights.h5")
    assert int(grown.encoder.steps) == 8
    again = type(grown).from_config(grown.get_config())
    again.load_weights(tmp_path / "a.weights.h5")
    assert float(again.decoder.alpha) == 4 / 8


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_they_compute_in_their_policys_dtype(dtype):
    spec = {**SPEC, "fade_steps": 4, "dtype": dtype}
    del spec["name"]
    for network, inputs in ((GrowingEncoder((3,), **spec), X), (GrowingDecoder(SHAPE, **spec), Z)):
        assert network(inputs, training=True).dtype == {"float64": "float64", "mixed_bfloat16": "bfloat16"}[dtype]


def test_every_weight_gets_a_gradient_halfway():
    grown = stirred_new(grow(small(), fade_steps=10))
    for network in (grown.encoder, grown.decoder):
        network.steps.assign(5)
    x = tf.constant(binary(6, grown.image_shape))
    with tf.GradientTape() as tape, grown.draws.using((0, 1)):
        loss = grown.objective(grown.terms({"x": x}, training=True))
    gradients: Any = tape.gradient(loss, [variable.value for variable in grown.trainable_variables])
    for variable, gradient in zip(grown.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, variable.path


def test_from_16_to_256():
    """Four times, each the old model exactly, and each a network of one stage more."""
    model = small(BetaVAE, image_shape=(16, 16, 1), beta=2.0)
    for size in (32, 64, 128, 256):
        grown = grow(model)
        assert grown.image_shape == (size, size, 1) and grown.get_config()["beta"] == model.get_config()["beta"]
        np.testing.assert_array_equal(grown.decode(Z[:2]), doubled(model.decode(Z[:2])))
        model = finished(stirred_new(grown))
    assert model.encoder.filters == (3,) * 5 + (4,)


@pytest.mark.slow
def test_exports_halfway(tmp_path):
    grown = stirred_new(grow(small(), fade_steps=10))
    for network in (grown.encoder, grown.decoder):
        network.steps.assign(4)
    bundle = export(grown, tmp_path / "bundle", ("onnx", "saved_model"))
    assert all(row.max_error <= row.tolerance for row in bundle.parity)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grow(toy()), r"encoder='growing' and decoder='growing'\. Given: the encoder is a MLP"),
        (lambda: grow(small(decoder=mlp())), r"Given: the decoder is a MLP"),
        (
            lambda: grow(grow(small())),
            r"has faded in\. Given: the encoder has alpha 0\.0 of 1\. Train it for",
        ),
        (lambda: grow(small(), fade_steps=0), r"fade_steps must be a whole number, 1 or more\. Given: 0"),
        (lambda: grow(small(), filters=0), r"filters must be a whole number, 1 or more\. Given: 0"),
        (
            lambda: grow(small(VampVAE, pseudo_inputs=2)),
            r"VampVAE has weights .* \(2, 8, 12, 2\)\. Train one",
        ),
        (lambda: GrowingEncoder((3,), filters=(4,), fade_steps=1), r"one stage, and a further one .*fade_steps=1"),
        (lambda: GrowingDecoder((8, 8, 1), filters=()), r"one stage, and .* Given: filters=\(\)"),
        (lambda: small(image_shape=(6, 8, 1)), r"multiples of 4\. Given: an image of shape \(6, 8, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.slow
def test_sprites_from_32_to_64():
    """The mean over 2x2 pixels, drawn as 1 with that probability, then whole sprites: held-out ELBO rises again."""
    whole, held_out = (data.load_arrays("sprites", split) for split in ("train[:2000]", "test[:200]"))
    coarse = whole.reshape(-1, 32, 2, 32, 2, 1).mean((2, 4)) > 0.5
    spec = {"name": "growing", "filters": (8, 16, 16), "dense": 64}
    model: Any = VAE((32, 32, 1), 6, spec, spec)
    model.compile(keras.optimizers.Adam(2e-3), jit_compile=False, steps_per_execution=10)
    model.fit(coarse.astype("float32"), batch_size=50, epochs=8, verbose=0)
    grown = grow(model, filters=8, fade_steps=80)
    start = grown.elbo(held_out).mean()
    grown.compile(keras.optimizers.Adam(2e-3), jit_compile=False, steps_per_execution=10)
    grown.fit(whole, batch_size=50, epochs=4, verbose=0)
    assert float(grown.decoder.alpha) == 1.0
    assert grown.elbo(held_out).mean() > start + 20
    frequency = (whole.sum(0) + 1) / (len(whole) + 2)
    mean_image = (held_out * np.log(frequency) + (1 - held_out) * np.log1p(-frequency)).sum((1, 2, 3)).mean()
    assert grown.elbo(held_out).mean() > mean_image + 20


THREE = {**SPEC, "filters": (6, 5, 4), "fade_steps": 4}


class TestStages:
    def test_a_training_ends_with_the_model_that_was_described(self):
        model = small(image_shape=(16, 24, 2), encoder=THREE, decoder=THREE)
        planned = stages(model, grow_after=(2, 5), epochs=9, steps_per_epoch=2)
        assert [(each.halvings, each.first_epoch, each.end) for each in planned] == [(2, 0, 2), (1, 2, 5), (0, 5, 9)]
        assert [each.model.image_shape for each in planned] == [(4, 6, 2), (8, 12, 2), (16, 24, 2)]
        assert [each.model.encoder.filters for each in planned] == [(4,), (5, 4), (6, 5, 4)]
        assert [each.model.decoder.fade_steps for each in planned] == [0, 4, 4]
        assert planned[-1].model is model

    @pytest.mark.slow
    def test_trained_one_after_the_other_each_goes_on_from_the_last(self):
        x = binary(12, (16, 24, 2))
        model = small(image_shape=(16, 24, 2), encoder=THREE, decoder=THREE)
        dataset, previous = data.batches(x, batch_size=6, training=True), None
        for stage in stages(model, grow_after=(2, 4), epochs=6, steps_per_epoch=2):
            if previous is not None:
                inherit(stage.model, previous)
                np.testing.assert_array_equal(stage.model.decode(Z), doubled(previous.decode(Z)))
            stage.model.compile("adam", jit_compile=False, steps_per_execution=1)
            stage.model.fit(stage.batches(dataset), initial_epoch=stage.first_epoch, epochs=stage.end, verbose=0)
            assert float(stage.model.decoder.alpha) == 1.0
            previous = stage.model
        assert previous is model and int(model.step) == 12

    def test_images_are_means_over_pixels_at_the_likelihoods_levels(self):
        x = binary(6, (16, 24, 2))
        means = x.reshape(6, 4, 4, 6, 4, 2).mean((2, 4))
        for likelihood, expected in (("gaussian", means), ("bernoulli", np.round(means))):
            model = small(image_shape=(16, 24, 2), encoder=THREE, decoder=THREE, likelihood=likelihood)
            first = stages(model, (1, 4), 7, 2)[0]
            np.testing.assert_allclose(first.images(x), expected, atol=1e-6)
            batch = next(iter(first.batches(data.batches(x, batch_size=6, training=False))))
            np.testing.assert_allclose(batch["x"], expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("spec", "grow_after", "message"),
        [
            ({}, (5, 2), r"ascend, and lie below the number of epochs\. Given: grow=\[5, 2\], epochs=9"),
            ({}, (2, 9), r"ascend, and lie below .*grow=\[2, 9\]"),
            ({}, (0,), r"an epoch in grow must be a whole number, 1 or more"),
            ({}, (2, 4, 6), r"more than 3 filters.*the encoder has filters=\(6, 5, 4\)"),
            ({"fade_steps": 0}, (2,), r"fade_steps of 1 or more\. Given: .*fade_steps=0"),
            (
                {"fade_steps": 7},
                (2, 5),
                r"fades in before.*fade_steps=7 of the encoder, and 3 epochs of 2",
            ),
        ],
    )
    def test_a_plan_that_does_not_fit_is_refused(self, spec, grow_after, message):
        spec = {**THREE, **spec}
        with pytest.raises(UserError, match=message):
            stages(small(image_shape=(16, 24, 2), encoder=spec, decoder=spec), grow_after, 9, 2)

    def test_other_networks_do_not_grow(self):
        with pytest.raises(UserError, match="Given: the encoder is a MLP"):
            stages(toy(), (2,), 9, 2)
