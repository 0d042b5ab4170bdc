"""Recipes of the zoo trained with further seeds: how much of a number is chance.

    python benchmarks/seeds.py [NAME ...]      train what is missing, one run after the other; the same call goes on
    python benchmarks/seeds.py --adopt NAME    write what the runs reached into the results and the card of zoo/NAME

Each entry is a study of its recipe, without other values: `runs/seeds/NAME`, as `keras-vae sweep` has them. The seed is
that of the weights at the start, of the order and the binarisation of examples, and of the choice of labels.
"""

import argparse
import sys
from pathlib import Path

from keras_vae import files, sweeps, zoo
from keras_vae.zoo import cards, contents, store

FOLDER = Path(__file__).resolve().parents[1] / "runs" / "seeds"
# Beside the seed of the recipe. Where published numbers have an error over runs, or a claim is a small difference.
SEEDS = {
    "semi_supervised_vae_mnist": (1, 2, 3, 4),
    "semi_supervised_100_vae_mnist": (1, 2, 3, 4),
    "gated_vae_mnist": (1, 2),
    "tanh_vae_mnist": (1, 2),
    "iwae_mnist": (1, 2),
}


def study(name: str, folder: Path) -> Path:
    """Write the study of an entry; return its path."""
    path = folder / f"{name}.toml"
    text = f'recipe = "{name}"\nseeds = {list(SEEDS[name])}\nmetrics = ["metrics.elbo"]\n'
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)
    return path


def train(name: str, folder: Path) -> None:
    """Train an entry with its further seeds."""
    sweeps.sweep(study(name, folder), folder / name, report=lambda done: print(f"{name}: {done}", flush=True))


def finished(name: str, folder: Path) -> list[contents.Further]:
    """Return what the finished runs of an entry reached, by seed."""
    rows = sweeps.sweep(study(name, folder), folder / name, jobs=0).rows
    runs: list[contents.Further] = []
    for row in rows:
        results = zoo.card(folder / name / row["run"]).results if row["status"] == "finished" else {}
        if results:
            training = results["training"]
            further: contents.Further = {
                "seed": row["seed"],
                "epochs": training["epochs"],
                "seconds": training["seconds"],
                "metrics": results["metrics"],
            }
            runs.append(further)
    return sorted(runs, key=lambda run: run["seed"])


def adopt(name: str, folder: Path) -> None:
    """Write the runs of an entry into its results and its card.

    Raises:
      SystemExit: none is finished.
    """
    runs = finished(name, folder)
    if not runs:
        raise SystemExit(f"No run of {name} with another seed is finished in {folder}. Train them first.")
    where = store.entry(name)
    store.write_results(where, {**where.results, "seeds": runs})
    files.write_text(where.folder / store.CARD, cards.card(name).markdown())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(SEEDS)}; by default all that are trained"
    )
    parser.add_argument("--adopt", metavar="NAME", choices=SEEDS)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the runs")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(SEEDS):
        parser.error(f"no seeds are planned of {', '.join(sorted(unknown))}; there are: {', '.join(SEEDS)}")
    if arguments.adopt:
        adopt(arguments.adopt, arguments.folder)
        return
    waiting = {name for name in SEEDS if (store.root() / name / store.NEXT).is_file()}
    if arguments.names and (early := waiting & set(arguments.names)):
        parser.error(f"an entry is trained before its further seeds. Given: {', '.join(sorted(early))}")
    for name in arguments.names or [name for name in SEEDS if name not in waiting]:
        train(name, arguments.folder)


if __name__ == "__main__":
    sys.exit(main())
