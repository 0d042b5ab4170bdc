"""AnnealedVAE: the distance of the batch mean KL from a capacity that grows with the step."""

import keras
import numpy as np
import pytest

from keras_vae.core import Terms
from keras_vae.models import AnnealedVAE
from tests.digits import assert_learned, digits, trained
from tests.models.equations import X, assert_comes_back, assert_refused, losses_of, terms_of
from tests.toys import PLAIN, compiled, toy

RAMP = {"name": "linear", "final": 8.0, "steps": 4.0, "initial": 0.0}


def test_the_loss_by_hand():
    model = toy(AnnealedVAE, gamma=7.0, capacity=0.3, dtype="float64")
    terms = terms_of(model)
    kl = terms.kl.numpy().sum(1).mean()
    expected = -terms.log_px.numpy().mean() + 7 * abs(kl - 0.3)
    assert losses_of(model)["model"] == pytest.approx(expected, rel=1e-7)  # a schedule is float32


def test_the_absolute_value_is_of_the_batch_mean():
    """KLs of 1 and 5 about a capacity of 3: the distance is 0, not 2 as the mean of their distances would be."""
    model = toy(AnnealedVAE, gamma=10.0, capacity=3.0)
    terms = Terms(np.zeros(2, "float32"), np.array([[0.5, 0.5], [2.0, 3.0]], "float32"))
    assert float(model.objective(terms)) == 0
    terms = terms._replace(kl=terms.kl[:1])
    assert float(model.objective(terms)) == pytest.approx(20.0), "nats: no division by dimensions"


def test_capacity_grows_in_steps_and_stands_still_in_evaluate():
    model = toy(AnnealedVAE, gamma=1.0, capacity=RAMP)
    model.compile("sgd", **PLAIN)
    history = model.fit(X, batch_size=8, epochs=3, verbose=0).history  # two steps an epoch, at 0, 2, 4, 6, 8, 8
    np.testing.assert_allclose(history["capacity"], [1.0, 5.0, 8.0])
    fresh = compiled(AnnealedVAE, capacity=RAMP)
    for _ in range(2):
        assert fresh.evaluate(X, batch_size=4, verbose=0, return_dict=True)["capacity"] == 0
    assert int(fresh.step) == 0


def test_the_elbo_is_logged_whole():
    logs = compiled(AnnealedVAE, capacity=5.0).evaluate(X, verbose=0, return_dict=True)
    assert logs["elbo"] == pytest.approx(logs["log_px"] - logs["kl"], rel=1e-6)
    assert logs["loss"] == pytest.approx(-logs["log_px"] + 1000 * abs(logs["kl"] - 5), rel=1e-5)


def test_arguments():
    for wrong in (-1.0, float("nan"), "5", True):
        assert_refused(AnnealedVAE, {"gamma": wrong}, r"gamma must be a finite number, 0 or more\. Given: ")
    assert_refused(AnnealedVAE, {"capacity": -1.0}, r"must be a finite number, 0 or more\. Given: -1\.0")
    assert_refused(AnnealedVAE, {"capacity": {"name": "linaer"}}, "Did you mean 'linear'")
    assert_refused(AnnealedVAE, {"beta": 2.0}, r"AnnealedVAE does not take beta\. gamma and the capacity take")
    assert_comes_back(toy(AnnealedVAE, gamma=3.0, capacity=RAMP), gamma=3.0, capacity=RAMP)
    assert toy(AnnealedVAE).get_config()["capacity"]["final"] == 25.0, "the paper's, in nats"


@pytest.mark.slow
def test_it_learns_digits_at_its_capacity():
    model = trained(AnnealedVAE, gamma=20.0, capacity={"name": "linear", "final": 12.0, "steps": 80})
    assert_learned(model)
    model.compile(keras.optimizers.SGD(), **PLAIN)
    kl = model.evaluate(digits().held_out_x, verbose=0, return_dict=True)["kl"]
    assert kl == pytest.approx(12.0, abs=1.5)
