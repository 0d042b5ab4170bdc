"""Free bits, in nats: what of the KL costs nothing. `cost_of_kl` is `VAE.kl_cost`.

Equation 15 of Kingma et al. 2016, https://arxiv.org/abs/1606.04934: the batch mean of the KL of each of several parts
is not reduced below kappa.
"""

from typing import Any

from keras import ops

from keras_vae import checks
from keras_vae.errors import UserError

PARTS = ("dimension", "group", "total")  # the finest first


def take_free_bits(model: Any, free_bits: Any, on: str | None, group: Any) -> None:
    """Check `free_bits`, `free_bits_on` and `free_bits_group`, and keep them under these names.

    The model's `kl_of` says what the columns of its `Terms.kl` are: free bits are on these, or on sums of them.

    Raises:
      UserError: an argument that does not fit, or parts finer than the model's.
    """
    if isinstance(free_bits, bool) or not isinstance(free_bits, int | float) or not 0 <= free_bits < float("inf"):
        raise UserError(f"free_bits is a number of nats, 0 or more. Given: {free_bits!r}.")
    on, name = model.kl_of if on is None else on, type(model).__name__
    if on not in PARTS:
        raise UserError(f"free_bits_on is one of {', '.join(PARTS)}. Given: {on!r}.")
    known = PARTS[PARTS.index(model.kl_of) :]
    if free_bits and on not in known:
        raise UserError(
            f"Free bits are on parts of the KL, and that of a {name} has none finer than the {known[0]}. Given: "
            f"free_bits_on={on!r}. Choose from: {', '.join(known)}."
        )
    group = checks.check_whole_number(group, "free_bits_group")
    if group > 1 and (model.kl_of != "dimension" or on != "group" or model.latent_dim % group):
        raise UserError(
            f"free_bits_group divides latent_dim, and goes with free_bits_on='group' and a KL in dimensions. Given: "
            f"{group}, for a {name} of latent_dim={model.latent_dim} and free_bits_on={on!r}."
        )
    model.free_bits, model.free_bits_on, model.free_bits_group = float(free_bits), on, group


def cost_of_kl(self: Any, kl: Any) -> Any:
    """The KL in the loss: the batch mean of the sum over groups, not reduced below `free_bits`. A scalar."""
    if not self.free_bits:
        return ops.mean(ops.sum(kl, axis=-1))
    if self.free_bits_on == "total":
        kl = ops.sum(kl, axis=-1, keepdims=True)
    elif self.free_bits_group > 1:
        kl = ops.sum(ops.reshape(kl, (-1, self.latent_dim // self.free_bits_group, self.free_bits_group)), axis=-1)
    return ops.sum(ops.maximum(self.batch_mean(kl), self.free_bits))
