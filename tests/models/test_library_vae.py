"""The latent library size: its KL by hand, log p(x) by quadrature, and where mu and sigma come from."""

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf
from scipy import sparse

from keras_vae import data
from keras_vae.core.estimators import importance_weights
from keras_vae.errors import UserError
from keras_vae.models import LibraryVAE
from tests.toys import PLAIN, mlp

LIBRARY = (2.5, 0.6)
X = np.array([[3, 0, 9], [0, 0, 0], [1, 2, 0], [30, 11, 4]], "float32")
SHARES = np.array([0.5, 0.3, 0.2])


def make(**arguments):
    given = {"x_shape": (3,), "latent_dim": 3, "encoder": mlp(activation="tanh"), "decoder": mlp(), "seed": 2}
    return LibraryVAE(**{**given, **arguments})


def constant(**arguments):
    """A model whose decoder gives `SHARES` whatever z is, so that log p(x) is an integral over log l alone."""
    model = make(library=LIBRARY, likelihood={"name": "negative_binomial", "dispersion": 1.5}, **arguments)
    for weight in model.decoder.weights[:-1]:
        weight.assign(np.zeros(weight.shape))
    model.decoder.weights[-1].assign(np.log(SHARES) + 4.0)
    return model


def quadrature(x, mu, sigma, theta=1.5):
    """log of the integral of NB(x; l shares, theta) N(log l; mu, sigma**2) over log l, in float64."""
    log_l = np.linspace(mu - 9 * sigma, mu + 9 * sigma, 20_001)
    mean = np.exp(log_l)[:, None, None] * SHARES
    log_p = scipy.stats.nbinom.logpmf(x, theta, theta / (theta + mean)).sum(-1)
    log_p += scipy.stats.norm(mu, sigma).logpdf(log_l)[:, None]
    return np.log(scipy.integrate.trapezoid(np.exp(log_p), log_l, axis=0))


def test_the_kl_is_that_of_log_l_and_of_z_by_hand():
    """Of N(m, s**2) to N(mu, sigma**2): log(sigma / s) + (s**2 + (m - mu)**2) / (2 sigma**2) - 1 / 2."""
    mu, sigma = LIBRARY
    model = make(library=LIBRARY)
    with model.draws.using((0, 1)):
        terms = model.terms({"x": tf.constant(X)}, training=False)
    posterior = model.posterior(X)
    mean, deviation = np.asarray(posterior.mean(), "float64"), np.asarray(posterior.stddev(), "float64")
    m, s = mu + sigma * mean[:, -1], sigma * deviation[:, -1]  # of log l
    of_library = np.log(sigma / s) + (s**2 + (m - mu) ** 2) / (2 * sigma**2) - 0.5
    np.testing.assert_allclose(terms.kl[:, -1], of_library, rtol=1e-5, atol=1e-6)
    of_z = -np.log(deviation) + (deviation**2 + mean**2) / 2 - 0.5
    np.testing.assert_allclose(terms.kl[:, :-1], of_z[:, :-1], rtol=1e-5, atol=1e-6)


def test_log_p_of_x_is_the_integral_over_log_l():
    model, exact = constant(), quadrature(X, *LIBRARY)
    for weight in model.encoder.weights[:-1]:
        weight.assign(np.zeros(weight.shape))
    model.encoder.weights[-1].assign([0.1, 0, 0.2, 0, 0.1, -0.1])  # near the prior: no weight dominates
    found = importance_weights(model, {"x": X}, 20_000, seed=0)
    assert (found["standard_error"] < 0.05).all()
    assert (np.abs(found["log_prob"] - exact) < 4 * found["standard_error"] + 1e-3).all()
    bounds = np.stack([model.elbo(X, seed=seed) for seed in range(200)])
    assert (bounds.mean(0) <= exact + 3 * bounds.std(0) / np.sqrt(200)).all()
    np.testing.assert_array_less(bounds.mean(0), found["log_prob"])


def test_at_the_posterior_of_log_l_the_bound_is_nearly_exact():
    """The best Gaussian for one x, by a search over the encoder's outputs: it closes what an arbitrary one leaves."""
    model, x = constant(), X[:1]
    exact = quadrature(x, *LIBRARY)[0]
    for weight in model.encoder.weights:
        weight.assign(np.zeros(weight.shape))
    bounds = {}
    for mean in np.linspace(-1.5, 1.5, 13):
        for log_var in (-2.5, -2.0, -1.5, -1.0, 0.0):
            model.encoder.weights[-1].assign([0, 0, mean, 0, 0, log_var])
            bounds[mean, log_var] = np.mean(model.elbo(np.repeat(x, 3000, axis=0), seed=1))
    assert exact - 0.05 < max(bounds.values()) < exact + 0.02
    assert bounds[0.0, 0.0] < exact - 0.2, "the prior in its place is no bound that is near"


