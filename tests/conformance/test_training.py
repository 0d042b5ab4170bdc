"""Every model trains, moves what training moves, and evaluation and use move nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import randomness
from keras_vae.errors import UserError
from keras_vae.priors import MixturePrior
from tests import toys
from tests.conformance.cases import (
    AT_REST,
    OTHER_DRAWS,
    WITHOUT,
    eagerly,
    every_model,
    every_model_slowly,
    examples,
    labels,
    make,
)

# tf.data says so where functions run eagerly, and it is as well.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")


@pytest.fixture(scope="module")
def trained():
    """Each model after one epoch of 2 steps, in Python, its logs, and its weights before."""
    made = {}

    def get(name):
        if name not in made:
            model = make(name)
            before = toys.weights(model)
            model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
            history = model.fit(examples(model), labels(model), batch_size=24, verbose=0).history
            made[name] = model, before, history
        return made[name]

    return get


def assert_logs(model, history):
    assert {"loss", "log_px", *model.metric_names} <= set(history)
    assert all(np.isfinite(values).all() for values in history.values())
    if model.stochastic:
        assert history["elbo"][0] == pytest.approx(history["log_px"][0] - history["kl"][0], rel=1e-5)
        assert "beta" in history
    else:
        assert not {"elbo", "kl", "beta"} & set(history), "it has none"


def assert_all_moved(model, before):
    for weight, old in zip(model.weights, before, strict=True):
        assert np.array_equal(weight, old) == (weight.name in AT_REST), weight.path


@every_model
def test_training_counts_its_steps_and_logs_every_name(trained, name):
    model, _, history = trained(name)
    assert int(model.step) == 2
    assert_logs(model, history)


@every_model
def test_every_trainable_weight_and_every_statistic_moves(trained, name):
    model, before, _ = trained(name)
    assert_all_moved(model, before)


@every_model
def test_evaluation_and_use_move_nothing(trained, name):
    """The statistics of BatchNorm among them. What a model has none of, it says."""
    model, _, history = trained(name)
    before = toys.weights(model)
    x, condition = examples(model), labels(model)
    with eagerly():
        images = model.reconstruct(x, condition)
        np.testing.assert_allclose(model.decode(model.encode(x, condition), condition), images, rtol=0, atol=1e-6)
        assert images.shape == (48, *model.image_shape)
        assert set(model.evaluate(x, condition, verbose=0, return_dict=True)) == set(history)
        calls = {
            "elbo": lambda: model.elbo(x, condition=condition),
            "log_prob": lambda: model.log_prob(x, samples=3, condition=condition),
            "sample": lambda: model.sample(48, condition=condition),
        }
        for method, call in calls.items():
            if name in WITHOUT[method]:
                with pytest.raises(UserError, match=f"An? {name} has|{name} has no distribution over codes"):
                    call()
            else:
                found = call()
                assert found.shape == (images.shape if method == "sample" else (48,)) and np.isfinite(found).all()
    assert toys.same(toys.weights(model), before)


@every_model
def test_it_samples_from_a_fitted_prior_where_a_code_is_one_vector(trained, name):
    """What is decoded is what the prior draws. Codes of other kinds are refused by a sentence."""
    model, _, _ = trained(name)
    x, condition = examples(model), labels(model)
    prior = MixturePrior(components=2)
    with eagerly():
        if {spec.kind for spec in model.latent_spec().values()} != {"code"}:
            with pytest.raises(UserError, match=f"codes that are one vector of numbers. Given: a {name}"):
                prior.fit(model, x, condition)
            return
        prior.fit(model, x, condition)
        first = None if condition is None else condition[:6]
        images = model.sample(6, seed=1, condition=first, prior=prior)
        codes = prior.distribution().sample(6, seed=randomness.seed_of(1, randomness.SAMPLING))
        np.testing.assert_array_equal(images, model.decode(np.asarray(codes), first))
    assert images.shape == (6, *model.image_shape) and np.isfinite(images).all()


@every_model
def test_terms_have_their_shapes_and_a_permuted_batch_permutes_the_kl(trained, name):
    model, _, _ = trained(name)
    y = labels(model)
    order = np.random.default_rng(0).permutation(48)
    results = []
    for index in (np.arange(48), order):
        batch = {"x": tf.constant(examples(model)[index])} | ({} if y is None else {"y": tf.constant(y[index])})
        with model.draws.using((0, 1)):
            results.append(model.terms(batch, training=False))
    for terms in results:
        assert terms.log_px.shape == (48,) and terms.kl.shape[0] == 48 and len(terms.kl.shape) == 2
        assert terms.log_px.dtype == terms.kl.dtype == "float32"
    if model.analytic_kl:
        np.testing.assert_allclose(results[0].kl.numpy()[order], results[1].kl, rtol=1e-4, atol=1e-6)


@every_model_slowly
def test_the_defaults_are_xla_and_many_steps_a_call(name):
    model = make(name)
    before = toys.weights(model)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(examples(model), labels(model), batch_size=16, verbose=0).history
    assert model.jit_compile and model.steps_per_execution == int(model.step) == 3
    assert_logs(model, history)
    assert_all_moved(model, before)


@every_model_slowly
def test_traced_and_eager_use_are_the_same(name):
    """What the fast tests call eagerly, people call traced."""
    model = make(name)
    model.compile("adam", **toys.PLAIN)
    x, condition = examples(model), labels(model)

    def use():
        found = [model.reconstruct(x, condition), *model.evaluate(x, condition, verbose=0, return_dict=True).values()]
        if model.stochastic:
            found += [model.elbo(x, condition=condition), model.log_prob(x, samples=3, condition=condition)]
        return found

    traced = use()
    assert all(np.isfinite(value).all() for value in traced)
    with eagerly():
        again = use()
    without_draws = 1  # the reconstruction
    for mine, theirs in list(zip(again, traced, strict=True))[: without_draws if name in OTHER_DRAWS else None]:
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)  # float32, fused and not


@every_model_slowly
def test_bfloat16_trains_with_float32_losses(name):
    model = make(name, dtype="mixed_bfloat16")
    model.compile("adam", **toys.PLAIN)
    history = model.fit(examples(model), labels(model), batch_size=16, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}
