"""The command `sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Json, Overwrite, load_tensorflow, print_json
from keras_vae.errors import UserError


def sweep_command(
    study: Annotated[Path, typer.Argument(help="A study.toml: a recipe, values of its keys, and seeds.")],
    output: Annotated[
        Path | None, typer.Option(help="The folder to write, or to go on with; by default runs/NAME.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes at a time; 0 trains nothing, and writes what there is.")] = 1,
    run: Annotated[
        int | None, typer.Option(help="Instead, do what is due of this run only: for one of an array of jobs.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="local, or ray: on the cluster of RAY_ADDRESS, or this machine.")
    ] = "local",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a recipe with other values of its keys, and several seeds: a grid, random values, or Optuna's TPE.

    Each run is a process and a folder, as train writes it; their results become one table, with a README and pictures.
    The study is checked before the first run. The same command goes on after an interruption.
    """
    if run is not None and (overwrite or engine != "local"):
        raise UserError("--run does one run of a study in this process. Leave --overwrite and --engine out.")
    load_tensorflow()
    from keras_vae import backend, sweeps

    if run is not None:
        done = sweeps.run(study, output, run, verbose=0 if json else 2)
        print_json({"done": done}) if json else print(done)
        return
    backend.hide_gpus()  # which are for the processes of the runs
    result = sweeps.sweep(
        study, output, jobs, engine, overwrite, None if json else lambda done: print(done, flush=True)
    )
    if json:
        print_json({**result._asdict(), "folder": str(result.folder)})
        return
    print(f"{len(result.rows)} runs, --run 0 to {len(result.rows) - 1}; {result.unfinished} are unfinished.")
    print(f"Written: {result.folder}/ ({', '.join(result.written)})")
