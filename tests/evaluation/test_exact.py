"""Estimators against exact answers at toy size: what test_truth.py has at length."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import json
import re

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_vae.checks import BLOCK
from keras_vae.core.estimators import importance_weights
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation import (
    Evaluation,
    annealed_importance,
    collapse,
    gaussian_total_correlation,
    kl_by_group,
    kl_per_dimension,
    kl_split,
    log_prob_agreement,
)
from keras_vae.evaluation.latent import codebook_usage_of, remedies
from keras_vae.models import (
    AE,
    IWAE,
    MODELS,
    VAE,
    VQVAE,
    AnnealedVAE,
    FlowVAE,
    HierarchicalVAE,
    HypersphericalVAE,
    VampVAE,
)
from keras_vae.randomness import EVALUATION, fold, seed_of
from tests.conformance.cases import CASES
from tests.core.test_linear_gaussian import Truth, set_exact
from tests.evaluation.channels import channel, linear_model, standard_normal
from tests.toys import SHAPE, binary, mlp, toy


@pytest.fixture(scope="module")
def truth():
    return Truth()


@pytest.fixture(scope="module")
def model():
    return linear_model()


# --- log p(x) of the linear-Gaussian model, which is PPCA ---


def test_importance_weights_are_the_evidence_within_their_own_error(model, truth):
    """A posterior that is wrong by a shift and a factor; 4 of the errors that the weights themselves give."""
    set_exact(model, truth, mean_shift=0.2, variance_factor=1.5)
    found = importance_weights(model, {"x": truth.x}, 600, 3)
    assert (np.abs(found["log_prob"] - truth.log_prob) < 4 * found["standard_error"]).all()
    assert found["standard_error"].max() < 0.2 and found["standard_error"].min() > 1e-3
    set_exact(model, truth)  # the true posterior: every weight is the evidence
    exact = importance_weights(model, {"x": truth.x}, 1, 3)["log_prob"]
    np.testing.assert_allclose(exact, truth.log_prob, atol=1e-10)


def test_effective_samples_by_hand(model, truth):
    """(sum w)**2 / sum w**2 of the same draws; and the error of a mean of S weights, s / (mean sqrt(S))."""
    set_exact(model, truth, mean_shift=0.3, variance_factor=2.0)
    x = np.concatenate([truth.x, np.repeat(truth.x[:1], BLOCK - len(truth.x), axis=0)])
    log_w = np.asarray(model.log_weights(x, 30, fold(fold(seed_of(6, EVALUATION), 0), 0)))[:, : len(truth.x)]
    weights = np.exp(log_w - truth.log_prob)
    found = importance_weights(model, {"x": truth.x}, 30, 6)
    np.testing.assert_allclose(found["effective_samples"], weights.sum(0) ** 2 / (weights**2).sum(0), rtol=1e-6)
    np.testing.assert_allclose(found["standard_error"], weights.std(0) / weights.mean(0) / np.sqrt(30), rtol=1e-6)


def test_annealing_is_the_evidence_within_its_error(model, truth):
    """5 standard errors; of 32 chains the delta method's own bias is a tenth of one."""
    set_exact(model, truth, mean_shift=0.5, variance_factor=3.0)
    found = annealed_importance(model, truth.x, temperatures=30, chains=32, seed=3)
    assert (np.abs(found["log_prob"] - truth.log_prob) < 5 * found["standard_error"]).all()
    assert found["standard_error"].max() < 0.5


def test_agreement_says_when_both_are_right_and_when_one_is_loose(model, truth):
    set_exact(model, truth, mean_shift=0.2, variance_factor=1.5)
    options = {"samples": 500, "annealed": 5, "temperatures": 30, "chains": 32}
    good = log_prob_agreement(model, truth.x, **options)
    assert good["agrees"] and "agree within 3 standard errors" in good["verdict"] and good["log_prob"]["examples"] == 7
    error = good["log_prob"]["monte_carlo_error"]
    assert abs(good["log_prob"]["value"] - truth.log_prob.mean()) < 4 * error < 0.4
    paired = good["importance_weighted"]["value"] - good["annealed"]["value"]
    assert good["difference"]["value"] == pytest.approx(paired) and good["difference"]["examples"] == 5
    # A posterior of a tenth of the width, one deviation and a half off: its weights miss most of the mass.
    set_exact(model, truth, mean_shift=0.4, variance_factor=0.01)
    bad = log_prob_agreement(model, truth.x, **options)
    assert not bad["agrees"] and bad["difference"]["value"] < -0.5
    assert "differ: -" in bad["verdict"] and "importance weights is loose" in bad["verdict"]


def test_annealing_that_moves_nothing_says_nothing():
    """A likelihood far narrower than its steps, and a posterior that does not know: every move is refused."""
    narrow = toy(VAE, likelihood={"name": "gaussian", "scale": 1e-5}, decoder=mlp(activation="tanh"))
    found = log_prob_agreement(narrow, binary(4), samples=3, annealed=2, temperatures=5, chains=2)
    assert set(found) == {"log_prob", "verdict", "seconds"}
    assert re.search(r"stand alone\. Of the steps of annealing [0-9]\.[0-9]% were accepted, too few", found["verdict"])


