"""Metrics of counts: deviances by scikit-learn's formula, halves of counts, totals, and log p(x) by the count."""

import numpy as np
import pytest
from sklearn.metrics import mean_poisson_deviance

from keras_vae.evaluation import counts, evaluate
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.models import IWAE, VAE
from tests.toys import binary, mlp, toy

GENES = 6
GENERATOR = np.random.default_rng(0)
RATES = np.exp(GENERATOR.normal(1.0, 0.5, GENES))


def cells(count=300, seed=0):
    """Poisson counts of two kinds of cells, of different sizes."""
    generator = np.random.default_rng(seed)
    kind, size = generator.integers(2, size=(count, 1)), np.exp(generator.normal(0, 0.3, (count, 1)))
    marks = np.where(np.arange(GENES) < 3, 3.0, 1.0)
    return generator.poisson(size * RATES * np.where(kind, marks, marks[::-1])).astype("float32")


def model(likelihood="poisson", cls=VAE, **arguments):
    made = cls(x_shape=(GENES,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood=likelihood, **arguments)
    weights = made.decoder.get_weights()
    made.decoder.set_weights([*weights[:-1], np.log(RATES) + 0.5])  # near the data's means
    return made


def of_generation(model, x, *names, **options):
    result = evaluate(model, x, metrics=[f"generation.{name}" for name in names], **options)
    return {**result["generation"], "without": result["without"]}


def explained(x, mean, null):
    """By scikit-learn, gene by gene: its formula needs means above 0."""
    sums = [sum(mean_poisson_deviance(x[:, gene], m[:, gene]) for gene in range(GENES)) for m in (mean, null)]
    return 1 - sums[0] / sums[1]


def test_the_deviance_that_is_explained():
    made, x = model(), cells()
    result, mean = of_generation(made, x, "deviance", seed=5)["deviance"], made.reconstruct(x)
    columns = np.broadcast_to(x.mean(axis=0), x.shape)
    assert result["explained"]["value"] == pytest.approx(explained(x, mean, columns), rel=1e-5)
    shares = x.mean(axis=0) / x.mean(axis=0).sum() * x.sum(axis=1, keepdims=True)
    assert result["explained_beyond_totals"]["value"] == pytest.approx(explained(x, mean, shares), rel=1e-5)
    seen = np.random.default_rng(5).binomial(x.astype(int), 0.5).astype("float32")
    unseen, of_half = x - seen, made.reconstruct(seen)
    value = explained(unseen, of_half, np.broadcast_to(unseen.mean(axis=0), x.shape))
    assert result["explained_unseen"]["value"] == pytest.approx(value, rel=1e-5)
    exact = of_generation(_Exact(x[:200]), x[:200], "deviance")["deviance"]["explained"]
    assert exact["value"] == pytest.approx(1.0, abs=1e-4) and exact["standard_error"] < 1e-4


class _Exact(VAE):
    """Reconstructs a block of any codes as the array that it was made with: nothing is left to explain."""

    def __init__(self, x, **arguments):
        super().__init__(
            x_shape=x.shape[1:], latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood="poisson", **arguments
        )
        self._answer = np.log(np.maximum(x, 1e-6))

    def likelihood_parameters(self, z, condition=None, training=False):
        import keras

        log_rate = keras.ops.convert_to_tensor(self._answer[: z.shape[0]])
        return {"log_rate": log_rate, "mean": keras.ops.exp(log_rate)}


def test_the_null_of_totals_is_of_what_is_observed_and_of_a_whole_series():
    x = cells(100)
    x[np.random.default_rng(3).random(x.shape) < 0.4] = np.nan
    x[:, 0] = np.where(np.isnan(x).all(axis=1), 1.0, x[:, 0])
    means = np.where(np.isnan(x), 0.0, np.nanmean(x, axis=0))
    null = means / means.sum(axis=1, keepdims=True) * np.nansum(x, axis=1, keepdims=True)
    result = of_generation(_Exact(null, missing="mask"), x, "deviance")["deviance"]
    assert result["explained_beyond_totals"]["value"] == pytest.approx(0.0, abs=1e-4)
    series = cells(100).reshape(50, 2, GENES)
    null = np.broadcast_to(series.mean(axis=(0, 1)), series.shape)
    null = null / null.sum(axis=(1, 2), keepdims=True) * series.sum(axis=(1, 2), keepdims=True)
    result = of_generation(_Exact(null), series, "deviance")["deviance"]
    assert result["explained_beyond_totals"]["value"] == pytest.approx(0.0, abs=1e-4)


def test_where_the_null_is_right_nothing_is_explained():
    x = cells(60)
    x[3] = 0.0  # an example of nothing, without a warning
    assert set(of_generation(_Exact(x), x, "deviance")["deviance"]) >= {"explained", "explained_beyond_totals"}
    single = of_generation(_Exact(x[:, :1]), x[:, :1], "deviance")["deviance"]
    assert set(single) == {"explained", "explained_unseen"}, "a single column is its total"
    equal = np.full((60, GENES), 4.0, "float32")
    assert "explained" not in of_generation(_Exact(equal), equal, "deviance")["deviance"]


def test_halves_of_poisson_counts_are_independent_and_poisson():
    x = np.random.default_rng(1).poisson(6.0, (200_000, 1)).astype("float64")
    x[:5] = np.nan
    first, second = counts._halves(x, seed=2)
    assert np.isnan(first[:5]).all() and np.isnan(second[:5]).all()
    first, second = first[5:], second[5:]
    np.testing.assert_array_equal(first + second, x[5:])
    for half in (first, second):
        assert half.mean() == pytest.approx(3, abs=0.02) and half.var() == pytest.approx(3, abs=0.06)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01


OFFSET = {"name": "negative_binomial", "library": "observed"}


@pytest.mark.parametrize("likelihood", ["negative_binomial", "zero_inflated_negative_binomial", "multinomial", OFFSET])
def test_every_family_of_counts_has_a_share_of_its_own_deviance(likelihood):
    made, x = VAE(x_shape=(GENES,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood=likelihood), cells()
    result = of_generation(made, x, "deviance", "totals")
    parameters, family = Evaluation(made, x).parameters, made.likelihood_family
    model_sum, null_sum = (
        family.deviances(x.astype("float64"), mean, parameters).sum() for mean in (parameters["mean"], x.mean(axis=0))
    )
    assert result["deviance"]["explained"]["value"] == pytest.approx(1 - model_sum / null_sum, rel=1e-5)
    tells_total = likelihood not in ("multinomial", OFFSET)
    assert ("totals" in result) == tells_total
    if not tells_total:
        assert "takes the total of x" in result["without"]["generation.totals"]
        beyond = result["deviance"]["explained_beyond_totals"]["value"]
        assert beyond == pytest.approx(result["deviance"]["explained"]["value"]), "totals are no matter of its"


@pytest.mark.parametrize("missing", [None, "mask"])
def test_totals_are_of_what_is_observed(missing):
    made, x = model(missing=missing), cells()
    if missing:
        x[np.random.default_rng(2).random(x.shape) < 0.2] = np.nan
    result, mean = of_generation(made, x, "totals", "deviance"), made.reconstruct(x)
    predicted, observed = (np.where(np.isnan(x), 0, of).sum(axis=1) for of in (mean, x))
    assert result["totals"]["correlation"]["value"] == pytest.approx(np.corrcoef(predicted, observed)[0, 1], rel=1e-4)
    assert result["totals"]["ratio"]["value"] == pytest.approx(predicted.sum() / observed.sum(), rel=1e-5)
    assert np.isfinite(result["deviance"]["explained_unseen"]["value"])


def test_nats_by_the_count():
    made, x = model(cls=IWAE, importance_samples=2), cells(80)
    result = evaluate(made, x, metrics=["likelihood.per_count"], samples=30, seed=4, likelihood_examples=50)
    row = result["likelihood"]["per_count"]
    nats = -made.log_prob(x[:50], samples=30, seed=4).sum() / x[:50].sum()
    assert row["value"] == pytest.approx(nats, rel=1e-5) and row["examples"] == 50 and row["samples"] == 30
    assert row["standard_error"] > 0


def test_what_is_not_counted_has_none_of_it():
    names = ("generation.deviance", "generation.totals", "likelihood.per_count")
    without = evaluate(toy(VAE), binary(60), metrics=names)["without"]
    assert set(without) == set(names)
    assert all("This is of counts. Given: the likelihood Bernoulli" in why for why in without.values())
    nothing = of_generation(model(), np.zeros((60, GENES)), "deviance")
    assert "Given: only 0" in nothing["without"]["generation.deviance"]
