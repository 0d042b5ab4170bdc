"""Training as people run it: XLA, several steps a call, precisions, layers with modes, data that do not fit."""

import functools
import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from keras_vae.data import batches
from keras_vae.data.iterators import batches_of
from keras_vae.errors import DivergedError, UserError
from keras_vae.models import CVAE
from tests import sequences, toys
from tests.toys import LATENT, PLAIN, SHAPE, binary, compiled, grey, mlp, same, toy

X = binary(80)
GREY = grey(80)


def dataset_of(*parts, size=16):
    return tf.data.Dataset.from_tensor_slices(parts[0] if len(parts) == 1 else parts).batch(size, drop_remainder=True)


class TestXla:
    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls):
        """One epoch of 5 steps: plain; under XLA with 32 steps a call, more than there are; and with 2, which leaves 1.

        All draw the same noise.
        """
        models = {}
        for name, options in {
            "plain": PLAIN, "xla": {}, "pairs": {"jit_compile": False, "steps_per_execution": 2},
            "eager": {"run_eagerly": True},
        }.items():  # fmt: skip
            model = toy(beta={"name": "linear", "steps": 5})
            model.compile(keras.optimizers.SGD(0.05), **options)
            models[name] = model, model.fit(X, batch_size=16, verbose=0).history
        return models

    @pytest.mark.parametrize("other", ["xla", "pairs", "eager"])
    def test_how_steps_are_run_does_not_change_them(self, fitted, other):
        (plain, history), (model, others) = fitted["plain"], fitted[other]
        assert int(model.step) == int(plain.step) == 5
        for first, second in zip(toys.weights(plain), toys.weights(model), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
        for name in history:
            assert others[name][0] == pytest.approx(history[name][0], rel=1e-5), name

    def test_defaults_are_xla_and_32_steps(self, fitted):
        model, _ = fitted["xla"]
        options = model.get_compile_config()
        assert (options["jit_compile"], options["steps_per_execution"]) == (True, 32)

    @pytest.mark.parametrize("network, xla", [("mlp", True), ("conv", False)])
    def test_xla_is_for_networks_without_convolutions(self, network, xla):
        model = toy(encoder=network, decoder=network)
        model.compile()
        assert model.jit_compile is xla
        for choice in (False, True):
            model.compile(jit_compile=choice)
            assert model.jit_compile is choice
        with pytest.raises(UserError, match=r"jit_compile is True, False or 'auto'\. Given: 'always'"):
            model.compile(jit_compile="always")

    @pytest.mark.slow
    def test_a_training_compiles_one_program(self, monkeypatch):
        """XLA compiles a function for each shape it meets: here of the training step's batches, and of no others.

        Validation, and what follows, is of 16 and 5 examples at a time.
        """
        shapes, function = [], tf.function

        def noting(python_function, **options):
            def traced(data):
                shapes.append(tuple(data["x"].shape))
                return python_function(data)

            return function(traced if options.get("jit_compile") else python_function, **options)

        monkeypatch.setattr(tf, "function", noting)
        model = toy()
        model.compile()
        model.fit(X[:48], batch_size=16, epochs=2, validation_data=X[:21], verbose=0)
        model.evaluate(X[:21], batch_size=16, verbose=0)
        model.predict(X[:21], batch_size=16, verbose=0)
        assert shapes == [(16, *SHAPE)]
        assert model.jit_compile, "as compile set it"

    def test_the_last_partial_batch_is_evaluated(self, fitted):
        """80 in batches of 48: the second has another shape."""
        logs = [fitted[name][0].evaluate(X, batch_size=48, verbose=0, return_dict=True) for name in ("plain", "xla")]
        for name in logs[0]:
            assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-4)

    def test_the_step_named_is_the_one_that_failed(self):
        """32 steps in one call: the loop runs on after the failure, and the first is what is reported.

        SGD with a rate of 1e30 leaves step 0 finite and step 1 not.
        """
        model = toy()
        model.compile(keras.optimizers.SGD(1e30))
        many = np.tile(X, (8, 1, 1, 1))
        with pytest.raises(DivergedError, match=r"^Training must stay finite: the loss of 'model' is not finite at ste"
                           r"p 1\. Lower the learning rate, clip"):  # fmt: skip
            model.fit(many, batch_size=16, verbose=0)


class TestDivergence:
    def test_the_step_counts_from_the_first_fit(self):
        model = compiled(optimizer=keras.optimizers.SGD(1e-3))
        model.fit(X, batch_size=16, verbose=0)
        model.optimizer.learning_rate = 1e30
        with pytest.raises(DivergedError, match="'model' is not finite at step 6"):
            model.fit(X, batch_size=16, verbose=0)

    def test_a_second_fit_starts_anew(self):
        model = compiled(optimizer=keras.optimizers.SGD(1e30))
        good = toys.weights(model)
        with pytest.raises(DivergedError):
            model.fit(X, batch_size=16, verbose=0)
        model.set_weights(good)
        model.optimizer.learning_rate = 1e-3
        assert np.isfinite(model.fit(X, batch_size=16, verbose=0).history["loss"]).all()

    def test_a_weight_that_is_not_finite_at_the_end_of_an_epoch(self):
        """One step: the loss was finite, and what it left behind is not."""
        model = compiled(optimizer=keras.optimizers.SGD(float("inf")))
        with pytest.raises(DivergedError, match=r"the weight .*kernel is not finite after step 1"):
            model.fit(X, batch_size=80, verbose=0)

    def test_nothing_follows_the_failure(self):
        """Callbacks of the user, a checkpoint among them, do not see the epoch that failed."""
        seen = []
        note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
        model = compiled(optimizer=keras.optimizers.SGD(1e30))
        with pytest.raises(DivergedError):
            model.fit(X, batch_size=16, epochs=3, callbacks=[note], verbose=0)
        assert seen == []


