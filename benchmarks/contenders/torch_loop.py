"""PyTorch by hand: modules, a fused Adam, batches gathered from one tensor."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

PACKAGES = ("torch",)


def networks(case: dict) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of a case, the same layers as this library's."""
    latent, outputs = case["latent_dim"], case["latent_dim"] * (1 if "entries" in case else 2)
    if case["network"] == "mlp":

        def chain(*sizes):
            layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
            return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])

        hidden = case["hidden"]
        encoder = nn.Sequential(nn.Flatten(), chain(784, *hidden, outputs))
        return encoder, nn.Sequential(chain(latent, *reversed(hidden), 784), nn.Unflatten(-1, (1, 28, 28)))
    first, second = case["filters"]
    flat, dense, codes = 49 * second, case["dense"], 49 if "entries" in case else 1
    encoder = nn.Sequential(
        nn.Conv2d(1, first, 4, 2, 1), nn.ReLU(), nn.Conv2d(first, second, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(flat, dense), nn.ReLU(), nn.Linear(dense, codes * outputs),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Flatten(), nn.Linear(codes * latent, dense), nn.ReLU(), nn.Linear(dense, flat), nn.ReLU(),
        nn.Unflatten(-1, (second, 7, 7)), nn.ConvTranspose2d(second, first, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(first, 1, 4, 2, 1),
    )  # fmt: skip
    return encoder, decoder


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        torch.manual_seed(0)
        self.case = case
        self.train, self.test = (torch.from_numpy(x).reshape(-1, 1, 28, 28) for x in (train, test))
        self.encoder, self.decoder = networks(case)
        if "entries" in case:
            self.codebook = 0.05 * torch.randn(case["entries"], case["latent_dim"])
            self.counts, self.sums, self.weight = torch.zeros(case["entries"]), torch.zeros_like(self.codebook), 0.0
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)

    def _log_px(self, x, z):
        logits = self.decoder(z)
        if len(logits) != len(x):
            logits = logits.reshape(-1, *x.shape)
            x = x.expand_as(logits)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(-3).sum(-1)

    def _bounds(self, x):
        samples = self.case["samples"]
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        noise = torch.randn(samples, *mean.shape)
        z = mean + torch.exp(0.5 * log_var) * noise
        log_px = self._log_px(x, z.flatten(0, 1))
        if samples == 1:
            return log_px - 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(-1)
        log_w = log_px + 0.5 * (noise**2 - z**2 + log_var).sum(-1)
        return log_w.logsumexp(0) - math.log(samples)

    def _quantised(self, x, training=True):
        """log p(x|z) minus the commitment, and moving averages of the codebook."""
        vectors = self.encoder(x).reshape(-1, self.case["latent_dim"])
        with torch.no_grad():
            distances = (self.codebook**2).sum(1) - 2 * vectors @ self.codebook.T
            codes = distances.argmin(1)
            entries = self.codebook[codes]
        log_px = self._log_px(x, (vectors + (entries - vectors).detach()).reshape(len(x), -1))
        if not training:
            return log_px
        with torch.no_grad():
            self.weight = 0.99 * self.weight + 0.01
            self.counts.mul_(0.99).add_(torch.bincount(codes, minlength=len(self.codebook)), alpha=0.01)
            self.sums.mul_(0.99).add_(torch.zeros_like(self.sums).index_add_(0, codes, vectors), alpha=0.01)
            used = (self.counts > 1e-5)[:, None]
            self.codebook = torch.where(used, self.sums / self.counts.clamp(min=1e-5)[:, None], self.codebook)
        return log_px - 0.25 * ((vectors - entries) ** 2).reshape(len(x), -1).sum(1)

    def epochs(self, count: int) -> None:
        size = self.case["batch_size"]
        bounds = self._quantised if "entries" in self.case else self._bounds
        for _ in range(count):
            for part in torch.randperm(len(self.train))[: len(self.train) // size * size].split(size):
                self.optimizer.zero_grad()
                (-bounds(self.train[part]).mean()).backward()
                self.optimizer.step()

    @torch.no_grad()
    def bound(self) -> float:
        """Of the test images, nats: the ELBO, the bound of as many samples, or log p(x|z) of integer codes."""
        test = self.test if self.case["samples"] == 1 else self.test[:1000]
        bounds = (lambda x: self._quantised(x, training=False)) if "entries" in self.case else self._bounds
        return float(torch.cat([bounds(part) for part in test.split(100)]).mean())
