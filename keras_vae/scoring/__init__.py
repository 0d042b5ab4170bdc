"""Scoring at scale: every example of large inputs through a bundle, to parquet files, on one machine or on a cluster.

    keras_vae.scoring.score("out/", "images.npy", "codes/", what="codes")

Needs neither TensorFlow nor Keras: bundles run on ONNX Runtime.
"""

from typing import TYPE_CHECKING

from keras_vae import lazy

if TYPE_CHECKING:
    from keras_vae.scoring.engines import score as score
    from keras_vae.scoring.measures import MEASURES as MEASURES
    from keras_vae.scoring.plan import Plan as Plan

__getattr__, __dir__, __all__ = lazy.attach(__name__)