class TestPrecision:
    @pytest.mark.parametrize(
        ("dtype", "likelihood"),
        [
            ("mixed_bfloat16", "bernoulli"),
            ("float64", {"name": "gaussian", "scale": "global"}),
            pytest.param("mixed_float16", "bernoulli", marks=pytest.mark.slow),
            pytest.param("float64", "bernoulli", marks=pytest.mark.slow),
            pytest.param("mixed_bfloat16", {"name": "gaussian", "scale": "global"}, marks=pytest.mark.slow),
            pytest.param("mixed_float16", {"name": "gaussian", "scale": "global"}, marks=pytest.mark.slow),
        ],
    )
    def test_each_policy_trains_and_agrees_with_float32(self, dtype, likelihood):
        model, single = (
            compiled(dtype=policy, likelihood=likelihood, optimizer=keras.optimizers.Adam(0.02))
            for policy in (dtype, "float32")
        )
        model.set_weights(single.get_weights())
        first, second = (each.evaluate(X, verbose=0, return_dict=True) for each in (model, single))
        # bfloat16 has 8 bits: 4e-3 a number, less after averaging; the draws of z are the same noise in float32
        if dtype != "float64":
            assert first["loss"] == pytest.approx(second["loss"], rel=2e-2)
        history = model.fit(X, batch_size=16, epochs=5, verbose=0).history
        assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]
        with model.draws.using((0, 1)):
            terms = model.terms({"x": tf.constant(X, model.float_dtype)}, training=True)
        expected = "float64" if dtype == "float64" else "float32"
        assert terms.log_px.dtype == terms.kl.dtype == model.objective(terms).dtype == expected
        assert {weight.dtype for weight in model.trainable_variables} == {expected}
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (dtype == "mixed_float16")
        assert model.encode(X).dtype == model.reconstruct(X).dtype == expected

    def test_networks_compute_in_the_policys_dtype(self):
        model = toy(dtype="mixed_bfloat16")
        assert model.encoder.compute_dtype == "bfloat16"
        assert model.encoder(X).dtype == "bfloat16"
        assert model.posterior_parameters(X)["mean"].dtype == "float32"

    def test_a_users_half_precision_network_returns_float32_too(self):
        layers = [keras.layers.Flatten(dtype="float16"), keras.layers.Dense(2 * LATENT, dtype="float16")]
        model = compiled(encoder=keras.Sequential(layers))
        assert model.posterior_parameters(X)["log_var"].dtype == "float32"
        assert np.isfinite(model.fit(X, batch_size=16, verbose=0).history["loss"]).all()

    def test_float16_scales_each_players_loss_and_still_takes_the_plain_gradient(self):
        """SGD on scaled losses moves weights as SGD on plain ones, to half precision."""
        models = [compiled(dtype=dtype, optimizer=keras.optimizers.SGD(0.01)) for dtype in ("mixed_float16", "float32")]
        models[0].set_weights(models[1].get_weights())
        before = toys.weights(models[1])
        for model in models:
            model.fit(X, batch_size=80, verbose=0)
        moved = [np.concatenate([(a - b).ravel() for a, b in zip(toys.weights(model), before, strict=True)
                                 if a.dtype == "float32"]) for model in models]  # fmt: skip
        assert np.linalg.norm(moved[0] - moved[1]) < 0.02 * np.linalg.norm(moved[1])


class TestTrainingMode:
    def test_batch_norm_statistics_move_in_fit_and_stay_in_evaluate(self):
        model = compiled(encoder=mlp(batch_norm=True), decoder=mlp(batch_norm=True))
        layers = [each for network in (model.encoder, model.decoder) for each in network.stack.layers]
        norms = [each for each in layers if isinstance(each, keras.layers.BatchNormalization)]
        assert len(norms) == 2

        def statistics():
            return [np.array(value) for each in norms for value in (each.moving_mean, each.moving_variance)]

        before = statistics()
        model.fit(X, batch_size=16, verbose=0)
        after = statistics()
        assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        model.evaluate(X, verbose=0), model.predict(X, verbose=0), model.elbo(X), model.log_prob(X[:2], samples=2)
        assert same(after, statistics())

    def test_dropout_is_on_in_training_only(self):
        layers = [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(2 * LATENT)]
        model = compiled(encoder=keras.Sequential(layers))
        np.testing.assert_array_equal(model.encode(X), model.encode(X))
        plain = model.posterior_parameters(X)["mean"].numpy()
        np.testing.assert_allclose(model.encode(X), plain, rtol=1e-5, atol=1e-6)
        dropped = [model.posterior_parameters(X, training=True)["mean"].numpy() for _ in range(2)]
        assert not np.array_equal(*dropped) and not np.array_equal(dropped[0], plain)
        assert model.evaluate(X, verbose=0) == model.evaluate(X, verbose=0)

    @pytest.mark.parametrize("training", [True, False])
    def test_the_flag_reaches_both_networks(self, training):
        seen = []

        class Note(keras.layers.Layer):
            def call(self, inputs, training=False):
                seen.append(training)
                return inputs

        encoder = [keras.layers.Flatten(), Note(), keras.layers.Dense(2 * LATENT)]
        decoder = [Note(), keras.layers.Dense(16), keras.layers.Reshape(SHAPE)]
        model = compiled(encoder=keras.Sequential(encoder), decoder=keras.Sequential(decoder))
        seen.clear()
        if training:
            model.fit(X, batch_size=80, verbose=0)
        else:
            model.evaluate(X, batch_size=80, verbose=0)
        assert len(seen) >= 2 and set(seen) == {training}


