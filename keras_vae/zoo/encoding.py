"""The examples that a model of the zoo encodes: an array, a file, or a split of the data of its recipe."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vae import files
from keras_vae.errors import UserError
from keras_vae.types import ConditionLike, Examples
from keras_vae.zoo import cards, wording
from keras_vae.zoo.examples import condition_of, examples_of, of_x, source_of
from keras_vae.zoo.examples import read as read_split

if TYPE_CHECKING:
    from keras_vae.core import VAE


def inputs_of(
    name: str | Path, model: "VAE", examples: str | np.ndarray, labels: np.ndarray | None = None
) -> tuple[np.ndarray, ConditionLike]:
    """Return x and its condition, as `model.encode` takes them.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      model: the trained model.
      examples: an array of the model's x, or a split such as `"test"`, which brings its labels along. Images of uint8
        are grey levels from 0 to 255, as in training.
      labels: one for each example; instead of those of the split.

    Raises:
      UserError: an unknown split, or an array without labels for a conditional model.
    """
    if not isinstance(examples, str):
        if model.conditional and labels is None:
            raise UserError(f"{name} is conditional, and needs a label for each example. Give them: --labels FILE.npy.")
        return (_unit_levels(examples) if model.x_spec().kind == "image" else examples), labels
    split = examples_of(cards.card(name).recipe, examples)
    return split.images, condition_of(model, split) if labels is None else labels


def read_file(name: str | Path, path: str | Path) -> Examples:
    """Return the examples in a file: a `.npy`; or another that the source of the model's recipe reads, as it does.

    Of a table, that is its columns in the order that the model was trained on; of pictures, grey levels in [0, 1], also
    where a `.npy` has them as uint8. No labels are read.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      path: of the file, or of a folder of pictures.

    Raises:
      UserError: a file that cannot be read, or of a kind that the model was not trained on.
    """
    origin = f"the file {Path(path).name}"
    card = cards.card(name)
    if Path(path).suffix.lower() == ".npy":
        x, of_images = files.read_array(path), card.kind == "image" and "x_shape" not in card.recipe.model.arguments
        return Examples(_unit_levels(x) if of_images else x, origin=origin)
    if not card.recipe.data.source:
        raise UserError(
            f"{name}, a model of {wording.NOUNS[card.kind]}s, was trained on data that keras_vae has, and reads a .npy "
            f"of its x. Given: {path}. Save x with numpy.save, or train on data of your own: keras-vae new RECIPE.toml "
            f"--data {path}."
        )
    columns = card.results.get("evaluation", {}).get("columns")
    changes: dict[str, object] = {"path": Path(path)}
    if columns and "kinds" not in card.recipe.data.arguments:
        changes["columns"] = columns
    if card.recipe.data.source == "table" and card.recipe.model.arguments.get("missing"):
        changes["missing"] = True
    if "label" in card.recipe.data.arguments:
        changes["label"] = None
    read = source_of(card.recipe, changes)
    assert callable(read)  # of a recipe with a source
    images = read(None)
    binarize = "static" if card.recipe.data.binarize else None
    examples = read_split(lambda _: images, "test", binarize, **of_x(card.recipe))
    return Examples(examples.images, origin=origin, columns=examples.columns)


def _unit_levels(images: np.ndarray) -> np.ndarray:
    """Return images with the grey levels of uint8 as float32 in [0, 1], and others as they are."""
    return images / np.float32(255) if images.dtype == np.uint8 else images
