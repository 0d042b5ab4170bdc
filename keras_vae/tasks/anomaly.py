"""Anomaly detection: scores of examples, thresholds at a false positive rate, and measures of detection."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_vae import backend, checks, progress
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import UserError
from keras_vae.evaluation.distances import chance_above
from keras_vae.evaluation.estimates import share_of
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.types import ConditionLike, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core import VAE

SCORES = ("reconstruction", "elbo", "log_prob")
_BOOTSTRAP = 200  # draws: a spread from so many is known to 5 %


class Detection(NamedTuple):
    """Measures of how well scores separate anomalies from normal images, with their standard errors.

    The errors of the rates are binomial, at a fixed threshold; that of `auroc` is DeLong's, and that of `auprc` the
    standard deviation over 200 seeded bootstrap draws of either kind. None for fewer than two scores of a kind.
    """

    auroc: float  # the probability that an anomaly scores higher than a normal image
    auprc: float  # average precision, anomalies being the positive class
    threshold: float  # above it an image is called an anomaly
    false_positive_rate: float  # of the normal images, at that threshold
    true_positive_rate: float  # of the anomalies, at that threshold
    auroc_standard_error: float | None
    auprc_standard_error: float | None
    false_positive_rate_standard_error: float | None
    true_positive_rate_standard_error: float | None


class Judged(NamedTuple):
    """A detection and its scores."""

    detection: Detection
    set_on: np.ndarray  # scores of the normal images that set the threshold
    normal: np.ndarray  # of those that measure the false positive rate
    anomalous: np.ndarray


def anomaly_scores(
    model: "VAE", x: ArrayLike, score: str = "elbo", samples: int = 100, seed: int = 0, condition: ConditionLike = None
) -> np.ndarray:
    """Return the anomaly score of each example, `(batch,)`: higher is more anomalous.

    Args:
      model: a trained model.
      x: images, or whatever its x is.
      score: `"reconstruction"`: of images the squared error of the mean reconstruction, summed over pixels; of any
        other x -log p(x|z) at the code z that `encode` gives, nats, over the numbers that are not missing. That is, up
        to what does not depend on z: of a Normal, half the squared error in units of its scale; of a LogNormal, that of
        the logarithm; of counts, half the deviance; of classes and tokens, -log of the probability of each. A scale or
        dispersion that the decoder gives, "example", depends on z, and counts too.
        `"elbo"`: -ELBO, nats; `"log_prob"`: the importance-weighted -log p(x), nats.
      samples: importance samples of `"log_prob"`.
      seed: of the noise.
      condition: one for each example, where the model is conditional.

    Raises:
      UserError: an unknown score, or one that the model does not have: an x outside of the likelihood's support.
    """
    if score not in SCORES:
        raise UserError(f"score is one of {', '.join(SCORES)}. Given: {score!r}.")
    if score == "elbo":
        return -model.elbo(x, seed=seed, condition=condition)
    if score == "log_prob":
        return -model.log_prob(x, samples=samples, seed=seed, condition=condition)
    of_images = model.x_spec().kind == "image"
    return Evaluation(model, x, condition=condition).squared_errors if of_images else _surprises(model, x, condition)


def _surprises(model: "VAE", x: ArrayLike, condition: ConditionLike) -> np.ndarray:
    """Return -log p(x|z) at the code of each x, `(batch,)`, nats."""
    inputs = checked_inputs(model, x, model.infer_condition(x, condition))
    model.likelihood_family.check(inputs["x"])

    def surprises(part: Tensors) -> Tensor:
        y = model.condition_in(part)
        z = model.code(model.posterior_parameters(part["x"], y))
        return -model.likelihood(z, y).log_prob(part["x"])

    graph = backend.compiled(surprises, reduce_retracing=True)
    return checks.in_blocks(lambda _, part: graph(part), inputs, pad=True, what="reconstruction")


def threshold(normal: ArrayLike, false_positive_rate: float = 0.05) -> float:
    """Return the smallest score of normal images that at most this share of them exceeds.

    Set it on validation images, never on those that it is evaluated on.

    Raises:
      UserError: a rate outside (0, 1), no scores, or scores that are not finite.
    """
    scores = np.sort(_finite(normal, "scores of normal images"))
    if not checks.is_number(false_positive_rate) or not 0.0 < false_positive_rate < 1.0:
        raise UserError(f"false_positive_rate lies between 0 and 1. Given: {false_positive_rate!r}.")
    allowed = int(np.floor(false_positive_rate * len(scores)))
    return float(scores[len(scores) - 1 - allowed])


def detection(
    normal: ArrayLike, anomalous: ArrayLike, cutoff: float | None = None, false_positive_rate: float = 0.05
) -> Detection:
    """Return AUROC, AUPRC and both rates at a threshold, from scores of normal images and of anomalies.

    Args:
      normal: scores of normal images.
      anomalous: scores of anomalies.
      cutoff: a threshold set elsewhere; by default that of `threshold` for `normal`.
      false_positive_rate: of that default.

    Raises:
      UserError: no scores of one kind, or scores that are not finite.
    """
    negatives, positives = _finite(normal, "scores of normal images"), _finite(anomalous, "scores of anomalies")
    labels, scores = np.repeat([0, 1], [len(negatives), len(positives)]), np.concatenate([negatives, positives])
    cutoff = threshold(normal, false_positive_rate) if cutoff is None else cutoff
    if not checks.is_number(cutoff) or not np.isfinite(cutoff):
        raise UserError(f"cutoff is a finite score. Given: {cutoff!r}. Leave it out, or take one of the scores.")
    cutoff = float(cutoff)
    false_alarms, hits = negatives > cutoff, positives > cutoff
    return Detection(
        auroc=float(roc_auc_score(labels, scores)),
        auprc=float(average_precision_score(labels, scores)),
        threshold=cutoff,
        false_positive_rate=float(np.mean(false_alarms)),
        true_positive_rate=float(np.mean(hits)),
        auroc_standard_error=chance_above(positives, negatives)["standard_error"],
        auprc_standard_error=_bootstrap_error(labels, scores),
        false_positive_rate_standard_error=_binomial_error(false_alarms),
        true_positive_rate_standard_error=_binomial_error(hits),
    )


def judge(set_on: ArrayLike, normal: ArrayLike, anomalous: ArrayLike, false_positive_rate: float = 0.05) -> Judged:
    """Return `detection` at the threshold that `threshold` sets on the scores `set_on`, and all three sets of scores.

    Raises:
      UserError: as both.
    """
    result = detection(normal, anomalous, threshold(set_on, false_positive_rate))
    first, second, third = (np.asarray(scores, "float64").ravel() for scores in (set_on, normal, anomalous))
    return Judged(result, first, second, third)


def leave_one_class_out(
    make: Callable[[], "VAE"],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: Iterable[int] | None = None,
    scores: Sequence[str] = ("elbo",),
    samples: int = 100,
    false_positive_rate: float = 0.05,
    seed: int = 0,
    **fit: Any,
) -> dict[int, dict[str, Judged]]:
    """Train a model without one class at a time, and detect that class among test images.

    The threshold is set on every second test image of the other classes; rates and areas are of the rest.

    Args:
      make: returns a new compiled model.
      train: images and their labels; those of -1, without a label, take no part.
      test: likewise.
      classes: to leave out, one after the other; all by default.
      scores: those of `anomaly_scores` to compare.
      samples: importance samples of `"log_prob"`.
      false_positive_rate: of the threshold.
      seed: of the scores' noise.
      **fit: arguments of `model.fit`, such as `epochs`.

    Returns:
      class -> score -> the detection and its scores.

    Raises:
      UserError: a class with fewer than one image in the training set or the test set, fewer than two test images of
        others, labels that are no whole numbers or do not pair with images, or an unknown score.
    """
    masks = _masks(classes, train, test, alone=False)
    return _by_class(make, train, test, masks, "without", scores, samples, false_positive_rate, seed, fit)


def one_class(
    make: Callable[[], "VAE"],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: Iterable[int] | None = None,
    scores: Sequence[str] = ("elbo",),
    samples: int = 100,
    false_positive_rate: float = 0.05,
    seed: int = 0,
    **fit: Any,
) -> dict[int, dict[str, Judged]]:
    """Train a model on one class at a time, and detect all others among test images.

    The protocol of one-class classification: Ruff et al. 2018, https://proceedings.mlr.press/v80/ruff18a.html. The
    threshold is set on every second test image of the class; rates and areas are of the rest.

    Args:
      make: returns a new compiled model.
      train: images and their labels; those of -1, without a label, take no part.
      test: likewise.
      classes: to train on, one after the other; all by default.
      scores: those of `anomaly_scores` to compare.
      samples: importance samples of `"log_prob"`.
      false_positive_rate: of the threshold.
      seed: of the scores' noise.
      **fit: arguments of `model.fit`, such as `epochs`.

    Returns:
      class -> score -> the detection and its scores.

    Raises:
      UserError: a class without a training image or with fewer than two test images, no test image of others, labels
        that are no whole numbers or do not pair with images, or an unknown score.
    """
    masks = _masks(classes, train, test, alone=True)
    return _by_class(make, train, test, masks, "of", scores, samples, false_positive_rate, seed, fit)


def _by_class(
    make: Callable[[], "VAE"],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    masks: Mapping[int, tuple[np.ndarray, np.ndarray]],
    word: str,
    scores: Sequence[str],
    samples: int,
    false_positive_rate: float,
    seed: int,
    fit: Mapping[str, Any],
) -> dict[int, dict[str, Judged]]:
    """Train a model for each class on the training images of its mask, and tell other test images from those of it."""
    unknown = [score for score in scores if score not in SCORES]
    if unknown or isinstance(scores, str) or not scores:
        raise UserError(f"scores is a list of some of {', '.join(SCORES)}. Given: {scores!r}.")
    results: dict[int, dict[str, Judged]] = {}
    weights, labelled = fit.get("sample_weight"), np.asarray(test[1]) >= 0
    for label, (of_train, of_test) in masks.items():
        results[label] = {}
        with progress.listening(f"{word} {label}"):
            model = make()
            rows = {} if weights is None else {"sample_weight": checks.check_weights(weights, len(of_train))[of_train]}
            model.fit(train[0][of_train], **{**fit, **rows})
            for score in scores:
                values = anomaly_scores(model, test[0], score, samples, seed)
                normal, anomalous = values[of_test], values[~of_test & labelled]
                results[label][score] = judge(normal[::2], normal[1::2], anomalous, false_positive_rate)
    return results


def _masks(
    classes: Iterable[int] | None,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    alone: bool,
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return, for each class, which training and test images are normal: all others, or with `alone` its own.

    Images without a label are in none.
    """
    for images, labels in (train, test):
        if len(images) != len(labels):
            raise UserError(f"There is one label for each image. Given: {len(images)} images, {len(labels)} labels.")
    labels = np.asarray(train[1]), np.asarray(test[1])
    if any(of_split.dtype.kind not in "iu" for of_split in labels):
        raise UserError(
            f"Labels are whole numbers. Given: {labels[0].dtype} and {labels[1].dtype}. Number the classes."
        )
    masks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for label in sorted(set(labels[0][labels[0] >= 0].tolist())) if classes is None else classes:
        of_class = [of_split == label for of_split in labels]
        of_others = [(of_split != label) & (of_split >= 0) for of_split in labels]
        both = of_class[0].any() and of_class[1].any()
        (of_train, of_test), (_, anomalous) = (of_class, of_others) if alone else (of_others, of_class)
        if not both or not of_train.any() or of_test.sum() < 2 or not anomalous.any():
            rule = "A class to train on" if alone else "A class that is left out"
            raise UserError(f"{rule} has images in both sets, and so have others. Given: {label}.")
        masks[int(label)] = of_train, of_test
    if not masks:
        raise UserError("Classes are those of the training images' labels. Given: none. Label some, or name classes.")
    return masks


