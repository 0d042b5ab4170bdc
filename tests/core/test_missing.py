"""Missing values: NaN in x, of which log p(x|z) has no term.

A linear decoder with Gaussian noise makes the truth known: p(x_o) = N(b_o, W_o W_o^T + s**2 I) for what is observed.
"""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from keras_vae.data import pipeline
from keras_vae.errors import UserError
from keras_vae.likelihoods import LIKELIHOODS, Likelihood, Observed, likelihood
from keras_vae.models import IWAE, MODELS, VAE
from keras_vae.supports import POSITIVE
from tests.conformance import cases
from tests.toys import SHAPE, binary, compiled, mlp, same, toy, weights

COLUMNS, LATENT, SCALE = 5, 2, 0.5
GENERATOR = np.random.default_rng(0)
DECODER, OFFSET = GENERATOR.normal(size=(COLUMNS, LATENT)), GENERATOR.normal(size=COLUMNS)
WHOLE = GENERATOR.normal(size=(40, LATENT)) @ DECODER.T + OFFSET + SCALE * GENERATOR.normal(size=(40, COLUMNS))
HOLES = GENERATOR.random(WHOLE.shape) < 0.4
HOLES[:2] = [[True] * COLUMNS, [False] * COLUMNS]  # nothing, and everything
X = np.where(HOLES, np.nan, WHOLE)


def linear(cls=VAE, missing="zero", **arguments):
    """A model of the truth's decoder, whose q(z|x) is only near the posterior, and wider."""
    network = {"name": "mlp", "hidden": ()}
    model = cls(
        x_shape=(COLUMNS,), latent_dim=LATENT, encoder=network, decoder=network,
        likelihood={"name": "normal", "scale": SCALE}, missing=missing, dtype="float64", **arguments,
    )  # fmt: skip
    model.decoder.set_weights([DECODER.T, OFFSET])
    posterior = np.linalg.inv(DECODER.T @ DECODER + SCALE**2 * np.eye(LATENT)) @ DECODER.T
    kernel = np.zeros((COLUMNS * (2 if missing == "mask" else 1), 2 * LATENT))
    kernel[:COLUMNS, :LATENT] = 0.5 * posterior.T
    model.encoder.set_weights([kernel, np.concatenate([-0.5 * posterior @ OFFSET, np.zeros(LATENT)])])
    return model


def evidence():
    """log p(x_o) of each row, exactly."""
    covariance = DECODER @ DECODER.T + SCALE**2 * np.eye(COLUMNS)
    numbers = []
    for row, hole in zip(X, HOLES, strict=True):
        seen = np.flatnonzero(~hole)
        density = scipy.stats.multivariate_normal(OFFSET[seen], covariance[np.ix_(seen, seen)]) if len(seen) else None
        numbers.append(0.0 if density is None else density.logpdf(row[seen]))
    return np.array(numbers)


@pytest.mark.parametrize("missing", ["zero", "mask"])
def test_the_bound_is_below_the_evidence_of_what_is_observed_and_its_weights_climb_to_it(missing):
    model, truth = linear(missing=missing), evidence()
    log_weights = np.asarray(model.log_weights(X, samples=20_000, seed=3))
    elbo, error = log_weights.mean(0), log_weights.std(0) / np.sqrt(20_000)
    assert (truth - elbo > 5 * error).sum() > 35
    assert (elbo - truth < 5 * error).all()
    weight = np.exp(log_weights - truth)  # of mean 1
    assert (np.abs(weight.mean(0) - 1) < 5 * weight.std(0) / np.sqrt(20_000)).all()
    np.testing.assert_allclose(model.log_prob(X, samples=20_000, seed=4), truth, atol=0.15)
    terms = model.elbo(np.repeat(X, 500, axis=0), seed=1).reshape(len(X), 500)
    assert (np.abs(terms.mean(1) - elbo) < 5 * np.hypot(error, terms.std(1) / np.sqrt(500))).all()


