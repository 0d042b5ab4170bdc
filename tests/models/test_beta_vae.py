"""β-VAE: at β = 1 it is VAE, bit for bit; above, the KL pays β times."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.models import VAE, BetaVAE
from tests import toys
from tests.digits import assert_learned, digits, plain, trained
from tests.toys import binary, compiled, same, toy

X = binary(64)


@pytest.mark.slow
def test_beta_1_is_vae_bit_for_bit():
    models = [compiled(VAE), compiled(BetaVAE, beta={"name": "constant", "value": 1.0})]
    histories = [model.fit(X, batch_size=16, epochs=3, validation_data=X, verbose=0).history for model in models]
    assert histories[0] == histories[1]
    assert same(toys.weights(models[0]), toys.weights(models[1]))
    np.testing.assert_array_equal(models[0].elbo(X), models[1].elbo(X))


@pytest.mark.slow
def test_a_larger_beta_has_a_smaller_kl():
    kl = {}
    for beta in (0.1, 1.0, 10.0):
        model = compiled(BetaVAE, beta=beta)
        model.fit(np.tile(X, (20, 1, 1, 1)), batch_size=16, verbose=0)
        kl[beta] = model.evaluate(X, verbose=0, return_dict=True)["kl"]
    assert kl[0.1] > kl[1.0] > kl[10.0]


def test_the_elbo_is_not_weighted():
    models = [toy(BetaVAE, beta=beta) for beta in (1.0, 4.0)]
    np.testing.assert_array_equal(models[0].elbo(X), models[1].elbo(X))
    logs = []
    for model in models:
        model.compile("adam", **toys.PLAIN)
        logs.append(model.evaluate(X, verbose=0, return_dict=True))
    assert logs[0]["elbo"] == logs[1]["elbo"]
    assert logs[1]["loss"] == pytest.approx(-logs[1]["log_px"] + 4 * logs[1]["kl"], rel=1e-6)


def test_annealing_ends_at_beta():
    model = compiled(BetaVAE, beta={"name": "sigmoid", "final": 4.0, "threshold": 8, "rate": 1})
    history = model.fit(X, batch_size=16, epochs=4, verbose=0).history["beta"]
    by_hand = [np.mean([4 / (1 + np.exp(8 - step)) for step in range(4 * e, 4 * e + 4)]) for e in range(4)]
    np.testing.assert_allclose(history, by_hand, rtol=1e-5)


@pytest.mark.slow
def test_it_learns_digits_with_fewer_nats():
    model = trained(BetaVAE)
    assert_learned(model)
    kl = [each.evaluate(digits().held_out_x, verbose=0, return_dict=True)["kl"] for each in (model, plain(VAE))]
    assert kl[0] < 0.7 * kl[1], kl


def test_defaults_and_bad_values():
    assert BetaVAE(image_shape=(2, 2, 1), latent_dim=1).beta.get_config() == {"name": "constant", "value": 4.0}
    with pytest.raises(UserError, match="finite number, 0 or more"):
        toy(BetaVAE, beta=-4)
