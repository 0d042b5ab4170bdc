"""CVAE: the condition on both sides, an exactly known log p(x|y), the learned prior, and conditions that do not fit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import runtimes
from keras_vae.data import batches
from keras_vae.errors import UserError
from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.export import check, export
from keras_vae.models import CVAE
from keras_vae.types import Spec
from tests.core.test_linear_gaussian import LATENT, PIXELS, SCALE, SHAPE, Truth, set_exact
from tests.digits import assert_learned, assert_likelier, digits, held_out_log_px, log_px_by_digit, trained
from tests.models.equations import X, assert_comes_back, assert_refused, gradient_of, terms_of
from tests.toys import compiled, mlp, same, toy, weights

Y = np.arange(16, dtype="int32") % 4 - 1
VECTORS = np.random.default_rng(5).normal(size=(16, 2))
KINDS = {"labels": ({"num_classes": 3}, Y), "vectors": ({"condition_dim": 2}, VECTORS)}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_both_networks_read_the_condition(kind):
    """By hand: numbers beside the flattened image, and beside the code."""
    arguments, condition = kind
    model = toy(CVAE, dtype="float64", **arguments)
    size = model.condition_size
    features = VECTORS if size == 2 else np.array([[y == k for k in range(3)] for y in Y], "float64")
    encoded = model.encoder(np.concatenate([X.reshape(16, 16), features], -1)).numpy()
    np.testing.assert_allclose(model.encode(X, condition), encoded[:, :2], rtol=1e-12)
    z = encoded[:, :2]
    decoded = model.likelihood_family.parameters(model.decoder(np.concatenate([z, features], -1)))["mean"]
    np.testing.assert_allclose(model.decode(z, condition), decoded, rtol=1e-12)
    gradients = gradient_of(model, 0, [model.encoder.trainable_variables[0], model.decoder.trainable_variables[0]],
                            y=condition)  # fmt: skip
    assert gradients[0].shape[0] == 16 + size and (np.abs(gradients[0].numpy()[16:]).max(axis=1) > 0).all()
    assert (np.abs(gradients[1].numpy()[2:]).max(axis=1) > 0).all()


def test_minus_one_is_a_condition_of_zeros():
    model = toy(CVAE, num_classes=3)
    np.testing.assert_array_equal(model._features(np.array([-1, 0, 2])), [[0, 0, 0], [1, 0, 0], [0, 0, 1]])
    for dtype in ("int8", "uint8", "int32", "int64"):
        np.testing.assert_array_equal(model._features(np.array([2, 0], dtype)), [[0, 0, 1], [1, 0, 0]])


class TestAnExactLikelihood:
    """p(x|z, y) = N(W z + B y + b, s**2): p(x|y) is PPCA's with a mean moved by B y."""

    truth = Truth()
    B = np.random.default_rng(1).normal(size=(2, PIXELS))
    Y = np.random.default_rng(2).normal(size=(7, 2))

    def model(self, **wrong):
        linear = {"name": "mlp", "hidden": ()}
        likelihood = {"name": "gaussian", "scale": SCALE, "bounded_mean": False}
        model = CVAE(condition_dim=2, image_shape=SHAPE, latent_dim=LATENT, encoder=linear, decoder=linear,
                     likelihood=likelihood, dtype="float64")  # fmt: skip
        plain = type("Plain", (), {"decoder": _Weights(), "encoder": _Weights()})()
        set_exact(plain, self.truth, **wrong)
        kernel, bias = plain.encoder.held
        of_y = np.zeros((2, 2 * LATENT))
        of_y[:, :LATENT] = -self.B @ self.truth.encoder
        model.encoder.set_weights([np.concatenate([kernel, of_y]), bias])
        model.decoder.set_weights([np.concatenate([self.truth.decoder.T, self.B]), self.truth.offset])
        return model

    def exact(self):
        flat = self.truth.x.reshape(-1, PIXELS) - self.truth.offset - self.Y @ self.B
        covariance = self.truth.decoder @ self.truth.decoder.T + SCALE**2 * np.eye(PIXELS)
        _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
        return -0.5 * (log_det + np.einsum("ni,ij,nj->n", flat, np.linalg.inv(covariance), flat))

    @pytest.mark.parametrize("samples", [1, 40])
    def test_log_prob_is_exact_at_the_true_posterior(self, samples):
        values = self.model().log_prob(self.truth.x, samples=samples, condition=self.Y)
        np.testing.assert_allclose(values, self.exact(), rtol=0, atol=1e-10)
        assert np.abs(self.exact() - self.truth.log_prob).min() > 0.1, "the condition matters"

    def test_the_elbo_is_below_and_log_prob_agrees_at_a_wrong_posterior(self):
        model = self.model(mean_shift=0.2, variance_factor=1.5)
        assert (model.elbo(np.repeat(self.truth.x, 100, 0), condition=np.repeat(self.Y, 100, 0)).reshape(7, 100).mean(1)
                < self.exact()).all()  # fmt: skip
        estimate = model.log_prob(self.truth.x, samples=4_000, seed=3, condition=self.Y)
        weights = np.exp(np.asarray(model.log_weights(self.truth.x, 4_000, 4, self.Y)) - self.exact())
        assert (np.abs(estimate - self.exact()) < 5 * weights.std(0) / np.sqrt(4_000)).all()


