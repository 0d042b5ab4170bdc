"""Rows of columns that differ: scipy's formulas by kind, sums to 1, holes, and models of them."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from keras_vae import supports, tasks
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.likelihoods import Mixed, Observed
from keras_vae.models import CVAE, IWAE, VAE, HierarchicalVAE, SemiSupervisedVAE
from tests.toys import PLAIN, mlp, same, weights

KINDS = {
    "grade": {"ordinal": ["low", "middle", "high", "top"]},
    "size": "real",
    "reads": "overdispersed",
    "colour": {"categorical": ["red", "green", "blue"]},
    "price": "positive",
    "calls": "count",
    "new": {"categorical": 2},
    "age": "real",
}
NAMES = list(KINDS)
SHAPE = (len(KINDS),)


def rows(count=64, seed=0):
    """Rows that depend on one hidden number."""
    generator = np.random.default_rng(seed)
    z = generator.normal(size=count)
    columns = {
        "grade": np.digitize(z + 0.3 * generator.normal(size=count), [-1, 0, 1]),
        "size": 100 + 20 * z + generator.normal(size=count), "reads": generator.poisson(np.exp(3 + 0.5 * z)),
        "colour": np.digitize(z + 0.3 * generator.normal(size=count), [-0.5, 0.5]), "price": np.exp(5 + z),
        "calls": generator.poisson(np.exp(1 + z)), "new": z + 0.3 * generator.normal(size=count) > 0,
        "age": generator.normal(size=count),
    }  # fmt: skip
    return np.stack([columns[name] for name in NAMES], -1).astype("float32")


X = rows()
HOLES = np.random.default_rng(1).random(X.shape) < 0.3
HOLEY = np.where(HOLES, np.nan, X).astype("float32")


def family(scale="feature", adapted=True, dtype="float64"):
    made = Mixed(KINDS, scale, dtype=dtype)
    made.build((None, *SHAPE))
    if adapted:
        made.adapt(X)
    for one in made.families.values():
        if getattr(one, "learned", None) is not None:
            one.learned.assign(np.linspace(-0.5, 0.5, one.learned.shape[0]))
    return made


def distribution(made, count=5, seed=3):
    (size,) = made.raw_shape(SHAPE)
    raw = np.random.default_rng(seed).normal(size=(count, size))
    parameters = made.parameters(tf.constant(raw))
    return {name: np.asarray(value) for name, value in parameters.items()}, made.distribution(parameters), raw


def by_scipy(p, x):
    """log p of each number, from the parameters, by scipy. Columns of classes: colour, new, grade."""
    classes = np.split(p["log_probabilities"], [3, 5], axis=-1)
    theta = np.exp(p["overdispersed_log_dispersion"])[:, 0]
    mean = np.exp(p["overdispersed_log_mean"])[:, 0]
    take = {name: x[:, NAMES.index(name)] for name in NAMES}
    real = scipy.stats.norm(p["real_mean"], np.exp(0.5 * p["real_log_var"]))
    sizes = real.logpdf(np.stack([take["size"], take["age"]], -1))
    index = {name: take[name].astype(int)[:, None] for name in ("colour", "new", "grade")}
    logs = {
        "size": sizes[:, 0], "age": sizes[:, 1],
        "price": scipy.stats.lognorm(np.exp(p["positive_log_scale"]), scale=np.exp(p["positive_loc"])).logpdf(
            take["price"][:, None])[:, 0],
        "calls": scipy.stats.poisson(p["count_mean"][:, 0]).logpmf(take["calls"]),
        "reads": scipy.stats.nbinom(theta, theta / (theta + mean)).logpmf(take["reads"]),
        **{name: np.take_along_axis(log_p, index[name], -1)[:, 0]
           for name, log_p in zip(("colour", "new", "grade"), classes, strict=True)},
    }  # fmt: skip
    return np.stack([logs[name] for name in NAMES], -1)


@pytest.mark.parametrize("scale", ["feature", "example"])
@pytest.mark.parametrize("adapted", [True, False])
def test_the_density_of_each_kind_is_scipys(scale, adapted):
    made = family(scale, adapted)
    p, joint, _ = distribution(made)
    x = X[:5].astype("float64")
    np.testing.assert_allclose(joint.log_prob(x), by_scipy(p, x).sum(-1), rtol=1e-6)
    np.testing.assert_allclose(joint.distribution.log_prob(x), by_scipy(p, x), rtol=1e-6)
    draws = np.asarray(joint.sample(4000, seed=1))
    made.support.check(draws.reshape(-1, 8))
    stacked = np.asarray(joint.log_prob(draws[:3]))
    np.testing.assert_allclose(stacked[2], by_scipy(p, draws[2]).sum(-1), rtol=1e-6)


def test_classes_are_softmax_and_cumulative_logits_and_sum_to_1():
    made = family()
    p, joint, raw = distribution(made)
    colour, new, grade = np.split(p["log_probabilities"], [3, 5], axis=-1)
    logits = raw[:, -8:]
    np.testing.assert_allclose(colour, scipy.special.log_softmax(logits[:, :3], -1), rtol=1e-9)
    np.testing.assert_allclose(new, scipy.special.log_softmax(logits[:, 3:5], -1), rtol=1e-9)
    levels = np.cumsum(np.c_[logits[:, 5], np.log1p(np.exp(logits[:, 6:]))], -1)
    below = np.c_[np.zeros(5), scipy.special.expit(levels), np.ones(5)]
    np.testing.assert_allclose(np.exp(grade), np.diff(below, axis=-1), rtol=1e-9)
    for name, count in (("grade", 4), ("colour", 3), ("new", 2), ("calls", 400), ("reads", 3000)):
        x = np.repeat(X[:1].astype("float64"), count, 0)
        x[:, NAMES.index(name)] = np.arange(count)
        numbers = np.asarray(joint.distribution.log_prob(x[:, None]))[:, 0, NAMES.index(name)]
        assert np.exp(numbers).sum() == pytest.approx(1, abs=1e-6), name
    for name, log_p in (("grade", grade), ("colour", colour), ("new", new)):
        np.testing.assert_array_equal(p["mean"][:, NAMES.index(name)], log_p.argmax(-1))


def test_far_ordered_classes_keep_their_digits():
    made = Mixed({"grade": {"ordinal": 3}}, dtype="float64")
    made.build((None, 1))
    log_p = made.parameters(tf.constant([[200.0, -30.0], [-200.0, 5.0]], "float64"))["log_probabilities"].numpy()
    assert np.isfinite(log_p).all()
    assert log_p[0] == pytest.approx([0, -230, -200], abs=1e-6)


def test_samples_have_the_probabilities_and_means():
    p, joint, _ = distribution(family(), count=2)
    draws = np.asarray(joint.sample(20_000, seed=2))
    again = np.asarray(joint.sample(20_000, seed=2))
    np.testing.assert_array_equal(draws, again)
    colour = np.exp(p["log_probabilities"][:, :3])
    share = np.stack([(draws[..., NAMES.index("colour")] == k).mean(0) for k in range(3)], -1)
    np.testing.assert_allclose(share, colour, atol=0.02)
    for name in ("size", "price", "calls", "reads", "age"):
        column = draws[..., NAMES.index(name)]
        error = column.std(0) / np.sqrt(len(draws))
        assert (np.abs(column.mean(0) - p["mean"][:, NAMES.index(name)]) < 5 * error).all(), name


def test_the_encoder_reads_classes_one_by_one_and_numbers_standardised():
    made = family()
    read = np.asarray(made.standardized(tf.constant(X.astype("float64"))))
    assert read.shape[1:] == made.read_shape(SHAPE) == (5 + 3 + 2 + 3,)
    np.testing.assert_allclose(read[:, :5].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(read[:, :5].std(0), 1, atol=1e-6)
    colour, grade = X[:, NAMES.index("colour")], X[:, NAMES.index("grade")]
    np.testing.assert_array_equal(read[:, 5:8], np.eye(3)[colour.astype(int)])
    np.testing.assert_array_equal(read[:, 10:], np.arange(1, 4) <= grade[:, None])


def test_what_is_missing_has_no_term_and_no_gradient():
    made = family(dtype="float32")
    observed, (size,) = Observed(made), made.raw_shape(SHAPE)
    raw = tf.Variable(np.random.default_rng(3).normal(size=(64, size)).astype("float32"))
    with tf.GradientTape() as tape:
        log_p = observed.distribution(observed.parameters(raw)).log_prob(tf.constant(HOLEY))
    gradient = np.asarray(tape.gradient(log_p, raw))
    assert np.isfinite(gradient).all()
    p = {name: np.asarray(value, "float64") for name, value in made.parameters(raw).items()}
    np.testing.assert_allclose(log_p, np.where(HOLES, 0, by_scipy(p, X)).sum(-1), rtol=1e-4)
    hole = HOLES[:, NAMES.index("colour")]
    assert (gradient[hole][:, -8:-5] == 0).all()
    assert (gradient[~hole][:, -8:-5] != 0).any(-1).all()


def model(cls=VAE, missing="mask", **arguments):
    arguments = {"latent_dim": 2} | arguments
    return cls(
        x_shape=SHAPE, encoder=mlp(), decoder=mlp(), likelihood={"name": "mixed", "columns": KINDS}, missing=missing,
        **arguments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    made = model(IWAE, importance_samples=5)
    import keras

    made.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    holey = np.where(np.random.default_rng(5).random((500, 8)) < 0.3, np.nan, rows(500)).astype("float32")
    made.fit(holey, batch_size=50, epochs=40, verbose=0)
    return made


@pytest.mark.slow
def test_holes_are_filled_in_their_kind_better_than_by_column(trained):
    x = rows(300, seed=7)
    holes = np.random.default_rng(8).random(x.shape) < 0.3
    filled = tasks.fill_in(trained, np.where(holes, np.nan, x), samples=50, draws=20)
    np.testing.assert_array_equal(filled.mean[~holes], x[~holes])
    trained.likelihood_family.check(filled.draws.reshape(-1, 8))
    for name in ("grade", "colour", "new"):
        index = NAMES.index(name)
        hole = holes[:, index]
        right = (filled.mean[hole, index] == x[hole, index]).mean()
        commonest = (x[hole, index] == np.bincount(x[:, index].astype(int)).argmax()).mean()
        assert right > commonest + 0.1, name
    size, hole = NAMES.index("size"), holes[:, NAMES.index("size")]
    error = np.sqrt(np.square(filled.mean[hole, size] - x[hole, size]).mean())
    assert error < 0.6 * x[:, size].std()


def test_the_tasks_take_rows(trained):
    x = rows(40, seed=9)
    assert np.isfinite(trained.log_prob(x, samples=5)).all()
    strange = x.copy()
    strange[:, NAMES.index("size")] = 200 - strange[:, NAMES.index("size")]
    assert tasks.anomaly_scores(trained, strange).mean() > tasks.anomaly_scores(trained, x).mean()
    assert set(trained.reconstruct(x)[:, NAMES.index("colour")]) <= {0, 1, 2}


def test_a_saved_model_is_the_same(trained, tmp_path):
    import keras

    trained.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert same(weights(again), weights(trained))
    np.testing.assert_array_equal(again.encode(HOLEY), trained.encode(HOLEY))
    assert list(again.likelihood_family.family.columns) == NAMES


def test_raw_rows_go_into_a_bundle(trained, tmp_path):
    from keras_vae import runtimes

    bundle = export(trained, tmp_path / "out", ("onnx",), HOLEY)
    assert all(row.passed for row in bundle.parity)
    runtime = runtimes.open(bundle.path, "onnxruntime")
    np.testing.assert_allclose(runtime.encode(HOLEY), trained.encode(HOLEY), rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="Classes of a column"):
        runtime.encode(np.full((1, 8), 9.0, "float32"))


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (CVAE, {"num_classes": 2}),
        pytest.param(SemiSupervisedVAE, {"num_classes": 2, "missing": None}, marks=pytest.mark.slow),
        pytest.param(HierarchicalVAE, {"latent_dims": (2, 2), "hidden": 4, "latent_dim": None}, marks=pytest.mark.slow),
    ],
)
def test_variants_read_mixed_rows(cls, arguments):
    arguments = {name: value for name, value in ({"latent_dim": 2} | arguments).items() if value is not None or
                 name == "missing"}  # fmt: skip
    made = cls(
        x_shape=SHAPE, encoder=mlp(), decoder=mlp(), likelihood={"name": "mixed", "columns": KINDS},
        **{name: value for name, value in arguments.items() if name != "missing"},
    )  # fmt: skip
    made.compile(**PLAIN)
    y = {"y": np.arange(64) % 2} if "num_classes" in arguments else {}
    made.fit(X, **y, batch_size=32, verbose=0)
    assert np.isfinite(made.elbo(X, condition=y.get("y"))).all()


def test_the_support_is_that_of_each_column_and_of_a_name():
    kinds = tuple((column.kind, len(column.classes)) for column in family().columns.values())
    for support in (supports.mixed(kinds), supports.named(supports.mixed(kinds).name, 0)):
        support.check(X)
        support.check(support.draw(np.random.default_rng(0), (50, 8)))
        for name, value, message in (
            ("price", 0.0, "Positive columns"), ("calls", 1.5, "Counts and classes"), ("calls", -1.0, "Counts"),
            ("colour", 3.0, "Classes of a column"), ("new", 0.5, "Counts and classes"), ("size", np.inf, "finite"),
        ):  # fmt: skip
            broken = X.copy()
            broken[7, NAMES.index(name)] = value
            with pytest.raises(UserError, match=message):
                support.check(broken)
        with pytest.raises(UserError, match="finite"):
            support.check(HOLEY)
        support.or_missing().check(HOLEY)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "mapping from names"),
        ({"a": "colour"}, "kind of a column"),
        ({"a": {"categorical": "red"}}, "kind of a column"),
        ({"a": {"categorical": ["red"]}}, "two classes"),
        ({"a": {"ordinal": ["x", "x"]}}, "two classes"),
        ({"a": {"ordinal": 1}}, "two classes"),
    ],
)
def test_kinds_that_are_none_are_refused(columns, message):
    with pytest.raises(UserError, match=message):
        Mixed(columns)


def test_another_shape_is_refused():
    with pytest.raises(UserError, match=r"x_shape=\(8,\)"):
        VAE(x_shape=(3,), latent_dim=1, likelihood={"name": "mixed", "columns": KINDS})
