"""The command `score`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Json, Overwrite, counter, print_json


def score_command(
    bundle: Annotated[Path, typer.Argument(help="The folder that export wrote, with ONNX files.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A .npy, .parquet, .tfrecord or .array_record; a folder of such files; or a folder of pictures.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The folder to write, or to go on with.")],
    what: Annotated[
        str, typer.Option(help="codes, reconstruction_error, elbo, or anomaly, -elbo (both of export --elbo).")
    ] = "codes",
    engine: Annotated[
        str, typer.Option(help="local, or ray: on the cluster of RAY_ADDRESS, or this machine.")
    ] = "local",
    workers: Annotated[int | None, typer.Option(help="Threads, or actors of Ray; by default the processors.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise of an ELBO, which depends on this and on the row.")] = 0,
    bad_share: Annotated[float, typer.Option(help="The share of rows that may be bad, from 0 to 1.")] = 0.0,
    shard_rows: Annotated[int, typer.Option(help="Rows of one file.")] = 65536,
    overwrite: Overwrite = False,
    feature: Annotated[str | None, typer.Option(help="The feature to score, if the Examples have several.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Scores of normal examples; adds the share of them that score at least as high.")
    ] = None,
    json: Json = False,
) -> None:
    """Score every example of an input with an exported model, to parquet files. Needs no TensorFlow.

    Rows that cannot be read, or that the model does not take, go to part-*.bad.jsonl with the reason. A run that was
    interrupted goes on when it is called again: only what is missing is scored, and no row is written twice.
    """
    from keras_vae import scoring

    result = scoring.score(
        bundle, data, output, what, engine, workers, seed, bad_share, shard_rows, overwrite, feature, reference,
        counter("rows", json),
    )  # fmt: skip
    if json:
        print_json({**result._asdict(), "folder": str(result.folder)})
    else:
        print(
            f"Written: {result.rows:,} rows to {result.folder}, {result.bad:,} bad; {result.done} shards in this run."
        )
