"""What a worker has imported before it is forked. No operation is run: threads do not survive a fork."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import ai_edge_litert.interpreter  # noqa: E402, F401
import h5py  # noqa: E402, F401
import onnx  # noqa: E402, F401
import onnxruntime  # noqa: E402, F401
import openvino  # noqa: E402, F401
import tensorflow  # noqa: E402, F401

import keras_vae.cli  # noqa: E402
import keras_vae.data.sources  # noqa: E402
import keras_vae.export.assemble  # noqa: E402
import keras_vae.pages.demo  # noqa: E402
import keras_vae.priors  # noqa: E402
import keras_vae.zoo.training  # noqa: E402, F401
