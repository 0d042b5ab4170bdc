"""The ELBO and its terms, and importance-weighted log-likelihood: one value an example, nats."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae import divergences, randomness
from keras_vae.arrays import BLOCK, in_blocks

# Draws in one call of the compiled function: with a block of examples, enough rows to keep the matrix products busy
# and few enough to stay in memory.
_CHUNK = 32


def elbo_terms(model: Any, inputs: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """`elbo`, `log_px` and `kl` of each example, each `(batch,)`, in nats, from one draw of q(z|x).

    Args:
      model: has `terms`.
      inputs: "x", checked images, and "condition" where the model has one.
      seed: the noise of an example depends on it and on the example's position, not on how many there are.
    """
    base = randomness.seed_of(seed, randomness.EVALUATION)

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        batch = {"x": part["x"]} | ({"y": part["condition"]} if "condition" in part else {})
        return model.functions.elbo_terms(batch, randomness.fold(base, block))

    return in_blocks(one_block, inputs, pad=True)


def importance_weighted(model: Any, inputs: Mapping[str, np.ndarray], samples: int, seed: int) -> np.ndarray:
    """log (1/S) sum_s w_s for S importance weights w = p(x, z) / q(z|x), z from q(z|x): one value an example, nats.

    A lower bound of log p(x) in expectation, tight as S grows: equation 8 of Burda et al. 2016,
    https://arxiv.org/abs/1509.00519.

    Args:
      model: has `log_weights(x, samples, seed, condition)`.
      inputs: "x", checked images, and "condition" where the model has one.
      samples: S.
      seed: the noise of an example depends on it and on the example's position.
    """
    base = randomness.seed_of(seed, randomness.EVALUATION)
    sizes = [min(_CHUNK, samples - start) for start in range(0, samples, _CHUNK)]

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> np.ndarray:
        tensors = {name: tf.constant(array) for name, array in part.items()}
        total = np.full(BLOCK, -np.inf)
        for chunk, size in enumerate(sizes):
            log_sum = model.functions.log_sum_weights(tensors, size, randomness.fold(base, block, chunk))
            total = np.logaddexp(total, log_sum.numpy())
        return total - np.log(samples)

    return in_blocks(one_block, inputs, pad=True)


class CompiledFunctions:
    """The graphs that the public methods of one model call, traced on first use.

    A plain object: Keras looks into a model's own attributes when it saves, and these are nothing to save.
    """

    def __init__(self, model: Any) -> None:
        self.posterior_parameters = tf.function(model.posterior_parameters, reduce_retracing=True, autograph=False)
        self.likelihood_parameters = tf.function(model.likelihood_parameters, reduce_retracing=True, autograph=False)

        @tf.function(reduce_retracing=True, autograph=False)
        def elbo_terms(batch: Mapping[str, Any], seed: Any) -> dict[str, Any]:
            with model.draws.using(seed):
                terms = model.terms(batch, training=False)
            kl = ops.sum(terms.kl, axis=-1)
            return {"elbo": terms.log_px - kl, "log_px": terms.log_px, "kl": kl}

        @tf.function(reduce_retracing=True, autograph=False)
        def kl(inputs: Mapping[str, Any], seed: Any) -> Any:
            condition = inputs.get("condition")
            posterior, prior = model.posterior(inputs["x"], condition), model.prior(condition)
            if model.analytic_kl:
                return divergences.kl(posterior, prior)
            return divergences.sampled_kl(posterior, prior, posterior.sample(seed=seed))

        @tf.function(jit_compile=True, autograph=False)
        def log_sum_weights(inputs: Mapping[str, Any], samples: int, seed: Any) -> Any:
            return ops.logsumexp(model.log_weights(samples=samples, seed=seed, **inputs), axis=0)

        self.elbo_terms, self.kl, self.log_sum_weights = elbo_terms, kl, log_sum_weights
        self._further: dict[str, Any] = {}

    def of(self, method: Any) -> Any:
        """The graph of another of the model's methods, from tensors to tensors."""
        name = method.__name__
        if name not in self._further:
            self._further[name] = tf.function(method, reduce_retracing=True, autograph=False)
        return self._further[name]
