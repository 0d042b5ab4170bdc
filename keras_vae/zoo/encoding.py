"""The examples that a model of the zoo encodes: an array, or a split of the data of its recipe."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vae.errors import UserError
from keras_vae.zoo import cards
from keras_vae.zoo.examples import condition_of, examples_of

if TYPE_CHECKING:
    from keras_vae.core import VAE


def inputs_of(
    name: str | Path, model: "VAE", examples: str | np.ndarray, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return x and its condition, as `model.encode` takes them.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      model: the trained model.
      examples: an array of images or tokens, or a split such as `"test"`, which brings its labels along.
      labels: one for each example; instead of those of the split.

    Raises:
      UserError: an unknown split, or an array without labels for a conditional model.
    """
    if not isinstance(examples, str):
        if model.conditional and labels is None:
            raise UserError(f"{name} is conditional, and needs a label for each example. Give them: --labels FILE.npy.")
        return examples, labels
    split = examples_of(cards.card(name).recipe, examples)
    return split.images, condition_of(model, split) if labels is None else labels