class TestDatasets:
    """What a user's own tf.data gives: the right number, or a clear error."""

    @pytest.mark.parametrize("dtype", ["float64", "float16", "bool", "uint8", "int32"])
    @pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
    def test_images_of_every_number_type_give_the_same_numbers(self, dtype, likelihood):
        model = shared(likelihood)
        expected = model.evaluate(dataset_of(X), verbose=0, return_dict=True)
        given = model.evaluate(dataset_of(X.astype(dtype)), verbose=0, return_dict=True)
        assert given == expected

    def test_forms_of_a_batch_give_the_same_numbers(self):
        model = shared("bernoulli")
        expected = model.evaluate(X, batch_size=16, verbose=0, return_dict=True)
        labels = np.zeros(80, "int32")
        for form in (dataset_of(X), dataset_of(X, labels), dataset_of(X, X), dataset_of({"x": X, "y": labels}),
                     {"x": X}, tf.constant(X), X.tolist(), X.astype(bool)):  # fmt: skip
            assert model.evaluate(form, batch_size=16, verbose=0, return_dict=True) == expected
        assert model.evaluate(X, labels, batch_size=16, verbose=0, return_dict=True) == expected

    def test_training_casts_too(self):
        first, second = compiled(likelihood="gaussian"), compiled(likelihood="gaussian")
        first.fit(dataset_of(X), verbose=0), second.fit(dataset_of(X.astype("float64")), verbose=0)
        assert same(toys.weights(first), toys.weights(second))

    def test_fit_runs_each_epoch_of_ours_once(self):
        """Nothing else iterates the dataset: epoch e of fit is epoch e of the pipeline."""
        dataset = batches(X, batch_size=16, training=True)
        shared("bernoulli").fit(dataset, epochs=3, verbose=0)
        assert int(dataset.epoch) == 3

    @pytest.mark.parametrize(
        ("form", "message"),
        [
            (lambda: tf.data.Dataset.from_tensor_slices(X), r"first batch must have shape \(batch, 4, 4, 1\)\."),
            (lambda: dataset_of(X[..., 0]), r"Add the channel axis"),
            (lambda: dataset_of((X * 255).astype("uint8")), r"must lie in \[0, 1\].*divide by 255"),
            (lambda: dataset_of(np.where(X == 1, np.nan, X)), r"dataset's first batch must be finite"),
            (lambda: dataset_of(GREY), r"pixels that are 0 or 1\. Given: grey levels"),
            (lambda: dataset_of(X, *np.ones((3, 80))), r"\(images, labels, sample_weight\) at most\. Given: 4 parts"),
            (lambda: dataset_of({"image": X}), r'a dict with "x".*Given: a dict of \[\'image\'\]'),
            (lambda: dataset_of(X).take(0), r"Given: nothing"),
            (lambda: batches(GREY, batch_size=16, training=False), r"Given: grey levels, such as 0"),
            (lambda: batches(X[:, :3], batch_size=16, training=False), r"x of the dataset must have shape"),
            (lambda: batches(X, batch_size=16, training=False, binarize=None).map(lambda b: b["x"] * 2.0),
             r"must lie in \[0, 1\]"),
        ],
    )  # fmt: skip
    def test_datasets_that_are_refused(self, form, message):
        model = shared("bernoulli")
        before = toys.weights(model)
        for method in (model.fit, model.evaluate):
            with pytest.raises(UserError, match=message):
                method(form(), verbose=0)
        with pytest.raises(UserError, match=message):
            model.fit(X, batch_size=16, validation_data=form(), verbose=0)
        assert same(toys.weights(model), before), "nothing was trained"

    def test_data_of_ours_that_fit(self):
        model = shared("bernoulli")
        for options in ({"binarize": "dynamic"}, {"binarize": "static"}):
            data = batches((GREY * 255).astype("uint8"), batch_size=16, training=True, **options)
            assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()
        grey_model = shared("gaussian")
        for images, options in ((GREY, {}), ((GREY * 255).astype("uint8"), {"dequantize": True})):
            data = batches(images, batch_size=16, training=True, **options)
            assert np.isfinite(grey_model.fit(data, verbose=0).history["loss"]).all()


