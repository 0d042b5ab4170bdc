"""The likelihoods of real numbers, positive ones and counts: scipy's formulas, sums and integrals to 1, and means."""

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.likelihoods import (
    Binomial,
    LogNormal,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflatedNegativeBinomial,
    likelihood,
)
from keras_vae.models import VAE
from tests.toys import PLAIN, mlp

SHAPE = (3,)
RAW = np.random.default_rng(0).normal(size=(5, 9)).astype("float32")
REAL = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
COUNTS = np.random.default_rng(2).poisson(4.0, (5, 3)).astype("float32")


def sigmoid(value):
    return 1 / (1 + np.exp(-np.asarray(value, "float64")))


def made(family, raw):
    """The family's parameters for a decoder's output, in numpy, and its distribution."""
    if not family.built:
        family.build((None, *SHAPE))
    if getattr(family, "learned", None) is not None:
        family.learned.assign(np.array([-0.5, 0.2, 1.0]) if family.learned.shape.rank else 0.3)
    parameters = family.parameters(tf.constant(raw[:, : 3 * family.channels_per_pixel]))
    return {name: value.numpy().astype("float64") for name, value in parameters.items()}, family.distribution(
        parameters
    )


# family -> from its parameters to the frozen distribution of scipy, x, the integral's ends or the largest count
def normal(p, fixed):
    return scipy.stats.norm(p["mean"], np.exp(0.5 * p["log_var"]) if "log_var" in p else fixed)


def student(p, fixed):
    return scipy.stats.t(4.0, p["mean"], np.exp(p["log_scale"]) if "log_scale" in p else fixed)


def log_normal(p, fixed):
    return scipy.stats.lognorm(np.exp(p["log_scale"]) if "log_scale" in p else fixed, scale=np.exp(p["loc"]))


def negative_binomial(p, fixed):
    theta, mean = np.exp(p["log_dispersion"]) if "log_dispersion" in p else fixed, np.exp(p["log_mean"])
    return scipy.stats.nbinom(theta, theta / (theta + mean))


SCALES = [0.7, "global", "feature", "example"]
DENSITIES = {
    **{f"normal-{scale}": (lambda scale=scale: Normal(scale), normal, REAL) for scale in SCALES},
    **{f"student-{scale}": (lambda scale=scale: StudentT(4.0, scale=scale), student, REAL) for scale in SCALES},
    **{f"log-{scale}": (lambda scale=scale: LogNormal(scale), log_normal, np.exp(REAL)) for scale in SCALES},
}
MASSES = {
    "poisson": (Poisson, lambda p, _: scipy.stats.poisson(np.exp(p["log_rate"])), COUNTS),
    "binomial": (lambda: Binomial(20), lambda p, _: scipy.stats.binom(20, sigmoid(p["logits"])), COUNTS),
    **{f"nb-{one}": (lambda one=one: NegativeBinomial(one), negative_binomial, COUNTS) for one in SCALES},
}


@pytest.mark.parametrize("name", [*DENSITIES, *MASSES])
def test_against_scipy(name):
    make, of_scipy, x = {**DENSITIES, **MASSES}[name]
    parameters, distribution = made(make(), RAW)
    expected = of_scipy(parameters, 0.7)
    log_p = expected.logpdf(x) if name in DENSITIES else expected.logpmf(x)
    np.testing.assert_allclose(distribution.log_prob(x).numpy(), log_p.sum(-1), rtol=2e-5, atol=2e-5)
    assert distribution.batch_shape == (5,) and distribution.event_shape == (3,)
    np.testing.assert_allclose(parameters["mean"], np.broadcast_to(expected.mean(), (5, 3)), rtol=1e-4)
    np.testing.assert_allclose(distribution.mean().numpy(), parameters["mean"], rtol=1e-4)


def one_number(family, raw, values):
    """log p of each value of a single number x."""
    if not family.built:
        family.build((None, 1))
    raw = np.repeat(np.reshape(raw, (1, -1))[:, : family.channels_per_pixel], len(values), axis=0).astype("float32")
    distribution = family.distribution(family.parameters(tf.constant(raw)))
    return distribution.log_prob(values.astype("float32")[:, None]).numpy().astype("float64")


