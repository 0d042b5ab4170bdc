"""Encode images and decode codes with an exported bundle: onnxruntime and numpy, nothing else.

python vae.py out/ encode images.npy codes.npy    # images: float32 in [0, 1], (batch, height, width, channels)
python vae.py out/ decode codes.npy images.npy    # add condition=labels.npy to either for a conditional model
An .npz holds all outputs, or all inputs, by name: what a code of several levels needs."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def run(bundle: Path, signature: str, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, dict]:
    """The result, and every output, of the graph "encode" or "decode"; the array named "" is its first input."""
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    files = manifest["formats"]["onnx"]["files"]
    name = next(name for name, graph in manifest["graphs"].items() if graph["signature"] == signature and name in files)
    inputs, feeds = manifest["graphs"][name]["inputs"], {}
    for place, (key, spec) in enumerate(inputs.items()):
        array, low = arrays.get(key if place or key in arrays else ""), 0 - (spec["kind"] == "label")
        if array is None or [None, *array.shape[1:]] != spec["shape"]:
            raise SystemExit(f"{key} must have shape {spec['shape']}. Given: {getattr(array, 'shape', 'nothing')}.")
        if "classes" in spec and not np.isin(array, np.arange(low, spec["classes"])).all():
            raise SystemExit(f"{key} must be whole numbers from {low} to {spec['classes'] - 1}.")
        feeds[key] = np.ascontiguousarray(array, spec["dtype"])
    session = onnxruntime.InferenceSession(bundle / files[name], providers=["CPUExecutionProvider"])
    outputs = dict(zip([each.name for each in session.get_outputs()], session.run(None, feeds), strict=True))
    return outputs[manifest["graphs"][name]["result"]], outputs


if __name__ == "__main__":
    if len(sys.argv) < 5 or sys.argv[2] not in ("encode", "decode"):
        raise SystemExit(__doc__)
    loaded = {key: np.load(file) for key, file in (each.split("=", 1) for each in ["=" + sys.argv[3], *sys.argv[5:]])}
    loaded |= dict(loaded.pop("")) if sys.argv[3].endswith(".npz") else {}
    result, outputs = run(Path(sys.argv[1]), sys.argv[2], loaded)
    np.savez(sys.argv[4], **outputs) if sys.argv[4].endswith(".npz") else np.save(sys.argv[4], result)
