"""Evaluation of a trained model: metrics with their standard errors, in nats unless stated otherwise.

`evaluate` returns all that apply to a model; the functions behind it take a model, or arrays of codes.

The slowest is importance-weighted log p(x), `model.log_prob`. benchmarks/likelihood.json has the time of 5,000
samples for each of MNIST's 10,000 test digits, as benchmarks/likelihood.py measures it.
"""

from typing import TYPE_CHECKING

from keras_vae import lazy

if TYPE_CHECKING:
    from keras_vae.core.estimators import bits_per_dim as bits_per_dim
    from keras_vae.evaluation.aggregate import aggregate_log_probs as aggregate_log_probs
    from keras_vae.evaluation.aggregate import gaussian_total_correlation as gaussian_total_correlation
    from keras_vae.evaluation.aggregate import kl_split as kl_split
    from keras_vae.evaluation.agreement import log_prob_agreement as log_prob_agreement
    from keras_vae.evaluation.annealing import annealed_importance as annealed_importance
    from keras_vae.evaluation.disentanglement import beta_vae_metric as beta_vae_metric
    from keras_vae.evaluation.disentanglement import dci as dci
    from keras_vae.evaluation.disentanglement import explicitness as explicitness
    from keras_vae.evaluation.disentanglement import factor_vae_metric as factor_vae_metric
    from keras_vae.evaluation.disentanglement import mig as mig
    from keras_vae.evaluation.disentanglement import modularity as modularity
    from keras_vae.evaluation.disentanglement import repeated as repeated
    from keras_vae.evaluation.disentanglement import sap as sap
    from keras_vae.evaluation.distances import frechet as frechet
    from keras_vae.evaluation.distances import memorisation as memorisation
    from keras_vae.evaluation.distances import precision_recall as precision_recall
    from keras_vae.evaluation.evaluation import Evaluation as Evaluation
    from keras_vae.evaluation.generation import condition_accuracy as condition_accuracy
    from keras_vae.evaluation.generation import mnist_fd as mnist_fd
    from keras_vae.evaluation.generation import reconstruction as reconstruction
    from keras_vae.evaluation.latent import active_units as active_units
    from keras_vae.evaluation.latent import codebook_usage as codebook_usage
    from keras_vae.evaluation.latent import collapse as collapse
    from keras_vae.evaluation.latent import kl_by_group as kl_by_group
    from keras_vae.evaluation.latent import kl_per_dimension as kl_per_dimension
    from keras_vae.evaluation.metrics import evaluate as evaluate
    from keras_vae.evaluation.representation import clustering as clustering
    from keras_vae.evaluation.representation import probes as probes
    from keras_vae.evaluation.spectra import power_spectrum as power_spectrum
    from keras_vae.evaluation.spectra import sharpness as sharpness

__getattr__, __dir__, __all__ = lazy.attach(__name__)
