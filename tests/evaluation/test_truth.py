"""Estimators against exact answers: the linear-Gaussian model's evidence, and aggregates known in closed form."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import numpy as np
import pytest
import scipy.stats
from tensorflow_probability import distributions as tfd

from keras_vae.checks import BLOCK
from keras_vae.core.estimators import chunk_limit, importance_weighted
from keras_vae.errors import UserError
from keras_vae.evaluation import active_units, annealed_importance, bits_per_dim, collapse, kl_split
from keras_vae.evaluation.aggregate import aggregate_log_probs
from keras_vae.evaluation.latent import collapsed
from keras_vae.models import AE, CVAE, VAE, VQVAE, FlowVAE, HierarchicalVAE, HypersphericalVAE
from keras_vae.randomness import EVALUATION, fold, seed_of
from tests.core.test_linear_gaussian import LATENT, Truth, set_exact
from tests.evaluation.channels import channel, linear_model, standard_normal
from tests.toys import binary, toy

LONG = [FlowVAE, HierarchicalVAE, HypersphericalVAE]  # whose graphs take seconds to trace


@pytest.fixture(scope="module")
def truth():
    return Truth()


@pytest.fixture(scope="module")
def model():
    return linear_model()


@pytest.mark.slow
def test_annealed_importance_is_the_evidence_whatever_the_encoder(model, truth):
    """Within 5 standard errors, for the true posterior, and for an encoder that is wrong by a shift and a factor.

    With 64 chains the delta method's own bias, half the squared error, is below a tenth of the error.
    """
    for shift, factor in ((0.0, 1.0), (0.5, 3.0)):
        set_exact(model, truth, shift, factor)
        found = annealed_importance(model, truth.x, temperatures=60, chains=64, seed=3)
        assert (np.abs(found["log_prob"] - truth.log_prob) < 5 * found["standard_error"]).all()
        assert found["standard_error"].max() < 0.25
        assert (found["acceptance"] > 0.6).all()


@pytest.mark.slow
def test_annealed_importance_of_few_temperatures_is_a_poor_bound(model, truth):
    """Two temperatures are almost importance sampling from the prior: below the evidence, and below 60 temperatures."""
    set_exact(model, truth)
    few, many = (annealed_importance(model, truth.x, steps, 16, seed=1)["log_prob"].mean() for steps in (2, 60))
    assert few < many - 0.1 and few < truth.log_prob.mean()


@pytest.mark.slow
def test_importance_weights_against_annealing(model, truth):
    """The two agree within 5 of their standard errors where neither is told the answer."""
    set_exact(model, truth, mean_shift=0.2, variance_factor=1.5)
    weighted = model.log_prob(truth.x, samples=4_000, seed=2)
    annealed = annealed_importance(model, truth.x, temperatures=60, chains=64, seed=4)
    assert (np.abs(weighted - annealed["log_prob"]) < 5 * np.hypot(annealed["standard_error"], 0.02)).all()


def test_the_compiled_loop_is_the_mean_of_all_weights(model, truth):
    """45 draws in two chunks of 23, of which the last draw is left out: as by hand from `log_weights`."""
    set_exact(model, truth, mean_shift=0.3, variance_factor=2.0)
    assert chunk_limit(model) == 32
    x = np.concatenate([truth.x, np.repeat(truth.x[:1], BLOCK - len(truth.x), axis=0)])
    base = fold(seed_of(6, EVALUATION), 0)
    drawn = [np.asarray(model.log_weights(x, 23, fold(base, chunk))) for chunk in (0, 1)]
    by_hand = np.log(np.exp(np.concatenate(drawn)[:45] - truth.log_prob[0]).mean(0)) + truth.log_prob[0]
    found = importance_weighted(model, {"x": truth.x}, 45, 6)
    np.testing.assert_allclose(found, by_hand[: len(truth.x)], rtol=1e-9)


def test_one_sample_is_the_elbo_with_a_sampled_kl(model, truth):
    """K = 1: log p(x|z) + log p(z) - log q(z|x) of the same draw; and its mean over draws is the ELBO's."""
    set_exact(model, truth, mean_shift=0.3, variance_factor=2.0)
    x = np.repeat(truth.x, 300, axis=0)
    difference = model.log_prob(x, samples=1, seed=1) - model.elbo(x, seed=2)
    assert abs(difference.mean()) < 5 * difference.std() / np.sqrt(len(x))


def test_the_loop_keeps_a_planar_flow_and_its_own_draws_together():
    """A density that is known at the posterior's own draws only, inside a loop that encodes outside of it."""
    made, x = toy(FlowVAE, flow="planar", depth=2), binary(BLOCK)
    base = fold(seed_of(3, EVALUATION), 0)
    by_hand = np.asarray(made.log_weights(x, 4, fold(base, 0)), "float64")
    found = importance_weighted(made, {"x": x}, 4, 3)
    np.testing.assert_allclose(found, np.log(np.exp(by_hand).mean(0)), rtol=1e-4, atol=1e-3)


