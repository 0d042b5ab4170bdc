"""Run a graph of a bundle: python vae.py out/ (encoder|decoder) input.npy output.npy [condition=labels.npy]"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def run(bundle: Path, name: str, given: np.ndarray | dict, **named: np.ndarray) -> dict:
    """The outputs of a graph by name, its result first. `given`: its first input, or inputs by name as in `named`."""
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    graph, file = manifest["graphs"][name], manifest["formats"]["onnx"]["files"][name]
    model = (bundle / file).read_bytes() if file == Path(file).name else b""  # of no other folder
    if hashlib.sha256(model).hexdigest() != manifest["files"][file]["sha256"]:
        raise SystemExit(f"{file} is not the file that was exported. Export the model again.")
    feeds = ({next(iter(graph["inputs"])): given} if isinstance(given, np.ndarray) else dict(given)) | named
    for key, spec in graph["inputs"].items():
        if key not in feeds or [None, *feeds[key].shape[1:]] != spec["shape"]:
            raise SystemExit(f"{key} must have shape {spec['shape']}. Given: {getattr(feeds.get(key), 'shape', None)}.")
        allowed = range(-1 if spec["kind"] == "label" and spec.get("missing", True) else 0, spec.get("classes", 0))
        if allowed and not np.isin(feeds[key], allowed).all():  # -1 is unlabelled
            raise SystemExit(f"{key} must be whole numbers from {allowed[0]} to {allowed[-1]}.")
        feeds[key] = feeds[key].astype(spec["dtype"])
    options = onnxruntime.SessionOptions()  # weights in further files are sought below a file: nowhere
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(bundle / file))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = sorted(graph["outputs"], key=lambda output: output != graph["result"])
    return dict(zip(names, session.run(names, {key: feeds[key] for key in graph["inputs"]}), strict=True))


if __name__ == "__main__":
    if len(sys.argv) < 5 or sys.argv[2] not in ("encoder", "decoder"):
        raise SystemExit(__doc__)
    named = {name: np.load(file) for name, file in (word.split("=", 1) for word in sys.argv[5:])}
    found = run(Path(sys.argv[1]), sys.argv[2], np.load(sys.argv[3]), **named)
    np.savez(sys.argv[4], **found) if sys.argv[4].endswith(".npz") else np.save(sys.argv[4], next(iter(found.values())))
