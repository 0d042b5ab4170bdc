"""Cards: what a person reads about a model, written from its recipe and results. Needs no TensorFlow."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_vae.zoo import recipes, store

METRICS = {
    "elbo": "ELBO",
    "log_px": "reconstruction, log p(x\\|z)",
    "kl": "KL(q(z\\|x) \\|\\| p(z))",
    "log_prob": "log p(x), importance-weighted",
}
PICTURES = {
    "reconstructions.png": "Test images, and their reconstructions below",
    "samples.png": "Samples from the prior",
    "traversal.png": "Each row moves one latent dimension, from the most to the least informative",
    "curves.png": "Training curves",
}


class Card(NamedTuple):
    """A model's recipe and its measured results."""

    name: str
    recipe: recipes.Recipe
    results: dict[str, Any]

    def markdown(self) -> str:
        """The card as README.md has it."""
        return markdown(self.name, self.recipe, self.results)


def card(name: str | Path) -> Card:
    """The card of a zoo model, or of a folder that `train` wrote. Needs no TensorFlow.

    Raises:
      UserError: an unknown name, with the nearest.
    """
    where = store.entry(name)
    return Card(where.name, where.recipe, where.results)


def recipe_sha256(recipe: recipes.Recipe) -> str:
    """The SHA-256 of the recipe's text: what ties results to the configuration that gave them."""
    return hashlib.sha256(recipe.text.encode()).hexdigest()


def markdown(name: str, recipe: recipes.Recipe, results: Mapping[str, Any]) -> str:
    """The card: no number in it is typed by hand."""
    lines = [f"# {name}", "", recipe.summary, ""]
    lines += ["```python", "import keras_vae", "", f'model = keras_vae.zoo.load("{name}")', "```", ""]
    if results:
        lines += [*_measured(results, recipe), *_pictures(), *_training(recipe, results)]
    lines += ["## Recipe", "", "```toml", recipe.text.rstrip(), "```", ""]
    return "\n".join(lines)


def table(cards: list[Card]) -> str:
    """The zoo as a Markdown table, one row a model."""
    lines = [
        "| model | what it is | ELBO | log p(x) | KL | weights |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for each in cards:
        numbers = [_number(each.results.get("metrics", {}).get(metric)) for metric in ("elbo", "log_prob", "kl")]
        size = f"{each.results['weights']['bytes'] / 1e6:.1f} MB" if each.results else "not trained"
        summary = each.recipe.summary.replace("|", "\\|")
        lines.append(f"| [{each.name}](zoo/{each.name}) | {summary} | {' | '.join(numbers)} | {size} |")
    return "\n".join(lines)


def _number(metric: Mapping[str, Any] | None) -> str:
    return f"{metric['value']:.2f} ± {metric['standard_error']:.2f}" if metric else ""


def _measured(results: Mapping[str, Any], recipe: recipes.Recipe) -> list[str]:
    how = results["evaluation"]
    pixels = f", pixels binarised once ({how['binarize']})" if how["binarize"] else ""
    lines = ["## Measured", ""]
    lines += [
        f"On {how['examples']:,} images of the split `{how['split']}`{pixels}, seed {how['seed']}; {how['unit']}, "
        f"mean ± standard error over images. `keras-vae verify {results['name']}` measures them again and accepts a "
        f"difference of {how['tolerance']} nats.",
        "",
        "| metric | value | draws of q(z\\|x) an image |",
        "| --- | ---: | ---: |",
    ]
    for metric, row in results["metrics"].items():
        lines.append(f"| {METRICS.get(metric, metric)} | {_number(row)} | {row['samples']} |")
    published = recipe.published
    if published:
        lines += ["", f"Published: {published.metric} {published.value} ({published.source}, {published.url})."]
        lines += [published.differences] if published.differences else []
    else:
        lines += ["", "Published number to stand against: none known for this configuration."]
    return [*lines, ""]


def _pictures() -> list[str]:
    return [line for name, title in PICTURES.items() for line in (f"![{title}]({name})", "")]


def _training(recipe: recipes.Recipe, results: Mapping[str, Any]) -> list[str]:
    training, weights, machine = results["training"], results["weights"], results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return [
        "## Training",
        "",
        f"{training['epochs']} epochs, {training['steps']:,} steps, {training['seconds']:,.0f} s on {machine['cores']} "
        f"cores ({machine['processor']}). Trained on the split `{recipe.data.train}` of `{recipe.data.name}`, "
        f"precision {recipe.training.precision}, seed {recipe.training.seed}.",
        "",
        f"{weights['parameters']:,} parameters; {weights['bytes']:,} bytes in float16, sha256 `{weights['sha256']}`.",
        "",
        f"Versions: {versions}.",
        "",
    ]
