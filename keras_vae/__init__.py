"""Variational autoencoders on TensorFlow and Keras: trained, measured, exported."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_vae import callbacks as callbacks
    from keras_vae import data as data
    from keras_vae import divergences as divergences
    from keras_vae import evaluation as evaluation
    from keras_vae import export as export
    from keras_vae import likelihoods as likelihoods
    from keras_vae import models as models
    from keras_vae import networks as networks
    from keras_vae import priors as priors
    from keras_vae import runtimes as runtimes
    from keras_vae import schedules as schedules
    from keras_vae import tasks as tasks
    from keras_vae import zoo as zoo

__all__ = [
    "__version__",
    "callbacks",
    "data",
    "divergences",
    "evaluation",
    "export",
    "likelihoods",
    "models",
    "networks",
    "priors",
    "runtimes",
    "schedules",
    "tasks",
    "zoo",
]

_MODULES = __all__[1:]
__version__: str


def __getattr__(name: str) -> Any:
    # Lazy (PEP 562): listing the zoo or running an exported decoder never imports TensorFlow.
    if name in _MODULES:
        return importlib.import_module(f"keras_vae.{name}")
    if name == "__version__":
        metadata = importlib.import_module("importlib.metadata")
        try:
            return metadata.version("keras_vae")
        except metadata.PackageNotFoundError:  # a checkout that was not installed
            return "0+unknown"
    raise AttributeError(f"module 'keras_vae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
