"""Rate and distortion of the zoo's models of one network: where each weight of the KL, or of its parts, leads.

    python benchmarks/rate_distortion.py    print the table, and draw docs/benchmarks/rate_distortion.png

Rate is the KL(q(z|x) || p(z)), distortion -log p(x|z), both in nats, of the test digits: Alemi et al. 2018, "Fixing a
broken ELBO", https://arxiv.org/abs/1711.00464. Their sum is -ELBO.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_vae import zoo
from keras_vae.files import atomic
from keras_vae.plots import COLOURS
from keras_vae.zoo import store
from keras_vae.zoo.cards import Card

BASE = "vae_mnist"
SAME = ("image_shape", "latent_dim", "likelihood", "encoder", "decoder")  # of the model
PICTURE = Path(__file__).parents[1] / "docs/benchmarks/rate_distortion.png"


class Point(NamedTuple):
    """A model of the family, in nats per example."""

    name: str
    rate: float
    distortion: float
    errors: tuple[float, float]
    log_px: float  # log p(x), importance-weighted
    active: int


def points() -> list[Point]:
    """Return the entries with the network, the data and the protocol of `vae_mnist`, by rate."""
    base = zoo.card(BASE)
    return sorted((_point(card) for card in map(zoo.card, zoo.names()) if _is_alike(card, base)), key=lambda p: p.rate)


def _is_alike(card: Card, base: Card) -> bool:
    models = [one.recipe.model.arguments for one in (card, base)]
    same = all(models[0].get(key) == models[1].get(key) for key in SAME)
    # log p(x) of each example is a file of the entries of this protocol only.
    return same and card.recipe.data == base.recipe.data and (store.root() / card.name / store.LOG_PROBS).is_file()


def _point(card: Card) -> Point:
    metrics = card.results["metrics"]
    rate, log_px = metrics["kl"], metrics["log_px"]
    return Point(
        card.name,
        rate["value"],
        -log_px["value"],
        (rate["standard_error"], log_px["standard_error"]),
        metrics["log_prob"]["value"],
        metrics["active_units"]["value"],
    )


def markdown(rows: Sequence[Point]) -> str:
    """Return the table of the family, by rate."""
    lines = [
        "| model | rate, nats | distortion, nats | ELBO | log p(x) | dimensions in use |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        rate, distortion = row.errors
        lines.append(
            f"| [{row.name}](zoo/{row.name}) | {row.rate:.2f} ± {rate:.2f} | {row.distortion:.2f} ± {distortion:.2f} "
            f"| {-row.rate - row.distortion:.2f} | {row.log_px:.2f} | {row.active} |"
        )
    return "\n".join(lines)


def draw(rows: Sequence[Point], path: Path) -> None:
    """Write the picture: a point for each model, and lines of equal ELBO."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    rates, distortions = (np.array([getattr(row, name) for row in rows]) for name in ("rate", "distortion"))
    low, high = rates.min() - 3, rates.max() + 8
    bottom, top = distortions.min() - 4, distortions.max() + 4
    for bound in range(80, 140, 5):
        axes.plot([low, high], [bound - low, bound - high], color="0.85", zorder=0)
        rate = max(low, bound - top)  # where the line enters the picture: from the left, or from above
        if bottom < bound - rate - 2 and rate < high - 6:
            axes.annotate(
                f"ELBO -{bound}", (rate, bound - rate), (6, -6), textcoords="offset points", va="top", fontsize=8,
                color="0.5", rotation=-35,
            )  # fmt: skip
    for row in rows:
        axes.plot(row.rate, row.distortion, "o", color=COLOURS[1 if row.name == BASE else 0])
        axes.annotate(row.name.removesuffix("_mnist"), (row.rate, row.distortion), (5, 4), textcoords="offset points")
    axes.set(xlim=(low, high), ylim=(bottom, top), xlabel="rate: KL, nats", ylabel="distortion: -log p(x|z), nats")
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None, "Description": markdown(rows)})


def main() -> None:
    rows = points()
    print(markdown(rows))
    draw(rows, PICTURE)


if __name__ == "__main__":
    main()