def test_a_prior_in_the_place_of_the_models(model, truth):
    """With N(0, 4 I) for p(z), log p(x) is that of PPCA with columns twice as long."""
    set_exact(model, truth)
    wide = tfd.MultivariateNormalDiag(np.zeros(LATENT), 2 * np.ones(LATENT))
    found = importance_weighted(model, {"x": truth.x}, 4_000, 1, prior=wide)
    covariance = 4 * truth.decoder @ truth.decoder.T + 0.09 * np.eye(len(truth.offset))
    exact = scipy.stats.multivariate_normal(truth.offset, covariance).logpdf(truth.x.reshape(7, -1))
    weights = np.exp(np.asarray(model.log_weights(truth.x, 4_000, 2, prior=wide)) - exact)
    assert (np.abs(found - exact) < 5 * weights.std(0) / np.sqrt(4_000)).all()


# --- The aggregate posterior ---


def agrees(split, exact, count):
    """Within 3 standard errors of the draws, and exp(I) / N, the most that an image's own share of q(z) adds."""
    own = np.exp(split["mutual_information"]["value"]) / count
    for name, value in exact.items():
        assert abs(split[name]["value"] - value) < 3 * split[name]["standard_error"] + own, name
        assert split[name]["standard_error"] < 0.03, name


@pytest.mark.slow
def test_mutual_information_of_a_gaussian_channel():
    """0.5 log det(I + A A^T / s**2) nats; independent inputs through a diagonal channel have no total correlation."""
    gain, noise = np.array([[1.0, 0.0], [0.0, 0.5]]), 0.5
    made, x = channel(gain, noise, standard_normal(2048))
    split = kl_split(made, x, seed=1)
    exact = 0.5 * np.log(np.linalg.det(np.eye(2) + gain.T @ gain / noise**2))
    agrees(split, {"mutual_information": exact, "total_correlation": 0.0}, 2048)
    assert split["mutual_information"]["cap"] == pytest.approx(np.log(2048))


@pytest.mark.slow
def test_total_correlation_of_a_gaussian():
    """-0.5 log(1 - r**2), r the correlation of the aggregate posterior, a Gaussian; marginals and KL likewise."""
    gain, noise = np.array([[1.0, 0.8], [0.0, 0.6]]), 0.4
    made, x = channel(gain, noise, standard_normal(2048))
    covariance = gain.T @ gain + noise**2 * np.eye(2)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    diagonal = np.diag(covariance)
    exact = {
        "total_correlation": -0.5 * np.log(1 - correlation**2),
        "dimension_kl": 0.5 * (diagonal - 1 - np.log(diagonal)).sum(),
        "marginal_kl": 0.5 * (np.trace(covariance) - 2 - np.log(np.linalg.det(covariance))),
    }
    agrees(kl_split(made, x), exact, 2048)


def test_the_parts_add_up_and_a_code_that_says_nothing_has_no_information():
    made, x = channel(np.zeros((2, 2)), 1.0, standard_normal(256))
    split = kl_split(made, x)
    assert split["mutual_information"]["value"] == pytest.approx(0, abs=1e-9)
    made, x = channel(np.array([[1.0, 0.8], [0.0, 0.6]]), 0.01, standard_normal(256))
    split = {name: part["value"] for name, part in kl_split(made, x).items()}
    assert split["kl"] == pytest.approx(split["mutual_information"] + split["marginal_kl"], rel=1e-9)
    assert split["marginal_kl"] == pytest.approx(split["total_correlation"] + split["dimension_kl"], rel=1e-9)
    assert np.log(256) - 0.2 < split["mutual_information"] <= np.log(256) + 1e-9, "near the cap, and not above it"