_SHARED = {}


def shared(likelihood):
    """One compiled model a likelihood: what is refused leaves it as it was, and what is trained does no harm."""
    if likelihood not in _SHARED:
        _SHARED[likelihood] = compiled(likelihood=likelihood)
    return _SHARED[likelihood]


def spoiled(value):
    x = X.copy()
    x[3, 1, 2, 0] = value
    return x


class TestBadArrays:
    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (X[0], r"x must have shape \(batch, 4, 4, 1\)\. Given: \(4, 4, 1\)\. Add the batch axis"),
            (X[:, :3], r"Given: \(80, 3, 4, 1\)"),
            (X.astype(str), r"must be an array of floats\. Given: dtype <U"),
            (X.astype(object), r"Given: dtype object"),
            (X.astype(complex), r"Given: dtype complex128"),
            (spoiled(np.nan), r"x must be finite\. Given: 1 values"),
            (spoiled(np.inf), r"x must be finite\. Given: 1 values"),
            (X * 255, r"divide by 255"),
            (-X, r"must lie in \[0, 1\]\. Given: values from -1 to -0; rescale them"),
            (GREY, r"Given: grey levels, such as"),
            (X[:0], r"at least one example\. Given: none"),
            (None, r"x must be an array"),
            ({"y": X}, r'A batch is a dict with "x"'),
        ],
    )
    def test_what_fit_and_evaluate_refuse(self, x, message):
        model = shared("bernoulli")
        before, step = toys.weights(model), int(model.step)
        for method in (model.fit, model.evaluate):
            with pytest.raises(UserError, match=message):
                method(x, batch_size=16, verbose=0)
        if x is not None:
            with pytest.raises(UserError, match=message):
                model.fit(X, batch_size=16, validation_data=x, verbose=0)
        assert same(toys.weights(model), before) and int(model.step) == step

    def test_fewer_examples_than_a_batch(self):
        model = shared("bernoulli")
        with pytest.raises(UserError, match=r"at least one full batch: 128 examples\. Given: 80\. Lower batch_size"):
            model.fit(X, verbose=0)
        assert np.isfinite(model.fit(X[:1], batch_size=1, verbose=0).history["loss"]).all()
        assert len(model.evaluate(X[:1], verbose=0, return_dict=True)) == 5

    def test_arguments_that_do_not_fit(self):
        model = shared("bernoulli")
        with pytest.raises(UserError, match=r"validation_split is a share of arrays, .*Given: 1\.5"):
            model.fit(X, batch_size=16, validation_split=1.5, verbose=0)
        with pytest.raises(UserError, match=r"batch_size must be a whole number, 1 or more\. Given: 0"):
            model.fit(X, batch_size=0, verbose=0)
        with pytest.raises(UserError, match=r"one label for each image\. Given: 3 labels, 80 images"):
            model.fit(X, [1, 2, 3], batch_size=16, verbose=0)

    @pytest.mark.parametrize("method", ["fit", "evaluate"])
    def test_before_compile(self, method):
        with pytest.raises(UserError, match=r"Call model\.compile\(\) before fit or evaluate\."):
            getattr(toy(), method)(X, batch_size=16, verbose=0)

    @pytest.mark.parametrize("argument", ["loss", "metrics", "weighted_metrics"])
    def test_a_loss_of_the_users(self, argument):
        model = toy()
        with pytest.raises(UserError, match=rf"A VAE has its own loss and metrics\. Given: {argument}=\."):
            model.compile("adam", **{argument: "mse"})
        assert not model.compiled


