"""The engine: the equation and its step, training around it, and inference."""

from keras_vae.core.vae import VAE as VAE
from keras_vae.core.vae import Batch as Batch
from keras_vae.core.vae import Player as Player
from keras_vae.core.vae import Terms as Terms