@pytest.mark.parametrize("family", ["normal", {"name": "student_t", "degrees": 3}, "log_normal"])
@pytest.mark.parametrize("scale", [0.3, "feature", "example"])
def test_densities_integrate_to_one(family, scale):
    spec = {"name": family, "scale": scale} if isinstance(family, str) else {**family, "scale": scale}
    u = np.linspace(-1, 1, 40_001)[1:-1]
    x = (np.exp(8 * u) if family == "log_normal" else 20 * u / (1 - u**2)).astype("float32").astype("float64")
    density = np.exp(one_number(likelihood(spec), [0.4, -0.6], x))
    assert scipy.integrate.trapezoid(density, x) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(
    "family",
    [
        "poisson",
        {"name": "binomial", "trials": 30},
        {"name": "negative_binomial", "dispersion": 0.4},
        {"name": "negative_binomial", "dispersion": "example"},
        {"name": "zero_inflated_negative_binomial", "dispersion": 3.0},
        {"name": "zero_inflated_negative_binomial", "dispersion": "example"},
    ],
)
def test_masses_sum_to_one_and_their_means_are_means(family):
    made_of = likelihood(family)
    raw, values = [1.5, 0.7, -0.3], np.arange(31 if isinstance(family, dict) and "trials" in family else 3000)
    mass = np.exp(one_number(made_of, raw, values))
    assert mass.sum() == pytest.approx(1, abs=1e-4)
    raw = tf.constant([raw[: made_of.channels_per_pixel]])
    assert (mass * values).sum() == pytest.approx(float(made_of.parameters(raw)["mean"][0, 0]), rel=1e-3)


@pytest.mark.parametrize("logit", [-60.0, -2.0, 0.0, 0.7, 60.0])
def test_zeros_beyond_those_of_the_counts(logit):
    """s(l) [x = 0] + (1 - s(l)) NB(x), in float64: TFP's own logits are half of l."""
    family = ZeroInflatedNegativeBinomial(2.5)
    raw, x = np.array([[1.2, logit]], "float32"), np.array([0.0, 1.0, 7.0])
    counts = scipy.stats.nbinom(2.5, 2.5 / (2.5 + np.exp(1.2)))
    expected = np.logaddexp(
        np.where(x == 0, -np.logaddexp(0, -logit), -np.inf), -np.logaddexp(0, logit) + counts.logpmf(x)
    )
    np.testing.assert_allclose(one_number(family, raw, x), expected, rtol=1e-5, atol=1e-5)
    with tf.GradientTape() as tape:
        variable = tf.Variable(np.repeat(raw, 3, axis=0))
        loss = tf.reduce_sum(family.distribution(family.parameters(variable)).log_prob(x.astype("float32")[:, None]))
    assert np.isfinite(tape.gradient(loss, variable).numpy()).all()


# -log p of scvi-tools 1.4.2, `scvi.distributions`, in float64: of NegativeBinomial(mu, theta) and, with zi_logits, of
# ZeroInflatedNegativeBinomial. Its formulas add 1e-8 inside logarithms.
SCVI = np.array(
    [  # x, mu, theta, zi_logits, the loss of the first, the loss of the second
        [0, 0.3, 0.4, -1.5, 0.22384631088845486, 0.17909602091085364],
        [1, 2.5, 2.0, 0.2, 1.5164999094414982, 2.31463877882309],
        [7, 4.0, 9.0, 2.0, 2.7906008602968466, 4.917528871339819],
        [3, 3.0, 0.4, 0.0, 2.7276251113876238, 3.420772291947569],
        [0, 0.05, 2.0, 3.0, 0.0493852249368405, 0.002287859479887626],
        [250, 180.0, 9.0, -4.0, 5.88876343258471, 5.906913360502585],
        [0, 20.0, 0.4, 1.0, 1.572730243285809, 0.2397074896042733],
        [0, 0.7, 2.0, -0.3, 0.6002091823080837, 0.30008901374820096],
        [12, 12.0, 9.0, 0.5, 2.5972711263635553, 3.5713481105436635],
    ]
)


@pytest.mark.parametrize(("family", "column"), [(NegativeBinomial, 4), (ZeroInflatedNegativeBinomial, 5)])
def test_losses_are_those_of_scvi_tools(family, column):
    x, mu, theta, logits = (tf.constant(number[:, None], "float32") for number in SCVI.T[:4])
    parameters = {"log_mean": tf.math.log(mu), "log_dispersion": tf.math.log(theta), "zero_logits": logits}
    losses = -family("feature").distribution(parameters).log_prob(x).numpy()
    np.testing.assert_allclose(losses, SCVI[:, column], rtol=2e-5, atol=1e-6)