def test_agreement_of_what_cannot_be_annealed():
    found = log_prob_agreement(toy(HypersphericalVAE, latent_dim=3), binary(4), samples=3)
    assert set(found) == {"log_prob", "verdict", "seconds"} and "stand alone" in found["verdict"]
    vq = VQVAE((3,), 5, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    with pytest.raises(NotApplicable, match="is certain: its ELBO is its log p"):
        log_prob_agreement(vq, binary(4), samples=3)


# --- The aggregate posterior ---

GAIN, NOISE = np.array([[1.0, 0.8], [0.0, 0.6]]), 0.4


def test_the_parts_of_a_gaussian_channel():
    """I = 0.5 log det(I + A^T A / s**2); TC = -0.5 log(1 - r**2); and so on, nats: 3 standard errors of each.

    The inputs are quantiles of a normal and not draws. 0.02 nats more: an image counts among its own aggregate, which
    adds exp(I) / N = 0.02 nats at most of I = 2.
    """
    made, x = channel(GAIN, NOISE, standard_normal(512))
    split = kl_split(made, x, seed=1)
    covariance = GAIN.T @ GAIN + NOISE**2 * np.eye(2)
    diagonal = np.diag(covariance)
    log_det = np.log(np.linalg.det(covariance))
    exact = {
        "mutual_information": 0.5 * (log_det - 4 * np.log(NOISE)),
        "total_correlation": 0.5 * (np.log(diagonal).sum() - log_det),
        "dimension_kl": 0.5 * (diagonal - 1 - np.log(diagonal)).sum(),
        "marginal_kl": 0.5 * (np.trace(covariance) - 2 - log_det),
    }
    for name, value in exact.items():
        assert abs(split[name]["value"] - value) < 3 * split[name]["standard_error"] + 0.02, name
        assert split[name]["standard_error"] < 0.06 and "bound" not in split[name]


def test_what_saturates_is_a_bound_and_no_value():
    """Noise of a hundredth: every code tells its image, so the estimate is log N whatever the information, 8 nats."""
    made, x = channel(GAIN, 0.01, standard_normal(64))
    split = kl_split(made, x)
    assert split["mutual_information"]["value"] == pytest.approx(np.log(64), abs=0.1)
    bounds = {name: part.get("bound") for name, part in split.items()}
    assert bounds == {"kl": None, "mutual_information": "lower", "marginal_kl": "upper", "total_correlation": "upper",
                      "dimension_kl": None}  # fmt: skip
    covariance = GAIN.T @ GAIN
    exact = 0.5 * (np.log(np.diag(covariance)).sum() - np.log(np.linalg.det(covariance)))
    assert exact < split["total_correlation"]["value"], "it is at most what is said"


def test_the_dimensions_of_a_mixture_are_no_part():
    """A VampPrior is no product, so that sum_j KL(q(z_j) || p(z_j)) is no part of the marginal KL."""
    split = kl_split(toy(VampVAE, pseudo_inputs=4), binary(30))
    assert "dimension_kl" not in split and "total_correlation" in split


def test_densities_of_a_flow_that_explodes_backwards_are_finite_or_zero():
    """Weights of 30: inverted at another image's code, the flow leaves the range of floats."""
    made, x = toy(FlowVAE, latent_dim=6, depth=3, flow_hidden=(8,)), binary(12)
    generator = np.random.default_rng(0)
    for network in made.flow_networks:
        for weight in network.weights:
            weight.assign(30 * generator.normal(size=weight.shape))
    posterior = made.posterior(x)
    densities = np.asarray(posterior.log_prob(np.array(posterior.sample(seed=(0, 1)))[::-1]))
    assert not np.isnan(densities).any() and np.isneginf(densities).any(), "far away, and proven so"
    assert np.isfinite(kl_split(made, x)["mutual_information"]["value"])


def test_the_inverse_of_a_flow_is_its_inverse():
    made, x = toy(FlowVAE, latent_dim=5, depth=2, flow_hidden=(8,)), binary(9)
    bijector = made.posterior(x).bijector
    z = np.random.default_rng(0).normal(size=(9, 5)).astype("float32")
    forward = np.array(bijector.forward(z))  # a copy, or TFP remembers where it came from
    np.testing.assert_allclose(bijector.inverse(forward), z, atol=1e-4)


# --- The Gaussian total correlation ---


def with_correlation(r, count):
    """Codes whose sample correlation is exactly r."""
    draws = np.random.default_rng(0).normal(size=(count, 2))
    draws -= draws.mean(0)
    draws = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws, rowvar=False))).T
    return draws @ np.linalg.cholesky([[1.0, r], [r, 1.0]]).T


