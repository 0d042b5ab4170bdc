"""Sharpness of images: the share of high frequencies in their power spectrum."""

import contextlib

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import as_array, check_number, in_blocks
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.evaluation.evaluation import Evaluation, rows_of

ABOVE = 0.25  # cycles a pixel, half of the highest frequency along an axis
_SAMPLES = 1000


def high_frequency_shares(images: ArrayLike, above: float = ABOVE) -> np.ndarray:
    """Return the share of each image's power at frequencies above `above` cycles a pixel: `(batch,)`, float64.

    Power is |F|**2 of the discrete Fourier transform, all channels together, without the frequency 0; a frequency's
    size is the length of its two components. Of a constant image, which has no power, it is 0.

    Raises:
      UserError: no finite images `(batch, height, width, channels)`, or `above` that no frequency exceeds.
    """
    array, above = as_array(images, "images"), check_number(above, "above")
    if array.ndim != 4 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise UserError(
            f"images must be finite numbers (batch, height, width, channels). Given: {array.dtype} of {array.shape}."
        )
    rows, columns = np.fft.fftfreq(array.shape[1])[:, None], np.fft.fftfreq(array.shape[2])
    high = np.hypot(rows, columns) > above
    if not high.any():
        raise UserError(f"No frequency of images {array.shape[1:3]} is above {above:g} cycles a pixel. Lower above.")

    def shares(_: int, part: dict[str, np.ndarray]) -> np.ndarray:
        power = np.square(np.abs(np.fft.fft2(part["x"], axes=(1, 2)))).sum(axis=-1)
        power[:, 0, 0] = 0.0
        total = power.sum(axis=(1, 2))
        seen = total > 1e-20 * power.shape[1] * power.shape[2]
        return np.where(seen, power[:, high].sum(axis=-1) / np.where(seen, total, 1.0), 0.0)

    return in_blocks(shares, {"x": array.astype("float64")})


def sharpness(images: ArrayLike, real: ArrayLike, above: float = ABOVE) -> Estimate:
    """Return the mean share of high frequencies in images over that in real ones: 1 as sharp, less is blurred.

    A share does not depend on contrast or brightness. The standard error is that of independent images: too large where
    both are of the same scenes, as reconstructions are. Noise has high frequencies too: more than 1 is not better.

    Args:
      images: reconstructions or samples, `(batch, height, width, channels)`.
      real: real images of the same size.
      above: the lowest of the high frequencies, cycles a pixel.

    Raises:
      NotApplicable: real images without high frequencies.
      UserError: as `high_frequency_shares`, images of two sizes, or fewer than two.
    """
    if np.shape(images)[1:] != np.shape(real)[1:]:
        raise UserError(f"Sharpness compares images of one size. Given: {np.shape(images)} and {np.shape(real)}.")
    ours, theirs = (mean_of(high_frequency_shares(batch, above)) for batch in (images, real))
    if not theirs["value"]:
        raise NotApplicable(f"Sharpness is relative to real images, and these have no power above {above:g}.")
    ratio = ours["value"] / theirs["value"]
    errors = ours["standard_error"] or 0.0, ratio * (theirs["standard_error"] or 0.0)
    error = float(np.hypot(*errors)) / theirs["value"]
    return {"value": ratio, "standard_error": error, "examples": len(np.asarray(images))}


def sharpness_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return `sharpness` of mean `reconstructions` and, if the model draws, of `samples`, the first 1,000.

    Against `reference`, real images of the kind that the model draws, or the evaluation's own without any.
    """
    model = evaluation.model
    if model.x_spec().kind != "image":
        raise NotApplicable(f"Sharpness is of images. Given: a {type(model).__name__} of {model.x_spec().kind}.")
    real = evaluation.whole_x if evaluation.reference is None else evaluation.reference
    values = {"reconstructions": sharpness(evaluation.reconstructions, real)}
    count = min(_SAMPLES, len(evaluation))
    with contextlib.suppress(NotApplicable):  # no prior
        condition = rows_of(evaluation.condition, slice(count))
        drawn = model.sample(count, evaluation.seed, condition, evaluation.prior)
        values["samples"] = {**sharpness(drawn, real), "seed": evaluation.seed}
    return values
