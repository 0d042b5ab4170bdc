"""`sample_weight` and `class_weight`: Keras's numbers, repeated examples, every model or a refusal, every way in."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_vae import data
from keras_vae.core import VAE
from keras_vae.errors import UserError
from keras_vae.models import AE, CVAE, FSQVAE, IWAE, MODELS, RAE, VQVAE, BetaTCVAE, SemiSupervisedVAE
from tests import toys
from tests.conformance import cases
from tests.toys import PLAIN, binary, compiled, same, toy

# Keras says so of every generator that ends.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")
COUNT = 48
X = binary(COUNT)
Y = (np.arange(COUNT) % 3).astype("int32")
W = np.random.default_rng(1).integers(0, 5, COUNT).astype("float32")
REFUSING = {
    "AAE": "critic",
    "AnnealedVAE": "mean KL of a batch",
    "BetaTCVAE": r"q\(z\), estimated",
    "DIPVAE": "covariance",
    "FactorVAE": "critic",
    "InfoVAE": "discrepancy",
    "ResidualVQVAE": "codebook that follows",
    "VAEGAN": "critic",
    "VQVAE": "codebook that follows",
    "WAE": "discrepancy",
}
CODEBOOKS = ("VQVAE", "ResidualVQVAE")
# What a model that takes weights is made with where its toy of conformance has a loss that is not linear in them.
LINEAR = {"BetaVAE": {"free_bits": 0.0}} | {name: {"codebook": "gradient", "restart_below": 0.0} for name in CODEBOOKS}


def evaluated(model, x=X, y=None, batch_size=COUNT, **weights):
    return model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True, **weights)


def dataset(*columns):
    return tf.data.Dataset.from_tensor_slices(columns).batch(16)


class NegativeLogLikelihood(keras.losses.Loss):
    """Of Bernoulli pixels from logits, summed over an image, as a plain Keras model has it."""

    def call(self, y_true, y_pred):
        return ops.sum(ops.softplus(y_pred) - y_true * y_pred, axis=(1, 2, 3))


def plain(model):
    """A model of Keras alone, with the networks of an AE."""
    x = keras.Input(toys.SHAPE)
    outputs = keras.layers.Reshape(toys.SHAPE)(model.decoder(model.encoder(x)))
    of_keras = keras.Model(x, outputs)
    nll = NegativeLogLikelihood()
    of_keras.compile(
        keras.optimizers.SGD(0.05),
        loss=nll,
        weighted_metrics=[keras.metrics.MeanMetricWrapper(lambda true, pred: nll.call(true, pred), name="nll")],
    )
    return of_keras


def test_loss_means_and_training_are_those_of_a_plain_keras_model():
    """Batches of 20, so that the last one is partial: its loss has the weight of its size, in Keras as here."""
    ours, theirs = compiled(AE, keras.optimizers.SGD(0.05)), plain(compiled(AE))
    first, second = (
        evaluated(ours, batch_size=20, sample_weight=W),
        theirs.evaluate(X, X, batch_size=20, sample_weight=W, verbose=0, return_dict=True),
    )
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-6)
    assert first["log_px"] == pytest.approx(-second["nll"], rel=1e-6)
    assert first["loss"] != pytest.approx(-first["log_px"]), "the divisor is the number of examples"
    batches, of_keras = dataset(X, Y, W), dataset(X, X, W)
    history = (
        ours.fit(batches, epochs=3, verbose=0).history,
        theirs.fit(of_keras, epochs=3, shuffle=False, verbose=0).history,
    )
    np.testing.assert_allclose(history[0]["loss"], history[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(history[0]["log_px"], -np.asarray(history[1]["nll"]), rtol=1e-5)
    for mine, its in zip(ours.trainable_variables, theirs.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)


def test_whole_weights_are_repeated_examples():
    """Loss and gradient, but for the factor of Keras's divisor, in one step of SGD; weight 0 is an example left out."""
    repeated = np.repeat(X, W.astype(int), axis=0)
    share, rate = len(repeated) / COUNT, 0.125
    weighted, long = (compiled(AE, keras.optimizers.SGD(step), dtype="float64") for step in (rate, rate * share))
    first, second = evaluated(weighted, sample_weight=W), evaluated(long, repeated, batch_size=len(repeated))
    assert first["loss"] == pytest.approx(share * second["loss"], rel=1e-6)
    assert first["log_px"] == pytest.approx(second["log_px"], rel=1e-6)
    weighted.fit(X, batch_size=COUNT, sample_weight=W, verbose=0)
    long.fit(repeated, batch_size=len(repeated), verbose=0)
    for one, other in zip(toys.weights(weighted), toys.weights(long), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    kept, half = np.arange(COUNT) < 24, evaluated(weighted, X[:24], batch_size=24)
    masked = evaluated(weighted, sample_weight=kept)  # of bools
    assert evaluated(weighted, tf.data.Dataset.from_tensors((X, Y, kept))) == masked
    assert masked["loss"] == pytest.approx(half["loss"] / 2, rel=1e-6)
    assert masked["log_px"] == pytest.approx(half["log_px"], rel=1e-6)


def test_the_means_of_a_vae_and_its_loss():
    model = compiled(beta=1.0)
    logs = evaluated(model, sample_weight=W)
    assert logs["loss"] == pytest.approx(-logs["elbo"] * W.sum() / COUNT, rel=1e-5)
    assert logs["elbo"] == pytest.approx(logs["log_px"] - logs["kl"], rel=1e-6)
    bound = evaluated(compiled(IWAE, importance_samples=3), sample_weight=W)
    assert bound["loss"] == pytest.approx(-bound["iw_bound"] * W.sum() / COUNT, rel=1e-5)
    kl = posterior_kl(model).sum(axis=-1)
    assert logs["kl"] == pytest.approx((W * kl).sum() / W.sum(), rel=1e-5)


def posterior_kl(model):
    """KL of each dimension in closed form, `(examples, latent_dim)`, float64."""
    parameters = model.posterior_parameters(ops.convert_to_tensor(X))
    mean, log_var = (np.asarray(parameters[name], "float64") for name in ("mean", "log_var"))
    return 0.5 * (np.exp(log_var) + mean**2 - 1.0 - log_var)


@pytest.mark.parametrize("on", ["dimension", "group", "total"])
def test_free_bits_are_on_the_weighted_kl(on):
    """Brute force: sum over parts of max(sum_i w_i KL_ip / N, kappa), of which some parts lie below kappa."""
    arguments = {"latent_dim": 4, "seed": 2, "beta": 2.0}
    free, bound = compiled(**arguments), evaluated(compiled(**arguments), sample_weight=W)
    kl = posterior_kl(free)
    parts = {"dimension": kl, "group": kl.reshape(COUNT, 2, 2).sum(-1), "total": kl.sum(-1, keepdims=True)}[on]
    means = (W[:, None] * parts).sum(axis=0) / COUNT
    kappa = float(means.max()) * (2.0 if on == "total" else 0.9)
    assert (means < kappa).any()
    limits = {"free_bits": kappa, "free_bits_on": on, "free_bits_group": 2 if on == "group" else 1}
    limited = evaluated(compiled(**arguments, **limits), sample_weight=W)
    expected = 2.0 * (np.maximum(means, kappa).sum() - means.sum())
    assert limited["loss"] - bound["loss"] == pytest.approx(expected, rel=1e-3, abs=1e-5)


class TestOnesAreNone:
    @pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_of_arrays(self, jit_compile):
        """Fifty steps, several in a call."""
        models = toy(), toy()
        for model, weights in zip(models, (None, np.ones(COUNT)), strict=True):
            model.compile("adam", jit_compile=jit_compile, steps_per_execution=3)
            history = model.fit(X, batch_size=16, epochs=17, sample_weight=weights, verbose=0).history
            assert len(history["loss"]) == 17
        assert same(*map(toys.weights, models))

    def test_of_a_stream_in_which_they_are_multiplied(self):
        models, logs = (compiled(), compiled()), []
        for model, columns in zip(models, ((X, Y), (X, Y, np.ones(COUNT))), strict=True):
            logs.append(model.fit(dataset(*columns), epochs=17, verbose=0).history)
            assert int(model.step) == 51
        assert same(*map(toys.weights, models)) and logs[0] == logs[1]

    def test_without_weights_nothing_is_multiplied(self, monkeypatch):
        monkeypatch.setattr(VAE, "weighted", None)
        compiled().fit(X, batch_size=16, verbose=0)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_linear_in_the_weights_or_refuses(name):
    """Of loss and of a step of SGD, with the same noise: that of w and v is the sum of both; in float64."""
    model = cases.make(name, **LINEAR.get(name, {}), dtype="float64")
    model.compile(keras.optimizers.SGD(2**-6), **PLAIN)
    x, y = cases.examples(model).astype(model.x_spec().dtype), cases.labels(model)
    if name in REFUSING and name not in CODEBOOKS:
        refuses(model, x, y, REFUSING[name])
        return
    start, losses, moves = toys.weights(model), [], []
    columns = {"x": x} if y is None else {"x": x, "y": y}
    v = (np.arange(COUNT) % 7).astype("float32") / 4
    for weights in (W, v, W + v):
        batch = tf.data.Dataset.from_tensors({**columns, "sample_weight": weights})
        model.set_weights(start)
        model.watch.clear()
        with cases.eagerly():
            losses.append(evaluated(model, batch)["loss"])
            trained = model.fit(batch, verbose=0).history["loss"]
        assert np.isfinite(trained).all()
        moves.append(
            [np.asarray(new) - old for new, old in zip(model.trainable_variables, begun(model, start), strict=True)]
        )
    # What is logged is float32.
    assert losses[0] + losses[1] == pytest.approx(losses[2], rel=1e-5)
    assert max(np.abs(move).max() for move in moves[2]) > 1e-6
    for first, second, both in zip(*moves, strict=True):
        np.testing.assert_allclose(first + second, both, atol=1e-10)


def begun(model, start):
    """The values in `start`, those of all weights, of the trainable ones."""
    of = {id(weight): value for weight, value in zip(model.weights, start, strict=True)}
    return [of[id(variable)] for variable in model.trainable_variables]


def refuses(model, x, y, reason):
    before, label = toys.weights(model), np.zeros(len(x), "int32")
    message = rf"Given: %s, for a {type(model).__name__}, which has .*{reason}.*draw examples in proportion"
    for method in (model.fit, model.evaluate):
        with pytest.raises(UserError, match=message % "sample_weight"):
            method(x, y, batch_size=16, sample_weight=np.ones(len(x)), verbose=0)
        with pytest.raises(UserError, match=message % "sample_weight"):
            method(data.batches(x, y, batch_size=16, training=True, sample_weight=W), verbose=0)
        with pytest.raises(UserError, match=message % "sample_weight"):
            method(dataset(x, label if y is None else y, W), verbose=0)
    with pytest.raises(UserError, match=message % "class_weight"):
        model.fit(x, label if y is None else y, batch_size=16, class_weight={0: 2.0}, verbose=0)
    assert same(toys.weights(model), before)


def test_the_documentation_names_every_model_that_refuses():
    page = (Path(__file__).parents[2] / "docs/use/training.md").read_text(encoding="utf-8")
    section = page.partition("## Weights of examples")[2].partition("\n## ")[0]
    assert {name for name in MODELS if f"`{name}`" in section} == REFUSING.keys()


@pytest.mark.parametrize("name", CODEBOOKS)
@pytest.mark.parametrize("arguments", [{}, {"codebook": "gradient"}, {"restart_below": 0.0}])
def test_codebooks_that_codes_move_refuse(name, arguments):
    model = cases.make(name, **arguments)
    model.compile("adam", **PLAIN)
    refuses(model, X, None, r"codebook that follows.*unless codebook='gradient' and restart_below=0")


def test_an_l2_regulariser_of_the_decoder_has_no_weight():
    """As Keras's regularisers of layers have none: with all weights halved, the loss is half without it."""
    model = compiled(RAE, regulariser="l2", decoder_weight=0.5)
    whole, half = evaluated(model), evaluated(model, sample_weight=np.full(COUNT, 0.5))
    penalty = 0.5 * whole["regulariser"]
    assert half["loss"] - penalty == pytest.approx((whole["loss"] - penalty) / 2, rel=1e-5)
    assert half["regulariser"] == pytest.approx(whole["regulariser"]) and penalty > 0.1


def test_regularisers_of_layers_have_no_weight():
    dense = keras.layers.Dense(2, kernel_regularizer="l2")
    encoder = keras.Sequential([keras.Input(toys.SHAPE), keras.layers.Flatten(), dense])
    model = compiled(AE, encoder=encoder)
    [extra] = [float(value) for value in model.losses]
    whole, half = evaluated(model), evaluated(model, sample_weight=np.full(COUNT, 0.5))
    assert half["loss"] - extra == pytest.approx((whole["loss"] - extra) / 2, rel=1e-5)


def test_perplexity_and_accuracy_of_repeated_examples():
    repeated = np.repeat(np.arange(COUNT), W.astype(int))
    model = compiled(FSQVAE, latent_dim=None, code_shape=(3,), levels=(4, 3))
    few = evaluated(model, sample_weight=W * 2**-10)["perplexity"]  # which sum to less than 1
    assert few == pytest.approx(evaluated(model, X[repeated])["perplexity"], rel=1e-5)
    labels = np.where(np.arange(COUNT) % 4, Y, -1)
    model = compiled(SemiSupervisedVAE, num_classes=3, classifier=toys.mlp())
    accuracy = evaluated(model, X, labels, sample_weight=W)["accuracy"]
    assert accuracy == pytest.approx(evaluated(model, X[repeated], labels[repeated])["accuracy"], rel=1e-5)


class TestWaysIn:
    class Batches(keras.utils.PyDataset):
        def __init__(self, *columns):
            super().__init__()
            self.columns = columns

        def __len__(self):
            return COUNT // 16

        def __getitem__(self, index):
            return tuple(None if each is None else each[16 * index : 16 * index + 16] for each in self.columns)

    def forms(self, w, y=Y):
        stream = self.Batches(X, y, w)
        dicts = {"x": X, "y": Y, "sample_weight": w}
        yield "PyDataset", self.Batches(X, y, w)
        yield "PyDataset without labels", self.Batches(X, None, w)
        yield "generator", (stream[index] for index in range(len(stream)))
        yield "tf.data", dataset(X, y, w)
        yield "tf.data without labels", dataset(X, w).map(lambda x, w: (x, None, w))
        yield "dicts", tf.data.Dataset.from_tensor_slices(dicts).batch(16)
        yield "float64", dataset(X, y, w.astype("float64"))
        yield "integers", dataset(X, y, w.astype("int64"))
        yield "batches", data.batches(X, y, batch_size=16, training=False, sample_weight=w)

    @pytest.mark.slow
    def test_every_stream_has_the_numbers_of_arrays(self):
        model = compiled(optimizer=keras.optimizers.SGD(0.05))
        start = toys.weights(model)
        expected = evaluated(model, X, Y, 16, sample_weight=W)
        images, means = model.predict(X, verbose=0), {}
        bad = np.full(COUNT, np.nan, "float32")
        assert expected != evaluated(model, X, Y, 16)
        for name, stream in self.forms(W):
            assert model.evaluate(stream, verbose=0, return_dict=True) == expected, name
        for name, stream in self.forms(W):
            model.set_weights(start)
            means[name] = model.fit(stream, verbose=0).history["loss"]
            assert means[name] == pytest.approx(means["PyDataset"], rel=1e-6), name
        model.set_weights(start)
        for name, stream in [each for each in self.forms(W) if each[0] != "batches"]:
            np.testing.assert_array_equal(model.predict(stream, verbose=0), images, name)
        np.testing.assert_array_equal(model.predict({"x": X, "sample_weight": bad}, verbose=0), images)
        assert evaluated(model, {"x": X, "sample_weight": W}, batch_size=16) == expected
        np.testing.assert_array_equal(model.predict(dataset(X, Y, bad), verbose=0), images)

    def test_validation(self):
        model = compiled()
        expected = None
        for validation in ((X, Y, W), (X, None, W), dataset(X, Y, W)):
            model = compiled()
            history = model.fit(X, batch_size=16, validation_data=validation, verbose=0).history
            logs = evaluated(model, batch_size=16, sample_weight=W)
            assert {f"val_{name}": [value] for name, value in logs.items()}.items() <= history.items()
            assert expected in (None, logs)
            expected = logs

    def test_a_split_takes_weights_and_labels_along(self):
        kept, histories = 36, []
        arguments = {"batch_size": 12, "verbose": 0}
        for given in (
            {"x": X, "y": Y, "sample_weight": W, "validation_split": 0.25},
            {"x": X, "sample_weight": list(W), "validation_split": 0.25},
            {"x": X[:kept], "sample_weight": W[:kept], "validation_data": (X[kept:], None, W[kept:])},
        ):
            model = compiled()
            histories.append(model.fit(**given, **arguments).history)
        assert histories[0] == histories[1] == histories[2]
        by_class = compiled().fit(X, Y, class_weight={1: 3.0}, validation_split=0.25, **arguments).history
        w = np.where(Y == 1, 3.0, 1.0)
        split = {"sample_weight": w[:kept], "validation_data": (X[kept:], Y[kept:])}
        assert by_class == compiled().fit(X[:kept], Y[:kept], **split, **arguments).history

    def test_weights_are_shuffled_with_their_examples(self):
        """Of the pipeline: each example brings its weight and label in every epoch."""
        rows = (np.arange(COUNT, dtype="float32") / 64)[:, None, None, None] * np.ones((1, *toys.SHAPE), "float32")
        stream = data.batches(rows, np.arange(COUNT), batch_size=16, training=True, sample_weight=np.arange(COUNT))
        orders = []
        for _ in range(2):
            epoch = list(stream.as_numpy_iterator())
            positions = np.concatenate([batch["y"] for batch in epoch])
            np.testing.assert_array_equal(np.concatenate([batch["sample_weight"] for batch in epoch]), positions)
            np.testing.assert_array_equal(np.concatenate([batch["x"][:, 0, 0, 0] for batch in epoch]) * 64, positions)
            orders.append(positions.tolist())
        assert orders[0] != orders[1] and sorted(orders[0]) == list(range(COUNT))

    @pytest.mark.parametrize("make", [compiled, lambda: compiled(CVAE, num_classes=3)])
    def test_weights_of_classes_are_those_of_their_examples(self, make):
        models = make(), make()
        labels = np.where(np.arange(COUNT) % 5, Y, -1)  # -1, unlabelled, has no weight of its own, and so 1
        models[0].fit(X, labels, batch_size=16, class_weight={0: 0.5, 2: 3, 7: 9.0}, verbose=0)
        w = np.select([labels == 0, labels == 2], [0.5, 3.0], 1.0)
        models[1].fit(X, labels, batch_size=16, sample_weight=w, verbose=0)
        assert same(*map(toys.weights, models))

    def test_weights_of_classes_in_streams(self):
        """Of each kind of stream: the weights after training are those of `sample_weight`."""
        class_weight, labels = {0: 0.5, 2: 3, 7: 9.0}, np.where(np.arange(COUNT) % 5, Y, -1)
        w = np.select([labels == 0, labels == 2], [0.5, 3.0], 1.0)
        expected, of_ours = compiled(), compiled()
        expected.fit(dataset(X, labels, w), epochs=2, verbose=0)
        stream = self.Batches(X, labels)
        for name, given in (
            ("tf.data", dataset(X, labels)),
            ("dicts", tf.data.Dataset.from_tensor_slices({"x": X, "y": labels}).batch(16)),
            ("PyDataset", stream),
            ("generator", (stream[index] for _ in range(2) for index in range(len(stream)))),
        ):
            model = compiled()
            steps = {"steps_per_epoch": 3} if name == "generator" else {}
            model.fit(given, class_weight=class_weight, epochs=2, verbose=0, **steps)
            assert same(toys.weights(model), toys.weights(expected)), name
        again = compiled()
        again.fit(X, labels, batch_size=16, sample_weight=w, epochs=2, verbose=0)
        batches = data.batches(X, labels, batch_size=16, training=True, seed=of_ours.seed)
        of_ours.fit(batches, class_weight=class_weight, epochs=2, verbose=0)
        assert same(toys.weights(of_ours), toys.weights(again))


class TestRefusals:
    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (W[:-1], r"must have shape \(48,\), one weight an example\. Given: \(47,\)\. Give one number"),
            (W[:, None], r"Given: \(48, 1\)\. Take its one column: numpy\.ravel\(sample_weight\)"),
            (W[:, None] * W, r"Given: \(48, 48\)\. Give one number"),
            (2.0, r"Given: \(\)\. Give one number for each example"),
            (np.where(Y == 0, np.nan, W), r"sample_weight must be finite\. Given: 16 values"),
            (W.astype("float64") * 1e300, r"sample_weight must be finite"),
            (W - 2, r"must be 0 or more\. Given: \d+ values below it, from -2\..*numpy\.maximum\(sample_weight, 0\)"),
            (0 * W, r"above 0 for some example\. Given: 0 for all 48,"),
            (W.astype(str), r"must be an array of floats\. Given: dtype <U"),
        ],
    )
    def test_arrays(self, weights, message):
        model = compiled()
        before = toys.weights(model)
        for call in (
            lambda: model.fit(X, batch_size=16, sample_weight=weights, verbose=0),
            lambda: model.fit({"x": X, "sample_weight": weights}, batch_size=16, verbose=0),
            lambda: model.fit(X, batch_size=16, validation_data=(X, Y, weights), verbose=0),
            lambda: model.evaluate(X, sample_weight=weights, verbose=0),
            lambda: data.batches(X, training=True, batch_size=16, sample_weight=weights),
        ):
            with pytest.raises(UserError, match=message):
                call()
        assert same(toys.weights(model), before)

    def test_streams(self):
        model = compiled()
        first, later = W.copy(), W.copy()
        first[3], later[20] = np.inf, -1.0
        for method in (model.fit, model.evaluate):
            with pytest.raises(UserError, match=r"^sample_weight must be finite\. Given: 1 values"):
                method(dataset(X, Y, first), verbose=0)
            with pytest.raises(UserError, match=r"^Batch 1 of .*: sample_weight must be 0 or more\. Given: 1 values"):
                method(dataset(X, Y, later), verbose=0)
            with pytest.raises(UserError, match=r"must have shape \(16,\).* Given: \(16, 1\)\. Take its one column"):
                method(dataset(X, Y, W[:, None]), verbose=0)
            with pytest.raises(UserError, match=r"must be above 0 for some example\. Given: 0 for all of"):
                method(dataset(X, Y, 0 * W), verbose=0)
            with pytest.raises(UserError, match=r"Given: sample_weight, and a dataset .*data\.batches takes"):
                method(dataset(X, Y), sample_weight=W, verbose=0)
        zero_at_first = np.where(np.arange(COUNT) < 16, 0.0, W)
        assert np.isfinite(model.fit(dataset(X, Y, zero_at_first), verbose=0).history["elbo"]).all()
        with pytest.raises(UserError, match=r"for some example\. Given: 0 for all of an evaluation"):
            model.fit(X, batch_size=16, validation_data=dataset(X, Y, 0 * W), verbose=0)
        with pytest.raises(UserError, match=r"sample_weight must have shape \(examples,\).*Given: \(16, 1\)"):
            model.train_step((X[:16], Y[:16], W[:16, None]))
        with pytest.raises(UserError, match=r"sample_weight must have shape \(16,\).*Given: \(16, 1\)"):
            model.train_on_batch(X[:16], Y[:16], sample_weight=W[:16, None])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"class_weight": {0: 2.0}}, r"class_weight is of whole numbers in y.*Given: y is NoneType.*sample_weight"),
            ({"y": X[:, 0, 0, 0] + 0.5, "class_weight": {0: 2.0}}, r"y is float32 of shape \(48,\)"),
            ({"y": np.eye(3, dtype="int32")[Y], "class_weight": {0: 2.0}}, r"y is int32 of shape \(48, 3\)"),
            ({"y": {"a": Y}, "class_weight": {0: 2.0}}, r"y is dict"),
            ({"y": Y, "class_weight": [2.0, 1.0]}, r"is a mapping from labels.*Given: \[2\.0, 1\.0\]"),
            ({"y": Y, "class_weight": {"0": 2.0}}, r"is a mapping from labels"),
            ({"y": Y, "class_weight": {0: -2.0}}, r"class_weight must be a finite number, 0 or more\. Given: -2\.0"),
            ({"y": Y, "class_weight": dict.fromkeys(range(3), 0)}, r"class_weight must be above 0 for some example"),
            ({"y": Y, "class_weight": {0: 2.0}, "sample_weight": W}, r"Given: sample_weight and class_weight"),
            ({"y": Y[:5], "class_weight": {0: 2.0}}, r"one label for each image\. Given: 5 labels, 48 images"),
        ],
    )
    def test_class_weights(self, arguments, message):
        with pytest.raises(UserError, match=message):
            compiled().fit(X, batch_size=16, verbose=0, **arguments)

    def test_class_weights_of_a_stream(self):
        for stream, message in (
            (dataset(X, Y, W), r"Given: sample_weight and class_weight\. Choose one"),
            (dataset(X), r"Given: y is NoneType"),
            (data.batches(X, training=True, batch_size=16), r"Given: y is NoneType"),
            (dataset(X, Y + 0.5), r"y is float64 of shape \(16,\)"),
        ):
            with pytest.raises(UserError, match=message):
                compiled().fit(stream, class_weight={0: 2.0}, verbose=0)

    def test_a_mapping_is_of_arrays(self):
        with pytest.raises(UserError, match=r"x must be an array"):
            compiled().fit({"x": dataset(X, Y), "sample_weight": W}, verbose=0)

    def test_weights_twice(self):
        with pytest.raises(UserError, match=r"An example has one weight\. Given: sample_weight, and x with a"):
            compiled().fit({"x": X, "sample_weight": W}, batch_size=16, sample_weight=W, verbose=0)


