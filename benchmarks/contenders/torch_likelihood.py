"""log p(x) in PyTorch by hand: encodes once, decodes chunks of codes of several digits, sums in float64."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch_loop import networks

PACKAGES = ("torch",)
_ROWS = 8192  # codes in a chunk


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        torch.manual_seed(0)
        self.digits = torch.from_numpy(test[: case["examples"]]).flatten(1)
        self.encoder, self.decoder = networks({**case, "network": "mlp"})
        self.samples = case["samples"]

    @torch.no_grad()
    def log_prob(self) -> torch.Tensor:
        """log p(x) of each digit, nats."""
        mean, log_var = self.encoder(self.digits).chunk(2, dim=-1)
        spread, size = torch.exp(0.5 * log_var), max(1, _ROWS // len(self.digits))
        total = torch.full((len(self.digits),), -torch.inf, dtype=torch.float64)
        for first in range(0, self.samples, size):
            noise = torch.randn(min(size, self.samples - first), *mean.shape)
            z = mean + spread * noise
            logits = self.decoder(z.flatten(0, 1)).reshape(len(noise), len(self.digits), -1)
            log_px = -F.binary_cross_entropy_with_logits(
                logits, self.digits.expand_as(logits), reduction="none"
            ).sum(-1)  # fmt: skip
            log_w = log_px + 0.5 * (noise**2 - z**2 + log_var).sum(-1)
            total = torch.logaddexp(total, log_w.double().logsumexp(0))
        return total - math.log(self.samples)

    def epochs(self, count: int) -> None:
        for _ in range(count):
            self.log_prob()
