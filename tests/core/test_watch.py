"""The watch: a batch that breaks a rule is found wherever it is, and its error names rule, batch and remedy."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import backend, data
from keras_vae.core import VAE
from keras_vae.errors import DivergedError, UserError
from keras_vae.models import CVAE, SemiSupervisedVAE, SequenceVAE
from tests import toys
from tests.toys import PLAIN, binary, compiled, grey, same, toy

SIZE, BATCHES = 8, 6
X = binary(SIZE * BATCHES)
LABELS = (np.arange(len(X)) % 3).astype("int32")
# Keras says so of every generator that ends.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")


def spoiled(value, array=X, batch=4):
    """`array` with a number of one batch changed."""
    array = array.copy()
    array[SIZE * batch + 3].flat[0] = value
    return array


def with_label(value):
    labels = LABELS.copy()
    labels[SIZE * 4 + 5] = value
    return labels


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y=None):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        part = slice(SIZE * index, SIZE * index + SIZE)
        return {"x": self.x[part]} | ({} if self.y is None else {"y": self.y[part]})


def dataset(x, y=None):
    return tf.data.Dataset.from_tensor_slices({"x": x} | ({} if y is None else {"y": y})).batch(SIZE)


def generator(x, y=None):
    stream = Batches(x, y)
    return (stream[index] for index in range(BATCHES))


def as_tuples(x, y=None):
    return (tuple(batch.values()) for batch in generator(x, y))


FORMS = {"tf.data": dataset, "generator": generator, "generator of tuples": as_tuples, "PyDataset": Batches}


@pytest.fixture(scope="module")
def bernoulli():
    return compiled()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_is_watched_in_every_method(bernoulli, form):
    good, bad = (lambda: FORMS[form](X)), (lambda: FORMS[form](spoiled(255.0)))
    start = toys.weights(bernoulli)
    message = r"counted from 0: Pixels of x must lie in \[0, 1\]\. Given: values from 0 to 255; divide by 255\."
    with pytest.raises(UserError, match=rf"^Batch 4 of the training data, {message} The model has trained on it"):
        bernoulli.fit(bad(), verbose=0)
    bernoulli.set_weights(start)
    with pytest.raises(UserError, match=rf"^Batch 4 of the validation data, {message}$"):
        bernoulli.fit(good(), validation_data=bad(), verbose=0)
    for method in (bernoulli.evaluate, bernoulli.predict):
        with pytest.raises(UserError, match=rf"^Batch 4 of the data, {message}$"):
            method(bad(), verbose=0)
        assert np.isfinite(np.ravel(method(good(), verbose=0))).all(), "forgotten"
    assert np.isfinite(bernoulli.fit(good(), validation_data=good(), verbose=0).history["val_loss"]).all()


CASES = {  # what is wrong -> class, arguments, x, y, rule
    "NaN": (VAE, {}, spoiled(np.nan), None, r"x must be finite\. Given: 1 values.*Remove those examples"),
    "grey": (VAE, {}, spoiled(0.25), None, r"pixels that are 0 or 1\. Given: grey levels, such as 0\.25.*Binarise"),
    "rounding": (
        VAE, {"likelihood": "gaussian"}, spoiled(1.000001), None, r"Given: values from 0 to 1\.000001.*clip them",
    ),
    "off the grid": (
        VAE, {"likelihood": {"name": "categorical", "levels": 4}}, spoiled(0.5), None, r"4 grey levels, k / 3.*Round",
    ),
    "a label too high": (
        CVAE, {"num_classes": 3}, X, with_label(99), r"condition must lie from 0 to 2.*labels from 0 to 99\. Number",
    ),
    "a label below -1": (
        SemiSupervisedVAE, {"num_classes": 3}, X, with_label(-2), r"condition must lie from 0 to 2.*from -2 to 2",
    ),
    "a vector": (
        CVAE, {"condition_dim": 2}, X, spoiled(np.inf, np.ones((len(X), 2), "float32")), r"condition must be finite",
    ),
    "x and a label": (CVAE, {"num_classes": 3}, spoiled(-1.0), with_label(7), r"Pixels of x must lie in \[0, 1\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_rule_is_named(case):
    cls, arguments, x, y, rule = CASES[case]
    model = toy(cls, **arguments)
    model.compile("adam", run_eagerly=True)
    for method in (model.fit, model.evaluate):
        with pytest.raises(UserError, match=rf"^Batch 4 of the (training )?data, counted from 0: .*{rule}"):
            method(dataset(x, y), verbose=0)


def test_conditions_by_name():
    model = toy(CVAE, conditions={"kind": 3, "style": {"dim": 2}})
    model.compile("adam", run_eagerly=True)
    styles = np.ones((len(X), 2), "float32")
    for y, rule in (
        ({"kind": with_label(3), "style": styles}, "kind must lie from 0 to 2"),
        ({"kind": LABELS, "style": spoiled(np.nan, styles)}, "style must be finite"),
    ):
        data = tf.data.Dataset.from_tensor_slices({"x": X, "y": y}).batch(SIZE)
        with pytest.raises(UserError, match=f"^Batch 4 of the data, counted from 0: {rule}"):
            model.evaluate(data, verbose=0)


@pytest.mark.parametrize(("tokens", "rule"), [([3, 0, 1], "Token 0 ends a sequence"), ([1, 4, 0], "from 0 to 3")])
def test_tokens(tokens, rule):
    network = {"name": "gru", "units": 4, "embedding_dim": 2}
    model = SequenceVAE(length=3, vocabulary_size=4, latent_dim=2, encoder=network, decoder=network)
    model.compile("adam", run_eagerly=True)
    x = np.tile(np.array([[1, 2, 0]], "int32"), (len(X), 1))
    x[SIZE * 4 + 3] = tokens
    with pytest.raises(UserError, match=f"^Batch 4 of the data, counted from 0: .*{rule}"):
        model.evaluate(dataset(x), verbose=0)


def test_under_xla_with_several_steps_a_call():
    """All six batches are one execution; the data are named, and not the loss that they made NaN."""
    model = toy()
    model.compile(keras.optimizers.Adam())
    x = spoiled(np.nan, spoiled(0.5, batch=5), batch=3)
    with pytest.raises(UserError, match=r"^Batch 3 of the training data.*x must be finite") as raised:
        model.fit(dataset(x), verbose=0)
    assert not isinstance(raised.value, DivergedError)


def test_numbers_that_are_wrong_come_back_when_the_data_are_right(bernoulli):
    """The number of the batch is that of its pass: three epochs and validation between do not add up."""
    with pytest.raises(UserError, match=r"^Batch 2 of the training data"):
        epochs = iter([X, X, spoiled(2.0, batch=2)])
        dataset_of_epochs = tf.data.Dataset.range(1).flat_map(
            lambda _: tf.data.Dataset.from_tensor_slices(
                tf.ensure_shape(tf.numpy_function(lambda: next(epochs), [], tf.float32), X.shape)
            ).batch(SIZE)
        )
        next(epochs)  # the first batch is looked at before
        epochs = iter([X, X, spoiled(2.0, batch=2)])
        bernoulli.fit(dataset_of_epochs, epochs=3, validation_data=X[:SIZE], verbose=0)


def test_the_watch_changes_no_training():
    """Weights after an epoch are those without it, bit by bit."""
    watched, other = (toy(likelihood="gaussian") for _ in range(2))
    other.watch.note = lambda batch, hull=False: batch
    for model in (watched, other):
        model.compile("adam", **PLAIN)
        model.fit(dataset(grey(len(X))), verbose=0)
    assert same(toys.weights(watched), toys.weights(other))


def test_what_was_checked_whole_on_the_host_is_not_watched_and_a_stream_after_it_is(monkeypatch):
    model, noted = compiled(), []
    note = model.watch.note
    monkeypatch.setattr(model.watch, "note", lambda batch, hull=False: noted.append(1) or note(batch, hull))
    ours = data.batches(X, batch_size=SIZE, training=True)
    for examples in (X, ours):
        model.fit(examples, batch_size=SIZE, verbose=0)
    assert not noted
    changed = ours.enumerate().map(lambda step, batch: {"x": tf.where(step == 4, 2 * batch["x"], batch["x"])})
    for stream in (dataset(spoiled(2.0)), changed):
        model.fit(X, batch_size=SIZE, verbose=0)
        noted.clear()
        with pytest.raises(UserError, match=r"^Batch 4 of the training data, counted from 0: Pixels of x must lie"):
            model.fit(stream, verbose=0)
        assert noted


def test_numbers_of_float64_are_held_to_what_float32_makes_of_them():
    """1e300 is infinite in training, and 1e-60 is 0."""
    for likelihood, good, bad, rule in (
        ("normal", 0.0, 1e300, r"x must be finite\. Given: 1 values"),
        ("log_normal", 1.0, 1e-60, r"x must be above 0"),
    ):
        model = VAE(x_shape=(2,), latent_dim=1, encoder=toys.mlp(), decoder=toys.mlp(), likelihood=likelihood)
        model.compile(**PLAIN)
        x = np.full((SIZE, 2), good)
        x[3, 1] = bad
        for examples in (x, data.batches(x, batch_size=4, training=True, kind="numbers")):
            with pytest.raises(UserError, match=f"^{rule}"):
                model.fit(examples, batch_size=4, verbose=0)


def test_what_is_drawn_or_bytes_of_columns_hides_no_rule():
    """A rendered image is seen when it is drawn; of a table in bytes every row is looked at."""
    drawn = data.batches(
        np.arange(SIZE * BATCHES, dtype="int32")[:, None],
        batch_size=SIZE,
        training=True,
        render=lambda rows: np.tile(np.uint8(2), (len(rows), *toys.SHAPE)),
    )
    model = compiled()
    with pytest.raises(UserError, match=r"^Batch 0 of the training data, counted from 0: Pixels of x must lie"):
        model.fit(drawn, verbose=0)
    columns = {"sex": {"categorical": ["f", "m"]}, "digit": {"categorical": list("0123456789")}}
    likelihood = {"name": "mixed", "columns": columns}
    table = VAE(x_shape=(2,), latent_dim=1, encoder=toys.mlp(), decoder=toys.mlp(), likelihood=likelihood)
    table.compile(**PLAIN)
    rows = np.tile(np.uint8([[1, 5]]), (SIZE, 1))
    table.fit(data.batches(rows, batch_size=4, training=True, kind="numbers"), verbose=0)
    with pytest.raises(UserError, match="Classes of a column of x of the dataset are numbered from 0"):
        table.fit(data.batches(rows[:, ::-1], batch_size=4, training=True, kind="numbers"), verbose=0)


def test_reconstruction_takes_grey_levels_that_have_no_probability(bernoulli):
    assert bernoulli.predict(dataset(grey(len(X))), verbose=0).shape == X.shape


def test_a_loss_that_fails_before_any_update_is_not_the_learning_rates():
    class Broken(keras.layers.Layer):
        def call(self, inputs):
            return inputs * keras.ops.where(keras.ops.sum(inputs) > 5.0, np.nan, 1.0)

    decoder = [Broken(), keras.layers.Dense(16), keras.layers.Reshape(toys.SHAPE)]
    model = compiled(decoder=keras.Sequential(decoder))
    for weight in model.encoder.trainable_variables:
        weight.assign(keras.ops.ones_like(weight))
    with pytest.raises(DivergedError, match=r"at step 0, before any update, of data that are finite\. Look for NaN in"):
        model.fit(X, batch_size=SIZE, verbose=0)


def test_our_autotuner_is_off_unless_the_users_options_say_otherwise():
    """tf.data's autotuner sleeps in doubling periods, and the end of each epoch waits for it."""
    from keras_vae.data.iterators import peeked

    plain, options = dataset(X), tf.data.Options()
    options.autotune.enabled = True
    for stream, enabled in ((plain, False), (plain.with_options(options), True)):
        first, taken = peeked(stream, VAE.as_batch)
        assert taken.options().autotune.enabled is enabled
        np.testing.assert_array_equal(first["x"], X[:SIZE])
        assert [len(batch["x"]) for batch in taken] == [SIZE] * BATCHES


def test_bfloat16_on_a_processor_without_its_instructions_warns(monkeypatch):
    for flags, slow in (
        ({"avx2", "fma"}, True),
        ({"avx2", "avx512_bf16"}, False),
        ({"neon", "bf16"}, False),
        (set(), False),
    ):
        monkeypatch.setattr(backend, "processor_flags", lambda flags=flags: flags)
        for dtype in ("mixed_bfloat16", "float32"):
            model = toy(dtype=dtype)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.compile("adam", **PLAIN)
            said = [str(warning.message) for warning in caught if "bfloat16 instructions" in str(warning.message)]
            assert bool(said) == (slow and dtype == "mixed_bfloat16")
