"""A trained model together with the test examples of its recipe: the subject of tasks, figures and reports."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from keras_vae import zoo
from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.evaluation.evaluation import rows_of
from keras_vae.types import ConditionLike
from keras_vae.zoo import cards
from keras_vae.zoo.examples import condition_of, examples_of

if TYPE_CHECKING:
    from keras_vae.core import VAE


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A model of the zoo, or of a run's folder, and examples that it was not trained on.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      model: the trained model.
      x: its test examples: images, or sequences of tokens.
      condition: one for each example, where the model is conditional; or several by name.
      classes: the label of each example, where the data have one.
    """

    name: str | Path
    model: "VAE"
    x: np.ndarray
    condition: ConditionLike
    classes: np.ndarray | None

    @classmethod
    def of(cls, name: str | Path, count: int | None = None) -> Self:
        """Load the model `name` and the first `count` test examples of its recipe, or all of them.

        Raises:
          UserError: an unknown name, or a count below 1.
        """
        count = None if count is None else check_whole_number(count, "count")
        model, examples = zoo.load(name), examples_of(cards.card(name).recipe)
        return cls(name, model, examples.images, condition_of(model, examples), examples.classes)[:count]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, part: slice | np.ndarray) -> Self:
        """The same model with some of the examples: a slice, or an array of their numbers."""
        classes = None if self.classes is None else self.classes[part]
        return dataclasses.replace(self, x=self.x[part], condition=rows_of(self.condition, part), classes=classes)

    @property
    def labels(self) -> np.ndarray:
        """`classes`.

        Raises:
          UserError: the data have no such label.
        """
        return check_classes(self.classes, self.name)


def check_classes(classes: np.ndarray | None, name: str | Path) -> np.ndarray:
    """Return the labels of the data of the model `name`.

    Raises:
      UserError: they have none, or several for each example.
    """
    if classes is None:
        raise UserError(f"This needs data with one label for each image. Given: those of {name}.")
    return classes
