"""In every variant's step log p(x|z), and the KL where it has one, come from TensorFlow Probability's distributions."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tests.conformance.cases import WITHOUT, every_model, examples, labels, make


@pytest.fixture
def calls(monkeypatch):
    """The event shape of each distribution that was asked for a density, and the types of each pair asked for a KL."""
    densities, divergences = [], []
    log_prob, kl = tfd.Distribution._call_log_prob, tfd.kl_divergence

    def recorded_log_prob(self, *arguments, **keywords):
        densities.append(self.event_shape)
        return log_prob(self, *arguments, **keywords)

    def recorded_kl(posterior, prior, *arguments, **keywords):
        divergences.append((posterior, prior))
        return kl(posterior, prior, *arguments, **keywords)

    monkeypatch.setattr(tfd.Distribution, "_call_log_prob", recorded_log_prob)
    monkeypatch.setattr(tfd, "kl_divergence", recorded_kl)
    return densities, divergences


@every_model
def test_densities_and_divergences_are_of_distributions(name, calls):
    densities, divergences = calls
    model = make(name)
    x, y = examples(model)[:8], labels(model)
    batch = {"x": tf.constant(x)} | ({} if y is None else {"y": tf.constant(y[:8])})
    with model.draws.using((0, 1)):
        terms = model.terms(batch, training=True)
    assert [shape for shape in densities if shape == x.shape[1:]], "log p(x|z) is a likelihood's"
    if name not in WITHOUT["elbo"]:
        codes = [shape for shape in densities if shape != x.shape[1:]]
        assert codes or divergences, "the KL is closed, or log q(z|x) - log p(z)"
        assert all(isinstance(each, tfd.Distribution) for pair in divergences for each in pair)
        assert np.abs(terms.kl).max() > 0


@every_model
def test_posterior_prior_and_likelihood_are_distributions(name):
    model = make(name)
    x, y = examples(model)[:8], labels(model)
    condition = None if y is None else tf.constant(y[:8])
    posterior = model.posterior(tf.constant(x), condition)
    z = posterior.sample(seed=(0, 1))
    assert isinstance(posterior, tfd.Distribution) and posterior.batch_shape == (8,)
    assert isinstance(model.likelihood(z, condition), tfd.Distribution)
    if name not in WITHOUT["sample"]:
        assert isinstance(model.prior(condition), tfd.Distribution)
        assert model.prior(condition).event_shape == posterior.event_shape
