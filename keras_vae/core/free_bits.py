"""Free bits: the part of the KL, in nats, that is not penalised. `VAE.kl_cost` applies them.

Equation 15 of Kingma et al. 2016, https://arxiv.org/abs/1606.04934: the batch mean of the KL of each part is
not reduced below kappa.
"""

from typing import Any

from keras_vae import checks
from keras_vae.errors import UserError

PARTS = ("dimension", "group", "total")  # the finest first


def checked_free_bits(
    free_bits: float, on: str | None, group: int, model: str, kl_axis: str, latent_dim: int
) -> tuple[float, str, int]:
    """Return `free_bits`, `free_bits_on` and `free_bits_group`, checked against the parts that the model's KL has.

    Args:
      free_bits: kappa, nats.
      on: a member of `PARTS`; None: the finest that the model has.
      group: dimensions in a group.
      model: the name of its class, for messages.
      kl_axis: the parts that the columns of its `Terms.kl` are: free bits apply to these, or to sums of them.
      latent_dim: the number of latent dimensions.

    Raises:
      UserError: an argument that does not fit, or parts finer than the model's.
    """
    kappa: Any = free_bits
    if not checks.is_number(kappa) or not 0 <= kappa < float("inf"):
        raise UserError(f"free_bits is a number of nats, 0 or more. Given: {free_bits!r}.")
    on = kl_axis if on is None else on
    if on not in PARTS:
        raise UserError(f"free_bits_on is one of {', '.join(PARTS)}. Given: {on!r}.")
    coarser = PARTS[PARTS.index(kl_axis) :]
    if kappa and on not in coarser:
        raise UserError(
            f"Free bits are on parts of the KL, and that of a {model} has none finer than the {coarser[0]}. Given: "
            f"free_bits_on={on!r}. Choose from: {', '.join(coarser)}."
        )
    group = checks.check_whole_number(group, "free_bits_group")
    if group > 1 and (kl_axis != "dimension" or on != "group" or latent_dim % group):
        raise UserError(
            f"free_bits_group divides latent_dim, and goes with free_bits_on='group' and a KL in dimensions. Given: "
            f"{group}, for a {model} of latent_dim={latent_dim} and free_bits_on={on!r}."
        )
    return float(kappa), on, group
