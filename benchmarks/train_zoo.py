"""The training queue of the zoo: each `zoo/NAME/next.toml` in turn, at the lowest priority, into `runs/queue/NAME`.

    python benchmarks/train_zoo.py [NAME ...]    train what is not finished; the same call goes on after an interruption
    python benchmarks/train_zoo.py --list        what is finished, begun, and to come
    python benchmarks/train_zoo.py --adopt NAME  make a finished run the entry zoo/NAME

`next.toml` is the recipe that an entry is trained with next: until then the entry keeps its own, and its weights. Each
is trained in a process of its own, its log in `runs/queue/NAME.log`, one line for each epoch. An entry that fails is
left for the next call, and the queue goes on. While a process holds a sign of `pause.py`, the training stands still.
"""

import argparse
import contextlib
import datetime
import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import pause

from keras_vae import files, locks
from keras_vae.zoo import cards, recipes, store

ROOT = Path(__file__).resolve().parents[1]
QUEUE, NEXT = ROOT / "runs" / "queue", "next.toml"
# In the order of their importance; others come last.
ORDER = (
    "gated_vae_mnist",
    "vae_mnist",
    "vamp_vae_mnist",
    "iwae_mnist",
    "tanh_vae_mnist",
    "hierarchical_vae_mnist",
    "hierarchical_vamp_vae_mnist",
    "flow_prior_vae_mnist",
    "cvae_mnist",
    "gated_vae_fashion_mnist",
    "growing_vae_mnist",
    "gaussian_vae_mnist",
    "continuous_bernoulli_vae_mnist",
    "beta_vae_mnist",
    "vamp_vae_fashion_mnist",
    "hierarchical_vae_fashion_mnist",
    "annealed_vae_mnist",
    "free_bits_vae_mnist",
    "beta_tc_vae_mnist",
    "dip_vae_mnist",
    "info_vae_mnist",
    "factor_vae_mnist",
    "logistic_vae_mnist",
    "vq_vae_mnist",
    "semi_supervised_vae_mnist",
    "ladder_vae_mnist",
    "conv_vae_mnist",
    "vae_emoji",
    "vq_vae_emoji",
    "cvae_emoji",
    "beta_tc_vae_sprites",
    "beta_vae_sprites",
    "vae_sprites",
    "factor_vae_sprites",
    "ae_sprites",
    "ae_mnist",
    "aae_mnist",
    "wae_mnist",
    "rae_mnist",
    "vae_gan_mnist",
    "hyperspherical_vae_mnist",
    "fsq_vae_mnist",
    "flow_vae_mnist",
    "residual_vq_vae_mnist",
    "vq_vae_cifar10",
    "semi_supervised_100_vae_mnist",
)


def names() -> list[str]:
    """The entries that have a recipe to be trained with, in the order of the queue."""
    waiting = {path.parent.name for path in store.root().glob(f"*/{NEXT}")}
    return [name for name in ORDER if name in waiting] + sorted(waiting - set(ORDER))


def state(name: str) -> str:
    """Whether an entry is "finished", "begun" or "to come"."""
    run, recipe = QUEUE / name, store.root() / name / NEXT
    if not (run / store.RECIPE).is_file() or recipes.read(recipe).changed_since(recipes.read(run / store.RECIPE)):
        return "to come"
    return "finished" if (run / store.RESULTS).is_file() else "begun"