def test_a_large_dispersion_is_a_poisson_and_extreme_outputs_stay_finite():
    x = np.arange(12.0)
    poisson = one_number(Poisson(), [1.1], x)
    np.testing.assert_allclose(one_number(NegativeBinomial(1e6), [1.1], x), poisson, atol=1e-3)
    for family in ("poisson", "negative_binomial", "log_normal", "student_t", "normal"):
        for raw in (-1e4, 1e4):
            one = likelihood(family)
            assert np.isfinite(one_number(one, [raw], np.array([1.0, 100.0]))).all(), family
            assert np.isfinite(one.parameters(tf.constant([[raw]]))["mean"].numpy()).all(), family


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"name": "normal", "scale": "pixel"},
            r"positive number, 'global', 'feature', 'channel' or 'example'\. Given: 'pixel'",
        ),
        ({"name": "gaussian", "scale": "feature"}, r"positive number, 'global' or 'pixel'\. Given: 'feature'"),
        ({"name": "student_t", "degrees": 1}, r"above 1, so that there is a mean\. Given: 1"),
        ({"name": "log_normal", "scale": 30}, r"at most e, a factor of 15\. Given: 30"),
        ({"name": "binomial", "trials": 0}, r"trials must be a whole number, 1 or more"),
        ("binomial", r"needs the argument trials"),
        ({"name": "negative_binomial", "dispersion": -1}, r"dispersion of a NegativeBinomial.*Given: -1"),
    ],
)
def test_arguments_that_do_not_fit(spec, message):
    with pytest.raises(UserError, match=message):
        likelihood(spec)


@pytest.mark.parametrize(
    ("spec", "x", "message"),
    [
        ("normal", [np.nan, 1.0], r"x must be finite"),
        (
            "log_normal",
            [0.0, 1.0],
            r"above 0, as it has a logarithm\. Given: 4 values that are not, from 0; leave them out, add a small",
        ),
        (
            "log_normal",
            [-2.0, 0.0],
            r"Given: 8 values that are not, from -2; use likelihood='normal', which is of all real",
        ),
        ("poisson", [0.5, 1.0], r"counts, whole numbers from 0\. Given: .* such as 0\.5; multiply shares"),
        ("poisson", [0.5, 3.0], r"take them before any scaling or logarithm"),
        ("negative_binomial", [-1.0, 3.0], r"counts are not below 0"),
        ({"name": "binomial", "trials": 9}, [1.0, 12.0], r"at most 9, .*Given: values from 1 to 12; .*12 or more"),
    ],
)
def test_what_x_may_be(spec, x, message):
    """On the host before a step, and in every batch of a user's dataset: keras_vae/core/watch.py."""
    model = VAE(x_shape=(2,), latent_dim=1, encoder=mlp(), decoder=mlp(), likelihood=spec)
    good, bad = np.ones((4, 2), "float32"), np.repeat([x], 4, axis=0)
    model.compile(**PLAIN)
    with pytest.raises(UserError, match=message):
        model.fit(bad, batch_size=2, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices(np.concatenate([good, bad.astype("float32")])).batch(4)
    with pytest.raises(UserError, match=r"Batch 1 of the training data, .*" + message):
        model.fit(dataset, verbose=0)


def test_images_have_pixels():
    with pytest.raises(
        UserError, match=r"pixels in \[0, 1\].*Normal likelihood.*Give the shape as x_shape=\(4, 4, 1\)"
    ):
        VAE(image_shape=(4, 4, 1), likelihood="normal")


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [
        ("normal", False),
        ("zero_inflated_negative_binomial", False),
        *(
            pytest.param(name, True, marks=pytest.mark.slow)
            for name in ("normal", "student_t", "log_normal", "poisson", "zero_inflated_negative_binomial")
        ),
    ],
)
def test_training_raises_the_bound(name, jit_compile):
    x = {"normal": 5 * REAL, "student_t": REAL, "log_normal": np.exp(REAL)}.get(name, COUNTS)
    x = np.tile(x, (8, 1))
    model = VAE(x_shape=SHAPE, latent_dim=1, encoder=mlp(), decoder=mlp(), likelihood=name, seed=2)
    model.compile("adam", jit_compile=jit_compile, steps_per_execution=1)
    before = model.elbo(x).mean()
    model.optimizer.learning_rate = 0.03
    model.fit(x, batch_size=40, epochs=20, verbose=0)
    assert model.elbo(x).mean() > before + 0.2
    again = VAE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.elbo(x), model.elbo(x))


@pytest.mark.parametrize("standardize", [False, True])
def test_multinomial_counts_of_any_total(standardize):
    family = Multinomial(total=5, standardize=standardize)
    family.build((None, 3))
    if standardize:
        family.adapt(COUNTS)
    p, joint = made(family, RAW)
    for x in (COUNTS, 3 * COUNTS, np.zeros_like(COUNTS)):
        expected = scipy.stats.multinomial(x.sum(-1), scipy.special.softmax(p["logits"], -1)).logpmf(x)
        np.testing.assert_allclose(joint.log_prob(x), expected, rtol=1e-4, atol=1e-5)
    every = np.array([(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)], "float32")
    masses = np.exp(joint.log_prob(every[:, None].repeat(5, 1)))
    np.testing.assert_allclose(masses.sum(0), 1, rtol=1e-5)
    np.testing.assert_allclose(p["mean"].sum(-1), 5, rtol=1e-5)
    draws = np.asarray(joint.sample(4000, seed=(1, 2)))
    assert (draws.sum(-1) == 5).all()
    np.testing.assert_allclose(draws.mean(0), p["mean"], atol=0.15)
    if standardize:
        far = np.log1p(COUNTS)
        np.testing.assert_allclose(family.standardized(COUNTS), (far - far.mean(0)) / far.std(0), atol=1e-4)