class _Weights:
    def set_weights(self, held):
        self.held = held


class TestALearnedPrior:
    def test_the_kl_is_the_closed_form(self, kind):
        """log(s2 / s1) + (s1**2 + (m1 - m2)**2) / (2 s2**2) - 1/2, dimension by dimension."""
        arguments, condition = kind
        model = toy(CVAE, dtype="float64", learned_prior=True, **arguments)
        posterior, prior = model.posterior(X, condition), model.prior(condition)
        assert prior.batch_shape == (16,) and prior.event_shape == (2,)
        (m1, s1), (m2, s2) = ((each.mean().numpy(), each.stddev().numpy()) for each in (posterior, prior))
        expected = np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5
        assert np.abs(m2).max() > 0.01 and np.abs(np.log(s2)).max() > 0.01, "it is not N(0, I)"
        np.testing.assert_allclose(terms_of(model, y=condition).kl, expected, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(kl_per_dimension(model, X, condition), expected.mean(0), rtol=1e-10)

    def test_it_is_trained_and_sampled_from(self, kind):
        arguments, condition = kind
        model = compiled(CVAE, learned_prior=True, **arguments)
        before = np.array(model.prior_network.trainable_variables[0])
        model.fit(X, condition, batch_size=8, verbose=0)
        assert np.abs(np.array(model.prior_network.trainable_variables[0]) - before).max() > 0
        assert model.sample(16, condition=condition).shape == (16, 4, 4, 1)
        last = model.prior_network.stack.layers[-2]
        first = model.sample(16, condition=condition)
        last.bias.assign(last.bias + 2.0)
        assert np.abs(model.sample(16, condition=condition) - first).max() > 1e-3

    def test_its_network_is_told_whether_it_is_training(self, kind, monkeypatch):
        arguments, condition = kind
        model = toy(CVAE, learned_prior=True, **arguments)
        run, told = model.apply_network, {}

        def noted(network, inputs, training):
            told[network.name] = training
            return run(network, inputs, training)

        monkeypatch.setattr(model, "apply_network", noted)
        for training in (True, False):
            terms_of(model, y=condition, training=training)
            assert len(told) == 3 and set(told.values()) == {training}

    def test_importance_weights_use_it(self, kind):
        arguments, condition = kind
        model = toy(CVAE, dtype="float64", learned_prior=True, **arguments)
        seed = (4, 5)
        log_weights = model.log_weights(tf.constant(X, "float64"), 3, seed, condition)
        posterior = model.posterior(X, condition)
        z = posterior.sample(3, seed=seed)
        for draw in range(3):
            expected = model.likelihood(z[draw], condition).log_prob(X) + model.prior(condition).log_prob(z[draw])
            np.testing.assert_allclose(log_weights[draw], expected - posterior.log_prob(z[draw]), rtol=1e-10)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (None, r"A CVAE needs a condition for each of the 16 examples: condition=, or y in fit.*Given: none"),
        (Y[:5], r"one condition for each example\. Given: 5 for 16"),
        (Y + 1, r"must lie from 0 to 2, or be -1, unlabelled\. Given: labels from 0 to 3\. Number the classes from 0"),
        (Y - 1, r"Given: labels from -2 to 1"),
        (Y[:, None], r"whole numbers, one label an example\. Given: int32 of shape \(16, 1\)"),
        (Y * 1.0, r"whole numbers, one label an example\. Given: float64"),
        (["a"] * 16, r"condition must be whole numbers from 0 to \d+.*Given: dtype <U1\. Number the classes"),
    ],
)
def test_labels_that_do_not_fit(condition, message):
    model = compiled(CVAE, num_classes=3)
    for call in (model.encode, model.elbo):
        with pytest.raises(UserError, match=message):
            call(X, condition=condition)
    if condition is None or len(condition) == 16:
        with pytest.raises(UserError):
            model.fit(X, condition, batch_size=8, verbose=0)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (VECTORS[:, :1], r"condition must have shape \(batch, 2\), one vector an example\. Given: \(16, 1\)"),
        (VECTORS * np.nan, r"condition must be finite"),
        (VECTORS[:5], r"one condition for each example\. Given: 5 for 16"),
    ],
)
def test_vectors_that_do_not_fit(condition, message):
    with pytest.raises(UserError, match=message):
        toy(CVAE, condition_dim=2).encode(X, condition)


