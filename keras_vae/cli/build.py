"""The command `data build`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Json, counter, load_tensorflow, print_json


def build_command(
    source: Annotated[
        str,
        typer.Argument(
            help="A .npy, .npz, .array_record, .parquet or .csv; a folder of pictures, or of sparse matrices, .npz as "
            "scipy saves them; or a TFDS name, such as mnist."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="The folder to write, a new one.")],
    label: Annotated[
        str | None, typer.Option(help="The column of labels in a table, or their array in a .npz.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="The side that pictures are resized to.")] = None,
    crop: Annotated[bool, typer.Option("--crop", help="Cut pictures to a square, in place of squeezing them.")] = False,
    grey: Annotated[bool, typer.Option("--grey", help="Pictures of one channel.")] = False,
    shard_rows: Annotated[
        int | None, typer.Option(help="Examples in a file; by default as many as make 128 MiB.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a build that was interrupted.")] = False,
    json: Json = False,
) -> None:
    """Write examples to shards, which training reads batch by batch: a recipe's source = "shards".

    The folder has .npy files of examples, the split, label and checksum of each example, and shards.json, which lists
    them. Each file is written whole or not at all, and examples are in the split that the source has them in.
    """
    load_tensorflow()
    from keras_vae.data.shard_building import build_shards

    manifest = build_shards(source, folder, label, size, crop, grey, shard_rows=shard_rows, resume=resume,
                            progress=counter("examples", json))  # fmt: skip
    if json:
        print_json({**manifest, "folder": str(folder)})
    else:
        shape = "x".join(map(str, manifest["shape"]))
        print(f"Written: {folder}/, {manifest['rows']:,} examples of {shape} {manifest['dtype']} in "
              f"{len(manifest['parts'])} shards.")  # fmt: skip
