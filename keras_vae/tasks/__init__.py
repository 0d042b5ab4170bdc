"""What people do with a trained model: one file a task, on any model that has what the task needs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_vae.tasks.anomaly import anomaly_scores as anomaly_scores
    from keras_vae.tasks.anomaly import detection as detection
    from keras_vae.tasks.anomaly import judge as judge
    from keras_vae.tasks.anomaly import leave_one_class_out as leave_one_class_out
    from keras_vae.tasks.anomaly import threshold as threshold
    from keras_vae.tasks.attributes import attribute_vector as attribute_vector
    from keras_vae.tasks.attributes import with_attribute as with_attribute
    from keras_vae.tasks.classifier import classifier_on as classifier_on
    from keras_vae.tasks.classifier import m1_classifier as m1_classifier
    from keras_vae.tasks.compression import code_length as code_length
    from keras_vae.tasks.embedding import to_plane as to_plane
    from keras_vae.tasks.imputation import impute as impute
    from keras_vae.tasks.interpolation import interpolate as interpolate
    from keras_vae.tasks.manifold import latent_plane as latent_plane
    from keras_vae.tasks.trained_transformer import TrainedTransformer as TrainedTransformer
    from keras_vae.tasks.transformer import VAETransformer as VAETransformer
    from keras_vae.tasks.traversal import traverse as traverse

# name -> the module that has it, imported when it is first asked for: scikit-learn takes a second
_PLACES = {
    "TrainedTransformer": "trained_transformer",
    "VAETransformer": "transformer",
    "anomaly_scores": "anomaly",
    "attribute_vector": "attributes",
    "classifier_on": "classifier",
    "code_length": "compression",
    "detection": "anomaly",
    "impute": "imputation",
    "interpolate": "interpolation",
    "judge": "anomaly",
    "latent_plane": "manifold",
    "leave_one_class_out": "anomaly",
    "m1_classifier": "classifier",
    "threshold": "anomaly",
    "to_plane": "embedding",
    "traverse": "traversal",
    "with_attribute": "attributes",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"keras_vae.tasks.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'keras_vae.tasks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