@pytest.mark.parametrize("name", ["poisson", "negative_binomial", "multinomial"])
def test_counts_standardise_and_keep_their_configuration(name):
    family = likelihood({"name": name, "standardize": True})
    family.build((None, 3))
    far = 1000 + 50 * COUNTS
    family.adapt(far)
    mean = family.parameters(tf.zeros((1, 3)))["mean"].numpy()
    total = 1 if name == "multinomial" else far.mean(0).sum()
    np.testing.assert_allclose(mean[0], far.mean(0) / far.mean(0).sum() * total, rtol=0.05)
    assert type(family).from_config(family.get_config()).standardizes


def test_a_multinomial_has_no_part_that_is_observed():
    with pytest.raises(UserError, match=r"independent given the code\. Given: missing, and the likelihood Multinomial"):
        VAE(x_shape=(3,), latent_dim=1, likelihood="multinomial", missing="zero", encoder=mlp(), decoder=mlp())
    whole = VAE(x_shape=(3,), latent_dim=1, likelihood="multinomial", encoder=mlp(), decoder=mlp())
    whole.compile(**PLAIN)
    assert np.isfinite(whole.fit(np.tile(COUNTS, (4, 1)), batch_size=5, verbose=0).history["elbo"]).all()


def best(log_p, x, mean):
    """The deviance by its definition, from log p of x at the mean x and at another."""
    return 2 * (log_p(x, np.maximum(x, 1e-300)) - log_p(x, mean))


DEVIANCES = {
    "poisson": (Poisson(), lambda x, m: scipy.stats.poisson.logpmf(x, m)),
    "binomial": (Binomial(20), lambda x, m: scipy.stats.binom.logpmf(x, 20, m / 20)),
    "negative_binomial": (NegativeBinomial(1.7), lambda x, m: scipy.stats.nbinom.logpmf(x, 1.7, 1.7 / (1.7 + m))),
}


@pytest.mark.parametrize("name", DEVIANCES)
def test_the_deviance_is_twice_the_log_of_the_best_probability_over_this_one(name):
    family, log_p = DEVIANCES[name]
    x = np.array([[0.0, 1.0, 7.0], [20.0, 3.0, 0.0]])
    mean = np.array([[0.4, 1.0, 3.0], [19.0, 12.0, 6.0]])
    result = family.deviances(x, mean, {})
    np.testing.assert_allclose(result, best(log_p, x, mean), atol=1e-9)
    assert result[0, 1] == pytest.approx(0) and (result >= -1e-12).all()
    np.testing.assert_array_equal(np.isnan(family.deviances(np.full((1, 2), np.nan), mean[:1, :2], {})), True)


def test_deviances_of_the_poisson_are_scikit_learns_and_those_of_the_multinomial_sum_to_its_definition():
    from sklearn.metrics import mean_poisson_deviance

    x, mean = COUNTS.astype("float64"), np.exp(RAW[:, :3].astype("float64"))
    for family in (Poisson(), ZeroInflatedNegativeBinomial()):
        result = family.deviances(x, mean, {})
        assert result.mean() == pytest.approx(mean_poisson_deviance(x.ravel(), mean.ravel()))
    p, total = mean / mean.sum(-1, keepdims=True), x.sum(-1)
    log_p = scipy.stats.multinomial.logpmf
    exact = 2 * (log_p(x, total, x / total[:, None]) - log_p(x, total, p))
    np.testing.assert_allclose(Multinomial(7).deviances(x, mean, {}).sum(-1), exact)
    assert not Multinomial(7).tells_total and Poisson().tells_total
    with pytest.raises(UserError, match="Deviances are of counts"):
        Normal().deviances(x, mean, {})


def test_the_dispersion_of_a_deviance_is_the_models():
    family = NegativeBinomial("feature")
    parameters, _ = made(family, RAW[:, :3])
    theta, x, mean = np.exp(parameters["log_dispersion"].astype("float64")), COUNTS, parameters["mean"]
    exact = best(lambda x, m: scipy.stats.nbinom.logpmf(x, theta, theta / (theta + m)), x.astype("float64"), mean)
    np.testing.assert_allclose(family.deviances(x, mean, parameters), exact, atol=1e-4)