def test_the_bound_of_an_iwae_with_holes_is_that_of_what_is_observed():
    """MIWAE, Mattei and Frellsen 2019: the IWAE's bound with log p(x_o|z)."""
    model, repeated = linear(IWAE, importance_samples=50), np.repeat(X, 200, axis=0)
    with model.draws.using((0, 1)):
        bound = np.asarray(model.terms({"x": repeated}, training=False).logs["iw_bound"]).reshape(len(X), 200)
    error = bound.std(1) / np.sqrt(200)
    assert (bound.mean(1) - evidence() < 5 * error).all()
    log_weights = np.asarray(model.log_weights(X, samples=20_000, seed=3)).reshape(400, 50, len(X))
    by_hand = scipy.special.logsumexp(log_weights, axis=1) - np.log(50)
    assert (np.abs(bound.mean(1) - by_hand.mean(0)) < 5 * np.hypot(error, by_hand.std(0) / np.sqrt(400))).all()


@pytest.mark.parametrize(("name", "missing"), [*((name, "mask") for name in sorted(MODELS)), ("VAE", "zero")])
def test_every_model_sums_over_what_is_observed_or_refuses(name, missing):
    if "missing" in MODELS[name].rejects:
        with pytest.raises(UserError, match=f"{name} does not take missing"):
            cases.make(name, missing=missing)
        return
    x = np.where(np.random.default_rng(5).random(cases.X.shape) < 0.5, np.nan, cases.X).astype("float32")
    with cases.eagerly():
        model = cases.make(name, missing=missing)
        assert type(model).from_config(model.get_config()).missing == missing
        batch = {"x": tf.constant(x), **({"y": cases.Y} if model.conditional else {})}
        with model.draws.using((0, 1)):
            terms = model.terms(batch, training=True)
        assert np.isfinite(terms.log_px).all()
        assert np.isfinite(terms.kl).all()
        z = model.code(model.posterior_parameters(batch["x"], model.condition_of(batch)))
        distribution = model.likelihood(z, model.condition_of(batch))
        halves = [np.where(part, cases.X, np.nan).astype("float32") for part in (np.isnan(x), ~np.isnan(x))]
        parts = [np.asarray(distribution.log_prob(half)) for half in halves]
        np.testing.assert_allclose(sum(parts), distribution.log_prob(cases.X), rtol=1e-4)


def test_without_holes_a_training_is_the_same():
    """Bit for bit."""
    models = [compiled(likelihood="laplace", missing=missing) for missing in (None, "zero")]
    histories = [model.fit(binary(64), batch_size=32, epochs=2, verbose=0).history for model in models]
    assert histories[0] == histories[1]
    assert same(weights(models[0]), weights(models[1]))


@pytest.mark.parametrize("name", sorted(set(LIKELIHOODS) - {"mixed", "multinomial"}))
def test_without_holes_log_p_and_its_gradient_are_the_same(name):
    """Bit for bit; the Bernoulli's to rounding, whose sum over pixels is another program."""
    family = likelihood({"name": name, **({"trials": 3} if name == "binomial" else {})})
    if not family.built:
        family.build((None, 4, 4, 1))
    x = binary(3) if family.support is not POSITIVE else binary(3) + 1
    raw = np.random.default_rng(0).normal(size=(3, 4, 4, family.channels_per_pixel)).astype("float32")
    results = []
    for one in (family, Observed(family)):
        with tf.GradientTape() as tape:
            tape.watch(tensor := tf.constant(raw))
            log_p = one.distribution(one.parameters(tensor)).log_prob(tf.constant(x))
        results.append((np.asarray(log_p), np.asarray(tape.gradient(log_p, tensor))))
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5 if name == "bernoulli" else 0, atol=0)


