"""From a model to files that other runtimes open, with proof that they agree: one folder, a bundle.

`export` needs TensorFlow. `check` and `read_bundle` do not.
"""

from typing import TYPE_CHECKING

from keras_vae import lazy

if TYPE_CHECKING:
    from keras_vae.export.assemble import export as export
    from keras_vae.export.parity import Report as Report
    from keras_vae.export.parity import check as check
    from keras_vae.runtimes.bundle import Bundle as Bundle
    from keras_vae.runtimes.bundle import Parity as Parity
    from keras_vae.runtimes.bundle import read_bundle as read_bundle
    from keras_vae.types import Examples as Examples

__getattr__, __dir__, __all__ = lazy.attach(__name__)
