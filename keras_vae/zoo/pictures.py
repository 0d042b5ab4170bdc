"""The pictures of a card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vae import plots
from keras_vae.tasks.traversal import traverse
from keras_vae.zoo import measures, recipes


def write(folder: str | Path, model: Any, recipe: recipes.Recipe, history: Mapping[str, Sequence[float]]) -> None:
    """Write reconstructions.png, samples.png, traversal.png and, where there is a history, curves.png."""
    folder = Path(folder)
    images = measures.images_of(recipe)[:1000]
    plots.reconstructions(images[:16], model.reconstruct(images[:16]), folder / "reconstructions.png")
    plots.grid(model.sample(64, seed=recipe.evaluation.seed), folder / "samples.png")
    walk = traverse(model, images)
    plots.traversal(walk.images[:10], walk.dimensions[:10], walk.kl[:10], folder / "traversal.png")
    if history:
        plots.curves(history, folder / "curves.png")
