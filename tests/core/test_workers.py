"""Training in several processes of this machine: the weights of one process, with the same batches."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests import toys, workers


def reports(count, *names):
    with workers.started(["-m", "tests.workers", *names], count) as processes:
        outputs = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outputs[0][1][-3000:]
    return [json.loads(output.split("REPORT")[1]) for output, _ in outputs]


def agrees(name, ran):
    """Whether every worker has the weights and the history of this process, which trains alone."""
    model, history = workers.trained(name, tf.distribute.get_strategy())
    # In float64: sums in another order, which the weight of an MMD, 100 and 1,000, amplifies from step to step.
    bound = 1e-5 if name in {"WAE", "InfoVAE"} else 1e-12
    for one in ran:
        away = [np.abs(a - b).max() for a, b in zip(toys.weights(model), one[name]["weights"], strict=True)]
        assert max(away) < bound, name
        assert one[name]["history"].keys() == history.keys()
        np.testing.assert_allclose(one[name]["predicted"], workers.predicted(model), atol=bound)
        for metric, values in history.items():
            assert one[name]["history"][metric] == pytest.approx(values, rel=1e-5), metric


@pytest.fixture(scope="module")
def pair():
    return reports(2, "VAE", "VAE+weights")


def test_two_workers_train_to_the_weights_of_one(pair):
    """Batch normalisation over the whole batch, two steps in a call, and validation data that two do not divide."""
    agrees("VAE", pair)


def test_examples_have_their_weights_on_every_worker(pair):
    agrees("VAE+weights", pair)
    assert pair[0]["VAE"]["history"] != pair[0]["VAE+weights"]["history"]


def test_every_worker_refuses_what_one_of_them_reads(pair):
    for one in pair:
        assert one["refusals"]["spoiled"].startswith(
            "Batch 1 of the training data, counted from 0: Pixels of x must lie in [0, 1]. Given: values from 0 to 3"
        )


def test_batches_that_cannot_be_divided_are_refused(pair):
    assert "batches of unknown examples" in pair[0]["refusals"]["ragged"]
    assert "batches of 11 examples" in pair[1]["refusals"]["odd"]


@pytest.mark.slow
def test_three_workers_train_every_kind_of_model():
    """State that is not trained, two players with a permutation over the whole batch, several draws, all pairs."""
    names = ["VAE", "VQVAE", "FactorVAE", "IWAE", "BetaTCVAE", "WAE", "InfoVAE", "DIPVAE"]
    ran = reports(3, *names)
    for name in names:
        agrees(name, ran)
