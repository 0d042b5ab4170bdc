"""Networks: Keras layers from tensors to parameters. They know nothing of VAEs, and are chosen by name or given."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import keras

from keras_vae.networks.conv import ConvDecoder as ConvDecoder
from keras_vae.networks.conv import ConvEncoder as ConvEncoder
from keras_vae.networks.growing import GrowingDecoder as GrowingDecoder
from keras_vae.networks.growing import GrowingEncoder as GrowingEncoder
from keras_vae.networks.mlp import MLP as MLP
from keras_vae.networks.recurrent import GRUDecoder as GRUDecoder
from keras_vae.networks.recurrent import GRUEncoder as GRUEncoder
from keras_vae.networks.residual import ResidualDecoder as ResidualDecoder
from keras_vae.networks.residual import ResidualEncoder as ResidualEncoder
from keras_vae.networks.series import CausalDecoder as CausalDecoder
from keras_vae.networks.series import CausalEncoder as CausalEncoder
from keras_vae.networks.series import SeriesGRUDecoder as SeriesGRUDecoder
from keras_vae.networks.series import SeriesGRUEncoder as SeriesGRUEncoder
from keras_vae.registry import Entries

# As a constructor takes one: a name, a mapping of name and arguments, or a layer.
NetworkSpec: TypeAlias = str | Mapping[str, Any] | keras.layers.Layer

ENCODERS: Entries[Any] = Entries(
    "encoders",
    {
        "mlp": MLP,
        "conv": ConvEncoder,
        "residual": ResidualEncoder,
        "growing": GrowingEncoder,
        "gru": SeriesGRUEncoder,
        "causal": CausalEncoder,
    },
)
DECODERS: Entries[Any] = Entries(
    "decoders",
    {
        "mlp": MLP,
        "conv": ConvDecoder,
        "residual": ResidualDecoder,
        "growing": GrowingDecoder,
        "gru": SeriesGRUDecoder,
        "causal": CausalDecoder,
    },
)
