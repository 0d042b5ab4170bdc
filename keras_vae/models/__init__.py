"""The variants, one a file."""

from keras_vae.core import VAE as VAE
from keras_vae.models.beta_vae import BetaVAE as BetaVAE

MODELS = {"VAE": VAE, "BetaVAE": BetaVAE}
