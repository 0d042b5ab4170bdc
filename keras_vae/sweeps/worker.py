"""The process of one run: `python -m keras_vae.sweeps.worker`, which reads its work as a line of JSON.

The process ends with its input, so it outlives no sweep: what it was writing is whole or not there.
"""

import json
import os
import sys
import threading
from pathlib import Path

from keras_vae import files
from keras_vae.errors import DivergedError, UserError
from keras_vae.sweeps.progress import DIVERGED
from keras_vae.zoo import store


def work(folder: Path, until: int | None, verbose: int = 2) -> None:
    """Train the recipe in a folder to an epoch, or to its end; that it diverged is a result, too."""
    from keras_vae import zoo

    try:
        zoo.train(folder / store.RECIPE, folder, verbose=verbose, until=until)
    except DivergedError as error:
        files.write_text(folder / DIVERGED, f"{error}\n")


def _end_with_input() -> None:
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    """Do the work that the first line of the input names, unless the input ends before."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    if job["allow_code"]:
        from keras_vae.zoo import trust

        trust.allow_code()
    try:
        work(Path(job["folder"]), job["until"])
    except UserError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
