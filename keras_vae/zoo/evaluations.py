"""The full evaluation of a zoo entry: its model, and the data that its recipe names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import data
from keras_vae.evaluation.overview import evaluate
from keras_vae.zoo import runs, store

# Enough to fit probes to, and to look for copies among.
_TRAIN = 10_000


def evaluate_entry(
    name: str | Path, sections: Sequence[str], split: str | None = None, seed: int | None = None, samples: int = 200
) -> dict[str, Any]:
    """`keras_vae.evaluation.evaluate` of the model `name` on held-out data of its recipe, with all that they have.

    Labels are those of the data; a model of MNIST has its draws compared with grey digits of the same split. Probes and
    the search for copies take the first 10,000 training images.

    Args:
      name: a zoo name, or a folder that `train` wrote.
      sections: of `keras_vae.evaluation.overview.SECTIONS`.
      split: of the recipe's data; the one that its results are measured on if not given.
      seed: the recipe's if not given.
      samples: importance samples of log p(x).

    Raises:
      UserError: as `evaluate`, or an unknown split.
    """
    recipe, model = store.entry(name).recipe, runs.load(name)
    split = split or recipe.evaluation.split
    binarize = "static" if recipe.data.binarize else None
    x, labels = _examples(recipe.data.name, split, binarize)
    reference = None
    if recipe.data.name == "mnist" and {"generation"} & set(sections):
        reference = _examples("mnist", split, None)[0]
    train = train_labels = None
    if {"generation", "representation"} & set(sections):
        start = recipe.data.train.split("[")[0]
        train, train_labels = _examples(recipe.data.name, f"{start}[:{_TRAIN}]", binarize)
    return {"split": split} | evaluate(
        model,
        x,
        labels,
        reference=reference,
        train=train,
        train_labels=train_labels,
        sections=sections,
        samples=samples,
        seed=recipe.evaluation.seed if seed is None else seed,
    )


def _examples(name: str, split: str, binarize: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    batches = list(data.load(name, split, binarize, batch_size=1000, training=False).as_numpy_iterator())
    images = np.concatenate([batch["x"] for batch in batches])
    return images, np.concatenate([batch["y"] for batch in batches]) if "y" in batches[0] else None