def test_arguments():
    rule = r"A CVAE has either num_classes or condition_dim, or conditions by name\. Given: num_classes="
    assert_refused(CVAE, {}, rule)
    assert_refused(CVAE, {"num_classes": 3, "condition_dim": 2}, rule)
    assert_refused(CVAE, {"num_classes": -3}, r"num_classes must be a whole number, 0 or more\. Given: -3")
    assert_refused(CVAE, {"condition_dim": 1.5}, r"condition_dim must be a whole number, 0 or more\. Given: 1\.5")
    assert_comes_back(toy(CVAE, num_classes=3, learned_prior=True), num_classes=3, condition_dim=0, learned_prior=True)
    assert_comes_back(toy(CVAE, condition_dim=3), num_classes=0, condition_dim=3, learned_prior=False)


def test_convolutions_take_a_condition_as_planes():
    conv = {"name": "conv", "filters": (4,), "dense": 8}
    model = toy(CVAE, num_classes=3, encoder=conv, decoder=conv)
    planes = np.broadcast_to(np.eye(3)[Y][:, None, None], (16, 4, 4, 3)) * (Y >= 0)[:, None, None, None]
    by_hand = model.encoder(np.concatenate([X, planes], -1)).numpy()[:, :2]
    np.testing.assert_allclose(model.encode(X, Y), by_hand, rtol=1e-5, atol=1e-6)
    assert np.abs(model.encode(X, Y) - model.encode(X, Y[::-1])).max() > 0
    assert model.decode(np.zeros((16, 2)), Y).shape == (16, 4, 4, 1)


@keras.saving.register_keras_serializable(package="tests")
class OfVectors(keras.layers.Dense):
    reads_vectors = True


def test_a_layer_of_ones_own_says_what_it_reads():
    """Planes, unless it has an input of one axis, or says that it reads vectors; and so when it is made again."""
    vector = keras.Sequential([keras.Input((19,)), keras.layers.Dense(4)])
    planes = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    for encoder, width in ((vector, 19), (OfVectors(4), 19), (planes, 64)):
        model = toy(CVAE, num_classes=3, encoder=encoder)
        assert model.encoder.trainable_variables[0].shape == (width, 4)
        assert np.abs(model.encode(X, Y) - model.encode(X, Y[::-1])).max() > 0
        again = CVAE.from_config(model.get_config())
        again.set_weights(model.get_weights())
        np.testing.assert_array_equal(again.encode(X, Y), model.encode(X, Y))
    with pytest.raises(UserError, match=r"Unknown encoder 'conf'"):
        CVAE(num_classes=3, encoder="conf")


