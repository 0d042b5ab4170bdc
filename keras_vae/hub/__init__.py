"""Trained models to the Hugging Face Hub; `keras_vae.zoo.load` reads them by their addresses."""

from typing import TYPE_CHECKING

from keras_vae import lazy

if TYPE_CHECKING:
    from keras_vae.hub.pushing import push as push

__getattr__, __dir__, _ = lazy.attach(__name__)
