"""Autoencoder, the baseline."""

from types import MappingProxyType

import keras

from keras_vae.backend import tfd
from keras_vae.core import VAE
from keras_vae.errors import NotApplicable
from keras_vae.types import Condition


@keras.saving.register_keras_serializable(package="keras_vae")
class AE(VAE):
    """Autoencoder: minimises -log p(x|z) at z = encoder(x), in nats per example. No noise, no prior, no KL.

    Section 2 of Hinton and Salakhutdinov 2006, https://doi.org/10.1126/science.1127647. It has no distribution over
    codes, and so neither an ELBO nor log p(x); it samples from a prior of `keras_vae.priors` that is fitted afterwards.

    Args:
      **kwargs: as `VAE`, but for `beta` and `free_bits`; the encoder gives `latent_dim` numbers.
    """

    stochastic = False
    has_sampler = False
    rejects = MappingProxyType({"beta": "It has no KL. ", "free_bits": "It has no KL. "})

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """There is none.

        Raises:
          NotApplicable: always.
        """
        raise NotApplicable(
            "An AE has no prior to sample from. Give sample(prior=) one that is fitted to its codes, as by "
            "keras_vae.priors.MixturePrior().fit(model, train_images), or use a VAE, a WAE or an RAE."
        )
