"""The sequences that a card shows as text, of a model of tokens, where another has pictures."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from keras_vae import tasks
from keras_vae.data import words
from keras_vae.errors import NotApplicable
from keras_vae.zoo import recipes
from keras_vae.zoo.examples import condition_of, examples_of

if TYPE_CHECKING:
    from keras_vae.core import VAE

EXAMPLES, SAMPLES, WAYS, STEPS = 12, 24, 5, 7


def numbers(tokens: np.ndarray) -> list[str]:
    """Return token ids as numbers, each sequence up to its first 0."""
    ends = [np.append(row, 0).tolist().index(0) for row in tokens]
    return [" ".join(map(str, row[:end])) for row, end in zip(tokens, ends, strict=True)]


# Data whose tokens spell something: name -> from tokens to text.
SPELLED: dict[str, Callable[[np.ndarray], list[str]]] = {"words": words.to_text}


def spelling(recipe: recipes.Recipe) -> Callable[[np.ndarray], list[str]]:
    """Return the function from tokens `(batch, length)` of a recipe's data to one text for each."""
    return SPELLED.get(recipe.data.name, numbers)


def shown(model: "VAE", recipe: recipes.Recipe) -> dict[str, list[list[str]]]:
    """Return sequences as text: `{}` for a model of anything but tokens.

    Returns:
      `reconstructed`: rows of a sequence and what comes back; `sampled`: one row, from the prior; `interpolated`: rows
      of the likeliest sequence at the codes on a straight line, from the one end to the other. What a model lacks,
      a prior or a code that is one vector, is left out.
    """
    if model.x_spec().kind != "tokens":
        return {}
    examples, spell = examples_of(recipe), spelling(recipe)
    x, condition = examples.images[:EXAMPLES], condition_of(model, examples)
    reconstructed = spell(model.reconstruct(x, None if condition is None else condition[:EXAMPLES]))
    texts = {"reconstructed": [list(pair) for pair in zip(spell(x), reconstructed, strict=True)]}
    if model.conditional:  # each draw would need a condition
        return texts
    with contextlib.suppress(NotApplicable):  # no prior
        texts["sampled"] = [spell(model.sample(SAMPLES, seed=recipe.evaluation.seed))]
    if model.latent_kind == "code":
        ways = tasks.interpolate(model, x[:WAYS], x[WAYS : 2 * WAYS], STEPS)
        texts["interpolated"] = [spell(way) for way in ways]
    return texts
