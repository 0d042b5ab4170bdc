"""The command `train`."""

import functools
from collections.abc import Mapping
from typing import Annotated

import typer

from keras_vae.cli.output import Json, Overwrite, load_tensorflow, print_json, verbosity
from keras_vae.cli.zoo import print_metrics, title_of
from keras_vae.errors import UserError


def train_command(
    name: Annotated[
        str | None,
        typer.Argument(help="A model of the zoo, a recipe.toml, or a folder with one; with --all, a glob of names."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="The folder of the run; by default runs/NAME. With --all, that of the runs.")
    ] = None,
    overwrite: Overwrite = False,
    tensorboard: Annotated[str | None, typer.Option(help="A folder for curves and pictures in TensorBoard.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave the long measures out; the same without --quick adds them.")
    ] = False,
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints within an epoch.")] = 10.0,
    everything: Annotated[
        bool, typer.Option("--all", help="The queue: every recipe of the zoo that is not trained, at lowest priority.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="With --all, how many are trained at once.")] = 1,
    json: Json = False,
) -> None:
    """Train a recipe and measure the result. The same command resumes a run that was interrupted.

    With --all, each recipe is trained in a process of its own, whose log stands beside its run in runs/queue; a model
    that is not trained has no results.json, or a next.toml, a recipe that it is to be trained with anew. The status is
    1 if one failed.
    """
    from keras_vae.zoo import recipes, store

    if everything:
        others = {"tensorboard": tensorboard, "quick": quick, "checkpoint-minutes": checkpoint_minutes != 10.0}
        _train_all(name or "*", output, overwrite, jobs, json, others)
        return
    if name is None:
        raise UserError("train needs a model or a recipe: keras-vae train NAME. Or, of all: keras-vae train --all.")
    if jobs != 1:
        raise UserError(f"--jobs is of --all. Given: {jobs} for {name}. Leave it out.")
    if name.endswith(".toml"):  # a mistake in it is said at once
        recipes.read(name)
    else:
        store.entry(name)
    load_tensorflow()
    from keras_vae import zoo

    model = zoo.train(name, output, overwrite, verbose=verbosity(json), tensorboard=tensorboard, quick=quick,
                      checkpoint_minutes=checkpoint_minutes)  # fmt: skip
    if model.provenance is None:  # of a worker that helps: the first one writes, and train loads that
        return
    folder = model.provenance.folder
    card = zoo.card(folder)
    if json:
        print_json({"folder": str(folder), "results": card.results})
        return
    how = card.results["evaluation"]
    print_metrics(title_of(card.name, card.kind, how["examples"], how["split"]), card.results["metrics"])
    if left_out := how.get("left_out"):
        print(f"Not measured, as --quick says: {', '.join(left_out)}. The same command without --quick measures them.")
    print(f"Written: {folder}/ ({store.WEIGHTS}, {store.RESULTS}, {store.CARD} and pictures)")


def _train_all(
    pattern: str, output: str | None, overwrite: bool, jobs: int, json: bool, others: Mapping[str, object]
) -> None:
    """Train what the zoo lacks, and say what failed."""
    if excluded := next((option for option, value in others.items() if value), None):
        raise UserError(f"--{excluded} is of one training. Given: --all too. Leave it out.")
    from keras_vae.zoo import queueing, trust

    folder = output or queueing.FOLDER
    queued = queueing.waiting(pattern, folder)
    say = (lambda _: None) if json else functools.partial(print, flush=True)
    failed = queueing.train_all(queued, folder, jobs, overwrite, trust.code_allowed(), say)
    if json:
        print_json({"folder": str(folder), "trained": [item.name for item in queued if item.name not in failed],
                    "failed": failed})  # fmt: skip
    elif not queued:
        print(f"Nothing waits: every model of the zoo that {pattern!r} matches is trained.")
    else:
        print(f"{len(queued) - len(failed)} of {len(queued)} are finished, in {folder}/")
    if failed:
        raise typer.Exit(1)