@pytest.mark.parametrize(
    ("kind", "learned_prior"),
    [("labels", True), pytest.param("vectors", False, marks=pytest.mark.slow)],
    indirect=["kind"],
)
def test_exports_take_a_condition(kind, learned_prior, tmp_path):
    """SavedModel and ONNX give what Keras gives, for every label and none, and refuse what the model refuses."""
    arguments, condition = kind
    model = toy(CVAE, learned_prior=learned_prior, decoder=mlp(activation="tanh"), **arguments)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(weight + np.random.default_rng(0).normal(0, 0.3, weight.shape))
    condition = condition.astype("float32" if condition.ndim == 2 else "int64")
    bundle = export(model, tmp_path / "out", ("saved_model", "onnx", "keras"))
    described = bundle.graphs["encoder"]["inputs"]
    assert list(described) == ["x", "condition"] and list(bundle.graphs["decoder"]["inputs"]) == ["z", "condition"]
    if "num_classes" in arguments:
        assert described["condition"] == {"shape": [None], "dtype": "int32", "kind": "label", "classes": 3}
        assert set(bundle.golden()["encoder"]["inputs"]["condition"]) == {-1, 0, 1, 2}
    codes, images = model.encode(X, condition), model.reconstruct(X, condition)
    assert np.abs(codes - model.encode(X, condition[::-1])).max() > 0.01, "a thousand tolerances"
    for name in ("onnxruntime", "saved_model", "keras"):
        runtime = runtimes.open(bundle, name)
        np.testing.assert_allclose(runtime.encode(X, condition=condition), codes, rtol=0, atol=1e-5)
        np.testing.assert_allclose(runtime.decode(codes, condition=condition), images, rtol=0, atol=1e-5)
        with pytest.raises(UserError, match="The encoder takes the inputs x, condition"):
            runtime.encode(X)
        with pytest.raises(UserError, match=r"condition must (lie from 0 to 2|have shape \(batch, 2\))"):
            runtime.encode(X, condition=condition + 5 if condition.ndim == 1 else condition[:, :1])
        with pytest.raises(UserError, match="one batch size"):
            runtime.encode(X, condition=condition[:3])
    assert all(row.passed for row in check(bundle).rows)


@pytest.mark.slow
def test_it_learns_digits_and_their_labels():
    model = trained(CVAE, condition=digits().y, num_classes=10)
    labels = digits().held_out_y.astype("int32")
    assert_learned(model, labels)
    own, _ = held_out_log_px(model, labels)
    wrong, _ = held_out_log_px(model, (labels + 1) % 10)
    assert own > wrong + 3, "another digit's label explains them less well"
    assert model.sample(10, condition=np.arange(10)).shape == (10, 28, 28, 1)


@pytest.mark.slow
def test_it_learns_digits_and_their_attributes():
    """How much ink a digit has, and how far its top leans to the right of its foot: two real numbers, standardised."""

    def attributes(x):
        ink = x.mean((1, 2, 3))
        columns = np.arange(28)[:, None]
        top, foot = ((half * columns).sum((1, 2, 3)) / half.sum((1, 2, 3)) for half in (x[:, :14], x[:, 14:]))
        return np.stack([ink, top - foot], axis=1)

    known = attributes(digits().x)
    centre, scale = known.mean(0), known.std(0)
    given, held_out = ((each - centre) / scale for each in (known, attributes(digits().held_out_x)))
    model = trained(CVAE, condition=given.astype("float32"), condition_dim=2)
    assert_learned(model, held_out.astype("float32"))
    own, _ = log_px_by_digit(model, held_out)
    wrong, _ = log_px_by_digit(model, np.roll(held_out, 1, axis=0))
    assert_likelier(own, wrong, "another digit's attributes")
    for place in (0, 1):
        asked = np.zeros((200, 2), "float32")
        asked[100:, place], asked[:100, place] = 1.5, -1.5
        found = attributes(model.sample(200, condition=asked))[:, place]
        assert found[100:].mean() - found[:100].mean() > 1.0 * scale[place], "of the 3 deviations that were asked for"