def test_arrays_masked_arrays_batches_and_streams_hold_the_same_holes():
    model = linear()
    model.compile("adam", jit_compile=True, steps_per_execution=1)  # XLA may not take x == x for true
    streams = pipeline.batches(X, batch_size=20, training=False, kind="numbers", missing=True), of_user()
    kinds = [X, np.ma.MaskedArray(WHOLE, HOLES), *streams]
    terms = [model.evaluate(data, batch_size=20, verbose=0, return_dict=True) for data in kinds]
    assert all(one == pytest.approx(terms[0], rel=1e-6) for one in terms)
    assert terms[0] != pytest.approx(model.evaluate(WHOLE, batch_size=20, verbose=0, return_dict=True), rel=0.1)
    encoded = model.encode(X)
    for data in kinds[1:]:
        np.testing.assert_allclose(model.encode(data), encoded, atol=1e-6)  # `batches` are float32
    assert np.isfinite(model.reconstruct(X)).all()
    assert np.isfinite(model.predict(X, verbose=0)).all()
    model.fit(X, batch_size=20, epochs=2, verbose=0)
    assert all(np.isfinite(weight).all() for weight in weights(model))


def of_user():
    return tf.data.Dataset.from_tensor_slices(X).batch(20)


def test_the_encoder_reads_0_for_what_is_missing_and_where_that_is():
    x = binary(6)
    hidden = np.where(binary(6, seed=1) == 1, np.nan, x).astype("float32")
    zero, mask = toy(missing="zero"), toy(missing="mask")
    np.testing.assert_array_equal(zero.encode(hidden), zero.encode(np.nan_to_num(hidden)))
    assert (mask.encode(hidden) != mask.encode(np.nan_to_num(hidden))).all()


def test_nan_is_refused_where_nothing_says_that_it_is_missing():
    model, x = compiled(), np.where(binary(8, seed=1) == 1, np.nan, binary(8)).astype("float32")
    for call in (model.encode, model.elbo, lambda x: model.fit(x, batch_size=8, verbose=0), pipeline_of):
        with pytest.raises(UserError, match=r"must be finite|must lie in"):
            call(x)
        with pytest.raises(UserError, match=r"must be finite|must lie in"):
            call(np.ma.MaskedArray(np.nan_to_num(x), np.isnan(x)))
    later = tf.data.Dataset.from_tensor_slices(np.concatenate([binary(8), x])).batch(8)
    with pytest.raises(UserError, match="Batch 1 of the training data"):
        model.fit(later, verbose=0)


def pipeline_of(x):
    return pipeline.batches(x, batch_size=8, training=True)


def test_what_is_observed_is_held_to_the_support_as_ever():
    model, x = compiled(missing="zero"), binary(16)
    x[0, 0, 0, 0] = np.nan
    for wrong, message in ((np.inf, "must be finite"), (2.0, "must lie in"), (0.5, "binarise")):
        broken = x.copy()
        broken[9, 1, 1, 0] = wrong
        with pytest.raises(UserError, match=f"(?i){message}"):
            model.elbo(broken)
    with pytest.raises(UserError, match=r"Batch 1 of the training data.*(?i:binarise)"):
        model.fit(tf.data.Dataset.from_tensor_slices(broken).batch(8), verbose=0)


def test_a_likelihood_of_numbers_that_depend_on_each_other_is_refused():
    class Joint(Likelihood):
        def parameters(self, raw):
            return {"mean": raw}

        def distribution(self, parameters):
            from keras_vae.backend import tfd

            return tfd.MultivariateNormalDiag(parameters["mean"])

    model = VAE(x_shape=(3,), latent_dim=1, likelihood=Joint(), missing="zero", encoder=mlp(), decoder=mlp())
    with pytest.raises(UserError, match="independent"):
        model.elbo(np.full((2, 3), 0.5))


def test_another_value_of_missing_is_refused():
    with pytest.raises(UserError, match="'zero' or 'mask'"):
        VAE(SHAPE, missing=True)


def test_positive_numbers_and_counts_have_gradients_beside_holes():
    for family, number in (("log_normal", 2.0), ("negative_binomial", 3.0)):
        observed = Observed(likelihood(family))
        observed.family.build((None, 2))
        raw = tf.Variable(tf.zeros((1, 2 * observed.channels_per_pixel)))
        with tf.GradientTape() as tape:
            log_p = observed.distribution(observed.parameters(raw)).log_prob(tf.constant([[np.nan, number]]))
        gradient = np.asarray(tape.gradient(log_p, raw))
        assert np.isfinite(gradient).all()
        assert gradient[0, 0] == 0
        assert gradient[0, 1] != 0