def train_all(chosen: Sequence[str]) -> int:
    """Train what is not finished; returns how many failed."""
    QUEUE.mkdir(parents=True, exist_ok=True)
    with open(QUEUE / "lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise SystemExit(f"A queue is at work here, or what it trains: process {lock.read().strip()}.") from None
        failed = 0
        for name in chosen:
            if state(name) != "finished":
                failed += _train(name, lock) != 0
        return failed


def _train(name: str, lock: TextIO) -> int:
    """Train one entry in a process of its own, and stop it while anything asks for a pause; returns its status."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with open(QUEUE / f"{name}.log", "a", encoding="utf-8") as log:
        _say(log, f"{name}: training")
        # The lock is the child's too: should this process be killed, no second training starts beside it.
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, pass_fds=[lock.fileno()], start_new_session=True
        )
        lock.truncate(0)
        lock.write(f"{process.pid}\n")
        lock.flush()
        stopped = False
        try:
            while process.poll() is None:
                wanted = bool(pause.holders())
                if wanted != stopped:
                    os.killpg(process.pid, signal.SIGSTOP if wanted else signal.SIGCONT)
                    _say(log, f"paused for {pause.holders()}" if wanted else "going on")
                    stopped = wanted
                time.sleep(pause.INTERVAL)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # nothing is lost but the epoch
            raise
        _say(log, f"{name}: {'finished' if process.returncode == 0 else f'failed, status {process.returncode}'}")
        return process.returncode


def _say(log: TextIO, text: str) -> None:
    for stream in (log, sys.stdout):
        print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} {text}", file=stream, flush=True)


class EpochLines(io.TextIOBase):
    """Keras prints "Epoch 3/9" and the numbers of that epoch; this makes one line of both."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self._text, self._epoch = stream, "", ""

    def write(self, text: str) -> int:
        *lines, self._text = (self._text + text).split("\n")
        for line in filter(str.strip, lines):
            if line.startswith("Epoch "):
                self._epoch = line.strip() + " "
            else:
                print(self._epoch + line.strip(), file=self.stream, flush=True)
                self._epoch = ""
        return len(text)


def train_one(name: str) -> None:
    """Train an entry in this process, at the lowest priority."""
    os.nice(19)
    with contextlib.suppress(OSError):  # Linux shares processors between sessions first, if it groups them
        Path("/proc/self/autogroup").write_text("19")
    from keras_vae import zoo

    output, sys.stdout = sys.stdout, EpochLines(sys.stdout)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        # A run of an older recipe is in the way of this one.
        zoo.train(store.root() / name / NEXT, QUEUE / name, overwrite=state(name) == "to come", verbose=2)
    finally:
        sys.stdout = output


def adopt(name: str) -> None:
    """Make a finished run the entry of the zoo: its files take the place of the old ones, the card with its new name.

    Raises:
      SystemExit: the run is not finished.
    """
    if state(name) != "finished":
        raise SystemExit(f"{name} is not finished: {state(name)}. Train it first.")
    run, entry = QUEUE / name, store.root() / name
    kept = [
        path
        for path in run.iterdir()
        if path.is_file() and not path.name.startswith(("checkpoint", locks.PREFIX)) and path.name != store.RECIPE
    ]
    with locks.only_writer(entry / store.RECIPE, "trains"):  # nor measures, meanwhile
        files.sweep(entry)
        (entry / store.RESULTS).unlink(missing_ok=True)  # first, and written last: without results it is not trained
        for old in entry.iterdir():
            if old.name != NEXT and not old.name.startswith(locks.PREFIX):
                old.unlink()
        # Its comments may be newer than those of the run.
        for new in sorted([*kept, entry / NEXT], key=lambda path: path.name == store.RESULTS):
            with files.atomic(entry / (store.RECIPE if new.name == NEXT else new.name)) as temporary:
                shutil.copyfile(new, temporary)
        files.write_text(entry / store.CARD, cards.card(name).markdown())
        (entry / NEXT).unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the queue; by default all")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--adopt", metavar="NAME", choices=names())
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names()):
        parser.error(f"no {NEXT} of {', '.join(sorted(unknown))}; there are: {', '.join(names())}")
    if arguments.one:
        train_one(arguments.one)
    elif arguments.adopt:
        adopt(arguments.adopt)
    elif arguments.list:
        for name in names():
            print(f"{state(name):9} {name}")
    else:
        return min(train_all(arguments.names or names()), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