class TestBadModels:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"beta": -1}, r"must be a finite number, 0 or more\. Given: -1"),
            ({"beta": float("nan")}, r"Given: nan"),
            ({"beta": "sigmod"}, r"Unknown schedule 'sigmod'\. Did you mean 'sigmoid'"),
            ({"free_bits": -0.1}, r"free_bits is a number of nats, 0 or more\. Given: -0\.1"),
            ({"free_bits": float("inf")}, r"free_bits is a number.*Given: inf"),
            ({"free_bits": "1"}, r"free_bits is a number.*Given: '1'"),
            ({"free_bits": True}, r"free_bits is a number.*Given: True"),
            ({"free_bits_on": "dimensions"}, r"free_bits_on is one of dimension, group, total\. Given: 'dimensions'"),
            ({"latent_dim": 0}, r"latent_dim must be a whole number, 1 or more\. Given: 0"),
            ({"latent_dim": 2.0}, r"latent_dim must be a whole number"),
            ({"seed": -1}, r"seed must be a whole number, 0 or more\. Given: -1"),
            ({"seed": 2**31}, r"seed must be a whole number, at most 2147483647\. Given: 2147483648"),
            ({"image_shape": (4, 4)}, r"image_shape is \(height, width, channels\)\. Given: \(4, 4\)"),
            ({"image_shape": (4, 4, 0)}, r"image_shape must be a whole number, 1 or more\. Given: 0"),
            ({"image_shape": 4}, r"image_shape is \(height, width, channels\)\. Given: 4"),
            ({"image_shape": None}, r"image_shape is \(height, width, channels\)\. Given: None"),
            (
                {"encoder": "mpl"},
                r"Unknown encoder 'mpl'\. Did you mean 'mlp'\? Known: causal, conv, growing, gru",
            ),
            ({"decoder": {"name": "cnov"}}, r"Unknown decoder 'cnov'\. Did you mean 'conv'"),
            (
                {"encoder": {"name": "mlp", "hiden": (3,)}},
                r"encoder 'mlp' has no argument 'hiden'\. Did you mean 'hidd",
            ),
            ({"encoder": {"name": "mlp", "output_shape": (3,)}}, r"encoder 'mlp' is given 'output_shape' by the model"),
            ({"encoder": lambda x: x}, r"The encoder must be a name, or a mapping"),
            ({"likelihood": "gausian"}, r"Unknown likelihood 'gausian'\. Did you mean 'gaussian'"),
            ({"encoder": {"name": "conv"}, "image_shape": (6, 6, 1)}, r"both must be multiples of 4.*\(6, 6, 1\)"),
            ({"decoder": {"name": "conv"}, "image_shape": (6, 6, 1)}, r"both must be multiples of 4.*\(6, 6, 1\)"),
        ],
    )
    def test_arguments_that_do_not_fit(self, arguments, message):
        with pytest.raises(UserError, match=message):
            toy(**arguments)

    def test_networks_of_another_latent_size_or_shape(self):
        with pytest.raises(UserError, match=r"The encoder must map \(batch, 4, 4, 1\) to \(batch, 4\).*outputs of sha"
                           r"pe \(batch, 6\)\. Change its last layer"):  # fmt: skip
            toy(encoder=keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(6)]))
        with pytest.raises(UserError, match=r"The decoder must map \(batch, 2\) to \(batch, 4, 4, 1\).*\(batch, 16\)"):
            toy(decoder=keras.layers.Dense(16))
        with pytest.raises(UserError, match=r"The decoder must map \(batch, 2\) to \(batch, 4, 4, 2\)"):
            wide = keras.Sequential([keras.layers.Dense(16), keras.layers.Reshape(SHAPE)])
            toy(likelihood={"name": "gaussian", "scale": "pixel"}, decoder=wide)


class TestConfiguration:
    def test_every_argument_comes_back(self, tmp_path):
        arguments = {
            "likelihood": {"name": "gaussian", "scale": "pixel", "minimum_scale": 0.02},
            "beta": {"name": "cyclical", "final": 2.0, "period": 100, "ramp": 0.25},
            "free_bits": 0.25, "free_bits_on": "total", "seed": 9, "dtype": "mixed_bfloat16", "name": "mine",
        }  # fmt: skip
        model = toy(**arguments)
        again = type(model).from_config(model.get_config())
        assert again.get_config() == model.get_config()
        assert same(toys.weights(again), toys.weights(model)), "one seed, one model"
        for name in ("free_bits", "free_bits_on", "seed", "name", "latent_dim", "image_shape", "beta"):
            assert getattr(again, name) == getattr(model, name)
        assert again.dtype_policy.name == "mixed_bfloat16"

    def test_networks_given_as_layers(self, tmp_path):
        """Saved as what Keras makes of them; weights come back with the file."""
        encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2 * LATENT)])
        model = compiled(encoder=encoder)
        model.fit(X, batch_size=16, verbose=0)
        model.save(tmp_path / "a.keras")
        again = keras.models.load_model(tmp_path / "a.keras")
        assert same(toys.weights(again), toys.weights(model))
        for each in (model, again):
            each.fit(X, batch_size=16, verbose=0)
        assert same(toys.weights(again), toys.weights(model)), "optimizer and step were saved too"


def test_one_compile_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled()


class TestStepsPerExecution:
    """Progress ends where the epoch does: what is done in one call divides the steps of an epoch."""

    def calls(self, model, data, **arguments):
        """The number of steps done after each call of the first epoch."""
        done = []
        note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: done.append(batch + 1))
        model.fit(data, verbose=0, callbacks=[note], **arguments)
        return done

    @pytest.mark.parametrize(
        ("examples", "limit", "ends"),
        [(50, 32, [25, 50]), (12, 32, [12]), (13, 4, [*range(1, 14)]), (12, 4, [4, 8, 12]), (8, 1, [*range(1, 9)])],
    )
    def test_the_largest_number_that_divides_an_epoch(self, examples, limit, ends):
        model = toy()
        model.compile(jit_compile=False, steps_per_execution=limit)
        assert self.calls(model, binary(examples), batch_size=1) == ends
        assert int(model.step) == examples
        assert model.get_compile_config()["steps_per_execution"] == limit

    @pytest.mark.slow
    def test_another_epoch_has_another_number(self):
        model = toy()
        model.compile(jit_compile=False, steps_per_execution=4)
        assert self.calls(model, binary(6), batch_size=1) == [3, 6]
        assert self.calls(model, binary(8), batch_size=1) == [4, 8]
        assert self.calls(model, binary(8), batch_size=1, steps_per_epoch=2) == [2]
        assert model.evaluate(binary(7), batch_size=1, verbose=0, return_dict=True)["loss"] > 0
        assert int(model.step) == 16

    def test_of_a_dataset_of_unknown_length_it_is_what_compile_was_given(self):
        model, data = toy(), tf.data.Dataset.from_tensor_slices({"x": binary(12)}).batch(1)
        model.compile(jit_compile=False, steps_per_execution=5)
        for dataset, steps in ((data, 4), (data.filter(lambda _: True), 5), (data.repeat(), 5), (data.take(3), 3)):
            model.set_steps_per_execution(batches_of(dataset))
            assert model.steps_per_execution == steps


