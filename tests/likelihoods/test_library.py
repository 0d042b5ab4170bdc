"""Counts whose means are shares of an observed total: scipy's formulas, what is no distribution, where it is set."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from scipy import sparse

from keras_vae import data
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.counts import totals_of
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.tables import column_errors_of, correlations_of
from keras_vae.likelihoods import (
    Multinomial,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
    likelihood,
)
from keras_vae.models import IWAE, VAE, VAEGAN
from keras_vae.tasks import step_scores
from tests.likelihoods.test_numbers import SCVI
from tests.toys import PLAIN, mlp

RAW = np.random.default_rng(0).normal(size=(5, 9)).astype("float32")
COUNTS = np.random.default_rng(2).poisson(4.0, (5, 3)).astype("float32")
TOTALS = [COUNTS, 3 * COUNTS, np.zeros_like(COUNTS), np.eye(3, dtype="float32")[[0, 1, 2, 0, 1]], 1e5 * COUNTS]
DISPERSIONS = [0.7, "global", "feature", "example"]


def made(family):
    """A family with a dispersion that is not at its start, its parameters in numpy, and its distribution."""
    if not family.built:
        family.build((None, 3))
    if getattr(family, "learned", None) is not None:
        family.learned.assign(np.array([-0.5, 0.2, 1.0]) if family.learned.shape.rank else 0.3)
    parameters = family.parameters(tf.constant(RAW[:, : 3 * family.channels_per_pixel]))
    numbers = {name: value.numpy().astype("float64") for name, value in parameters.items()}
    return numbers, family.distribution(parameters)


def exact(x, p, theta):
    """log p(x|z) of scipy, in float64, at the mean total(x) softmax(raw)."""
    x = x.astype("float64")
    share = scipy.special.softmax(RAW[:, :3].astype("float64"), -1)
    mean = np.maximum(x.sum(-1, keepdims=True) * share, 1e-300)
    theta = np.exp(p["log_dispersion"]) if "log_dispersion" in p else theta
    log_p = scipy.stats.nbinom.logpmf(x, theta, theta / (theta + mean))
    if "zero_logits" in p:
        logits = p["zero_logits"]
        of_zero = np.where(x == 0, -np.logaddexp(0, -logits), -np.inf)
        log_p = np.logaddexp(of_zero, -np.logaddexp(0, logits) + log_p)
    return log_p.sum(-1)


@pytest.mark.parametrize("dispersion", DISPERSIONS)
@pytest.mark.parametrize("cls", [NegativeBinomial, ZeroInflatedNegativeBinomial])
def test_each_x_has_its_own_total(cls, dispersion):
    p, joint = made(cls(dispersion, library="observed"))
    for x in TOTALS:
        np.testing.assert_allclose(joint.log_prob(x).numpy(), exact(x, p, 0.7), rtol=3e-5, atol=1e-5)
    several = np.stack(TOTALS[:4])  # draws of x, as of codes
    expected = [exact(x, p, 0.7) for x in several]
    np.testing.assert_allclose(joint.log_prob(several).numpy(), expected, rtol=3e-5, atol=1e-5)
    assert joint.batch_shape == (5,) and joint.event_shape == (3,)


@pytest.mark.parametrize("cls", [Poisson, NegativeBinomial, ZeroInflatedNegativeBinomial])
def test_it_is_the_plain_one_where_the_log_mean_is_log_total_plus_log_softmax(cls):
    observed, plain = cls(library="observed"), cls()
    p, joint = made(observed)
    name = "log_rate" if cls is Poisson else "log_mean"
    log_share = tf.nn.log_softmax(tf.constant(RAW[:, :3]))
    parameters = {key: tf.constant(value, "float32") for key, value in p.items()}
    parameters[name] = log_share + tf.math.log(tf.reduce_sum(COUNTS, -1, keepdims=True))
    np.testing.assert_allclose(joint.log_prob(COUNTS), plain.distribution(parameters).log_prob(COUNTS), rtol=1e-5)


def test_a_poisson_is_a_multinomial_and_a_number_that_no_code_changes():
    _, joint = made(Poisson(library="observed"))
    _, multinomial = made(Multinomial())
    for x in TOTALS[:4]:
        total = x.sum(-1)
        expected = multinomial.log_prob(x).numpy() + scipy.stats.poisson.logpmf(total, total)
        np.testing.assert_allclose(joint.log_prob(x).numpy(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("cls", [Poisson, NegativeBinomial, ZeroInflatedNegativeBinomial])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_density_and_gradient_are_finite_at_every_total(cls, scale):
    family = cls(library="observed")
    family.build((None, 3))
    raw = tf.Variable(np.concatenate([RAW, 1e4 * np.sign(RAW)])[:, : 3 * family.channels_per_pixel])
    x = np.tile(scale * np.array([[0.0, 1.0, 0.0]], "float32"), (10, 1))
    with tf.GradientTape() as tape:
        log_p = family.distribution(family.parameters(raw)).log_prob(x)
    gradients = tape.gradient(log_p, [raw, *family.trainable_variables])
    assert np.isfinite(log_p).all() and all(np.isfinite(gradient).all() for gradient in gradients)
    if scale == 0:
        np.testing.assert_allclose(log_p, 0.0, atol=1e-6)  # of a mean of 0


@pytest.mark.parametrize("dispersion", [0.7, 5.0])
def test_over_the_x_of_one_total_it_sums_to_less_than_one(dispersion):
    """It is an offset: x is not held to its total. The sum is P(S = n), S the sum of counts whose means sum to n."""
    _, joint = made(NegativeBinomial(dispersion, library="observed"))
    share = scipy.special.softmax(RAW[:, :3].astype("float64"), -1)
    for n in (0, 1, 6):
        every = np.array([x for x in itertools.product(range(n + 1), repeat=3) if sum(x) == n], "float32")
        sums = np.exp(joint.log_prob(np.repeat(every[:, None], 5, axis=1)).numpy().astype("float64")).sum(0)
        masses = [[scipy.stats.nbinom.pmf(np.arange(n + 1), dispersion, dispersion / (dispersion + n * p))
                   for p in row] for row in share]  # fmt: skip
        expected = [np.convolve(np.convolve(a, b), c)[n] for a, b, c in masses]
        np.testing.assert_allclose(sums, expected, rtol=1e-4)
        assert (sums < 0.9).all() if n else np.allclose(sums, 1)


def test_mean_and_draws_are_of_a_total_that_is_given():
    p, joint = made(NegativeBinomial(3.0, library="observed", total=50))
    np.testing.assert_allclose(p["mean"].sum(-1), 50, rtol=1e-5)
    np.testing.assert_allclose(joint.mean(), p["mean"], rtol=1e-5)
    draws = np.asarray(joint.sample(4000, seed=(1, 2)))
    assert draws.shape == (4000, 5, 3)
    np.testing.assert_allclose(draws.mean(0), p["mean"], rtol=0.1)


def toy(cls=VAE, **arguments):
    spec = {"name": "negative_binomial", "library": "observed", **arguments.pop("likelihood", {})}
    return cls(x_shape=(3,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood=spec, **arguments)


def test_the_total_of_mean_and_draws_is_that_of_the_training_data(tmp_path):
    x = np.tile(COUNTS, (4, 1))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for given in (mapped, sparse.csr_matrix(x), data.batches(x, batch_size=5, training=True, kind="numbers")):
        model = toy()
        model.compile(**PLAIN)
        batch_size = {} if isinstance(given, tf.data.Dataset) else {"batch_size": 5}
        model.fit(given, verbose=0, **batch_size)
        np.testing.assert_allclose(model.sample(3).sum(-1), x.sum(-1).mean(), rtol=1e-5)
        model.fit(3 * x, batch_size=5, verbose=0)  # what was trained on it stays
        np.testing.assert_allclose(model.decode(model.encode(x)).sum(-1), x.sum(-1).mean(), rtol=1e-5)
    again = VAE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.elbo(x), model.elbo(x))


def test_a_stream_tells_no_total_and_is_trained_on_with_one():
    stream = tf.data.Dataset.from_tensor_slices(np.tile(COUNTS, (4, 1))).batch(5)
    model = toy()
    model.compile(**PLAIN)
    with pytest.raises(UserError, match=r"totals of all training examples\. Given: a stream.*or give.*total="):
        model.fit(stream, verbose=0)
    model = toy(likelihood={"total": 12})
    model.compile(**PLAIN)
    assert np.isfinite(model.fit(stream, verbose=0).history["elbo"]).all()
    np.testing.assert_allclose(model.sample(2).sum(-1), 12, rtol=1e-5)


@pytest.mark.parametrize("cls", [VAE, IWAE])
def test_models_have_the_exact_density_of_a_decoder_that_reads_nothing(cls):
    """log p(x|z) is then of no z, so that the estimate of log p(x) by any number of draws is exact in its mean."""
    model = toy(cls)
    for weight in (*model.encoder.weights, *model.decoder.weights[:-1]):
        weight.assign(np.zeros(weight.shape))  # q(z|x) = p(z)
    model.decoder.weights[-1].assign(RAW[0, :3])
    for x in TOTALS[:4]:
        share = scipy.special.softmax(RAW[0, :3].astype("float64"))
        mean = np.maximum(x.sum(-1, keepdims=True) * share, 1e-300)
        expected = scipy.stats.nbinom.logpmf(x, 1.0, 1.0 / (1.0 + mean)).sum(-1)
        for found in (model.log_prob(x, samples=3), model.elbo(x)):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_deviances_are_of_a_mean_of_the_total_of_x():
    family = NegativeBinomial(1.7, library="observed")
    x, mean = COUNTS.astype("float64"), np.exp(RAW[:, :3].astype("float64"))
    own = mean * x.sum(-1, keepdims=True) / mean.sum(-1, keepdims=True)

    def log_p(m):
        return scipy.stats.nbinom.logpmf(x, 1.7, 1.7 / (1.7 + m))

    expected = 2 * (log_p(np.maximum(x, 1e-300)) - log_p(own))
    for factor in (1.0, 40.0):  # the total of the mean does not count
        np.testing.assert_allclose(family.deviances(x, factor * mean, {}), expected, atol=1e-9)
    np.testing.assert_allclose(family.deviances(x, mean[0], {})[0], expected[0], atol=1e-9)
    assert not family.deviances(np.zeros((1, 3)), mean[:1], {}).any()
    assert not family.tells_total and NegativeBinomial(1.7).tells_total


@pytest.mark.parametrize(("cls", "column"), [(NegativeBinomial, 4), (ZeroInflatedNegativeBinomial, 5)])
def test_of_a_library_size_the_losses_are_those_of_scvi_tools(cls, column):
    """Of its frozen numbers, as one x of so many genes, whose means sum to the library size."""
    x, mu, theta, logits = (tf.constant(number[None], "float32") for number in SCVI.T[:4])
    family = cls("example")
    raw = tf.concat([tf.math.log(mu) + 3.0, *([logits] if cls.inflated else []), tf.math.log(theta)], axis=-1)
    log_library = tf.math.log(tf.reduce_sum(mu, axis=-1))
    parameters = family.of_library(raw, log_library)
    np.testing.assert_allclose(tf.exp(parameters["log_mean"]), mu, rtol=1e-4)
    log_p = family.distribution(parameters).log_prob(x)
    np.testing.assert_allclose(-log_p, [SCVI[:, column].sum()], rtol=2e-5)


def test_without_a_library_there_is_nothing_new():
    for name in ("poisson", "negative_binomial", "zero_inflated_negative_binomial"):
        family = likelihood(name)
        family.build((None, 3))
        assert not {"library", "total"} & set(family.get_config()) and not family.reads_totals
        assert len(family.weights) == (name != "poisson")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"library": "latent"}, r"library is None or 'observed'\. Given: 'latent'.*of the model LibraryVAE"),
        ({"total": 3}, r"total is a number from 1e-06 to 1e\+12, of counts .* Given: 3, with library=None"),
        ({"library": "observed", "total": 0}, r"total is a number from.*Given: 0"),
        ({"library": "observed", "total": 10**400}, r"total is a number from.*Given: 1000"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(UserError, match=message):
        likelihood({"name": "negative_binomial", **arguments})


def test_no_part_of_it_may_be_missing():
    with pytest.raises(UserError, match=r"Given: missing, and the likelihood NegativeBinomial, whose numbers share"):
        toy(missing="zero")
    with pytest.raises(UserError, match=r"^Steps are scored by numbers.*Given: the likelihood NegativeBinomial"):
        step_scores(toy(), COUNTS)


@pytest.mark.parametrize("family", ["multinomial", {"name": "poisson", "library": "observed"}])
def test_means_and_draws_of_another_total_are_not_compared_with_x(family):
    model = VAE(x_shape=(3,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood=family)
    evaluation = Evaluation(model, np.tile(COUNTS, (9, 1)))
    for metric in (column_errors_of, correlations_of, totals_of):
        with pytest.raises(NotApplicable, match=r"Given: the likelihood (Multinomial|Poisson), which"):
            metric(evaluation)
    with pytest.raises(UserError, match=r"critic of a VAEGAN compares x with means.* which takes the total of x"):
        VAEGAN(x_shape=(3,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood=family)


def test_further_zeros_are_no_part_of_a_deviance_from_an_offset():
    family = likelihood({"name": "zero_inflated_negative_binomial", "library": "observed"})
    with pytest.raises(NotApplicable, match=r"of means that have the total\. Given: zero-inflated counts"):
        family.deviances(COUNTS, COUNTS + 1, {})
