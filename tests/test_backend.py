"""The backend: gradients, compiled functions, noise; and TensorFlow is imported in its rooms only."""

import ast
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_vae
from keras_vae import backend
from keras_vae.backend import tfd

PACKAGE = Path(keras_vae.__file__).parent
# Rooms that are about TensorFlow: its pipelines, its formats, its runtimes.
ROOMS = ("backend/", "data/", "export/", "runtimes/keras_model.py", "runtimes/saved_model.py", "runtimes/safety/")


def imported(path):
    """The packages that a module imports, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        yield from (name.split(".")[0] for name in names)


def importers(*packages):
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if not set(packages).isdisjoint(imported(path))
    }


def test_tensorflow_is_imported_in_its_rooms_only():
    strangers = importers("tensorflow", "tensorflow_datasets")
    assert {"backend/__init__.py", "data/epochs.py", "export/graphs.py"} <= strangers
    assert not {path for path in strangers if not path.startswith(ROOMS)}


def test_tensorflow_probability_is_imported_in_one_module():
    assert importers("tensorflow_probability") == {"backend/__init__.py"}


def test_each_loss_has_the_gradient_of_its_own_variables_of_one_forward_pass():
    a, b, idle = (keras.Variable(value) for value in (2.0, 3.0, 5.0))
    passes = []

    def losses():
        passes.append(1)
        product = a * b
        return [product, ops.square(product)], "further"

    gradients, result = backend.gradients(losses, [[a], [b, idle]])
    assert (len(passes), result) == (1, "further")
    assert [float(gradients[0][0]), float(gradients[1][0])] == [3.0, 2 * 6.0 * 2.0]
    assert gradients[1][1] is None


def test_the_gradient_of_taken_rows_is_dense():
    table = keras.Variable(np.ones((3, 2), "float32"))
    (gradient,), _ = backend.gradients(lambda: ([ops.sum(ops.take(table, [1, 1], axis=0))], None), [[table]])
    np.testing.assert_array_equal(gradient[0], [[0, 0], [2, 2], [0, 0]])


def test_a_gradient_at_a_point_has_a_gradient_itself():
    """d/dx of (d/dx x**3)**2 = 9 x**4 is 36 x**3."""
    x = keras.Variable(2.0)

    def losses():
        slope, cube = backend.gradient_at(lambda point: (point**3, point**3), 1.0 * x)
        assert float(cube) == 8.0
        return [ops.square(slope)], None

    (gradient,), _ = backend.gradients(losses, [[x]])
    assert float(gradient[0]) == pytest.approx(36 * 8)


def test_a_compiled_function_is_traced_once_for_each_kind_of_input():
    traces = []

    @backend.compiled
    def scaled(x, times):
        traces.append(times)
        return x * times

    for times in (2.0, 3.0, 2.0):
        np.testing.assert_array_equal(scaled(tf.ones(2), times), np.full(2, times))
    assert traces == [2.0, 3.0]
    with pytest.raises(TypeError):  # without AutoGraph, which is slow to trace and hides what runs
        backend.compiled(lambda x: 1 if x > 0 else 2)(tf.constant(1.0))


def test_noise_is_a_function_of_its_seed():
    seed = backend.fold(backend.seed_of(3, 1), 7, 2)
    for draw in (backend.uniform, backend.normal, lambda *given: backend.integers(*given, 5)):
        np.testing.assert_array_equal(draw((4, 2), seed), draw((4, 2), seed))
        assert not np.array_equal(draw((40, 2), seed), draw((40, 2), backend.fold(seed, 1)))
    whole = np.asarray(backend.integers((1000,), seed, 5))
    assert whole.dtype == "int32" and set(whole) == set(range(5))


def test_replicas_that_are_traced_in_turns_count_their_own_draws():
    draws, seed = backend.Draws(), backend.seed_of(3, 1)
    with ThreadPoolExecutor(1) as other, contextlib.ExitStack() as ended_by_other:
        with draws.using(seed):
            first = draws.next()
            other.submit(ended_by_other.enter_context, draws.using(seed)).result()
            np.testing.assert_array_equal(other.submit(draws.next).result(), first)
            second = draws.next()
        np.testing.assert_array_equal(other.submit(draws.next).result(), second)
        other.submit(ended_by_other.close).result()
    assert not np.array_equal(first, second)
    with pytest.raises(RuntimeError, match="call it inside"):
        draws.next()


@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
def test_noise_is_that_of_tensorflow_without_xla(xla):
    # XLA's own choice of an algorithm gives other numbers, and computes each of them twenty times as long.
    def draws(seed):
        folded, many = backend.fold(seed, 5), (3, 7, 5)
        return (
            backend.normal(many, folded),
            backend.normal(many, folded, "float64"),
            backend.uniform(many, folded),
            backend.integers(many, folded, 1000),
            backend.sample(tfd.Independent(tfd.Normal(np.full((7, 5), 2.0, "float32"), 3.0), 1), (3,), folded),
        )

    seed = backend.seed_of(3, 1)
    folded = tf.random.experimental.stateless_fold_in(seed, 5)
    expected = (
        tf.random.stateless_normal((3, 7, 5), folded),
        tf.random.stateless_normal((3, 7, 5), folded, dtype="float64"),
        tf.random.stateless_uniform((3, 7, 5), folded),
        tf.random.stateless_uniform((3, 7, 5), folded, 0, 1000, tf.int32),
        tfd.Normal(np.full((7, 5), 2.0, "float32"), 3.0).sample(3, seed=folded),
    )
    for noise, plain, atol in zip(
        backend.compiled(draws, jit_compile=xla)(seed), expected, (1e-5, 1e-14, 0, 0, 3e-5), strict=True
    ):
        assert noise.shape == plain.shape and noise.dtype == plain.dtype
        np.testing.assert_allclose(noise, plain, rtol=0, atol=atol)


def test_noise_of_a_shape_that_is_not_static():
    sizes = backend.compiled(lambda rows: backend.normal(tf.shape(rows), (1, 2)), reduce_retracing=True)
    for rows in (2, 3):
        np.testing.assert_array_equal(sizes(tf.zeros((rows, 5))), backend.normal((rows, 5), (1, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_of_the_first_examples_of_a_block(dtype):
    """Bit for bit that of the block, whatever axes come before the examples; in graphs of an open batch too."""
    whole = backend.normal((3, 16, 5), (1, 2), dtype)

    def first(count):
        with backend.first_of_block(16):
            return backend.normal((3, count, 5), (1, 2), dtype, 1)

    graph = backend.compiled(first)
    for count in (1, 3, 16):
        np.testing.assert_array_equal(first(count), whole[:, :count])
        np.testing.assert_array_equal(graph(tf.constant(count)), whole[:, :count])


def test_samples_of_other_distributions_keep_to_a_block_too():
    """Of one that TFP samples, the examples' numbers do not depend on their count."""
    rates = np.linspace(0.1, 3.0, 8).astype("float32")
    with backend.first_of_block(8):
        few, many = (backend.sample(backend.tfd.Exponential(rates[:count]), (4,), (1, 2)) for count in (3, 8))
    np.testing.assert_allclose(few, many[:, :3], rtol=1e-6)
    assert len(np.unique(many)) == 32


def test_samples_of_other_distributions_are_those_of_tfp():
    laplace, seed = tfd.Independent(tfd.Laplace(np.zeros((4, 2), "float32"), 1.0), 1), backend.seed_of(3, 1)
    np.testing.assert_array_equal(backend.sample(laplace, (3,), seed), laplace.sample(3, seed=seed))


def test_outside_of_a_strategy_there_is_one_replica():
    assert backend.replica() == backend.Replica(0, 1)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():  # no replica is chosen here
        assert backend.replica() == backend.Replica(0, 1)
    np.testing.assert_array_equal(backend.sum_over_replicas([tf.ones(2)])[0], [1, 1])


def test_full_precision_ends_with_its_block():
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    with backend.full_precision():
        assert not tf.config.experimental.tensor_float_32_execution_enabled()
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before