@pytest.mark.parametrize(
    ("arguments", "verbose", "said"), [({}, 2, 1), pytest.param({}, 0, 0, marks=pytest.mark.slow), (PLAIN, 2, 0)]
)
def test_the_wait_for_xla_is_said_once(capsys, arguments, verbose, said):
    model = toy()
    model.compile(**arguments)
    for _ in range(2):
        model.fit(binary(4), batch_size=2, verbose=verbose)
    assert capsys.readouterr().err.count("Compiling the training step with XLA") == said


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_the_end_of_data_of_unknown_length_counts_as_no_step():
    data = dataset_of({"x": X}).filter(lambda batch: True)
    for options in (PLAIN, {"jit_compile": False, "steps_per_execution": 4}):
        model = toy()
        model.compile(**options)
        model.fit(data, epochs=3, verbose=0)
        assert int(model.step) == int(model.optimizer.iterations) == 15, options


class TestWhatIsReadOnce:
    """Keras trains later epochs on the first two batches of an iterator that has ended."""

    pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")

    def batches(self, read):
        for start in range(0, 80, 16):
            read.append(start)
            yield {"x": X[start : start + 16]}

    def test_an_iterator_is_trained_on_once(self):
        model, same, read = compiled(), compiled(), []
        history = model.fit(self.batches(read), verbose=0).history
        assert read == [0, 16, 32, 48, 64] and int(model.step) == 5
        assert history == same.fit(dataset_of({"x": X}), verbose=0).history
        assert all(map(np.array_equal, toys.weights(model), toys.weights(same)))

    def test_its_epochs_go_on_where_the_last_one_ended(self):
        model, same = compiled(), compiled()
        history = model.fit(self.batches([]), epochs=2, steps_per_epoch=2, verbose=0).history
        assert history == same.fit(dataset_of({"x": X}), epochs=2, steps_per_epoch=2, verbose=0).history

    @pytest.mark.parametrize("make", [lambda x: (x, None), lambda x: {"x": x, "id": ["a"] * len(x)}, lambda x: x])
    def test_what_no_model_reads_is_left_out(self, make):
        model = compiled()
        model.fit((make(X[start : start + 16]) for start in (0, 16)), verbose=0)
        assert int(model.step) == 2

    def test_an_epoch_more_is_refused(self):
        model = compiled()
        with pytest.raises(UserError, match=r"must have a batch\. Given: none in epoch 2\. An iterator is read"):
            model.fit(self.batches([]), epochs=3, verbose=0)
        assert int(model.step) == 5

    def test_a_second_validation_is_refused(self):
        with pytest.raises(UserError, match=r"evaluation must have a batch\. Given: none\. An iterator is read once"):
            compiled().fit(X, batch_size=16, epochs=2, validation_data=self.batches([]), verbose=0)


@pytest.mark.parametrize("limit", [1, 3, 32])
def test_steps_are_as_many_as_are_asked_for(limit):
    """Keras runs past `steps`, to the end of a call of several."""
    model, data = toy(), dataset_of({"x": X})
    model.compile(jit_compile=False, steps_per_execution=limit)
    two = model.evaluate(data.take(2), verbose=0)
    assert model.evaluate(data, steps=2, verbose=0) == two != model.evaluate(data, verbose=0)
    assert len(model.predict(data, steps=2, verbose=0)) == 32
    history = model.fit(X, batch_size=16, validation_data=data, validation_steps=2, verbose=0).history
    assert history["val_elbo"] == [model.evaluate(data.take(2), verbose=0, return_dict=True)["elbo"]]
    for call in (
        lambda: model.evaluate(data, steps=0),
        lambda: model.fit(data, validation_data=X, validation_steps=0.5),
    ):
        with pytest.raises(UserError, match=r"steps must be a whole number, 1 or more\. Given: 0"):
            call()

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return {"x": X[16 * index : 16 * index + 16]}

    assert model.evaluate(Batches(), steps=2, verbose=0) == model.evaluate(data.take(2), verbose=0)


def test_a_callback_evaluates_a_part_while_the_model_trains():
    model, losses = toy(), []
    model.compile(jit_compile=False, steps_per_execution=5)

    def note(epoch, logs):
        losses.append(model.evaluate(X, batch_size=16, steps=3, verbose=0)[0])

    model.fit(X, batch_size=16, epochs=3, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)])
    assert int(model.step) == 15 and len(losses) == 3 and model.steps_per_execution == 5


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_epoch_without_a_batch_is_refused():
    sizes = iter([16, 16])  # the look at the first batch, and the first epoch

    def source():
        size = next(sizes, 0)
        yield from [{"x": binary(size)}] if size else []

    signature = {"x": tf.TensorSpec((None, *SHAPE), tf.float32)}
    data = tf.data.Dataset.from_generator(source, output_signature=signature)
    with pytest.raises(UserError, match=r"must have a batch\. Given: none in epoch 2\. An iterator is read"):
        compiled().fit(data, epochs=3, verbose=0)


