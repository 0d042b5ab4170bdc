"""pythae's `VAE.get_nll`, which takes one digit after the other."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae_trainer import Decoder, Encoder
from torch_loop import networks

PACKAGES = ("pythae", "torch")
_ROWS = 1000  # codes in a pass; a divisor of the samples, as pythae drops what is left


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        torch.manual_seed(0)
        encoder, decoder = networks({**case, "network": "mlp"})
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=case["latent_dim"], reconstruction_loss="bce")
        self.model = VAE(config, Encoder(encoder), Decoder(decoder)).eval()
        self.digits = torch.from_numpy(test[: case["examples"]]).reshape(-1, 1, 28, 28)
        self.samples = case["samples"]

    @torch.no_grad()
    def epochs(self, count: int) -> None:
        for _ in range(count):
            self.model.get_nll(self.digits, self.samples, batch_size=_ROWS)
