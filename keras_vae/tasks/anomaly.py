"""Anomaly detection: scores of images, thresholds at a stated rate of false alarms, and how well they tell."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_vae.errors import UserError

SCORES = ("reconstruction", "elbo", "log_prob")


class Detection(NamedTuple):
    """How well scores tell anomalies from what is normal."""

    auroc: float  # the probability that an anomaly scores higher than a normal image
    auprc: float  # average precision, anomalies being the positive class
    threshold: float  # above it an image is called an anomaly
    false_positive_rate: float  # of the normal images, at that threshold
    true_positive_rate: float  # of the anomalies, at that threshold


def anomaly_scores(
    model: Any, x: Any, score: str = "elbo", samples: int = 100, seed: int = 0, condition: Any = None
) -> np.ndarray:
    """How strange the model finds each image, `(batch,)`: higher is stranger.

    Args:
      model: a trained model.
      x: images.
      score: `"reconstruction"`: the squared error of the mean reconstruction, summed over pixels; `"elbo"`: -ELBO,
        nats; `"log_prob"`: the importance-weighted -log p(x), nats.
      samples: importance samples of `"log_prob"`.
      seed: of the noise.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: an unknown score, or one that the model does not have.
    """
    if score not in SCORES:
        raise UserError(f"score is one of {', '.join(SCORES)}. Given: {score!r}.")
    if score == "elbo":
        return -model.elbo(x, seed=seed, condition=condition)
    if score == "log_prob":
        return -model.log_prob(x, samples=samples, seed=seed, condition=condition)
    difference = np.asarray(x, "float64") - model.reconstruct(x, condition)
    return np.sum(np.square(difference), axis=tuple(range(1, difference.ndim)))


def threshold(normal: Any, false_positive_rate: float = 0.05) -> float:
    """The score that at most this share of normal images exceeds: the smallest such score among them.

    Set it on validation images, never on those that it is judged by.

    Raises:
      UserError: a rate outside (0, 1), no scores, or scores that are not finite.
    """
    scores = np.sort(_finite(normal, "scores of normal images"))
    if not 0.0 < false_positive_rate < 1.0:
        raise UserError(f"false_positive_rate lies between 0 and 1. Given: {false_positive_rate!r}.")
    allowed = int(np.floor(false_positive_rate * len(scores)))
    return float(scores[len(scores) - 1 - allowed])


def detection(normal: Any, anomalous: Any, chosen: float | None = None, false_positive_rate: float = 0.05) -> Detection:
    """AUROC, AUPRC and both rates at a threshold, from scores of normal images and of anomalies.

    Args:
      normal: scores of normal images.
      anomalous: scores of anomalies.
      chosen: a threshold set elsewhere; by default the one that `threshold` gives for `normal`.
      false_positive_rate: of that default.

    Raises:
      UserError: no scores of one kind, or scores that are not finite.
    """
    scores = [_finite(normal, "scores of normal images"), _finite(anomalous, "scores of anomalies")]
    labels = np.repeat([0, 1], [len(each) for each in scores])
    joined = np.concatenate(scores)
    chosen = threshold(normal, false_positive_rate) if chosen is None else float(chosen)
    return Detection(
        float(roc_auc_score(labels, joined)),
        float(average_precision_score(labels, joined)),
        chosen,
        *(float(np.mean(each > chosen)) for each in scores),
    )


def leave_one_class_out(
    make: Callable[[], Any],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: Iterable[int] | None = None,
    score: str = "elbo",
    seed: int = 0,
    **fit: Any,
) -> dict[int, Detection]:
    """For each class: train a model on all others, and tell that class from them on test images.

    Args:
      make: returns a new compiled model.
      train: images and their labels.
      test: images and their labels.
      classes: which to leave out, one after the other; all by default.
      score: as in `anomaly_scores`.
      seed: of the scores' noise.
      **fit: what `model.fit` takes, such as `epochs`.

    Raises:
      UserError: a class without images, or labels that do not pair with images.
    """
    for images, labels in (train, test):
        if len(images) != len(labels):
            raise UserError(f"There is one label for each image. Given: {len(images)} images, {len(labels)} labels.")
    found = {}
    for left_out in sorted(set(np.asarray(train[1]).tolist())) if classes is None else classes:
        (kept, strange) = ((np.asarray(labels) != left_out) for labels in (train[1], test[1]))
        if kept.all() or strange.all() or not strange.any():
            raise UserError(f"A class that is left out has images in both sets, and so have others. Given: {left_out}.")
        model = make()
        model.fit(train[0][kept], **fit)
        scores = anomaly_scores(model, test[0], score, seed=seed)
        found[int(left_out)] = detection(scores[strange], scores[~strange])
    return found


def _finite(scores: Any, what: str) -> np.ndarray:
    array = np.asarray(scores, "float64").ravel()
    if not array.size or not np.isfinite(array).all():
        given = f"{np.sum(~np.isfinite(array))} that are not finite" if array.size else "none"
        raise UserError(f"The {what} are finite numbers, one or more. Given: {given}.")
    return array
