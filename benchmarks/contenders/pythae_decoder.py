"""The decoder of a model of pythae."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import decoders
import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae_trainer import Decoder, Encoder
from torch_loop import networks

PACKAGES = ("pythae", "torch")
read = decoders.codes


class Contender(decoders.Decoder):
    def __init__(self, case: dict, codes: np.ndarray) -> None:
        super().__init__(case, codes)
        encoder, decoder = networks({**case, "network": "mlp"})
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=case["latent_dim"], reconstruction_loss="bce")
        self.model = VAE(config, Encoder(encoder), Decoder(decoder)).eval()

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.model.decoder(torch.from_numpy(codes)).reconstruction.numpy()
