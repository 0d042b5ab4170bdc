"""Classifiers on what a model has learned without labels."""

from typing import Any

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_vae import randomness
from keras_vae.arrays import check_whole_number
from keras_vae.errors import UserError
from keras_vae.tasks.interpolation import vector_codes


def m1_classifier(model: Any, x: Any, y: Any, regularisation: float = 1.0) -> Pipeline:
    """Logistic regression on the mean codes of labelled images: M1, section 2.1 of Kingma et al. 2014,
    https://arxiv.org/abs/1406.5298. The result's `predict` and `score` take codes, `model.encode(x)`.

    Args:
      model: a model whose code is one vector, trained on images with or without labels.
      x: the labelled images.
      y: their labels.
      regularisation: scikit-learn's C: smaller is stronger.

    Raises:
      UserError: one class only, or labels that do not pair with images.
    """
    labels = np.asarray(y)
    if labels.shape != (len(x),):
        raise UserError(f"There is one label for each image. Given: {len(x)} images, labels of shape {labels.shape}.")
    if len(np.unique(labels)) < 2:
        raise UserError(f"A classifier needs two classes or more. Given: {np.unique(labels).tolist()}.")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=regularisation, max_iter=2000))
    return classifier.fit(vector_codes(model, x), labels)


def classifier_on(model: Any, num_classes: int, seed: int = 0, trainable: bool = True) -> keras.Model:
    """A classifier that begins with the model's encoder: images to logits `(batch, num_classes)`, to be fine-tuned.

    It is an ordinary Keras model, compiled with cross-entropy and accuracy. The encoder in it is a copy: `model` keeps
    its own.

    Args:
      model: a trained model whose encoder gives one vector.
      num_classes: two or more.
      seed: of the last layer's weights.
      trainable: whether the encoder learns too.

    Raises:
      UserError: fewer than two classes, or an encoder that gives no vector.
    """
    num_classes = check_whole_number(num_classes, "num_classes", minimum=2)
    images = keras.Input(model.image_shape)
    encoder = type(model.encoder).from_config(model.encoder.get_config())
    features = encoder(images)
    if len(features.shape) != 2:
        raise UserError(f"classifier_on needs an encoder that gives one vector. Given: shape {features.shape[1:]}.")
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