@pytest.mark.slow
def test_a_damaged_file_of_xlas_cache_is_not_an_epoch_without_training(tmp_path):
    """TensorFlow says of a file that ends too early that a sequence has ended, which Keras takes for the data's."""
    program = (
        "import keras, numpy as np\nfrom keras_vae.models import VAE\n"
        "model = VAE(latent_dim=2, encoder='mlp', decoder='mlp')\nmodel.compile('adam')\n"
        "model.fit(np.zeros((8, 28, 28, 1), 'float32'), batch_size=4, verbose=0)\nprint('trained')\n"
    )
    environment = {**os.environ, "TF_XLA_FLAGS": f"--tf_xla_persistent_cache_directory={tmp_path}"}
    run = functools.partial(subprocess.run, [sys.executable, "-c", program], env=environment, capture_output=True)
    assert run(text=True).stdout == "trained\n"
    (cached,) = tmp_path.iterdir()
    os.truncate(cached, cached.stat().st_size // 2)
    failed = run(text=True)
    assert failed.stdout == ""
    assert "UserError: An epoch must have a batch. Given: none in epoch 1." in failed.stderr


class TestOneBatch:
    """`train_on_batch`, `test_on_batch` and `predict_on_batch`, for loops of one's own."""

    def test_a_loop_over_batches_trains_as_fit(self):
        arrays = np.split(X, 5)
        model, fitted = compiled(), compiled()
        logs = [model.train_on_batch(x, return_dict=True) for x in arrays]
        history = fitted.fit(tf.data.Dataset.from_tensor_slices(np.stack(arrays)), verbose=0).history
        for first, second in zip(toys.weights(model), toys.weights(fitted), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
        for name, (mean,) in history.items():
            assert np.mean([one[name] for one in logs]) == pytest.approx(mean, rel=1e-5)

    def test_mappings_are_batches_too(self):
        first, second = compiled(), compiled()
        assert first.train_on_batch({"x": X}) == pytest.approx(second.train_on_batch(X))
        assert first.test_on_batch({"x": X}) == pytest.approx(second.test_on_batch(X))
        np.testing.assert_allclose(first.predict_on_batch({"x": X}), first.predict(X, verbose=0), rtol=1e-5, atol=1e-6)

    def test_sparse_rows_are_rows(self):
        counts = np.random.default_rng(0).poisson(1.0, (16, 5)).astype("float32")
        first, second = (compiled(x_shape=(5,), image_shape=None, likelihood="poisson") for _ in range(2))
        assert first.train_on_batch(scipy.sparse.csr_matrix(counts)) == second.train_on_batch(counts)

    def test_a_class_weight_is_the_weight_of_its_examples(self):
        labels = (np.arange(80) % 3).astype("int32")
        first, second = compiled(), compiled()
        logs = first.train_on_batch(X, labels, class_weight={0: 2.0, 2: 0.5})
        assert logs == pytest.approx(second.train_on_batch(X, labels, np.choose(labels, [2.0, 1.0, 0.5])), rel=1e-6)

    @pytest.mark.parametrize(
        ("batch", "message"),
        [
            ((X * 255,), r"Pixels of x must lie in \[0, 1\]\. Given: values from 0 to 255; divide by 255"),
            ((GREY,), r"A Bernoulli likelihood is a probability of pixels that are 0 or 1"),
            ((X[:, :2],), r"x must have shape"),
            ((np.where(X > 0, np.nan, X),), r"NaN"),
            ((X[:0],), r"A batch has an example at least"),
            ((dataset_of(X),), r"One batch is of arrays\. Given: .*Dataset, a stream\. Call fit"),
            ((X, None, -np.ones(80)), r"sample_weight must be 0 or more"),
            ((X, None, np.ones(79)), r"sample_weight must have shape \(80,\)"),
            ((X, None, np.zeros(80)), r"sample_weight must be above 0"),
        ],
    )
    def test_a_batch_is_held_to_the_rules_of_fit(self, batch, message):
        model = compiled()
        before = toys.weights(model)
        for method in (model.train_on_batch, model.test_on_batch):
            with pytest.raises(UserError, match=message):
                method(*batch)
        assert same(before, toys.weights(model))

    def test_tokens_are_read_after_a_stream_that_broke_a_rule(self):
        """The watch puts 0 for the tokens of a stream once one of its batches is refused."""
        first, second = sequences.tiny(), sequences.tiny()
        for model in (first, second):
            model.compile("adam", **PLAIN)
        tokens = sequences.VALID[:16]
        stream = tf.data.Dataset.from_tensor_slices(np.where(np.arange(16)[:, None] < 8, tokens, 9)).batch(8)
        with pytest.raises(UserError, match=r"Batch 1 of"):
            first.evaluate(stream, verbose=0)
        assert first.test_on_batch(tokens) == pytest.approx(second.test_on_batch(tokens), rel=1e-6)

    def test_conditions_too(self):
        model = compiled(CVAE, num_classes=3)
        assert np.isfinite(model.train_on_batch(X, (np.arange(80) % 3).tolist())).all()
        with pytest.raises(UserError, match=r"label for each example\. Given: labels of shape \(79,\), 80"):
            model.train_on_batch(X, np.arange(79) % 3)
        with pytest.raises(UserError, match=r"condition must lie from 0 to 2"):
            model.train_on_batch(X, np.arange(80) % 5)
        with pytest.raises(UserError, match=r"needs a condition for each of the 80 examples"):
            model.train_on_batch(X)

    def test_before_compile(self):
        for method in (toy().train_on_batch, toy().test_on_batch):
            with pytest.raises(UserError, match=r"Call model\.compile\(\) before"):
                method(X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": -1}, "epochs"),
        ({"epochs": 2.0}, "epochs"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"steps_per_epoch": 2.5}, "steps_per_epoch"),
        ({"validation_freq": 0}, "validation_freq"),
        ({"shuffle": False}, r"Arrays are shuffled in each epoch.*batches\(x, training=False\)"),
        ({"callbacks": ["early"]}, "callbacks are keras.callbacks.Callback objects"),
    ],
)
def test_arguments_of_fit_that_are_none(arguments, message):
    with pytest.raises(UserError, match=message):
        compiled().fit(binary(32), verbose=0, **arguments)


