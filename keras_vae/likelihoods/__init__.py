"""p(x|z) as families: what a decoder's output means, its distribution, its mean, and which numbers x may hold.

A family turns the raw output of a decoder network, `channels_per_pixel` numbers for each number of an x, into named
parameters, among them always `mean`, for images one in [0, 1]. Those names are the outputs of an exported decoder.
"""

from collections.abc import Mapping
from typing import Any

from keras_vae.backend import soft_bound as soft_bound
from keras_vae.likelihoods.base import Likelihood as Likelihood
from keras_vae.likelihoods.bernoulli import Bernoulli as Bernoulli
from keras_vae.likelihoods.bernoulli import ContinuousBernoulli as ContinuousBernoulli
from keras_vae.likelihoods.counted import Binomial as Binomial
from keras_vae.likelihoods.counted import Multinomial as Multinomial
from keras_vae.likelihoods.grey_levels import Categorical as Categorical
from keras_vae.likelihoods.grey_levels import LogisticMixture as LogisticMixture
from keras_vae.likelihoods.location_scale import Gaussian as Gaussian
from keras_vae.likelihoods.location_scale import Laplace as Laplace
from keras_vae.likelihoods.location_scale import LogNormal as LogNormal
from keras_vae.likelihoods.location_scale import Normal as Normal
from keras_vae.likelihoods.location_scale import StudentT as StudentT
from keras_vae.likelihoods.mixed import Mixed as Mixed
from keras_vae.likelihoods.observed import Observed as Observed
from keras_vae.likelihoods.rates import NegativeBinomial as NegativeBinomial
from keras_vae.likelihoods.rates import Poisson as Poisson
from keras_vae.likelihoods.rates import ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial
from keras_vae.likelihoods.sequences import TokenSequence as TokenSequence
from keras_vae.likelihoods.sequences import TokenSequences as TokenSequences
from keras_vae.registry import Entries, build

LIKELIHOODS: Entries[type[Likelihood]] = Entries(
    "likelihoods",
    {
        "bernoulli": Bernoulli,
        "binomial": Binomial,
        "categorical": Categorical,
        "continuous_bernoulli": ContinuousBernoulli,
        "gaussian": Gaussian,
        "laplace": Laplace,
        "log_normal": LogNormal,
        "logistic_mixture": LogisticMixture,
        "mixed": Mixed,
        "multinomial": Multinomial,
        "negative_binomial": NegativeBinomial,
        "normal": Normal,
        "poisson": Poisson,
        "student_t": StudentT,
        "zero_inflated_negative_binomial": ZeroInflatedNegativeBinomial,
    },
)


def likelihood(spec: str | Mapping[str, Any] | Likelihood, **arguments: Any) -> Likelihood:
    """A `Likelihood` from a name, a mapping such as `{"name": "gaussian", "scale": "global"}`, or itself.

    Raises:
      UserError: an unknown name or argument.
    """
    return spec if isinstance(spec, Likelihood) else build("likelihood", spec, LIKELIHOODS, **arguments)
