"""The data on which the results of a recipe are measured."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict, Unpack

import numpy as np

from keras_vae import data, types
from keras_vae.data import sources, splits
from keras_vae.data.readers import SOURCES
from keras_vae.data.sources import Images, Labels
from keras_vae.errors import UserError
from keras_vae.registry import check_arguments, choose
from keras_vae.zoo import recipes

if TYPE_CHECKING:
    from keras_vae.core import VAE

# By dataset. Sprites, cells and waves are drawn by this package.
_LICENCES = {
    "mnist": "CC-BY-SA-3.0",
    "fashion_mnist": "MIT",
    "emoji": "Apache-2.0 AND CC-BY-4.0",
    "sprites": "Apache-2.0",
    "breast_cancer": "CC-BY-4.0",  # of UCI, https://doi.org/10.24432/C5DW2B
    "cells": "Apache-2.0",
    "waves": "Apache-2.0",
    "words": "LicenseRef-SCOWL",  # permissive, with its notice: keras_vae/data/words/PROVENANCE.md
}
Source: TypeAlias = str | Callable[[str | None], Images]  # a dataset by name, or what reads a split of one


class Examples(NamedTuple):
    """Examples of a split, and their labels."""

    images: np.ndarray  # (examples, height, width, channels), or whatever the model's x is
    labels: np.ndarray | None  # (examples,), or the factors of each example, (examples, factors)
    columns: tuple[str, ...] = ()  # of a table
    named: Mapping[str, Labels] = MappingProxyType({})  # labels that are conditions by name

    def first(self, count: int) -> "Examples":
        """Return the first `count` of them, or all if they are fewer."""
        labels = None if self.labels is None else self.labels[:count]
        named = {name: one._replace(values=one.values[:count]) for name, one in self.named.items()}
        return self._replace(images=self.images[:count], labels=labels, named=named)

    @property
    def classes(self) -> np.ndarray | None:
        """Return the labels where they are classes, `(examples,)`; otherwise None."""
        return self.labels if self.labels is not None and self.labels.ndim == 1 else None

    @property
    def factors(self) -> np.ndarray | None:
        """Return the labels where they are the factors of variation, `(examples, factors)`; otherwise None."""
        labels = self.labels
        return labels if labels is not None and labels.ndim == 2 and labels.dtype.kind in "iu" else None

    @property
    def condition(self) -> np.ndarray | dict[str, np.ndarray] | None:
        """Return what a conditional model is given: the labels, or those by name."""
        return {name: labels.values for name, labels in self.named.items()} or self.labels


def source_of(recipe: recipes.Recipe, changes: Mapping[str, Any] | None = None) -> Source:
    """Return the data of a recipe, as `keras_vae.data.load` takes them: a name, or a function from a split.

    Args:
      recipe: of a zoo entry or a run.
      changes: arguments of a source of one's own in place of the recipe's.

    Raises:
      UserError: an unknown source, arguments that it does not take, or data that it cannot read; the message says so
        where the recipe names them.
    """
    section = recipe.data
    if not section.source:
        if section.stream:
            return lambda split: sources.read(section.name, split or "train+validation", stream=True)
        return section.name
    read = choose("data.source", section.source, SOURCES)
    if "split" in section.arguments:
        raise UserError("data.split is set by data.train and data.validation. Given: data.split. Leave it out.")
    path = {} if recipe.data_path is None else {"path": recipe.data_path}
    stream = {"stream": True} if section.stream else {}
    arguments = {**section.arguments, **path, **stream, **(changes or {})}
    check_arguments(f"[data] with source = {section.source!r}", read, {"split": None, **arguments})

    def read_split(split: str | None) -> Images:
        try:
            return read(split=split, **arguments)
        except UserError as error:
            where = "" if "path" in (changes or {}) else "[data] of the recipe: "
            raise type(error)(f"{where}{error}") from error

    return read_split


class OfX(TypedDict, total=False):
    """The arguments of `keras_vae.data.load` that say what x is."""

    kind: types.Kind | None
    missing: bool


def conditions_of(recipe: recipes.Recipe) -> tuple[str, ...]:
    """Return the names of the conditions of a recipe's model, which its data have as labels; empty: it has no names."""
    conditions = recipe.model.arguments.get("conditions", {})
    return tuple(conditions) if isinstance(conditions, Mapping) else ()


def of_x(recipe: recipes.Recipe) -> OfX:
    """Return what x is, from the model: numbers where it has an `x_shape`, else by the rule of `batches`."""
    arguments = recipe.model.arguments
    return {"kind": "numbers" if "x_shape" in arguments else None, "missing": bool(arguments.get("missing"))}


def examples_of(recipe: recipes.Recipe, split: str | None = None) -> Examples:
    """Return the examples on which a recipe's results are measured, with the noise of training drawn once.

    That is binarisation, or dequantisation.
    """
    if split is not None:
        splits.parsed(split)  # a mistake in it is the caller's, not the recipe's
    binarize = "static" if recipe.data.binarize else None
    split = split or recipe.evaluation.split
    names, dequantize = conditions_of(recipe), recipe.data.dequantize
    return read(source_of(recipe), split, binarize, names, dequantize=dequantize, **of_x(recipe))


def read(
    source: Source,
    split: str,
    binarize: str | None,
    names: Sequence[str] = (),
    dequantize: bool = False,
    **x: Unpack[OfX],
) -> Examples:
    """Return the examples of a split, with the labels `names`; the other arguments are those of `data.load`."""
    images = sources.read(source, split) if isinstance(source, str) else source(split)
    named = sources.named_labels(images, names)
    dataset = data.load(lambda _: images, split, binarize, dequantize, batch_size=1000, training=False, **x)
    batches = list(dataset.as_numpy_iterator())
    labels = np.concatenate([batch["y"] for batch in batches]) if "y" in batches[0] else None
    return Examples(np.concatenate([batch["x"] for batch in batches]), labels, images.columns, named)


def condition_of(model: "VAE", examples: Examples) -> np.ndarray | dict[str, np.ndarray] | None:
    """Return the condition of examples for a conditional model, or None."""
    return examples.condition if model.conditional else None


def alphabet_of(recipe: recipes.Recipe) -> str | None:
    """Return the letters that are the tokens of a recipe's data, the first of them 1; None where tokens are others."""
    return data.words.ALPHABET if recipe.data.name == "words" else recipe.data.arguments.get("alphabet")


def export_examples(recipe: recipes.Recipe, conditional: bool) -> types.Examples:
    """The examples of `examples_of` with their origin and licence, as `keras_vae.export.export` takes them.

    Args:
      recipe: of the model.
      conditional: whether the labels are the model's condition.
    """
    examples, source = examples_of(recipe), recipe.data
    return types.Examples(
        examples.images,
        examples.condition if conditional else None,
        origin=f"the split {recipe.evaluation.split!r} of {source.title}{source.noise}",
        licence=_LICENCES.get(source.name),
        labels=examples.classes,
        alphabet=alphabet_of(recipe),
        columns=examples.columns,
    )