@pytest.mark.parametrize("steps", [0, -1, None, "auto", 2.5])
def test_steps_of_a_call_are_a_number(steps):
    with pytest.raises(UserError, match="steps_per_execution"):
        toy().compile(steps_per_execution=steps)


def test_what_keras_takes_too():
    """One callback, a list of lists; validation data as a list; batches in their order."""
    ends = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(sorted(logs)))
    model, x = compiled(), binary(32)
    model.fit(x, batch_size=16, verbose=0, callbacks=callback, validation_data=[x, None], shuffle=True)
    model.fit(batches(x, training=False, batch_size=16), verbose=0, callbacks=[[callback], []], shuffle=False)
    model.evaluate(x, verbose=0, callbacks=callback)
    assert len(ends) == 2 and "val_elbo" in ends[0] and "val_elbo" not in ends[1]


def test_a_dataset_without_end():
    model, x = compiled(), binary(32)
    endless = batches(x, training=False, batch_size=16).repeat()
    model.fit(endless, steps_per_epoch=3, validation_data=endless, validation_steps=2, verbose=0)
    assert int(model.step) == 3
    for call, name in (
        (lambda: model.fit(endless, verbose=0), "steps_per_epoch"),
        (lambda: model.fit(x, batch_size=16, validation_data=endless, verbose=0), "validation_steps"),
        (lambda: model.evaluate(endless, verbose=0), "steps"),
        (lambda: model.predict(endless, verbose=0), "steps"),
    ):
        with pytest.raises(UserError, match=f"Given: one without end. Give {name}="):
            call()


def of_open_shape(data):
    open_ = tf.TensorSpec((None,) * 4)
    return tf.data.Dataset.from_generator(lambda: iter(np.split(data, 4)), output_signature=open_)


def of_no_shape(data):
    return tf.data.Dataset.from_generator(lambda: iter(np.split(data, 4)), output_signature=tf.TensorSpec(None))


def with_labels_of_no_shape(data):
    signature = {"x": tf.TensorSpec(None), "y": tf.TensorSpec(None), "sample_weight": tf.TensorSpec(None)}
    parts = ({"x": x, "y": np.ones(16), "sample_weight": np.ones(16)} for x in np.split(data, 4))
    kept = list(parts)
    return tf.data.Dataset.from_generator(lambda: iter(kept), output_signature=signature)


def from_a_python_function(data):
    read = functools.partial(tf.numpy_function, lambda index: data[16 * index : 16 * index + 16], Tout=tf.float32)
    return tf.data.Dataset.range(4).map(lambda index: (read([index]),))


@pytest.mark.parametrize(
    "dataset_of",
    [of_open_shape, of_no_shape, with_labels_of_no_shape, from_a_python_function],
    ids=lambda one: one.__name__,
)
def test_a_dataset_that_leaves_shapes_open_trains_as_one_that_does_not(dataset_of):
    data = binary(64)
    numbers = []
    for dataset in (tf.data.Dataset.from_tensor_slices(data).batch(16), dataset_of(data)):
        model = compiled()
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(4))  # which Keras warns of otherwise
        history = model.fit(dataset, epochs=2, validation_data=dataset, verbose=0).history
        results = model.evaluate(dataset, verbose=0, return_dict=True)
        numbers.append((history, results, model.predict(dataset, verbose=0), toys.weights(model)))
    (history, results, images, weights), others = numbers
    assert others[0] == history and others[1] == results
    np.testing.assert_array_equal(images, others[2])
    assert same(weights, others[3])


def test_open_shapes_are_held_to_the_models(tmp_path):
    other = tf.data.Dataset.from_generator(lambda: iter([binary(16, (3, 5, 1))]), output_signature=tf.TensorSpec(None))
    for method in (compiled().fit, compiled().evaluate):
        with pytest.raises(UserError, match=r"first batch.*\(16, 3, 5, 1\)"):
            method(other, verbose=0)
