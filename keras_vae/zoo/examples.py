"""The data on which the results of a recipe are measured."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from keras_vae import data, types
from keras_vae.zoo import recipes

if TYPE_CHECKING:
    from keras_vae.core import VAE

# By dataset. Sprites are drawn by this package.
_LICENCES = {
    "mnist": "CC-BY-SA-3.0",
    "fashion_mnist": "MIT",
    "sprites": "Apache-2.0",
    "words": "LicenseRef-SCOWL",  # permissive, with its notice: keras_vae/data/words/PROVENANCE.md
}
_ALPHABETS = {"words": data.words.ALPHABET}


class Examples(NamedTuple):
    """Examples of a split, and their labels."""

    images: np.ndarray  # (examples, height, width, channels), or whatever the model's x is
    labels: np.ndarray | None  # (examples,), or the factors of each example, (examples, factors)

    @property
    def classes(self) -> np.ndarray | None:
        """Return the labels where they are classes, `(examples,)`; otherwise None."""
        return self.labels if self.labels is not None and self.labels.ndim == 1 else None

    @property
    def factors(self) -> np.ndarray | None:
        """Return the labels where they are the factors of variation, `(examples, factors)`; otherwise None."""
        labels = self.labels
        return labels if labels is not None and labels.ndim == 2 and labels.dtype.kind in "iu" else None


def examples_of(recipe: recipes.Recipe, split: str | None = None) -> Examples:
    """Return the examples on which a recipe's results are measured, binarised once where training binarises."""
    return read(recipe.data.name, split or recipe.evaluation.split, "static" if recipe.data.binarize else None)


def read(name: str, split: str, binarize: str | None) -> Examples:
    """Return the examples of a split; the arguments are those of `keras_vae.data.load`."""
    batches = list(data.load(name, split, binarize, batch_size=1000, training=False).as_numpy_iterator())
    labels = np.concatenate([batch["y"] for batch in batches]) if "y" in batches[0] else None
    return Examples(np.concatenate([batch["x"] for batch in batches]), labels)


def images_of(recipe: recipes.Recipe, split: str | None = None) -> np.ndarray:
    """Return the images of `examples_of`."""
    return examples_of(recipe, split).images


def condition_of(model: "VAE", examples: Examples) -> np.ndarray | None:
    """Return the labels for a conditional model, or None."""
    return examples.labels if model.conditional else None


def export_examples(recipe: recipes.Recipe, conditional: bool) -> types.Examples:
    """The examples of `examples_of` with their origin and licence, as `keras_vae.export.export` takes them.

    Args:
      recipe: of the model.
      conditional: whether the labels are the model's condition.
    """
    examples, source = examples_of(recipe), recipe.data
    return types.Examples(
        examples.images,
        examples.labels if conditional else None,
        origin=f"the split {recipe.evaluation.split!r} of {source.name}{', binarised' if source.binarize else ''}",
        licence=_LICENCES.get(source.name),
        labels=examples.classes,
        alphabet=_ALPHABETS.get(source.name),
    )
