"""Every model trains under XLA and by default, moves what training moves, and evaluation moves nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from tests import toys
from tests.conformance.cases import AT_REST, MODELS, WITHOUT, every_model, examples, labels, make


@pytest.fixture(scope="module")
def trained():
    """Each model after one epoch of 3 steps with the defaults, XLA and 32 steps a call; and its weights before."""
    made = {}

    def get(name):
        if name not in made:
            model = make(name)
            before = toys.weights(model)
            model.compile(keras.optimizers.Adam(0.01))
            history = model.fit(examples(model), labels(model), batch_size=16, verbose=0).history
            made[name] = model, before, history
        return made[name]

    return get


@every_model
def test_a_step_under_xla_is_finite_and_counts(trained, name):
    model, _, history = trained(name)
    assert model.jit_compile and int(model.step) == 3
    assert {"loss", "log_px", *model.log_names} <= set(history)
    assert all(np.isfinite(values).all() for values in history.values())
    if model.stochastic:
        assert history["elbo"][0] == pytest.approx(history["log_px"][0] - history["kl"][0], rel=1e-5)
        assert "beta" in history
    else:
        assert not {"elbo", "kl", "beta"} & set(history), "it has none"


@every_model
def test_every_trainable_weight_and_every_statistic_moves(trained, name):
    model, before, _ = trained(name)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.array_equal(weight, old) == (weight.name in AT_REST), weight.path


@every_model
def test_evaluation_and_use_move_nothing(trained, name):
    model, _, _ = trained(name)
    before = toys.weights(model)
    x, condition = examples(model), labels(model)
    images = model.reconstruct(x, condition)
    np.testing.assert_allclose(model.decode(model.encode(x, condition), condition), images, rtol=0, atol=1e-6)
    assert images.shape == (48, *model.image_shape)
    model.evaluate(x, condition, verbose=0)
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
def test_every_trainable_variable_gets_a_gradient_from_one_player(name):
    model = make(name)
    batch = {
        "x": tf.constant(examples(model)),
        "y": tf.constant(labels(model) if model.conditional else np.zeros(48, "int32")),
    }
    players = model.players()
    owned = [variable for player in players for variable in player.variables]
    assert len(owned) == len({id(variable) for variable in owned}) == len(model.trainable_variables)
    with tf.GradientTape(persistent=True) as tape, model.draws.using((0, 1)):
        terms = model.terms(batch, training=True)
        losses = [player.loss(terms, batch) for player in players]
    for player, loss in zip(players, losses, strict=True):
        for variable in player.variables:
            gradient = tape.gradient(loss, variable.value)
            assert gradient is not None, variable.path
            assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path  # an embedding's is sparse


@every_model
def test_terms_have_their_shapes_and_a_permuted_batch_permutes_the_kl(name):
    model = make(name)
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


@every_model
def test_bfloat16_trains_with_float32_losses(name):
    model = make(name, dtype="mixed_bfloat16")
    model.compile("adam", **toys.PLAIN)
    history = model.fit(examples(model), labels(model), batch_size=16, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}


def test_models_are_listed():
    assert MODELS