def _binomial_error(alarms: np.ndarray) -> float | None:
    """Return the standard error of a rate, or None for fewer than two images."""
    return share_of(alarms)["standard_error"] if len(alarms) > 1 else None


def _bootstrap_error(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Return the standard deviation of average precision over bootstrap draws of as many scores of each kind."""
    counts = np.bincount(labels, minlength=2)
    if counts.min() < 2:
        return None
    generator = np.random.default_rng(0)
    draws = [generator.multinomial(count, np.full(count, 1 / count), _BOOTSTRAP) for count in counts]
    return float(average_precisions(labels, scores, np.concatenate(draws, axis=1)).std(ddof=1))


def average_precisions(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return scikit-learn's `average_precision_score` for each row of weights, `(rows,)`.

    Args:
      labels: `(n,)`, 0 and then 1 for anomalies, in any order.
      scores: `(n,)`.
      weights: `(rows, n)`: the multiplicity of each score.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]), 1.0))  # the last of each run of equal scores
    called = np.cumsum(weights[:, order], axis=1)[:, ends]
    right = np.cumsum(weights[:, order] * labels[order], axis=1)[:, ends]
    gained = np.diff(right, axis=1, prepend=0)
    return (gained * right / np.maximum(called, 1e-300)).sum(axis=1) / right[:, -1]


def _finite(scores: ArrayLike, name: str) -> np.ndarray:
    """Return scores as a float64 vector."""
    array = np.asarray(checks.numbers(scores, f"The {name}"), "float64").ravel()
    if not array.size or not np.isfinite(array).all():
        reason = f"{np.sum(~np.isfinite(array))} that are not finite" if array.size else "none"
        raise UserError(f"The {name} are finite numbers, one or more. Given: {reason}.")
    return array
