"""Classifiers on the codes, or on the encoder, of a model."""

from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_vae import randomness
from keras_vae.checks import as_array, check_number, check_whole_number
from keras_vae.errors import UserError
from keras_vae.tasks.codes import Codes, flatten, real_codes
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


class FlattenCodes(TransformerMixin, BaseEstimator):
    """The first step of a pipeline on codes: an array or a dict of levels to one table."""

    def fit(self, X: Codes, y: ArrayLike | None = None) -> "FlattenCodes":
        """Return the transformer; nothing is learned."""
        return self

    def transform(self, X: Codes) -> np.ndarray:
        """Return the codes as vectors, `(batch, dimensions)`."""
        return flatten(X)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def m1_classifier(
    model: "VAE", x: ArrayLike, y: ArrayLike, regularisation: float = 1.0, condition: ConditionLike = None
) -> Pipeline:
    """Return logistic regression on the mean codes of labelled images.

    This is M1, section 2.1 of Kingma et al. 2014, https://arxiv.org/abs/1406.5298. `predict` and `score` of the
    pipeline take codes as `model.encode(x)` returns them.

    Args:
      model: a model with real-valued codes, trained on images with or without labels.
      x: the labelled images.
      y: their labels, whole numbers or names.
      regularisation: scikit-learn's C: smaller is stronger.
      condition: one for each image, where the model is conditional; not the label, which a test image does not have.

    Raises:
      UserError: one class only, labels that do not pair with images or are missing, or a model of integer codes.
    """
    images, labels = as_array(x, "x"), as_array(y, "y")
    if labels.shape != images.shape[:1]:
        raise UserError(
            f"There is one label for each image. Given: {len(images)} images, labels of shape {labels.shape}."
        )
    if labels.dtype.kind not in "iubU" or (labels.dtype.kind == "i" and (labels < 0).any()):
        kind = "labels below 0" if labels.dtype.kind == "i" else f"{labels.dtype}"
        raise UserError(f"Labels are whole numbers from 0, or names. Given: {kind}. Leave unlabelled images out.")
    if len(np.unique(labels)) < 2:
        raise UserError(f"A classifier needs two classes or more. Given: {np.unique(labels).tolist()}.")
    strength = check_number(regularisation, "regularisation")
    if not strength:
        raise UserError("regularisation is more than 0. Given: 0.")
    regression = LogisticRegression(C=strength, max_iter=2000)
    classifier = make_pipeline(FlattenCodes(), StandardScaler(), regression)
    return classifier.fit(real_codes(model, images, condition), labels)


def classifier_on(model: "VAE", num_classes: int, seed: int = 0, trainable: bool = True) -> keras.Model:
    """Return a classifier to fine-tune, from images to logits `(batch, num_classes)`, that starts with the encoder.

    It is an ordinary Keras model, compiled with cross-entropy and accuracy. Its encoder is a copy of the model's. For a
    hierarchy that is the bottom-up path to z1; feature maps are flattened.

    Args:
      model: a trained model of images, with an encoder that reads nothing else.
      num_classes: two or more.
      seed: of the last layer's weights.
      trainable: whether the encoder learns too.

    Raises:
      UserError: fewer than two classes; a model that is not of images; or one with an encoder that also reads a
        condition, which would be the label, or which pixels are missing.
    """
    num_classes = check_whole_number(num_classes, "num_classes", minimum=2)
    if model.x_spec().kind != "image" or model.network_shapes()["encoder"][0] != model.x_shape:
        raise UserError(
            f"classifier_on needs an encoder that reads images and nothing else. Given: that of a "
            f"{type(model).__name__}. Use m1_classifier, or a model without a condition."
        )
    if model.missing:
        raise UserError(
            "classifier_on needs an encoder that reads images and nothing else. Given: one that reads which pixels are "
            "missing too. Use m1_classifier."
        )
    images = keras.Input(model.x_shape)
    encoder = type(model.encoder).from_config(model.encoder.get_config())
    features = encoder(images)
    if len(features.shape) != 2:
        features = keras.layers.Flatten()(features)
    with randomness.initial_weights(seed, "classifier"):
        head = keras.layers.Dense(num_classes, dtype="float32", name="logits")
        network = keras.Model(images, head(keras.ops.relu(features)))
    encoder.set_weights(model.encoder.get_weights())
    encoder.trainable = trainable
    network.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return network
