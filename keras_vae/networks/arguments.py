"""The arguments of `keras.layers.Layer` that this library's layers pass on, typed."""

from typing import Any, TypedDict


class LayerArguments(TypedDict, total=False):
    """The name, the precision, and whether the weights are trained."""

    name: str
    dtype: Any  # a name, a mapping or a policy of Keras
    trainable: bool