def test_the_mean_is_the_library_size_times_shares_that_it_does_not_change():
    model = make(library=LIBRARY)
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    mean = model.decode(z)
    np.testing.assert_allclose(mean.sum(-1), np.exp(LIBRARY[0] + LIBRARY[1] * z[:, -1]), rtol=1e-5)
    z[:, -1] += 1.0
    np.testing.assert_allclose(model.decode(z), np.exp(LIBRARY[1]) * mean, rtol=1e-5)
    assert np.isfinite(model.likelihood(100 * z).log_prob(np.tile(X[:1], (5, 1)))).all()
    assert model.likelihood_family.tells_total


@pytest.mark.parametrize(
    "likelihood", ["poisson", {"name": "zero_inflated_negative_binomial", "dispersion": "example"}]
)
def test_other_likelihoods_of_counts(likelihood):
    model = make(likelihood=likelihood)
    model.compile("adam", **PLAIN)
    assert np.isfinite(model.fit(np.tile(X, (4, 1)), batch_size=8, verbose=0).history["elbo"]).all()
    assert (model.sample(4) > 0).all()


def test_mu_and_sigma_are_of_the_training_data_and_come_back():
    x = np.tile(X, (4, 1))
    logs = np.log(np.maximum(x.sum(-1), 1))
    stream = tf.data.Dataset.from_tensor_slices(x).batch(8)
    for given in (x, sparse.csr_matrix(x), data.batches(sparse.csr_matrix(x), batch_size=8, training=True)):
        model = make()
        model.compile("adam", **PLAIN)
        model.fit(given, verbose=0, **({} if isinstance(given, tf.data.Dataset) else {"batch_size": 8}))
        np.testing.assert_allclose(model.log_library, [logs.mean(), logs.std()], rtol=1e-5)
    again = LibraryVAE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.elbo(x), model.elbo(x))
    model = make()
    model.compile("adam", **PLAIN)
    with pytest.raises(UserError, match=r"Given: a stream of batches.*or give.*library= of a LibraryVAE"):
        model.fit(stream, verbose=0)
    model = make(library=LIBRARY)
    model.compile("adam", **PLAIN)
    model.fit(stream, verbose=0)
    np.testing.assert_allclose(model.log_library, LIBRARY)


def test_the_code_of_the_library_follows_the_totals_and_the_rest_the_shares():
    draw = np.random.default_rng(0)
    kind = np.arange(2000) % 2
    library = np.exp(draw.normal(6.0, 0.7, 2000))
    share = scipy.special.softmax(1.5 * draw.normal(size=(2, 20)), -1)[kind]
    x = draw.poisson(library[:, None] * share).astype("float32")
    encoder = {"name": "mlp", "hidden": (32,)}
    model = LibraryVAE(x_shape=(20,), latent_dim=3, encoder=encoder, decoder=encoder,
                       likelihood={"name": "negative_binomial", "standardize": True})  # fmt: skip
    model.compile("adam", jit_compile=False)
    model.fit(x, batch_size=100, epochs=30, verbose=0)
    code, logs = model.encode(x), np.log(x.sum(-1))
    mu, sigma = np.asarray(model.log_library)
    assert np.corrcoef(code[:, -1], logs)[0, 1] > 0.95
    assert np.abs(mu + sigma * code[:, -1] - logs).mean() < 0.15
    apart = [abs(np.corrcoef(z, kind)[0, 1]) for z in code[:, :-1].T]
    assert max(apart) > 0.9 and abs(np.corrcoef(code[:, -1], kind)[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"likelihood": "normal"}, r"is 'negative_binomial', .* without library\. Given: 'normal'\. Use one"),
        ({"likelihood": "multinomial"}, r"Given: 'multinomial'"),
        ({"likelihood": {"name": "binomial", "trials": 9}}, r"Given: \{'name': 'binomial', 'trials': 9\}"),
        ({"likelihood": {"name": "poisson", "library": "observed"}}, r"without library\. Given"),
        ({"library": 3.0}, r"library is mu, from -8 to 28, and sigma, from 0 to 10.*Given: 3\.0"),
        ({"library": (3.0, -1.0)}, r"and sigma, from 0 to 10.*Given: \(3\.0, -1\.0\)"),
        ({"library": (200, 1)}, r"library is mu, from -8 to 28.*Given: \(200, 1\)"),
        ({"latent_dim": 1}, r"a number of z and the library size\. Given: latent_dim=1"),
        ({"missing": "zero"}, r"LibraryVAE does not take missing\. Of what is observed in part"),
        ({"active_dims": 2}, r"does not take active_dims\. Its last dimension is the library size"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(UserError, match=message):
        make(**arguments)


def test_an_array_of_mu_and_sigma():
    assert make(library=np.array([8.5, 0.4])).library == (8.5, 0.4)


def test_the_totals_are_of_fit_and_not_of_a_batch():
    counts = np.random.default_rng(0).poisson(3.0, (20, 6)).astype("float32")
    model = LibraryVAE(x_shape=(6,), latent_dim=3, encoder=mlp(), decoder=mlp())
    model.compile("adam", **PLAIN)
    with pytest.raises(UserError, match=r"begins with numbers of all training examples.*Given: train_on_batch"):
        model.train_on_batch(counts)
    model.fit(counts, batch_size=20, verbose=0)
    assert np.isfinite(model.train_on_batch(counts)).all()
