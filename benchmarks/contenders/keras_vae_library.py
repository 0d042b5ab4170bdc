"""This library on sparse counts, as `keras_vae_counts`, with a cell's total as an offset: what scvi-tools does."""

import keras_vae_counts
from keras_vae_counts import PACKAGES as PACKAGES
from keras_vae_counts import read as read
from scipy import sparse


class Contender(keras_vae_counts.Contender):
    def __init__(self, case: dict, counts: sparse.csr_matrix) -> None:
        super().__init__(case, counts, library="observed")
