"""Anomaly detection by training a recipe without one class at a time, or on one alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vae.errors import UserError
from keras_vae.tasks.anomaly import Judged, leave_one_class_out, one_class
from keras_vae.zoo import optimizers, store
from keras_vae.zoo.examples import examples_of
from keras_vae.zoo.loading import build

if TYPE_CHECKING:
    from keras_vae.core import VAE


def leave_out(
    name: str | Path,
    classes: Sequence[int] | None = None,
    scores: Sequence[str] = ("elbo",),
    epochs: int | None = None,
    samples: int = 100,
    false_positive_rate: float = 0.05,
    count: int | None = None,
    seed: int = 0,
    alone: bool = False,
) -> dict[int, dict[str, Judged]]:
    """Return `keras_vae.tasks.leave_one_class_out` for a recipe, on its training and test images.

    Nothing is written. Images that the recipe binarises or dequantises have one draw of that noise.

    Args:
      name: a zoo name, or a folder with a recipe.
      classes: to leave out; by default all.
      scores: of `anomaly_scores`.
      epochs: by default those of the recipe.
      samples: importance samples of `"log_prob"`.
      false_positive_rate: of the threshold.
      count: the number of test images to score, the first ones; by default all.
      seed: of the scores' noise; training uses the recipe's.
      alone: train on each of the classes alone, `keras_vae.tasks.one_class`, in place of all others.

    Raises:
      UserError: data without classes, a conditional model, or as those two.
    """
    recipe = store.entry(name).recipe

    def make() -> "VAE":
        settings = recipe.training
        model = build(recipe)
        model.compile(
            optimizers.from_spec(settings.optimizer, lambda: (epochs or settings.epochs) * steps),
            jit_compile=settings.jit_compile,
            steps_per_execution=settings.steps_per_execution,
        )
        return model

    if build(recipe).conditional:
        raise UserError(f"leave_out needs an unconditional model. Given: {name}, whose model is conditional.")
    train, test = examples_of(recipe, recipe.data.train), examples_of(recipe)
    if train.classes is None or test.classes is None:
        raise UserError(f"leave_out needs data with one label for each image. Given: {recipe.data.title}.")
    # Of the classes' mean size, so that a schedule ends a little before or after its last step.
    labelled = train.classes[train.classes >= 0]
    images, kinds = len(labelled), max(1, len(set(labelled.tolist())))
    steps = max(1, (images // kinds if alone else images - images // kinds) // recipe.training.batch_size)
    protocol = one_class if alone else leave_one_class_out
    return protocol(
        make,
        (train.images, train.classes),
        (test.images[:count], test.classes[:count]),
        classes,
        scores,
        samples,
        false_positive_rate,
        seed,
        epochs=epochs or recipe.training.epochs,
        batch_size=recipe.training.batch_size,
        verbose=0,
    )