class TestModelsOfAUser:
    def test_a_loss_of_its_own_must_say_so(self):
        class Own(VAE):
            def objective(self, terms):
                return ops.mean(ops.square(terms.log_px))

        class Declared(Own):
            batch_statistic = ""

            def weighted(self, terms, weights):
                return terms._replace(log_px=ops.sqrt(weights) * terms.log_px)

        with pytest.raises(UserError, match=r"a Own, which has objective of its own, and no batch_statistic"):
            compiled(Own).fit(X, batch_size=16, sample_weight=W, verbose=0)
        model = compiled(Declared)
        losses = [evaluated(model, sample_weight=weights)["loss"] for weights in (W, 2 * W)]
        assert losses[1] == pytest.approx(2 * losses[0], rel=1e-5)

    def test_a_penalty_that_is_a_number_of_the_batch(self):
        class Penalised(VAE):
            def terms(self, batch, training):
                terms = super().terms(batch, training)
                return terms._replace(penalty=ops.mean(ops.square(terms.cache["z"])))

        with pytest.raises(UserError, match=r"a penalty that is a scalar in `terms`\. Return one number an example"):
            compiled(Penalised).fit(X, batch_size=16, sample_weight=W, verbose=0)
        compiled(Penalised).fit(X, batch_size=16, verbose=0)


