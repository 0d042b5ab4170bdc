"""Sequences as text, for the cards of models of tokens, in place of pictures."""

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae.data import words
from keras_vae.errors import NotApplicable
from keras_vae.tasks.interpolation import interpolate
from keras_vae.zoo import recipes
from keras_vae.zoo.examples import Examples, alphabet_of, condition_of

if TYPE_CHECKING:
    from keras_vae.core import VAE

EXAMPLES, SAMPLES, WAYS, STEPS = 12, 24, 5, 7


def numbers(tokens: np.ndarray) -> list[str]:
    """Return token ids as text, each sequence up to its first 0."""
    ends = [np.append(row, 0).tolist().index(0) for row in tokens]
    return [" ".join(map(str, row[:end])) for row, end in zip(tokens, ends, strict=True)]


def spelling(recipe: recipes.Recipe) -> Callable[[Any], list[str]]:
    """Return the function from tokens `(batch, length)` of a recipe's data to a text for each sequence."""
    alphabet = alphabet_of(recipe)
    return numbers if alphabet is None else functools.partial(words.to_text, alphabet=alphabet)


def shown(model: "VAE", recipe: recipes.Recipe, examples: Examples) -> dict[str, list[list[str]]]:
    """Return sequences as text; `{}` for a model of anything but tokens.

    Args:
      model: of the recipe.
      recipe: of the model.
      examples: of the recipe's evaluation split.

    Returns:
      `reconstructed`: rows of a sequence and its reconstruction; `sampled`: one row, from the prior; `interpolated`:
      rows of the likeliest sequences at codes on a straight line. Entries that need a prior, or a code of one vector,
      are left out for other models.
    """
    if model.x_spec().kind != "tokens":
        return {}
    examples, spell = examples.first(EXAMPLES), spelling(recipe)
    x = examples.images
    reconstructions = spell(model.reconstruct(x, condition_of(model, examples)))
    texts = {"reconstructed": [list(pair) for pair in zip(spell(x), reconstructions, strict=True)]}
    if model.conditional:  # each draw would need a condition
        return texts
    with contextlib.suppress(NotApplicable):  # no prior
        texts["sampled"] = [spell(model.sample(SAMPLES, seed=recipe.evaluation.seed))]
    if model.latent_kind in ("code", "direction"):
        count = min(WAYS, len(x) // 2)
        ways = interpolate(model, x[:count], x[count : 2 * count], STEPS)
        texts["interpolated"] = [spell(way) for way in ways]
    return texts
