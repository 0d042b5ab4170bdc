"""Classification from few labels: with the codes of a trained model, with its encoder fine-tuned, and without it."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_vae import progress
from keras_vae.checks import check_whole_number
from keras_vae.core.fit_callbacks import SayEpochs
from keras_vae.tasks.classifier import classifier_on, m1_classifier

if TYPE_CHECKING:
    from keras_vae.core import VAE


@progress.listening("")
def fine_tune(
    model: "VAE", x: np.ndarray, y: np.ndarray, num_classes: int, epochs: int = 30, seed: int = 0
) -> keras.Model:
    """Return a classifier of images, `keras_vae.tasks.classifier_on` trained on labelled images.

    Args:
      model: a model of images, trained or not; its own encoder stays as it is.
      x: the labelled images.
      y: their labels, whole numbers from 0.
      num_classes: two or more.
      epochs: passes over the images, in batches of 20.
      seed: of the last layer's weights.

    Raises:
      UserError: as `classifier_on`, or fewer than one epoch.
    """
    epochs, classifier = check_whole_number(epochs, "epochs"), classifier_on(model, num_classes, seed)
    classifier.fit(x, y, batch_size=min(20, len(x)), epochs=epochs, verbose=0, callbacks=[SayEpochs()])
    return classifier


def predictions_from_few_labels(
    model: "VAE",
    untrained: "VAE",
    x: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    num_classes: int,
    epochs: int = 30,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return the predicted classes of test images, `(len(test),)`, by three classifiers from the same labels.

    They are logistic regression on the codes, the encoder fine-tuned, and the encoder of the untrained model fine-tuned
    just so, which shows what pretraining adds.

    Args:
      model: a trained model of images, without a condition.
      untrained: the same model without its weights.
      x: the labelled images.
      y: their labels, whole numbers from 0.
      test: images to classify.
      num_classes: of the data, two or more.
      epochs: of fine-tuning.
      seed: of the last layer's weights.

    Raises:
      UserError: as `m1_classifier` and `classifier_on`.
    """
    predictions = {"logistic regression on codes": m1_classifier(model, x, y).predict(model.encode(test))}
    for title, start in (("encoder, fine-tuned", model), ("encoder, untrained", untrained)):
        logits = fine_tune(start, x, y, num_classes, epochs, seed).predict(test, verbose=0)
        predictions[title] = np.argmax(logits, axis=1)
    return predictions
