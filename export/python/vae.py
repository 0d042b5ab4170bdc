"""Encode images and decode codes with an exported bundle: onnxruntime and numpy, nothing else.

python vae.py out/ encode images.npy codes.npy    # images: float32 in [0, 1], (batch, height, width, channels)
python vae.py out/ decode codes.npy images.npy    # codes: float32, (batch, latent_dim)
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime


def run(bundle: Path, signature: str, array: np.ndarray) -> np.ndarray:
    """The result of one graph of the bundle, the one with this signature: "encode" or "decode"."""
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    files = manifest["formats"]["onnx"]["files"]
    name = next(name for name, graph in manifest["graphs"].items() if graph["signature"] == signature and name in files)
    graph = manifest["graphs"][name]
    ((input_name, expected),) = graph["inputs"].items()
    if array.ndim != len(expected["shape"]) or list(array.shape[1:]) != expected["shape"][1:]:
        raise SystemExit(f"{input_name} must have shape {expected['shape']}. Given: {array.shape}.")
    session = onnxruntime.InferenceSession(bundle / files[name], providers=["CPUExecutionProvider"])
    return session.run([graph["result"]], {input_name: np.ascontiguousarray(array, expected["dtype"])})[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="the folder that `keras-vae export` wrote")
    parser.add_argument("signature", choices=("encode", "decode"))
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    np.save(given.output, run(given.bundle, given.signature, np.load(given.input, allow_pickle=False)))