def test_gaussian_total_correlation_in_closed_form():
    """-0.5 log(1 - r**2); its error, r / sqrt(n) by the delta method, to a fifth: 100 bootstraps give 7 %."""
    found = gaussian_total_correlation(with_correlation(0.6, 2000))
    assert found["value"] == pytest.approx(-0.5 * np.log(1 - 0.36), rel=1e-9)
    assert found["standard_error"] == pytest.approx(0.6 / np.sqrt(2000), rel=0.2)
    assert found["examples"] == 2000 and found["repetitions"] == 100


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(3)), st.lists(st.floats(-50, 50).filter(lambda x: abs(x) > 0.1), min_size=3, max_size=3))
def test_order_scale_and_sign_do_not_matter_to_it(order, scales):
    codes = with_correlation(0.5, 100) @ np.array([[1.0, 0.0, 0.3], [0.0, 1.0, 0.5]])
    codes = codes + np.random.default_rng(1).normal(size=codes.shape)
    first, second = (gaussian_total_correlation(each, 2)["value"] for each in (codes, codes[:, list(order)] * scales))
    assert second == pytest.approx(first, abs=1e-9)


def test_what_it_refuses():
    codes = with_correlation(0.5, 20)
    assert np.isfinite(gaussian_total_correlation(codes[:12])["standard_error"])
    for bad, error, message in (
        (codes[:, :1], NotApplicable, "two dimensions or more that vary"),
        (codes * [1, 0], NotApplicable, "two dimensions or more that vary"),
        (codes * np.nan, UserError, "codes must be finite"),
        (codes[:11], NotApplicable, r"of 2 dimensions, .* needs 12 codes\. Given: 11\. Hold more"),
    ):
        with pytest.raises(error, match=message):
            gaussian_total_correlation(bad)


# --- KL of groups, collapse, codebooks ---


def test_the_kl_of_each_dimension_has_an_error_over_images():
    made, x = toy(), binary(50)
    found = kl_by_group(made, x)
    assert list(found) == ["z0", "z1"]
    np.testing.assert_allclose([row["value"] for row in found.values()], kl_per_dimension(made, x), rtol=1e-5)
    parameters = {name: np.asarray(value, "float64") for name, value in made.posterior_parameters(x).items()}
    each = 0.5 * (parameters["mean"] ** 2 + np.exp(parameters["log_var"]) - parameters["log_var"] - 1)
    errors = each.std(0, ddof=1) / np.sqrt(50)
    np.testing.assert_allclose([row["standard_error"] for row in found.values()], errors, rtol=1e-4)
    ladder = HierarchicalVAE((3, 2), hidden=6, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    assert list(kl_by_group(ladder, x)) == ["z1", "z2"]
    for empty in (kl_per_dimension, kl_by_group):
        with pytest.raises(UserError, match=r"x is empty; a mean over images needs one or more"):
            empty(made, x[:0])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_remedies_can_be_built(name):
    """Of every registered model: one with the arguments that are suggested to it is constructed."""
    given = {**CASES[name], **({"beta": 6.0} if name == "BetaVAE" else {})}
    model = MODELS[name](**given)
    assert remedies(model, "full")
    suggested = remedies(model, "partial")
    for sentence, arguments in suggested.items():
        if arguments:
            MODELS[name](**{**given, **arguments})
            assert next(iter(arguments)) in sentence


def test_remedies_fit_the_model():
    x = binary(20)
    for kind in (IWAE, AnnealedVAE):
        found = collapse(toy(kind), x, threshold=1e9)["remedies"]
        assert found == ["a weaker decoder: fewer or narrower layers, which depend more on the code"]
    found = remedies(toy(beta=6.0), "full")
    assert {"beta": {"name": "linear", "final": 6.0, "steps": 10_000}} in found.values(), "a climb to the same beta"
    assert {"beta": 1.0} in found.values() and {"free_bits": 0.1} in found.values()
    plain = collapse(toy(AE), x, threshold=1e9)
    assert "Posterior" not in plain["summary"] and not any("KL" in each for each in plain["remedies"])


def test_a_codebooks_perplexity_has_an_error_over_images():
    """Two entries, one an image: exp(H(p)), whose error is abs(log((1 - p) / p)) exp(H) sqrt(p (1 - p) / n)."""
    made = VQVAE((1,), 2, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    codes = (np.arange(400) % 4 == 0).astype("int32")[:, None]
    evaluation = Evaluation(made, binary(400))
    evaluation.codes = codes
    found = codebook_usage_of(evaluation, repetitions=200)
    p = 0.25
    entropy = scipy.stats.entropy([p, 1 - p])
    assert found["perplexity"] == pytest.approx(np.exp(entropy))
    expected = np.log(3) * np.exp(entropy) * np.sqrt(p * (1 - p) / 400)
    assert found["standard_error"] == pytest.approx(expected, rel=0.25), "200 bootstraps give 5 %"
    assert json.loads(json.dumps(found)) == found
