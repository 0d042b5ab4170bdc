"""The players of a model, each with an optimizer, and whose variables these hold numbers of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_vae.errors import UserError

if TYPE_CHECKING:
    from keras_vae.core.vae import Player


def choose_optimizers(optimizer: object, players: Sequence[str]) -> dict[str, Any]:
    """Return an optimizer for each player: those of a mapping, or copies of one.

    Raises:
      UserError: none, or the keys of a mapping are not the players.
    """
    if optimizer is None:
        raise UserError("compile needs an optimizer. Given: None. Leave it out for Adam.")
    if isinstance(optimizer, Mapping) and "class_name" not in optimizer:  # which is one that Keras has written
        if set(optimizer) != set(players):
            raise UserError(f"compile needs one optimizer for each of {list(players)}. Given: {list(optimizer)}.")
        return {name: keras.optimizers.get(value) for name, value in optimizer.items()}
    first = keras.optimizers.get(optimizer)
    return {name: first if name == players[0] else type(first).from_config(first.get_config()) for name in players}


def check_players(players: Sequence["Player"], variables: Sequence[Any]) -> None:
    """Raise UserError unless each of the trainable `variables` belongs to exactly one player."""
    for variable in variables:
        owners = [player.name for player in players if any(variable is owned for owned in player.variables)]
        if len(owners) != 1:
            raise UserError(
                f"Every trainable variable belongs to exactly one player. Given: {variable.path}, which belongs to "
                f"{' and '.join(owners) or 'none'}. Change players() of the model."
            )


def is_built_for(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> bool:
    """Return whether an optimizer holds numbers of these variables, and of no others."""
    inner: Any = getattr(optimizer, "inner_optimizer", optimizer)
    return inner.built and list(map(id, inner._trainable_variables)) == list(map(id, variables))


def check_unused(optimizer: keras.optimizers.Optimizer, player: "Player") -> None:
    """Raise UserError if an optimizer was built for other variables than those of the player."""
    if getattr(optimizer, "built", False) and not is_built_for(optimizer, player.variables):
        raise UserError(
            f"An optimizer holds numbers of the variables that it was built for. Given: for {player.name!r} one of "
            f"another model or player, or of what was trainable before. Make a new one."
        )
