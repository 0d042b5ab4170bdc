"""A latent that grows: dimensions that are not active are the prior's, are not seen, and come in with the step."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from tests import toys
from tests.conformance import cases
from tests.conformance.cases import eagerly, every_model
from tests.toys import PLAIN, binary, compiled, toy

X = binary(32)
GROWING = {"name": "linear", "initial": 1.0, "final": 4.0, "steps": 6}


def step(model, count):
    model.step.assign(count)
    return model


@every_model
def test_every_gaussian_vae_takes_it_and_others_refuse(name):
    """With no dimension active the code is 0 and the decoder is deaf to it; with all, the model is as without."""
    probe = cases.make(name)
    if "active_dims" in probe.rejects or not (probe.stochastic and probe.has_sampler and probe.latent_kind == "code"):
        with pytest.raises(
            UserError,
            match=r"(active_dims is for one latent with a Gaussian posterior\. |does not take active_dims\. .*)Given: ",
        ):
            cases.make(name, active_dims=1)
        return
    none, every = cases.make(name, active_dims=0), cases.make(name, active_dims=probe.latent_dim)
    x, y = cases.examples(probe)[:4], cases.labels(probe)
    condition = None if y is None else y[:4]
    with eagerly():
        for model in (none, every):
            model.set_weights(probe.get_weights())
        assert np.abs(none.encode(x, condition)).max() == 0
        images = none.decode(np.random.default_rng(0).normal(size=(4, probe.latent_dim)), np.zeros(4, int) if
                             probe.conditional else None)  # fmt: skip
        assert all(np.array_equal(images[0], image) for image in images)
        np.testing.assert_array_equal(every.encode(x, condition), probe.encode(x, condition))
        np.testing.assert_array_equal(every.elbo(x, condition=condition), probe.elbo(x, condition=condition))
    assert type(model).from_config(none.get_config()).get_config() == none.get_config()


def test_the_kl_of_inactive_dimensions_is_0_and_of_half_a_dimension_that_of_half_its_parameters():
    model, plain = toy(latent_dim=4, active_dims=GROWING), toy(latent_dim=4)
    plain.set_weights(model.get_weights())
    whole = plain.posterior_parameters(tf.constant(X))
    for count, shares in ((0, [1, 0, 0, 0]), (3, [1, 1, 0.5, 0]), (6, [1, 1, 1, 1]), (60, [1, 1, 1, 1])):
        parameters = step(model, count).posterior_parameters(tf.constant(X))
        for name in ("mean", "log_var"):
            np.testing.assert_allclose(parameters[name], whole[name] * np.array(shares, "float32"), rtol=1e-6)
        with model.draws.using((0, 1)):
            kl = np.asarray(model.terms({"x": tf.constant(X)}, training=False).kl)
        assert ((kl == 0) == (np.array(shares) == 0)).all()
        z = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
        np.testing.assert_allclose(model.decode(z), plain.decode(z * np.array(shares)), rtol=1e-5, atol=1e-6)


def test_all_from_the_start_trains_bit_for_bit_as_without():
    ends = []
    for argument in (None, 2):
        model = compiled(active_dims=argument)
        model.fit(X, batch_size=16, epochs=2, verbose=0)
        ends.append(toys.weights(model))
    assert toys.same(*ends)


def test_it_grows_in_training_and_is_all_there_when_loaded(tmp_path):
    """The step is among the weights; inactive dimensions leave their weights in the decoder's first layer alone."""
    model = toy(latent_dim=4, active_dims={"name": "linear", "initial": 1.0, "final": 4.0, "steps": 30})
    first = next(weight for weight in model.decoder.weights if weight.shape[0] == 4)
    before = np.array(first)
    model.compile("adam", **PLAIN)
    model.fit(X, batch_size=16, epochs=1, verbose=0)
    moved = np.abs(np.array(first) - before).max(axis=1) > 0
    np.testing.assert_array_equal(moved, [True, True, False, False])
    model.fit(X, batch_size=16, epochs=15, verbose=0)
    assert (np.abs(np.array(first) - before).max(axis=1) > 0).all()
    model.save(tmp_path / "model.keras")
    import keras

    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode(X), model.encode(X))
    assert (again.encode(X).std(axis=0) > 0).all()


def test_a_schedule_that_is_none():
    with pytest.raises(UserError, match=r"active_dims must be a finite number, 0 or more\. Given: -1"):
        toy(active_dims=-1)
