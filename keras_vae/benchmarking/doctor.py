"""The devices, versions and settings that a machine trains and runs models with, and the faults among them."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_vae.benchmarking import machine
from keras_vae.runtimes.registry import version_of

_TRAINING = ("tensorflow", "keras", "tensorflow-probability", "numpy")
_RUNTIMES = ("onnxruntime", "openvino", "ai-edge-litert")
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def diagnose() -> dict[str, Any]:
    """Describe what this machine trains and runs models with.

    Returns:
      `machine`, as `machine.describe` has it; `versions` of packages, None where one is not installed; `devices` that
      TensorFlow computes on, by kind and name, None without TensorFlow; `import_error`, why it is installed and cannot
      be imported; `backend`, which Keras is set to; `xla`, "cpu" or "gpu": what the compiled
      training step is compiled for; `graphics`, NVIDIA's cards as their driver names them; `threads`, the variables
      that limit them; `problems`, a sentence with a remedy for whatever makes training fail or slow.
    """
    versions = {name: version_of(name) for name in (*_TRAINING, *_RUNTIMES)}
    keras_backend = _keras_backend()
    devices, failure = _devices() if versions["tensorflow"] and keras_backend == "tensorflow" else (None, None)
    facts = {
        "machine": machine.describe(),
        "versions": versions,
        "backend": keras_backend,
        "devices": devices,
        "import_error": failure,
        "xla": None if devices is None else "gpu" if any(row["kind"] == "GPU" for row in devices) else "cpu",
        "graphics": _graphics(),
        "threads": {name: os.environ.get(name) for name in _THREADS},
    }
    return {**facts, "problems": problems(facts)}


def problems(facts: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that is wrong, as `diagnose` found it, with its remedy."""
    of, sentences = facts["machine"], []
    if missing := [name for name in _TRAINING if facts["versions"][name] is None]:
        sentences.append(f"Training needs {', '.join(missing)}: pip install keras_vae.")
    if facts["import_error"]:
        sentences.append(
            f"TensorFlow {facts['versions']['tensorflow']} is installed and fails ({facts['import_error']}): "
            f"make a new environment, and pip install keras_vae there."
        )
    if facts["backend"] != "tensorflow":
        sentences.append(
            f"Models run on Keras's TensorFlow backend, and Keras is set to {facts['backend']}: set "
            f"KERAS_BACKEND=tensorflow, or change ~/.keras/keras.json."
        )
    if facts["graphics"] and facts["devices"] is not None and facts["xla"] == "cpu":
        sentences.append(
            f"There is {' and '.join(facts['graphics'])}, and TensorFlow sees no GPU: its CUDA libraries are missing, "
            f'or it was hidden by CUDA_VISIBLE_DEVICES. pip install "keras_vae[gpu]".'
        )
    for name, value in facts["threads"].items():
        if value and value.isdigit() and 0 < int(value) < of["processors"] and name != "TF_NUM_INTEROP_THREADS":
            sentences.append(f"{name}={value} leaves {of['processors'] - int(value)} processors idle: unset it.")
    if of["quota"] is not None and of["quota"] < of["processors"]:
        sentences.append(
            f"The control group allows {of['quota']:g} processors' worth of time, and {of['processors']} are visible: "
            f"threads will wait for each other. Set OMP_NUM_THREADS and --threads to {max(1, int(of['quota']))}."
        )
    if of["environment"].get("TF_ENABLE_ONEDNN_OPTS") == "0":
        sentences.append("TF_ENABLE_ONEDNN_OPTS=0 turns off TensorFlow's fast kernels: unset it.")
    return sentences + machine.warnings(of)


def _devices() -> tuple[list[dict[str, str]] | None, str | None]:
    """The devices, or the reason why TensorFlow cannot say."""
    try:
        from keras_vae import backend

        return backend.devices(), None
    except Exception as error:  # whatever a broken installation raises
        return None, f"{type(error).__name__}: {error}"


def _keras_backend() -> str:
    """The backend that Keras would take, read as Keras does, without importing it: one that is missing fails there."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return str(json.loads((folder / "keras.json").read_text(encoding="utf-8")).get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def _graphics() -> list[str]:
    """NVIDIA's cards, as the program of their driver lists them; none without it."""
    if not (program := shutil.which("nvidia-smi")):
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()] if not listed.returncode else []
