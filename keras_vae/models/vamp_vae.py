"""VAE with a VampPrior."""

from typing import Any

import keras
import numpy as np
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae.arrays import check_whole_number
from keras_vae.core import VAE


@keras.saving.register_keras_serializable(package="keras_vae")
class VampVAE(VAE):
    """A VAE whose prior is the mixture of its own posteriors at learned pseudo-inputs u_k: (1/K) sum_k q(z|u_k).

    Equation 9 of Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120. The pseudo-inputs are images in [0, 1], a
    sigmoid of what is learned. The KL has no closed form: it is log q(z|x) - log p(z) at the sample.

    Args:
      pseudo_inputs: K, the number of components.
      **kwargs: as `VAE`.
    """

    analytic_kl = False

    def __init__(self, pseudo_inputs: int = 500, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pseudo_inputs = check_whole_number(pseudo_inputs, "pseudo_inputs")
        start = np.random.default_rng(self.seed).normal(-2.0, 0.5, (self.pseudo_inputs, *self.image_shape))
        self.raw_pseudo_inputs = self.add_weight(shape=start.shape, initializer="zeros", name="pseudo_inputs")
        self.raw_pseudo_inputs.assign(start)

    def prior(self, condition: Any = None) -> tfd.Distribution:
        """The mixture of the posteriors at the pseudo-inputs; batch shape `()`, event shape `(latent_dim,)`."""
        components = self.posterior(ops.sigmoid(ops.cast(self.raw_pseudo_inputs, self.float_dtype)))
        equal = tfd.Categorical(logits=ops.zeros((self.pseudo_inputs,), self.float_dtype))
        return tfd.MixtureSameFamily(equal, components)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pseudo_inputs": self.pseudo_inputs}
