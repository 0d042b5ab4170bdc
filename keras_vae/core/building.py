"""How a model comes by its networks, and runs them. These are methods of `VAE`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from keras_vae import randomness
from keras_vae.errors import UserError
from keras_vae.registry import build


def make_network(
    self: Any,
    role: str,
    spec: Any,
    known: Mapping[str, Any],
    input_shape: Any,
    output_shape: Sequence[int],
    arguments: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """A built network from a name, a mapping of name and arguments, or a Keras layer, which is checked.

    Args:
      role: what the network is called.
      spec: what the user gave.
      known: the networks that have a name.
      input_shape: of one input; or what the network is called on: `keras.Input`s, such as of whole numbers.
      output_shape: of one output.
      arguments: what a network chosen by name is given beside `output_shape`.

    Raises:
      UserError: an unknown name, or a layer whose output does not have `output_shape`.
    """
    network: Any = spec
    symbolic = any(isinstance(each, keras.KerasTensor) for each in keras.tree.flatten(input_shape))
    inputs = input_shape if symbolic else keras.Input(tuple(input_shape))
    with randomness.initial_weights(self.seed, role):
        if not isinstance(spec, keras.layers.Layer):
            network = build(role, spec, known, output_shape=output_shape, dtype=self.dtype_policy, **arguments)
        given = tuple(network(inputs).shape[1:])
    if given != tuple(output_shape):
        shapes = [", ".join(map(str, each.shape[1:])) for each in keras.tree.flatten(inputs)]
        raise UserError(
            f"The {role} must map {' and '.join(f'(batch, {shape})' for shape in shapes)} to (batch, "
            f"{', '.join(map(str, output_shape))}) for this latent_dim and likelihood. Given: a layer whose output "
            f"has shape (batch, {', '.join(map(str, given))}). Change its last layer."
        )
    return network


def run(self: Any, network: Any, inputs: Any, training: bool) -> Any:
    """The network's output in `float_dtype`, whatever it computes in. Tokens are handed over as they are."""
    cast = ops.cast(inputs, self.x_spec()["dtype"] if network is self.encoder else self.float_dtype)
    return ops.cast(network(cast, training=training), self.float_dtype)


def variables_but(self: Any, *networks: Any) -> list[Any]:
    """The trainable variables that none of these networks has: those of the players that own the rest."""
    others = {id(variable) for network in networks for variable in network.trainable_variables}
    return [variable for variable in self.trainable_variables if id(variable) not in others]
