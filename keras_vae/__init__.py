"""Variational autoencoders on TensorFlow and Keras: trained, measured, exported."""

from typing import TYPE_CHECKING, Any

from keras_vae import lazy

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
    from keras_vae.registry import register as register

__version__: str
_module, __dir__, _modules = lazy.attach(__name__)
__all__ = ["__version__", *_modules]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("keras_vae")
        except metadata.PackageNotFoundError:  # a checkout that was not installed
            return "0+unknown"
    return _module(name)
