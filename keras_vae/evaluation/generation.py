"""How good generated and reconstructed images are.

Distances of distributions are measured in the features of the MNIST classifier that ships with the package, and are
called `mnist_fd`: they are no FID, which is of Inception's features, and compare with no published number.
"""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import backend
from keras_vae.checks import check_whole_number, in_blocks
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation import mnist_classifier
from keras_vae.evaluation.distances import frechet, precision_recall
from keras_vae.evaluation.estimates import mean_of, seed_of_repetition, share_of
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

_SSIM_WINDOW = 11


def mnist_fd(
    model: "VAE",
    real: Any,
    seed: int = 0,
    repetitions: int = 3,
    condition: ConditionLike = None,
    prior: "FittedPrior | None" = None,
) -> dict[str, dict[str, Any]]:
    """Generated digits against real ones in the features of the package's classifier: `mnist_fd`, precision, recall.

    The real digits are cut into disjoint parts, two for each repetition. The model draws as many digits as are in one,
    and both the draws and the other part are compared with it: `floor`, `floor_precision` and `floor_recall` are real
    against real, what a perfect model would get. No digit and no draw is in two repetitions, so that they are
    independent and their spread gives the standard error. A distance of fewer examples is greater in expectation:
    compare distances of equal `examples`, and with their floor.

    Args:
      model: one that draws 28 x 28 digits.
      real: held-out digits, of the kind the model draws: mean images are grey, so grey digits.
      seed: of parts and draws.
      repetitions: 2 or more; fewer are made where the digits are too few for so many.
      condition: for a conditional model, that of each real digit; the draws have those of the part they stand for.
      prior: as of `model.sample`.

    Raises:
      NotApplicable: fewer than 260 digits, 65 for each of four parts, or a model without a prior.
      UserError: images of another size, or conditions of another number than digits.
    """
    seed, repetitions = check_whole_number(seed, "seed", 0), check_whole_number(repetitions, "repetitions", 2)
    least = mnist_classifier.FEATURES + 1  # in a part: with fewer, a covariance is singular
    if len(real) < 4 * least:
        raise NotApplicable(f"This distance needs {4 * least} real digits or more. Given: {len(real)}.")
    repetitions = min(repetitions, len(real) // (2 * least))
    given = None if condition is None else np.asarray(condition)
    if given is not None and len(given) != len(real):
        raise UserError(f"There must be one condition for each real digit. Given: {len(given)} for {len(real)}.")
    features, rows = mnist_classifier.features(real), []
    size = len(features) // (2 * repetitions)
    parts = np.random.default_rng(seed).permutation(len(features))[: 2 * repetitions * size].reshape(-1, 2, size)
    for repetition, (first, second) in enumerate(parts):
        one, other = features[first], features[second]
        noise = seed_of_repetition(seed, repetition)
        drawn = mnist_classifier.features(model.sample(size, noise, None if given is None else given[first], prior))
        row = {"mnist_fd": frechet(one, drawn), "floor": frechet(one, other)}
        for name, each in (("", drawn), ("floor_", other)):
            row |= {name + key: share["value"] for key, share in precision_recall(one, each).items()}
        rows.append(row)
    further = {"repetitions": repetitions, "seed": seed, "examples": size}
    return {name: mean_of([row[name] for row in rows], **further) for name in rows[0]}


def condition_accuracy(model: "VAE", count: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The share of digits drawn for a label that the package's classifier takes for that digit.

    Args:
      model: conditional on ten labels, the digits.
      count: digits, the labels in turn.
      seed: of the draws.

    Returns:
      `value`, `standard_error`, `examples`, `seed`; and `ceiling`, that classifier's accuracy on real test digits.

    Raises:
      NotApplicable: a model that is not conditional on ten labels.
      UserError: other images.
    """
    if not model.conditional or model.condition_classes != mnist_classifier.CLASSES:
        raise NotApplicable(f"Accuracy for a condition is of a model conditional on the ten digits. Given: a "
                        f"{type(model).__name__} that is not.")  # fmt: skip
    labels = np.arange(check_whole_number(count, "count")) % mnist_classifier.CLASSES
    guesses = mnist_classifier.classify(model.sample(len(labels), seed=seed, condition=labels.astype("int32")))
    ceiling = json.loads(mnist_classifier.RESULTS.read_text(encoding="utf-8"))["test"]["accuracy"]
    return share_of(guesses == labels, examples=len(labels), seed=seed, ceiling=ceiling)


def squared_errors(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> np.ndarray:
    """The squared error of each image's mean reconstruction, summed over its pixels: `(batch,)`, float64.

    Raises:
      UserError: images that do not fit the model.
    """
    inputs = checked_inputs(model, x, condition)
    return _squares(inputs["x"], model.reconstruct(x, condition))


def reconstruction(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> dict[str, dict[str, Any]]:
    """Of the mean reconstruction of each image's mean code: `mse`, `psnr` (dB, peak 1) and `ssim`.

    Means over images, with standard errors. PSNR is that of each image, which for a perfect one is infinite: squared
    errors are taken as 1e-10 at least, 100 dB. SSIM: Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, its
    11 x 11 window, by the backend's; left out for smaller images.

    Raises:
      NotApplicable: a model of anything but images.
      UserError: images that do not fit the model, or fewer than two.
    """
    inputs = checked_inputs(model, x, condition)
    if model.x_spec().kind != "image":
        raise NotApplicable(f"These are errors of images. Given: a {type(model).__name__}, whose x is none.")
    found = {"x": inputs["x"].astype("float32"), "y": model.reconstruct(x, condition).astype("float32")}
    errors = _squares(found["x"], found["y"]) / np.prod(model.image_shape)
    values = {"mse": errors, "psnr": -10.0 * np.log10(np.maximum(errors, 1e-10))}
    if min(model.image_shape[:2]) >= _SSIM_WINDOW:
        values["ssim"] = in_blocks(lambda _, part: _ssim(part["x"], part["y"]), found, pad=True)
    return {name: mean_of(value, examples=len(errors)) for name, value in values.items()}


# XLA makes one loop of the windows: a fifth of the processor's time of the operations one by one.
_ssim = backend.compiled(backend.structural_similarity, jit_compile=True)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.square(x.astype("float64") - y).sum(axis=tuple(range(1, x.ndim)))