def test_labels_are_checked_before_a_step_and_datasets_carry_them():
    model, x = compiled(CVAE, num_classes=3), X
    labels = np.arange(len(x), dtype="int32") % 3
    before, bad = weights(model), np.where(np.arange(len(x)) == len(x) - 1, 3, labels)
    made = tf.data.Dataset.from_tensor_slices({"x": x, "y": bad}).batch(len(x))
    for given in ((x, None), (x, bad), (made, None), (batches(x, bad, batch_size=8, training=True), None)):
        for method in (model.fit, model.evaluate):
            with pytest.raises(UserError, match=r"A CVAE needs a condition|must lie from 0 to 2"):
                method(*given, batch_size=8, verbose=0)
    with pytest.raises(UserError, match="must lie from 0 to 2"):
        model.fit(x, labels, batch_size=8, validation_data=(x, bad), verbose=0)
    assert same(weights(model), before)
    pairs = tf.data.Dataset.from_tensor_slices((x, labels)).batch(8)
    logs = model.evaluate(pairs, verbose=0, return_dict=True)
    assert logs == model.evaluate(x, labels, batch_size=8, verbose=0, return_dict=True)
    images = model.predict({"x": x, "y": labels}, verbose=0)
    np.testing.assert_allclose(images, model.reconstruct(x, labels), rtol=1e-5, atol=1e-6)


NAMED = {"category": 3, "style": {"dim": 2}}
BOTH = {"category": Y, "style": VECTORS.astype("float32")}


