"""Make finished runs of the training queue the entries of the zoo.

    python benchmarks/adopt.py NAME ...

`keras-vae train --all` trains what waits, each `zoo/NAME/next.toml`, into `runs/queue/NAME`. Here its files take the
place of the entry's, with a card of the new numbers, and `next.toml` becomes its recipe.
"""

import argparse
import shutil
import sys
from pathlib import Path

from keras_vae import files, locks
from keras_vae.errors import UserError
from keras_vae.zoo import cards, queueing, store

QUEUE = Path(__file__).resolve().parents[1] / queueing.FOLDER


def adopt(name: str) -> None:
    """Make a finished run the entry of the zoo.

    Raises:
      UserError: nothing of this name waits, or its run is not finished, or has other weights than it measured.
    """
    entry = store.root() / name
    queued = queueing.Queued(name, entry / store.NEXT, QUEUE / name)
    if not queued.recipe.is_file():
        raise UserError(f"An entry with a {store.NEXT} waits for its training. Given: {name}, without one. Write it.")
    if queued.state != "finished":
        raise UserError(
            f"The run is finished first: keras-vae train --all {name}. Given: a run that is {queued.state}."
        )
    run, trained = queued.run, store.Entry(name, queued.run)
    store.checked_weights(trained)  # before anything of the entry is taken away
    store.checked_prior(trained)
    kept = [
        path
        for path in run.iterdir()
        if path.is_file() and not path.name.startswith(("checkpoint", locks.PREFIX)) and path.name != store.RECIPE
    ]
    with locks.only_writer(entry / store.RECIPE, "trains"):  # nor measures, meanwhile
        files.sweep(entry)
        (entry / store.RESULTS).unlink(missing_ok=True)  # first, and written last: without results it is not trained
        for old in entry.iterdir():
            if old.name != store.NEXT and not old.name.startswith(locks.PREFIX):
                old.unlink()
        # Its comments may be newer than those of the run.
        for new in sorted([*kept, entry / store.NEXT], key=lambda path: path.name == store.RESULTS):
            with files.atomic(entry / (store.RECIPE if new.name == store.NEXT else new.name)) as temporary:
                shutil.copyfile(new, temporary)
        files.write_text(entry / store.CARD, cards.card(name).markdown())
        (entry / store.NEXT).unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    for name in parser.parse_args().names:
        try:
            adopt(name)
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
