"""Every model under MirroredStrategy, two logical CPUs: it trains to what the mean of the replicas' gradients gives.

For the models of `AS_ONE_DEVICE` that is also what one device gives for the whole batch. For the others it is not, and
`OTHERWISE` says why: what they minimise is no mean over examples, or their noise cannot be taken away.
"""

import json
import os
import subprocess
import sys

import pytest

from keras_vae.models import MODELS

AS_ONE_DEVICE = {"VAE", "AE", "CVAE", "FSQVAE", "RAE", "ResidualVQVAE", "SemiSupervisedVAE", "VQVAE"}
OTHERWISE = {
    "AAE": "draws from the prior for the critic",
    "AnnealedVAE": "the distance of the batch's mean KL from the capacity",
    "BetaTCVAE": "q(z) is estimated from the batch",
    "BetaVAE": "free bits are on the batch's mean KL",
    "DIPVAE": "the covariance of the batch's codes",
    "FactorVAE": "codes are permuted across the batch",
    "FlowVAE": "log q(z|x) is taken at the draw",
    "HierarchicalVAE": "the upper levels' noise comes from networks of their own",
    "HypersphericalVAE": "a draw on the sphere keeps its noise at any concentration",
    "IWAE": "log q(z|x) is taken at the draws",
    "InfoVAE": "the MMD of the batch's codes from draws of the prior",
    "VAEGAN": "draws from the prior for the critic",
    "SequenceVAE": "the words that are dropped are drawn for the batch of each replica",
    "VampVAE": "log q(z|x) is taken at the draw",
    "WAE": "the MMD of the batch's codes from draws of the prior",
}
# Which vector of the batch a dead entry becomes is drawn, by the first replica from its own part.
SETTLED = {name: {"restart_below": 0.0} for name in ("ResidualVQVAE", "VQVAE")}
# Models whose loss draws nothing.
NO_NOISE = {"AE", "FSQVAE", "RAE", "ResidualVQVAE", "VQVAE"}
FAST: tuple[str, ...] = ()  # tests/test_distribution.py has VAE and VQVAE against one device
# float32 sums over halves of a batch, and over all of it, in four steps of SGD.
TOLERANCE = 1e-5

models = pytest.mark.parametrize(
    "model", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in sorted(MODELS)]
)


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
    return json.loads(done.stdout.split("REPORT")[1])


def test_every_model_is_in_one_of_the_tables():
    assert AS_ONE_DEVICE | set(OTHERWISE) == set(MODELS) and not AS_ONE_DEVICE & set(OTHERWISE)


@models
def test_two_replicas_take_the_mean_of_their_gradients(reports, model):
    """Against one device that goes through the halves of each batch, each with its replica's noise."""
    found = reports[model]
    assert found["finite"] and found["replicas"] == 2
    assert found["moved"] > 100 * TOLERANCE
    assert found["from parts"] < TOLERANCE


@models
def test_both_replicas_hold_equal_weights(reports, model):
    assert reports[model]["equal on both"]


@models
def test_replicas_draw_noise_of_their_own(reports, model):
    assert reports[model]["noise differs"] == (model not in NO_NOISE)


@models
def test_two_replicas_train_to_the_weights_of_one_device(reports, model):
    """With the least noise that the posterior has; where it holds."""
    if model in OTHERWISE:
        assert "from one device" not in reports[model], OTHERWISE[model]
    else:
        assert reports[model]["from one device"] < TOLERANCE
