"""Tasks for trained models, one a file: anomaly detection, interpolation, traversal, imputation and others."""

from typing import TYPE_CHECKING

from keras_vae import lazy

if TYPE_CHECKING:
    from keras_vae.core.filling import fill_in as fill_in
    from keras_vae.tasks.anomaly import anomaly_scores as anomaly_scores
    from keras_vae.tasks.anomaly import detection as detection
    from keras_vae.tasks.anomaly import judge as judge
    from keras_vae.tasks.anomaly import leave_one_class_out as leave_one_class_out
    from keras_vae.tasks.anomaly import one_class as one_class
    from keras_vae.tasks.anomaly import threshold as threshold
    from keras_vae.tasks.attributes import attribute_vector as attribute_vector
    from keras_vae.tasks.attributes import with_attribute as with_attribute
    from keras_vae.tasks.background import likelihood_ratio as likelihood_ratio
    from keras_vae.tasks.background import mutated as mutated
    from keras_vae.tasks.classifier import classifier_on as classifier_on
    from keras_vae.tasks.classifier import m1_classifier as m1_classifier
    from keras_vae.tasks.compression import code_length as code_length
    from keras_vae.tasks.embedding import to_plane as to_plane
    from keras_vae.tasks.fine_tuning import fine_tune as fine_tune
    from keras_vae.tasks.fine_tuning import predictions_from_few_labels as predictions_from_few_labels
    from keras_vae.tasks.imputation import impute as impute
    from keras_vae.tasks.interpolation import interpolate as interpolate
    from keras_vae.tasks.manifold import latent_plane as latent_plane
    from keras_vae.tasks.masks import half_observed as half_observed
    from keras_vae.tasks.steps import highest as highest
    from keras_vae.tasks.steps import step_scores as step_scores
    from keras_vae.tasks.transformer import VAETransformer as VAETransformer
    from keras_vae.tasks.traversal import traverse as traverse
    from keras_vae.zoo.trained_transformer import TrainedTransformer as TrainedTransformer

__getattr__, __dir__, __all__ = lazy.attach(__name__)
