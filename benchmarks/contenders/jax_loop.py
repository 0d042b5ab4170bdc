"""JAX by hand: one jitted step with donated state, Optax's Adam, batches gathered inside it."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

PACKAGES = ("jax", "optax")


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        self.case, self.test = case, jnp.asarray(test.reshape(-1, 784))
        self.train = jnp.asarray(train.reshape(-1, 784).astype("uint8"))
        hidden, latent = case["hidden"], case["latent_dim"]
        generator, self.order = np.random.default_rng(0), np.random.default_rng(1)

        def chain(*sizes):
            pairs = list(itertools.pairwise(sizes))
            limits = [math.sqrt(6 / (a + b)) for a, b in pairs]
            kernels = (generator.uniform(-limit, limit, pair) for limit, pair in zip(limits, pairs, strict=True))
            return [(jnp.asarray(kernel, "float32"), jnp.zeros(kernel.shape[1])) for kernel in kernels]

        weights = {"encoder": chain(784, *hidden, 2 * latent), "decoder": chain(latent, *reversed(hidden), 784)}
        optimizer = optax.adam(1e-3)
        self.state = weights, optimizer.init(weights), jax.random.key(2)

        def step(state, train, part):
            weights, moments, key = state
            key, noise = jax.random.split(key)
            x = train[part].astype("float32")
            loss, gradients = jax.value_and_grad(lambda weights: -self._bounds(weights, x, noise).mean())(weights)
            updates, moments = optimizer.update(gradients, moments)
            return (optax.apply_updates(weights, updates), moments, key), loss

        self.step = jax.jit(step, donate_argnums=0)
        self._bound = jax.jit(lambda weights, x: self._bounds(weights, x, jax.random.key(3)).mean())

    def _bounds(self, weights, x, key):
        def dense(layers, x):
            for kernel, bias in layers[:-1]:
                x = jax.nn.relu(x @ kernel + bias)
            return x @ layers[-1][0] + layers[-1][1]

        samples = self.case["samples"]
        mean, log_var = jnp.split(dense(weights["encoder"], x), 2, axis=-1)
        noise = jax.random.normal(key, (samples, *mean.shape))
        z = mean + jnp.exp(0.5 * log_var) * noise
        logits = dense(weights["decoder"], z.reshape(-1, z.shape[-1])).reshape(samples, -1, 784)
        log_px = (x * logits - jax.nn.softplus(logits)).sum(-1)
        if samples == 1:
            return log_px[0] - 0.5 * (mean**2 + jnp.exp(log_var) - 1 - log_var).sum(-1)
        log_w = log_px + 0.5 * (noise**2 - z**2 + log_var).sum(-1)
        return jax.nn.logsumexp(log_w, axis=0) - math.log(samples)

    def epochs(self, count: int) -> None:
        size = self.case["batch_size"]
        for _ in range(count):
            order = self.order.permutation(len(self.train))[: len(self.train) // size * size]
            for part in order.reshape(-1, size):
                self.state, _ = self.step(self.state, self.train, part)
            jax.block_until_ready(self.state)

    def bound(self) -> float:
        """The ELBO of the test images, or the bound of as many samples for 1,000 of them, nats."""
        test = self.test if self.case["samples"] == 1 else self.test[:1000]
        weights = self.state[0]
        return float(np.mean([self._bound(weights, test[start : start + 100]) for start in range(0, len(test), 100)]))
