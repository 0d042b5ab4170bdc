"""The names of splits, and of slices of them."""

import re

from keras_vae.errors import UserError

SPLITS = ("train", "validation", "train+validation", "test")


def parsed(split: str) -> tuple[str, int, int | None]:
    """Parse a split into its name, one of `SPLITS`, and the start and stop of its slice.

    Raises:
      UserError: an unknown split.
    """
    match = re.fullmatch(r"([a-z+]+)(?:\[(\d*):(\d*)\])?", split)
    if match is None or match[1] not in SPLITS:
        raise UserError(
            f"split is one of {', '.join(SPLITS)}, or a slice of one such as 'train[:1000]'. Given: {split!r}."
        )
    return match[1], int(match[2] or 0), int(match[3]) if match[3] else None
