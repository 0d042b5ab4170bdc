"""Metrics of generated and reconstructed images.

The Frechet distance in the features of the MNIST classifier that ships with the package is called `mnist_fd`. It is not
the FID, which uses Inception's features, and does not compare with published numbers.
"""

import json
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae import backend
from keras_vae.checks import as_array, check_whole_number, in_blocks
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation import mnist_classifier
from keras_vae.evaluation.distances import frechet, memorisation, precision_recall
from keras_vae.evaluation.estimates import Details, Estimate, mean_of, seed_of_repetition, share_of
from keras_vae.evaluation.evaluation import SUBSET, Evaluation, rows_of
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

_SSIM_WINDOW = 11


class Memorised(Estimate):
    """As `distances.Memorisation`, without the list of neighbours."""

    generated: float
    held_out: float
    train: int  # training images


def mnist_fd(
    model: "VAE",
    real: ArrayLike,
    seed: int = 0,
    repetitions: int = 3,
    condition: ConditionLike = None,
    prior: "FittedPrior | None" = None,
) -> dict[str, Estimate]:
    """Return `mnist_fd`, precision, recall and confidence of generated digits, by the package's classifier.

    The real digits are cut into disjoint parts, two for each repetition. The model draws as many digits as are in one,
    and both the draws and the other part are compared with it in the features of the classifier: `floor`,
    `floor_precision` and `floor_recall` are real against real, what a perfect model would get. `confidence` is the
    mean probability that the classifier gives the digit it takes a draw for, `floor_confidence` that of real
    digits. No digit and no draw is in two repetitions, so that they are independent and their spread gives the
    standard error. A distance of fewer examples is greater in expectation: compare distances of equal `examples`,
    and with their floor.

    Args:
      model: one that draws 28 x 28 digits.
      real: held-out digits, of the kind the model draws: mean images are grey, so grey digits.
      seed: of parts and draws.
      repetitions: 2 or more; fewer if there are too few digits.
      condition: for a conditional model, that of each real digit; draws have those of the part they replace.
      prior: as of `model.sample`.

    Raises:
      NotApplicable: fewer than 260 digits, 65 for each of four parts, or a model without a prior.
      UserError: images of another size, or conditions of another number than digits.
    """
    real, seed = as_array(real, "real"), check_whole_number(seed, "seed", 0)
    repetitions = check_whole_number(repetitions, "repetitions", 2)
    least = mnist_classifier.FEATURES + 1  # in a part: with fewer, a covariance is singular
    if len(real) < 4 * least:
        raise NotApplicable(f"This distance needs {4 * least} real digits or more. Given: {len(real)}.")
    conditions = [] if condition is None else keras.tree.flatten(keras.tree.map_structure(np.asarray, condition))
    if any(len(values) != len(real) for values in conditions):
        raise UserError(
            f"There must be one condition for each real digit. Given: {len(conditions[0])} for {len(real)}."
        )
    repetitions = min(repetitions, len(real) // (2 * least))
    features, confidences = mnist_classifier.features(real), mnist_classifier.confidence(real)
    rows: list[dict[str, float]] = []
    size = len(features) // (2 * repetitions)
    parts = np.random.default_rng(seed).permutation(len(features))[: 2 * repetitions * size].reshape(-1, 2, size)
    for repetition, (first, second) in enumerate(parts):
        noise = seed_of_repetition(seed, repetition)
        draws = model.sample(size, noise, rows_of(condition, first), prior)
        row = _distances(features[first], features[second], mnist_classifier.features(draws))
        row["confidence"] = float(mnist_classifier.confidence(draws).mean())
        rows.append(row | {"floor_confidence": float(confidences[second].mean())})
    details: Details = {"repetitions": repetitions, "seed": seed, "examples": size}
    return {name: mean_of([row[name] for row in rows], **details) for name in rows[0]}


def mnist_fd_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """As `mnist_fd`, against the evaluation's `reference`."""
    reference = evaluation.required("reference")
    condition = rows_of(evaluation.condition, slice(len(reference)))  # of the first images, as the reference may be
    return mnist_fd(evaluation.model, reference, evaluation.seed, condition=condition, prior=evaluation.prior)


def _distances(real: np.ndarray, others: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Return the distances of generated and of other real digits, the floor, from real ones: features of each."""
    row = {"mnist_fd": frechet(real, generated), "floor": frechet(real, others)}
    for name, features in (("", generated), ("floor_", others)):
        row |= {name + key: share["value"] for key, share in precision_recall(real, features).items()}
    return row


def condition_accuracy(model: "VAE", count: int = 1000, seed: int = 0) -> Estimate:
    """Return the share of digits drawn for a label that the package's classifier takes for that digit.

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


def condition_accuracy_of(evaluation: Evaluation) -> Estimate:
    """As `condition_accuracy`, of an evaluation of digits, which has a `reference`."""
    evaluation.required("reference")
    return condition_accuracy(evaluation.model, seed=evaluation.seed)


def reconstruction(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> dict[str, Estimate]:
    """Return `mse`, `psnr` (dB, peak 1) and `ssim` of the mean reconstruction of each image's mean code.

    Means over images, with standard errors. PSNR is averaged over images; squared errors are clipped at 1e-10, 100 dB,
    as the PSNR of a perfect image is infinite. SSIM: Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, its
    11 x 11 window, by the backend's; left out for smaller images.

    Raises:
      NotApplicable: a model of anything but images.
      UserError: images that do not fit the model, or fewer than two.
    """
    return reconstruction_of(Evaluation(model, x, condition=condition))


def reconstruction_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """As `reconstruction`."""
    model = evaluation.model
    evaluation.require_kind("image", "These are errors of images")
    images = {"x": evaluation.whole_x.astype("float32"), "y": evaluation.reconstructions.astype("float32")}
    errors = evaluation.squared_errors / np.prod(model.image_shape)
    values = {"mse": errors, "psnr": -10.0 * np.log10(np.maximum(errors, 1e-10))}
    if min(model.image_shape[:2]) >= _SSIM_WINDOW:
        values["ssim"] = in_blocks(lambda _, part: _ssim(part["x"], part["y"]), images, pad=True)
    return {name: mean_of(value, examples=len(errors)) for name, value in values.items()}


def memorisation_of(evaluation: Evaluation) -> Memorised:
    """As `distances.memorisation`, of as many generated images as held-out ones, the first 1,000.

    They are compared with training and held-out images of the kind that the model draws, if the evaluation has them.
    """
    model, x, train = evaluation.model, evaluation.whole_x, evaluation.train_reference
    if train is None or evaluation.reference is None:
        train = evaluation.required("train")
    else:
        x = evaluation.reference
    evaluation.require_kind("image", "Memorisation is measured on images")
    x, condition = x[:SUBSET], rows_of(evaluation.condition, slice(SUBSET))  # for the distances of all pairs
    generated = model.sample(len(x), evaluation.seed, condition, evaluation.prior)
    result = memorisation(generated, train, x)
    return {
        "value": result["value"],
        "standard_error": result["standard_error"],
        "generated": result["generated"],
        "held_out": result["held_out"],
        "examples": len(x),
        "train": len(train),
        "seed": evaluation.seed,
    }


# XLA fuses the windows into one loop: a fifth of the time of separate operations.
_ssim = backend.compiled(backend.structural_similarity, jit_compile=True)