def test_a_refusal_is_not_needed_where_all_weights_are_one_in_a_dataset():
    model = compiled(BetaTCVAE, dataset_size=COUNT)
    batches = data.batches(X, batch_size=16, training=True, sample_weight=np.ones(COUNT))
    assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()


def test_a_codebook_learned_by_gradients_takes_weights():
    arguments = {"latent_dim": None, "code_shape": (3,), "entries": 5, "embedding_dim": 2, "restart_below": 0.0}
    logs = evaluated(compiled(VQVAE, codebook="gradient", **arguments), sample_weight=W)
    penalty = 1.25 * logs["commitment"]  # commitment and codebook have the same number, in which gradients differ
    assert logs["loss"] == pytest.approx((penalty - logs["elbo"]) * W.sum() / COUNT, rel=1e-5)


def with_xla(jit_compile):
    model = toy()
    model.compile("adam", **{**PLAIN, "jit_compile": jit_compile})
    return model


def triples(*weights):
    """A generator of 16 images a batch, with the weights of each."""
    for place, w in enumerate(weights):
        yield X[16 * place : 16 * place + 16], None, w


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
class TestLaterBatches:
    @pytest.mark.parametrize("number", [0, 1, 5, 20])
    def test_as_many_weights_as_examples(self, jit_compile, number):
        model = with_xla(jit_compile)
        for method in (model.evaluate, model.fit):
            with pytest.raises(UserError, match=r"^Batch 1 of .*: sample_weight is one finite number for each example"):
                method(triples(np.ones(16), np.full(number, 100.0)), verbose=0)

    def test_their_type_is_not_that_of_the_first(self, jit_compile):
        model = with_xla(jit_compile)
        expected = evaluated(model, sample_weight=np.repeat([1.0, 0.5, 2.5], 16), batch_size=16)["loss"]
        for first in (np.ones(16, int), np.ones(16, bool), [1] * 16):
            found = model.evaluate(triples(first, np.full(16, 0.5), [2.5] * 16), verbose=0, return_dict=True)
            assert found["loss"] == pytest.approx(expected, rel=1e-5)
        with pytest.raises(UserError, match=r"^Batch 1 of .*: sample_weight must be finite\. Given: 16 values"):
            model.evaluate(triples(np.ones(16, bool), np.full(16, np.nan)), verbose=0)
        with pytest.raises(UserError, match=r"^Batch 1 of .*: sample_weight must be 0 or more\. .* from -1"):
            model.evaluate(triples(np.ones(16, "uint8"), np.full(16, -1.0)), verbose=0)

    def test_none_after_some(self, jit_compile):
        with pytest.raises(UserError, match=r"All batches have the same parts\. Given: x, after x, sample_weight\."):
            with_xla(jit_compile).evaluate(triples(np.ones(16), None), verbose=0)


