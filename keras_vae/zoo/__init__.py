"""Trained models by name, each with its recipe and its measured numbers.

`names`, `card` and the files behind them need no TensorFlow; `load`, `prior`, `train` and `verify` import it when they
are used.
"""

from typing import TYPE_CHECKING

from keras_vae import lazy
from keras_vae.zoo.cards import Card as Card
from keras_vae.zoo.cards import card as card
from keras_vae.zoo.store import names as names

if TYPE_CHECKING:
    from keras_vae.zoo.fitted import prior as prior
    from keras_vae.zoo.runs import load as load
    from keras_vae.zoo.runs import train as train
    from keras_vae.zoo.verifying import verify as verify

__getattr__, __dir__, _ = lazy.attach(__name__)
