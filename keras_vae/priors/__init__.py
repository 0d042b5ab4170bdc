"""Priors fitted to the codes of a trained model, to use in place of its own."""

from pathlib import Path

from keras_vae.priors.autoregressive import AutoregressivePrior as AutoregressivePrior
from keras_vae.priors.base import FittedPrior as FittedPrior
from keras_vae.priors.base import codes_of as codes_of
from keras_vae.priors.base import read
from keras_vae.priors.flow import FlowPrior as FlowPrior
from keras_vae.priors.mixture import MixturePrior as MixturePrior
from keras_vae.priors.two_stage import TwoStagePrior as TwoStagePrior
from keras_vae.registry import Entries, choose

PRIORS: Entries[type[FittedPrior]] = Entries(
    "priors", {prior.__name__: prior for prior in (AutoregressivePrior, FlowPrior, MixturePrior, TwoStagePrior)}
)


def load(path: str | Path) -> FittedPrior:
    """Return the fitted prior that `save` wrote to `path`.

    Raises:
      CorruptFileError: not the file of a fitted prior.
      UserError: a class of prior that this version does not have.
    """
    head, held = read(path)
    return choose("prior", head["prior"], PRIORS).from_data(head, held, path)
