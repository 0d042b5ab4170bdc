"""The accuracy of classifiers from few labels, of a model of the zoo on the data of its recipe."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_vae import zoo
from keras_vae.checks import check_whole_number
from keras_vae.data import keep_labels
from keras_vae.errors import UserError
from keras_vae.evaluation.estimates import Estimate, share_of
from keras_vae.tasks.fine_tuning import predictions_from_few_labels
from keras_vae.zoo import cards
from keras_vae.zoo.examples import examples_of
from keras_vae.zoo.held_out import HeldOut, check_classes


class FewLabels(NamedTuple):
    """Accuracies on test images, with the numbers of labels and of images that they are from."""

    labels: int
    images: int
    accuracy: dict[str, Estimate]  # classifier -> its value and standard error


def classify(name: str | Path, labels: int = 100, epochs: int = 30, count: int = 2000, seed: int = 0) -> FewLabels:
    """Return the accuracies of `keras_vae.tasks.fine_tuning.predictions_from_few_labels`.

    Args:
      name: of a model of images, as `keras_vae.zoo.load` takes it.
      labels: training images whose label is used, equally many of each class.
      epochs: of fine-tuning.
      count: test images, of which those without a label are left out.
      seed: of the choice of labels, and of the classifiers' weights.

    Raises:
      UserError: data without one label for each image, a conditional model, or numbers below 1.
    """
    labels, epochs = check_whole_number(labels, "labels"), check_whole_number(epochs, "epochs")
    recipe, test = cards.card(name).recipe, HeldOut.of(name, count)
    test = test[np.flatnonzero(test.labels >= 0)]
    if not len(test):
        raise UserError(
            f"This needs test images with a label. Given: none among the first {count} of {name}. Take more."
        )
    train = examples_of(recipe, recipe.data.train)
    truth, classes = test.labels, check_classes(train.classes, name)
    kept = keep_labels(classes, labels, seed)
    x, y = train.images[kept >= 0], kept[kept >= 0]
    untrained = zoo.load(name, weights=False)
    count_of_classes = int(classes.max()) + 1
    predictions = predictions_from_few_labels(test.model, untrained, x, y, test.x, count_of_classes, epochs, seed)
    accuracy = {title: share_of(predicted == truth) for title, predicted in predictions.items()}
    return FewLabels(len(x), len(truth), accuracy)
