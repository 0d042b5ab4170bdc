"""The decoder as a module of PyTorch, eager."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import decoders
import numpy as np
import torch
from torch_loop import networks

PACKAGES = ("torch",)
read = decoders.codes


def module(case: dict) -> torch.nn.Module:
    """The decoder, with untrained weights."""
    return torch.nn.Sequential(networks({**case, "network": "mlp"})[1], torch.nn.Sigmoid()).eval()


class Contender(decoders.Decoder):
    def __init__(self, case: dict, codes: np.ndarray) -> None:
        super().__init__(case, codes)
        self.module = module(case)

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.module(torch.from_numpy(codes)).numpy()
