"""This library's `model.decode`, in Python with TensorFlow."""

import decoders
import numpy as np
from keras_vae_likelihood import PACKAGES, model_of

__all__ = ["PACKAGES", "Contender", "read"]
read = decoders.codes


class Contender(decoders.Decoder):
    def __init__(self, case: dict, codes: np.ndarray) -> None:
        super().__init__(case, codes)
        self.model = model_of(case)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.model.decode(codes)