@pytest.mark.parametrize("kind", [VAE, VQVAE, *(pytest.param(kind, marks=pytest.mark.slow) for kind in LONG)])
def test_the_aggregate_is_the_mean_of_all_posteriors(kind):
    """log q(z_i) by brute force, one image's posterior at a time, for every kind of latent."""
    own = {
        "HierarchicalVAE": {"latent_dims": (3, 2), "hidden": 6},
        "HypersphericalVAE": {"latent_dim": 3},
        "FlowVAE": {"latent_dim": 2, "depth": 2, "flow_hidden": (6,)},
        "VQVAE": {"code_shape": (3,), "entries": 5, "embedding_dim": 2},
    }.get(kind.__name__, {})
    arguments = {"image_shape": (4, 4, 1), "encoder": {"name": "mlp", "hidden": (8,)}, **own}
    made, x = kind(**arguments), binary(5)
    found = aggregate_log_probs(made, x, seed=4)
    z = made.posterior(x).sample(seed=seed_of(4, EVALUATION))

    def code(i):
        return {name: part[i : i + 1] for name, part in z.items()} if isinstance(z, dict) else z[i : i + 1]

    each = np.array([[float(made.posterior(x[n : n + 1]).log_prob(code(i))[0]) for n in range(5)] for i in range(5)])
    np.testing.assert_allclose(found.aggregate, np.log(np.exp(each).mean(1)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.posterior, np.diag(each), rtol=1e-4, atol=1e-4)


def test_active_units_and_collapse():
    made, x = channel(np.array([[1.0, 0.0], [0.0, 0.05]]), 0.5, standard_normal(512))
    units = active_units(made, x)
    assert units["value"] == 1 and units["of"] == 2 and units["threshold"] == 0.01
    np.testing.assert_allclose(units["variances"], [1.0, 0.0025], rtol=0.1)
    report = collapse(made, x)
    assert report["verdict"] == "partial" and report["dimensions"] == [1]
    assert any("free bits" in remedy for remedy in report["remedies"])
    assert collapse(made, x, threshold=0.001)["verdict"] == "none"
    assert collapse(made, x, threshold=0.001)["remedies"] == []
    full = collapse(made, x, threshold=2.0)
    assert full["verdict"] == "full" and "Posterior collapse" in full["summary"]


def test_a_few_unused_dimensions_need_no_remedy():
    model = toy(latent_dim=5)
    few, half = collapsed(model, [3]), collapsed(model, [0, 3, 4])
    assert few["names"] == ["z3"] and not few["remedies"] and half["remedies"]
    assert few["summary"].endswith("does not vary with the example: the model uses 4, and the others cost nothing.")
    assert half["summary"] == "3 of 5 dimensions do not vary with the example: the model uses 2."


def test_remedies_are_those_not_in_use():
    x = binary(20)
    plain = collapse(toy(beta=4.0), x, threshold=1e9)["remedies"]
    assert any("a smaller beta: beta=1.0, the ELBO's, in place of 4" in remedy for remedy in plain)
    mended = collapse(toy(beta={"name": "linear", "final": 1.0, "steps": 9}, free_bits=0.1), x, threshold=1e9)
    assert mended["remedies"] == ["a weaker decoder: fewer or narrower layers, which depend more on the code"]


# --- Bits per dimension ---


@pytest.mark.parametrize(
    "likelihood",
    [pytest.param({"name": "categorical", "levels": 256}, marks=pytest.mark.slow), "continuous_bernoulli"],
)
def test_bits_per_dim_of_uniform_grey_levels(likelihood):
    """256 equal masses, and a density that is 1 on [0, 1], both give 8-bit images 8 bits.

    All weights are zero: q(z|x) is then p(z), to 1e-8, and no importance weight differs from another.
    """
    made = toy(likelihood=likelihood)
    for weight in made.weights:
        weight.assign(np.zeros(weight.shape))
    grey = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)) / 255
    np.testing.assert_allclose(bits_per_dim(made, grey, samples=2), 8.0, rtol=1e-5)


def test_bits_per_dim_of_a_gaussian_is_its_density_of_dequantised_levels():
    """A constant decoder of mean 1/2 and scale 1: 8 - log2 N(y; 1/2, 1) a pixel, y = (level + noise) / 256."""
    made = toy(likelihood={"name": "gaussian", "scale": 1.0})
    for weight in made.weights:
        weight.assign(np.zeros(weight.shape))
    levels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1))
    y = (levels + np.random.default_rng(5).random(levels.shape)) / 256
    by_hand = 8 - scipy.stats.norm(0.5, 1).logpdf(y).mean((1, 2, 3)) / np.log(2)
    np.testing.assert_allclose(bits_per_dim(made, levels / 255, samples=2, seed=5), by_hand, rtol=1e-5)


def test_bits_per_dim_refuses_what_has_none():
    grey = np.full((2, 4, 4, 1), 51 / 255)
    with pytest.raises(UserError, match=r"need a density, or a probability of 256 grey levels. Given: a Bern"):
        bits_per_dim(toy(), grey)
    with pytest.raises(UserError, match=r"Given: pixels between two levels"):
        bits_per_dim(toy(likelihood="gaussian"), grey + 0.001)


# --- What has no such number ---


def test_what_these_refuse():
    x = binary(4)
    with pytest.raises(UserError, match=r"AE has no distribution over codes"):
        kl_split(toy(AE), x)
    with pytest.raises(UserError, match=r"that of an unconditional model. Given: a CVAE"):
        kl_split(toy(CVAE, num_classes=2), x)
    with pytest.raises(UserError, match=r"two images or more. Given: 1"):
        kl_split(toy(), x[:1])
    with pytest.raises(UserError, match=r"density at its own draws only, as planar flows do"):
        kl_split(toy(FlowVAE, flow="planar", depth=1), x)
    with pytest.raises(UserError, match=r"moves codes through a space of real vectors. Given: a HypersphericalVAE"):
        annealed_importance(toy(HypersphericalVAE, latent_dim=3), x)
    with pytest.raises(UserError, match=r"must be finite. Given: 1 values that are NaN"):
        annealed_importance(toy(), np.where(np.arange(64).reshape(4, 4, 4, 1) == 3, np.nan, x))
    with pytest.raises(UserError, match=r"temperatures must be a whole number, 2 or more"):
        annealed_importance(toy(), x, temperatures=1)
    with pytest.raises(UserError, match=r"Active units are of real codes. Given: a VQVAE"):
        active_units(VQVAE((3,), 5, 2, image_shape=(4, 4, 1), encoder={"name": "mlp", "hidden": (8,)}), x)