class TestNamedConditions:
    """Several conditions are one vector: the labels' one-hot rows, and the other numbers, side by side."""

    joined = np.concatenate([[[y == k for k in range(3)] for y in Y], VECTORS], axis=-1).astype("float32")

    @pytest.mark.parametrize("learned_prior", [False, True])
    def test_they_equal_one_condition_of_all_their_numbers(self, learned_prior):
        arguments = {"learned_prior": learned_prior, "dtype": "float64"}
        named, one = toy(CVAE, conditions=NAMED, **arguments), toy(CVAE, condition_dim=5, **arguments)
        one.set_weights(named.get_weights())
        assert named.condition_spec() == {
            "category": Spec((), "int32", "label", 3), "style": Spec((2,), "float32", "vector")
        }  # fmt: skip
        for method in ("encode", "reconstruct", "elbo"):
            results = [getattr(model, method)(X, condition=y) for model, y in ((named, BOTH), (one, self.joined))]
            np.testing.assert_array_equal(*results)
        np.testing.assert_array_equal(
            named.log_prob(X, samples=4, condition=BOTH), one.log_prob(X, samples=4, condition=self.joined)
        )
        z = named.encode(X, BOTH)
        np.testing.assert_array_equal(named.decode(z, BOTH), one.decode(z, self.joined))
        np.testing.assert_array_equal(named.sample(16, condition=BOTH), one.sample(16, condition=self.joined))

    @pytest.mark.slow
    def test_they_train_and_evaluate_as_one(self):
        models = [compiled(CVAE, conditions=NAMED), compiled(CVAE, condition_dim=5)]
        models[1].set_weights(models[0].get_weights())
        logs = []
        for model, y in zip(models, (BOTH, self.joined), strict=True):
            model.fit(X, y, batch_size=8, epochs=2, validation_data=(X, y), verbose=0)
            logs.append(model.evaluate(X, y, batch_size=8, verbose=0, return_dict=True))
        assert same(*map(weights, models)) and logs[0] == logs[1]
        dataset = batches(X, BOTH, batch_size=8, training=False)
        assert models[0].evaluate(dataset, verbose=0, return_dict=True) == logs[0]
        users = tf.data.Dataset.from_tensor_slices({"x": X, "y": BOTH}).batch(8)
        assert models[0].evaluate(users, verbose=0, return_dict=True) == logs[0]
        np.testing.assert_allclose(
            models[0].predict({"x": X, "y": BOTH}, verbose=0), models[0].reconstruct(X, BOTH), rtol=1e-5, atol=1e-6
        )

    def test_one_named_condition_is_a_mapping_too(self):
        named, one = toy(CVAE, conditions={"category": 3}), toy(CVAE, num_classes=3)
        one.set_weights(named.get_weights())
        np.testing.assert_array_equal(named.encode(X, {"category": Y}), one.encode(X, Y))
        assert named.condition_classes == 0 and one.condition_classes == 3

    def test_what_does_not_fit_is_refused_by_name(self):
        model = compiled(CVAE, conditions=NAMED)
        for condition, message in (
            (None, r"A CVAE needs a condition for each of the 16 examples"),
            (Y, r"have names: give a mapping of the arrays category, style\. Given: ndarray"),
            ({"category": Y}, r"Given: a mapping of \['category'\]"),
            ({**BOTH, "size": Y}, r"Given: a mapping of \['category', 'style', 'size'\]"),
            ({**BOTH, "category": Y + 1}, r"category must lie from 0 to 2"),
            ({**BOTH, "style": VECTORS[:, :1]}, r"style must have shape \(batch, 2\)"),
            ({**BOTH, "style": VECTORS[:5]}, r"one style for each example\. Given: 5 for 16"),
        ):
            for call in (model.encode, model.elbo):
                with pytest.raises(UserError, match=message):
                    call(X, condition=condition)
            if condition is None or "style" not in message:
                with pytest.raises(UserError, match=message):
                    model.fit(X, condition, batch_size=8, verbose=0)
        with pytest.raises(UserError, match=r"one label for each image\. Given: 5 labels, 16 images"):
            model.fit(X, {**BOTH, "style": VECTORS[:5]}, batch_size=8, verbose=0)

    def test_arguments(self):
        assert_refused(
            CVAE, {"conditions": NAMED, "num_classes": 3}, r"either num_classes or condition_dim, or conditions"
        )
        assert_refused(CVAE, {"conditions": {}}, r"conditions are a mapping")
        assert_refused(CVAE, {"conditions": [3, 4]}, r"conditions are a mapping.*Given: \[3, 4\]")
        assert_refused(CVAE, {"conditions": {"x": 3}}, r"name is an input of the exported graphs.*Given: 'x'")
        assert_refused(CVAE, {"conditions": {"a b": 3}}, r"letters, digits and _.*Given: 'a b'")
        assert_refused(CVAE, {"conditions": {"style": 0}}, r"classes of the condition style must be a whole number")
        assert_refused(CVAE, {"conditions": {"style": {"size": 2}}}, r"The condition style is a number of classes, or")
        assert_comes_back(toy(CVAE, conditions=NAMED), num_classes=0, condition_dim=0, conditions=NAMED)

    def test_a_saved_model_comes_back(self, tmp_path):
        model = compiled(CVAE, conditions=NAMED, learned_prior=True)
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(again.encode(X, BOTH), model.encode(X, BOTH))

    def test_exported_graphs_have_an_input_for_each(self, tmp_path):
        model = toy(CVAE, conditions=NAMED, learned_prior=True)
        bundle = export(model, tmp_path / "out", ("onnx",))
        described = bundle.graphs["encoder"]["inputs"]
        assert list(described) == ["x", "category", "style"]
        assert list(bundle.graphs["decoder"]["inputs"]) == ["z", "category", "style"]
        assert described["category"] == {"shape": [None], "dtype": "int32", "kind": "label", "classes": 3}
        assert described["style"] == {"shape": [None, 2], "dtype": "float32", "kind": "vector"}
        runtime, codes = runtimes.open(bundle, "onnxruntime"), model.encode(X, BOTH)
        np.testing.assert_allclose(runtime.encode(X, **BOTH), codes, rtol=0, atol=1e-5)
        np.testing.assert_allclose(runtime.decode(codes, **BOTH), model.reconstruct(X, BOTH), rtol=0, atol=1e-5)
        with pytest.raises(UserError, match="The encoder takes the inputs x, category, style"):
            runtime.encode(X, category=Y)
        with pytest.raises(UserError, match="category must lie from 0 to 2"):
            runtime.encode(X, category=Y + 5, style=VECTORS)
