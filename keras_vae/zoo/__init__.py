"""Trained models by name, each with its recipe and its measured numbers.

`names`, `card` and `push` need no TensorFlow; `load`, `prior`, `train` and `verify` import it when they are called.
"""

from typing import TYPE_CHECKING

from keras_vae import lazy
from keras_vae.zoo.cards import Card as Card
from keras_vae.zoo.cards import card as card
from keras_vae.zoo.store import names as names

if TYPE_CHECKING:
    from keras_vae.hub.pushing import push as push
    from keras_vae.zoo.loading import load as load
    from keras_vae.zoo.priors import prior as prior
    from keras_vae.zoo.training import train as train
    from keras_vae.zoo.trust import allow_code as allow_code
    from keras_vae.zoo.verifying import verify as verify

__getattr__, __dir__, _ = lazy.attach(__name__)
