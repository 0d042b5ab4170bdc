"""Studies: many trainings of one recipe with other values and seeds, by processes, Slurm arrays or Ray, and a table.

keras_vae.sweeps.sweep("study.toml", jobs=4)
"""

from typing import TYPE_CHECKING

from keras_vae import lazy

if TYPE_CHECKING:
    from keras_vae.sweeps.analysis import rank_correlations as rank_correlations
    from keras_vae.sweeps.analysis import seed_share as seed_share
    from keras_vae.sweeps.sweeping import run as run
    from keras_vae.sweeps.sweeping import sweep as sweep

__getattr__, __dir__, __all__ = lazy.attach(__name__)