def test_a_rule_is_named_where_no_batch_has_labels():
    model = toy(SemiSupervisedVAE)
    model.compile(**PLAIN)
    batches = ({"x": X[:16], "sample_weight": w} for w in (np.ones(16), np.full(16, np.nan)))
    with pytest.warns(UserWarning, match="these training data have none"), pytest.raises(
        UserError, match=r"^Batch 1 of the training data.*: sample_weight must be finite"
    ):  # fmt: skip
        model.fit(batches, verbose=0)


def test_none_in_a_mapping_is_nothing():
    model = compiled()
    expected = evaluated(model, sample_weight=W)
    assert evaluated(model, {"x": X, "sample_weight": None, "y": None}, sample_weight=W) == expected
    history = model.fit({"x": X}, sample_weight=list(W), validation_split=0.25, batch_size=12, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    with pytest.raises(UserError, match=r"weights of a batch are called 'sample_weight'\. Given: 'sample_weights'"):
        evaluated(model, {"x": X, "sample_weights": W})


def test_a_split_leaves_weights_on_both_sides():
    weights = np.where(np.arange(COUNT) < 36, W + 1, 0.0)
    with pytest.raises(UserError, match=r"leaves weights above 0 on both sides\. Given: 0\.25 of 48 examples"):
        compiled().fit(X, sample_weight=weights, validation_split=0.25, verbose=0)


def test_labels_that_are_whole_floats_have_weights_of_classes():
    models = [compiled(), compiled()]
    for model, labels in zip(models, (Y, Y.astype("float32")), strict=True):
        model.fit(X, labels, class_weight={0: 2.0, 2: 0.5}, batch_size=16, verbose=0)
    same(*map(toys.weights, models))


class TestWhatAClassSays:
    def test_is_not_of_the_classes_below(self):
        class Squared(IWAE):
            def objective(self, terms):
                return ops.mean(ops.square(terms.log_px))

        class Said(Squared):
            batch_statistic = ""

        with pytest.raises(UserError, match=r"a Squared, which has objective of its own"):
            evaluated(compiled(Squared), sample_weight=W)
        assert np.isfinite(evaluated(compiled(Said), sample_weight=W)["loss"])

    def test_is_above_what_a_codebook_says(self):
        mine: type[VQVAE] = type("Mine", (VQVAE,), {"batch_statistic": "an MMD of mine"})
        arguments = {"latent_dim": None, "code_shape": (3,), "entries": 5, "embedding_dim": 2, "restart_below": 0.0}
        model = compiled(mine, codebook="gradient", **arguments)
        with pytest.raises(UserError, match=r"a Mine, which has an MMD of mine"):
            evaluated(model, sample_weight=W)

    def test_a_penalty_that_a_class_below_adds_is_kept(self):
        class Longer(RAE):
            def terms(self, batch, training):
                terms = super().terms(batch, training)
                return terms._replace(penalty=terms.penalty + 7.0)

        model = compiled(Longer)
        ones = dataset(X, Y, np.ones(COUNT, "float32"))
        assert evaluated(model, ones)["loss"] == pytest.approx(evaluated(model, batch_size=16)["loss"], rel=1e-6)
