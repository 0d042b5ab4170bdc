"""The entry point: each model gets what it has, and says why it lacks the rest."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import evaluation, priors
from keras_vae.errors import UserError
from keras_vae.evaluation import agreement
from keras_vae.evaluation.evaluation import vectors_of
from keras_vae.evaluation.metrics import SECTIONS, evaluate
from keras_vae.models import AE, CVAE, FSQVAE, VAE, VQVAE, HierarchicalVAE, ResidualVQVAE
from tests.toys import SHAPE, binary, mlp, toy

X, LABELS = binary(60), np.arange(60) % 2
FACTORS = np.stack([LABELS, np.arange(60) // 2 % 3], axis=1)


# What every number of a model takes seconds to a minute for has the mark; each has a fast sibling.
OF_CODES = {"gaussian_total_correlation", "active_units", "collapse"}


@pytest.fixture(scope="module")
def whole():
    """Of a plain VAE, with everything given that a toy can use."""
    return evaluate(toy(VAE), X, LABELS, FACTORS, train=binary(70, seed=1), train_labels=np.arange(70) % 2, samples=3,
                    repetitions=2)  # fmt: skip


def leaves(part, path=""):
    for key, inner in part.items():
        yield from leaves(inner, f"{path}/{key}") if isinstance(inner, dict) else [(f"{path}/{key}", inner)]


@pytest.mark.slow
def test_every_number_is_finite_and_plain_json(whole):
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert set(whole) == {"examples", "seed", "without", *SECTIONS}
    values = [path for path, _ in leaves(whole) if path.endswith("/value")]
    assert len(values) > 20
    errors = [path for path, _ in leaves(whole) if path.endswith("/standard_error")]
    assert len(errors) >= len(values) - 1, "all but a count of units have an error"


@pytest.mark.slow
def test_what_a_plain_vae_has(whole):
    assert set(whole["likelihood"]) == {"nats", "agreement"}
    assert set(whole["latent"]) == {
        "kl_per_dimension",
        "kl_split",
        "gaussian_total_correlation",
        "active_units",
        "collapse",
    }
    assert set(whole["disentanglement"]) == set(evaluation.disentanglement.METRICS)
    assert set(whole["generation"]) == {"reconstruction", "memorisation", "sharpness"}
    assert set(whole["representation"]) == {"probes", "clustering"}
    assert set(whole["without"]) == {
        "likelihood.bits_per_dim", "latent.codebook", "generation.mnist_fd", "generation.condition_accuracy",
        "generation.columns", "generation.correlations", "generation.imputation",
        "generation.forecast", "generation.deviance", "generation.totals", "likelihood.per_count",
        "likelihood.per_token",
    }  # fmt: skip
    assert whole["without"]["generation.mnist_fd"] == "This needs MNIST digits, reference=. Given: none."


@pytest.mark.slow
def test_the_parts_agree_with_each_other(whole):
    nats = whole["likelihood"]["nats"]
    assert nats["elbo"]["value"] == pytest.approx(nats["log_px"]["value"] - nats["kl"]["value"], rel=1e-5)
    assert sum(each["value"] for each in whole["latent"]["kl_per_dimension"].values()) == pytest.approx(
        nats["kl"]["value"], rel=1e-4
    )
    assert nats["log_prob"]["samples"] == 3 and nats["log_prob"]["seed"] == 0
    assert set(whole["generation"]["reconstruction"]) == {"mse", "psnr"}, "4 x 4 pixels are too few for SSIM"


def test_the_same_seed_gives_the_same_numbers():
    first, again, other = (evaluate(toy(VAE), X, metrics=("latent",), seed=seed)["latent"] for seed in (0, 0, 1))
    assert first == again and first["kl_split"] != other["kl_split"]


def test_single_metrics():
    found = evaluate(toy(VAE), X, LABELS, metrics=("latent.collapse", "representation.clustering"))
    assert {name: set(found[name]) for name in ("latent", "representation")} == {
        "latent": {"collapse"}, "representation": {"clustering"}
    }  # fmt: skip
    assert "generation" not in found and found["without"] == {}


@pytest.mark.parametrize(
    "model",
    [
        lambda: VQVAE((3,), 5, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp()),
        lambda: ResidualVQVAE((3,), depth=2, entries=5, embedding_dim=2, image_shape=SHAPE, encoder=mlp(),
                              decoder=mlp()),
        lambda: FSQVAE((3,), levels=(4, 3), image_shape=SHAPE, encoder=mlp(), decoder=mlp()),
    ],
    ids=["VQVAE", "ResidualVQVAE", "FSQVAE"],
)  # fmt: skip
def test_integer_codes_are_probed_as_the_vectors_that_they_stand_for(model):
    """The decoder draws the same from those vectors as from the codes, and they are no indices: two numbers a place."""
    made = model()
    vectors = vectors_of(made, X)
    assert vectors.shape == (60, 6)
    means = made.likelihood(tf.constant(vectors.reshape(60, 3, 2))).mean().numpy()
    np.testing.assert_allclose(means, made.decode(made.encode(X)), rtol=1e-5)


@pytest.mark.slow
def test_a_model_without_nats_has_the_rest():
    found = evaluate(toy(AE), X, LABELS, metrics=("likelihood", "latent", "generation", "representation"))
    assert found["likelihood"] == {} and set(found["latent"]) == {
        "active_units",
        "collapse",
        "gaussian_total_correlation",
    }
    assert "AE has no distribution over codes" in found["without"]["likelihood.nats"]
    assert set(found["representation"]) == {"probes", "clustering"} and "reconstruction" in found["generation"]
    assert not any("KL annealing" in remedy for remedy in found["latent"]["collapse"]["remedies"])


@pytest.mark.slow
def test_integer_codes_and_levels_and_conditions():
    vq = VQVAE((3,), 5, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    found = evaluate(vq, X, metrics=("latent",))["latent"]
    assert {"codebook", "kl_split"} <= set(found) and "active_units" not in found
    counts = np.bincount(vq.encode(X).ravel(), minlength=5)
    assert found["codebook"]["counts"] == counts.tolist() and found["codebook"]["used"] == (counts > 0).sum()
    shares = counts[counts > 0] / 180
    assert found["codebook"]["perplexity"] == pytest.approx(np.prod(shares**-shares))
    ladder = HierarchicalVAE((3, 2), hidden=6, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    found = evaluate(ladder, X, metrics=("latent",))
    assert found["latent"]["active_units"]["of"] == 5 and set(found["latent"]["active_units"]["levels"]) == {"z1", "z2"}
    found = evaluate(toy(CVAE, num_classes=2), X, LABELS, metrics=("likelihood", "latent"), samples=2)
    assert found["likelihood"]["nats"]["log_prob"]["samples"] == 2
    assert "unconditional" in found["without"]["latent.kl_split"]


def test_a_number_that_is_not_finite_is_an_error_and_not_a_reason(monkeypatch):
    """Only what does not apply is a reason; an estimate that fails stops the evaluation."""
    from keras_vae.evaluation import aggregate

    without = evaluate(toy(AE), X[:4], metrics=("latent.kl_split",))["without"]
    assert "no distribution over codes" in without["latent.kl_split"]
    nothing = np.full(4, np.nan)
    found = aggregate.LogProbs(nothing, nothing, nothing, None)
    monkeypatch.setattr(aggregate, "aggregate_log_probs_of", lambda *arguments: found)
    with pytest.raises(UserError, match=r"A mean needs finite values\. Given: 4 of 4"):
        evaluate(toy(VAE), X[:4], metrics=("latent.kl_split",))


GREY = np.round(255 * np.random.default_rng(0).random((40, 4, 4, 1))) / 255


@pytest.fixture(scope="module")
def with_prior():
    """A model of grey images, and a mixture of one Gaussian fitted to its codes."""
    made = toy(VAE, likelihood="gaussian")
    return made, priors.MixturePrior(components=1).fit(made, GREY)


def test_a_fitted_prior_counts_in_log_prob(with_prior):
    made, prior = with_prior
    nats = evaluate(made, GREY, metrics=("likelihood.nats",), samples=3, prior=prior)["likelihood"]["nats"]
    assert nats["log_prob"]["value"] == pytest.approx(made.log_prob(GREY, 3, prior=prior).mean())
    assert abs(nats["log_prob"]["value"] - made.log_prob(GREY, 3).mean()) > 1e-3, "another than the model's own"


@pytest.mark.slow
def test_a_fitted_prior_counts_in_the_elbo_and_in_bits(with_prior):
    made, prior = with_prior
    sections = ("likelihood.nats", "likelihood.bits_per_dim")
    found = evaluate(made, GREY, metrics=sections, samples=3, prior=prior)["likelihood"]
    assert found["nats"]["elbo"]["value"] == pytest.approx(made.elbo(GREY, prior=prior).mean())
    expected = evaluation.bits_per_dim(made, GREY, 3, prior=prior).mean()
    assert found["bits_per_dim"]["value"] == pytest.approx(expected)


MIXTURE = {"name": "logistic_mixture", "components": 2}


def test_bits_of_images_that_are_dequantised_already():
    """They are those of log p(x), of the same noise; without a word of it such pixels have no bits."""
    made = toy(VAE, likelihood={"name": "gaussian", "scale": 0.1})
    x = (np.floor(GREY * 255.0) + np.random.default_rng(4).random(GREY.shape)) / 256.0
    arguments = {"metrics": ("likelihood.nats", "likelihood.bits_per_dim"), "samples": 3}
    found = evaluate(made, x, dequantized=True, **arguments)["likelihood"]
    nats = found["nats"]["log_prob"]["value"]
    assert nats == pytest.approx(made.log_prob(x, 3).mean())
    assert found["bits_per_dim"]["value"] == pytest.approx(8.0 - nats / (16 * np.log(2)))
    reason = evaluate(made, x, **arguments)["without"]["likelihood.bits_per_dim"]
    assert reason.startswith("Bits per dimension need 8-bit images, with pixels k / 255. Given: pixels between two")


def test_what_takes_long_is_of_the_images_of_log_prob(monkeypatch):
    """Bits are those of importance weights that are there already, and agreement is of as many images."""
    made, arguments = toy(VAE, likelihood=MIXTURE), {"samples": 3, "likelihood_examples": 7}
    found = evaluate(made, GREY, metrics=("likelihood.nats", "likelihood.bits_per_dim"), **arguments)["likelihood"]
    assert found["bits_per_dim"]["examples"] == found["nats"]["log_prob"]["examples"] == 7
    nats = found["nats"]["log_prob"]["value"]
    assert found["bits_per_dim"]["value"] == pytest.approx(-nats / (16 * np.log(2)))
    assert found["bits_per_dim"]["value"] == pytest.approx(evaluation.bits_per_dim(made, GREY[:7], 3).mean())
    monkeypatch.setattr(agreement, "log_prob_agreement_of", lambda part: {"examples": len(part)})
    compared = evaluate(made, GREY, metrics=("likelihood.agreement",), **arguments)["likelihood"]["agreement"]
    assert compared["examples"] == 7


def test_bits_of_a_certain_code_take_one_draw():
    made = toy(VQVAE, latent_dim=None, likelihood=MIXTURE, code_shape=(3,), entries=5, embedding_dim=2)
    row = evaluate(made, GREY, metrics=("likelihood.bits_per_dim",), samples=5000)["likelihood"]["bits_per_dim"]
    assert row["samples"] == 1 and row["value"] == pytest.approx(-made.elbo(GREY).mean() / (16 * np.log(2)))


def test_what_is_refused():
    for arguments, message in (
        ({"x": X[:1]}, r"two images or more\. Given: 1"),
        ({"x": np.full((4, 4, 4, 1), np.nan)}, "must be finite"),
        ({"x": X, "metrics": ("latnt",)}, "A section of metrics is one of likelihood, latent"),
        ({"x": X, "metrics": ("latent.kl",)}, "A metric of latent is one of .* Given: 'latent.kl'"),
        ({"x": X, "seed": -1}, "seed must be a whole number"),
        ({"x": X, "labels": LABELS[:7]}, r"a row of labels for each of the 60 images\. Given: 7"),
        ({"x": X, "labels": LABELS.astype(str), "metrics": ("representation",)}, "one whole-number label for each"),
        ({"x": X, "factors": FACTORS[:7]}, r"a row of factors for each of the 60 images\. Given: 7"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(toy(VAE), **arguments)
    with pytest.raises(UserError, match="A CVAE needs a condition"):
        evaluate(toy(CVAE, num_classes=2), X)


def test_labels_of_one_class_have_a_reason_and_no_probes():
    found = evaluate(toy(VAE), X, 0 * LABELS, metrics=("representation", "latent.active_units"))
    assert found["representation"] == {} and "value" in found["latent"]["active_units"]
    assert all("two classes or more. Given: one" in found["without"][f"representation.{name}"]
               for name in ("probes", "clustering"))  # fmt: skip


def test_images_with_holes_have_no_bits_and_the_rest_of_their_numbers():
    holes = np.where(np.random.default_rng(0).random(GREY.shape) < 0.2, np.nan, GREY)
    found = evaluate(toy(VAE, likelihood="gaussian", missing="mask"), holes, metrics=("likelihood",), samples=2)
    assert "missing values. Leave those out" in found["without"]["likelihood.bits_per_dim"]
    assert np.isfinite([value for path, value in leaves(found["likelihood"]) if path.endswith("/value")]).all()
    assert len(found["likelihood"]) >= 1


def test_names_are_lazy_and_listed():
    for name in evaluation.__all__:
        assert getattr(evaluation, name).__name__ == name and name in dir(evaluation)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        evaluation.nonsense  # noqa: B018
