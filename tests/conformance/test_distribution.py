"""Every model under MirroredStrategy, two logical CPUs: it trains to what the mean of the replicas' gradients gives.

That is also what one device gives for the whole batch, where the noise is taken away. For the models in `OTHERWISE` it
is not, and the table says why: what they minimise is no mean over examples, or they have no form without noise.
"""

import json
import os
import subprocess
import sys

import pytest

from keras_vae.models import MODELS
from tests.conformance.cases import OTHER_DRAWS

OTHERWISE = {
    "BetaTCVAE": "q(z) is estimated from the batch, and that of a half has fewer examples",
    "DIPVAE": "the covariance of the batch's codes is no mean over examples",
    "FactorVAE": "codes are permuted across the batch of each replica",
    "HypersphericalVAE": "its concentration is bounded, so a draw keeps its noise",
    "InfoVAE": "the MMD compares all pairs of the batch's codes and draws",
    "VampVAE": "the prior is made of posteriors: without noise, codes away from the pseudo-inputs' have no density",
    "WAE": "the MMD compares all pairs of the batch's codes and draws",
}
AS_ONE_DEVICE = set(MODELS) - set(OTHERWISE)
# What takes the noise away, beside a posterior of next to no variance. DReG squares weights, which are noise. Which
# vector of the batch a dead entry becomes is drawn, by the first replica from its own part. A narrow prior is far from
# every posterior: its KL has no weight.
SETTLED = {
    "IWAE": {"gradient": "iwae"},
    "ResidualVQVAE": {"restart_below": 0.0},
    "SequenceVAE": {"word_dropout": 0.0},
    "VAEGAN": {"beta": 0.0},
    "VQVAE": {"restart_below": 0.0},
}
# Models whose critic sees draws from the prior.
NARROW_PRIOR = {"AAE", "VAEGAN"}
# Models whose loss draws nothing.
NO_NOISE = {"AE", "FSQVAE", "RAE", "ResidualVQVAE", "VQVAE"}
# In float64, four steps of SGD: what is left of the noise, exp(-10) of a unit.
TOLERANCE = 1e-5

# Fast are the tables here, and a VAE in tests/test_distribution.py.
models = pytest.mark.parametrize("model", sorted(MODELS))


@pytest.fixture(scope="module")
def reports(request):
    """What `tests.replicas` found of the models that are tested, all in one process."""
    chosen = {item.callspec.params["model"] for item in request.session.items if item.path == request.path
              and hasattr(item, "callspec")}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.replicas", *sorted(chosen)], capture_output=True, text=True, timeout=1200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.split("REPORT")[1])

    def get(name):
        assert "error" not in found[name], found[name]["error"]
        return found[name]

    return get


def test_the_tables_speak_of_models():
    assert set(MODELS) >= {*OTHERWISE, *SETTLED, *NARROW_PRIOR, *OTHER_DRAWS, *NO_NOISE}


@pytest.mark.slow
@models
def test_two_replicas_take_the_mean_of_their_gradients(reports, model):
    """Against one device that goes through the halves of each batch, each with its replica's noise."""
    found = reports(model)
    assert found["finite"] and found["replicas"] == 2
    assert found["moved"] > 2 * TOLERANCE, "every variable"
    assert found["from parts"] < 1e-9 or model in OTHER_DRAWS, "sums in another order"


@pytest.mark.slow
@models
def test_both_replicas_hold_equal_weights(reports, model):
    assert reports(model)["equal on both"]


@pytest.mark.slow
@models
def test_replicas_draw_noise_of_their_own(reports, model):
    assert reports(model)["noise differs"] == (model not in NO_NOISE)


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(AS_ONE_DEVICE))
def test_two_replicas_train_to_the_weights_of_one_device(reports, model):
    """With the same global batches, and no noise."""
    assert reports(model)["from one device"] < TOLERANCE
