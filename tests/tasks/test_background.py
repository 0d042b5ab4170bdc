"""Ratios of likelihoods: the difference of two log p(x), and what the mutation of pixels does to them."""

import numpy as np
import pytest

from keras_vae import tasks
from keras_vae.errors import UserError
from keras_vae.models import VAE
from tests.export.bundles import stirred
from tests.toys import PLAIN, binary, mlp, toy

GREY = np.random.default_rng(3).integers(0, 256, (50, 4, 4, 1)) / 255.0


def test_it_is_the_difference_of_both_under_the_same_noise():
    model, background, x = stirred(toy(VAE)), stirred(toy(VAE)), binary(9)
    background.set_weights([1.5 * weight for weight in background.get_weights()])
    found = tasks.likelihood_ratio(model, background, x, samples=7, seed=5)
    expected = background.log_prob(x, samples=7, seed=5) - model.log_prob(x, samples=7, seed=5)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(found).max() > 1e-3
    np.testing.assert_array_equal(tasks.likelihood_ratio(model, model, x, samples=7), 0.0)


def test_a_simple_x_is_no_longer_likelier_than_what_was_learned():
    """Normal: the left half is white, a tenth of the pixels turned. Strange: all black, which is as likely a priori."""
    generator = np.random.default_rng(0)
    normal = np.zeros((600, 4, 4, 1), "float32")
    normal[:, :, :2] = 1.0
    normal = np.abs(normal - (generator.random(normal.shape) < 0.1)).astype("float32")

    def trained(x):
        model = toy(seed=1)
        model.compile("adam", **PLAIN)
        model.optimizer.learning_rate = 0.02
        model.fit(x, batch_size=50, epochs=8, verbose=0)
        return model

    model, background = trained(normal[:400]), trained(tasks.mutated(normal[:400], 0.5))
    strange = (generator.random((200, 4, 4, 1)) < 0.1).astype("float32")
    scores = [tasks.likelihood_ratio(model, background, x, samples=20) for x in (normal[400:], strange)]
    assert tasks.detection(*scores).auroc > 0.95


@pytest.mark.parametrize(("x", "levels"), [(binary(2000), 2), (np.tile(GREY, (40, 1, 1, 1)), 256)])
def test_mutation_replaces_a_share_by_levels_that_are_equally_likely(x, levels):
    """A replacement is the old level with probability 1 / levels: within 4 standard errors of the binomial."""
    rate, changed = 0.3, 0.3 * (1 - 1 / levels)
    found = tasks.mutated(x, rate, levels, seed=1)
    assert found.dtype == np.float32 and found.shape == x.shape
    np.testing.assert_allclose(found * (levels - 1), np.rint(found * (levels - 1)), atol=1e-4)
    other = np.abs(found - x) > 1e-4
    assert other.mean() == pytest.approx(changed, abs=4 * np.sqrt(changed * (1 - changed) / x.size))
    given_other = found[other].mean(), found[other].size
    old = x[other].mean()
    expected = (levels / 2 - old) / (levels - 1)  # of the levels but the old one
    assert given_other[0] == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(given_other[1]))
    np.testing.assert_array_equal(found, tasks.mutated(x, rate, levels, seed=1))
    assert (found != tasks.mutated(x, rate, levels, seed=2)).any()
    np.testing.assert_allclose(tasks.mutated(x, 0.0, levels), x, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.mutated(binary(2), 1.2), r"rate lies between 0 and 1\. Given: 1\.2"),
        (lambda: tasks.mutated(binary(2), True), r"rate lies between 0 and 1\. Given: True"),
        (lambda: tasks.mutated(binary(2), levels=1), "levels must be a whole number, 2 or more"),
        (lambda: tasks.mutated(GREY), r"x has 2 levels from 0 to 1.* give levels=256"),
        (lambda: tasks.mutated(binary(2) * np.nan), "x has 2 levels from 0 to 1|finite"),
        (lambda: tasks.mutated(binary(2) * 2.0), "x has 2 levels from 0 to 1"),
        (
            lambda: tasks.likelihood_ratio(
                toy(), VAE((2, 4, 1), latent_dim=2, encoder=mlp(), decoder=mlp()), binary(2)
            ),
            r"Both models are of the same x\. Given: a model of \(4, 4, 1\) and a background of \(2, 4, 1\)",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(UserError, match=message):
        call()
