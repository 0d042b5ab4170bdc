"""Power spectra of images, and their sharpness: the share of high frequencies."""

import contextlib

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import as_array, check_number, in_blocks
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.evaluation.evaluation import SUBSET, Evaluation, rows_of

ABOVE = 0.25  # cycles a pixel, half of the highest frequency along an axis


def high_frequency_shares(images: ArrayLike, above: float = ABOVE) -> np.ndarray:
    """Return the share of each image's power at frequencies above `above` cycles a pixel: `(batch,)`, float64.

    Power is `|F|**2` of the discrete Fourier transform, all channels together, without the frequency 0; a frequency's
    size is the length of its two components. Of a constant image, which has no power, it is 0.

    Raises:
      UserError: no finite images `(batch, height, width, channels)`, or `above` that no frequency exceeds.
    """
    array, above = _checked(images), check_number(above, "above")
    high = _sizes(array) > above
    if not high.any():
        raise UserError(f"No frequency of images {array.shape[1:3]} is above {above:g} cycles a pixel. Lower above.")
    return in_blocks(lambda _, part: _shares(part["x"])[:, high].sum(axis=-1), {"x": array})


def power_spectrum(images: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies, cycles a pixel up to a half, and the mean share of an image's power at a frequency of each.

    A ring of frequencies of about one size is a step wide, one cycle over the longer side of an image; the share is
    that of one of them, on average over ring and images. Of white noise it is the same everywhere, of a blurred image
    it falls where a sharp one's does not. Of images as `high_frequency_shares`, and with power as there.

    Raises:
      UserError: as there.
    """
    array = _checked(images)
    longer = max(array.shape[1:3])
    ring = np.round(_sizes(array) * longer).astype(int)
    shares = in_blocks(lambda _, part: _shares(part["x"]), {"x": array}).mean(axis=0)
    power = np.bincount(ring.ravel(), shares.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    return np.arange(1, longer // 2 + 1) / longer, power[1 : longer // 2 + 1]


def _checked(images: ArrayLike) -> np.ndarray:
    array = as_array(images, "images")
    if array.ndim != 4 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise UserError(
            f"images must be finite numbers (batch, height, width, channels). Given: {array.dtype} of {array.shape}."
        )
    return array.astype("float64")


def _sizes(images: np.ndarray) -> np.ndarray:
    """Return the size of each frequency of images, `(height, width)`, cycles a pixel."""
    return np.hypot(np.fft.fftfreq(images.shape[1])[:, None], np.fft.fftfreq(images.shape[2]))


def _shares(images: np.ndarray) -> np.ndarray:
    """Return the share of power of each frequency, `(batch, height, width)`; 0 everywhere of a constant image."""
    power = np.square(np.abs(np.fft.fft2(images, axes=(1, 2)))).sum(axis=-1)
    power[:, 0, 0] = 0.0
    total = power.sum(axis=(1, 2), keepdims=True)
    seen = total > 1e-20 * power.shape[1] * power.shape[2]
    return np.where(seen, power / np.where(seen, total, 1.0), 0.0)


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
    evaluation.require_kind("image", "Sharpness is of images")
    real = evaluation.whole_x if evaluation.reference is None else evaluation.reference
    values = {"reconstructions": sharpness(evaluation.reconstructions, real)}
    count = min(SUBSET, len(evaluation))
    with contextlib.suppress(NotApplicable):  # no prior
        condition = rows_of(evaluation.condition, slice(count))
        drawn = model.sample(count, evaluation.seed, condition, evaluation.prior)
        values["samples"] = {**sharpness(drawn, real), "seed": evaluation.seed}
    return values
