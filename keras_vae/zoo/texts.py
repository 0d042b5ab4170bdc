"""What a card shows of a model of tokens, where another has pictures: sequences as text."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae.data import words
from keras_vae.errors import NotApplicable
from keras_vae.tasks.interpolation import interpolate
from keras_vae.zoo import recipes
from keras_vae.zoo.examples import Examples, condition_of, examples_of

if TYPE_CHECKING:
    from keras_vae.core import VAE

EXAMPLES, SAMPLES, WAYS, STEPS = 12, 24, 5, 7


def numbers(tokens: np.ndarray) -> list[str]:
    """Token ids as numbers, each sequence up to its first 0."""
    ends = [np.append(row, 0).tolist().index(0) for row in tokens]
    return [" ".join(map(str, row[:end])) for row, end in zip(tokens, ends, strict=True)]


# Data whose tokens spell something: name -> from tokens to text.
SPELLED: dict[str, Callable[[Any], list[str]]] = {"words": words.to_text}


def spelling(recipe: recipes.Recipe) -> Callable[[Any], list[str]]:
    """What writes the tokens `(batch, length)` of a recipe's data as text, one each."""
    return SPELLED.get(recipe.data.name, numbers)


def shown(model: "VAE", recipe: recipes.Recipe, examples: Examples | None = None) -> dict[str, list[list[str]]]:
    """Sequences as text: `{}` for a model of anything but tokens.

    Args:
      model: of the recipe.
      recipe: of the model.
      examples: of the recipe's evaluation split; read by default.

    Returns:
      `reconstructed`: rows of a sequence and what comes back; `sampled`: one row, from the prior; `interpolated`: rows
      of the likeliest sequence at the codes on a straight line, from the one end to the other. What a model lacks,
      a prior or a code that is one vector, is left out.
    """
    if model.x_spec().kind != "tokens":
        return {}
    examples, spell = examples_of(recipe) if examples is None else examples, spelling(recipe)
    x, condition = examples.images[:EXAMPLES], condition_of(model, examples)
    given = None if condition is None else condition[:EXAMPLES]
    back = spell(model.reconstruct(x, given))
    found = {"reconstructed": [list(pair) for pair in zip(spell(x), back, strict=True)]}
    if model.conditional:  # each draw would need a condition
        return found
    with contextlib.suppress(NotApplicable):  # no prior
        found["sampled"] = [spell(model.sample(SAMPLES, seed=recipe.evaluation.seed))]
    if model.latent_kind == "code":
        ways = interpolate(model, x[:WAYS], x[WAYS : 2 * WAYS], STEPS)
        found["interpolated"] = [spell(way) for way in ways]
    return found
