"""This library's bundle, opened with ONNX Runtime."""

import decoders
import numpy as np

from keras_vae import runtimes

PACKAGES = ("keras-vae", "onnxruntime")
read = decoders.codes


class Contender(decoders.Decoder):
    name = "onnxruntime"

    def __init__(self, case: dict, codes: np.ndarray) -> None:
        super().__init__(case, codes)
        self.runtime = runtimes.open(case["bundle"], self.name)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.runtime.decode(codes)
