"""p(x|z) as families: what a decoder's output means, its distribution, and its mean image.

A family turns the raw output of a decoder network, `channels_per_pixel` numbers for each channel of a pixel, into named
parameters, among them always `mean`, an image in [0, 1]. Those names are the outputs of an exported decoder.
"""

from collections.abc import Mapping
from typing import Any

from keras_vae.likelihoods.base import Likelihood as Likelihood
from keras_vae.likelihoods.base import soft_bound as soft_bound
from keras_vae.likelihoods.bernoulli import Bernoulli as Bernoulli
from keras_vae.likelihoods.bernoulli import ContinuousBernoulli as ContinuousBernoulli
from keras_vae.likelihoods.grey_levels import Categorical as Categorical
from keras_vae.likelihoods.grey_levels import LogisticMixture as LogisticMixture
from keras_vae.likelihoods.location_scale import Gaussian as Gaussian
from keras_vae.likelihoods.location_scale import Laplace as Laplace
from keras_vae.likelihoods.sequences import TokenSequence as TokenSequence
from keras_vae.likelihoods.sequences import TokenSequences as TokenSequences
from keras_vae.registry import build

LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "logistic_mixture": LogisticMixture,
}


def likelihood(spec: str | Mapping[str, Any] | Likelihood, **arguments: Any) -> Likelihood:
    """A `Likelihood` from a name, a mapping such as `{"name": "gaussian", "scale": "global"}`, or itself.

    Raises:
      UserError: an unknown name or argument.
    """
    return spec if isinstance(spec, Likelihood) else build("likelihood", spec, LIKELIHOODS, **arguments)
