"""The decoder of PyTorch, traced and frozen by TorchScript, as it would be deployed to C++."""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

from typing import Any

import decoders
import numpy as np
import torch
from torch_decoder import Contender as Eager

PACKAGES = ("torch",)
read = decoders.codes


class Contender(Eager):
    def __init__(self, case: dict, codes: np.ndarray) -> None:
        super().__init__(case, codes)
        traced: Any = torch.jit.trace(self.module, torch.from_numpy(codes))
        self.module = torch.jit.freeze(traced)
