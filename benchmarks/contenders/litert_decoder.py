"""This library's bundle, opened with LiteRT."""

import decoders
import onnxruntime_decoder

PACKAGES = ("keras-vae", "ai-edge-litert")
read = decoders.codes


class Contender(onnxruntime_decoder.Contender):
    name = "litert"
