"""Anomaly detection with a model of the zoo, against images that its recipe does not have."""

from collections.abc import Sequence

import numpy as np

from keras_vae import data
from keras_vae.tasks.anomaly import Judged, anomaly_scores, judge
from keras_vae.types import ConditionLike
from keras_vae.zoo.held_out import HeldOut

UPSIDE_DOWN = "upside_down"


def detect(
    subject: HeldOut,
    scores: Sequence[str] = ("elbo",),
    anomalies: str | np.ndarray = UPSIDE_DOWN,
    false_positive_rate: float = 0.05,
    samples: int = 100,
    seed: int = 0,
) -> dict[str, Judged]:
    """Return how well each score tells test images from anomalies: score -> `keras_vae.tasks.anomaly.Judged`.

    The threshold is set on the first half of the test images, and judged on the second half and the anomalies.

    Args:
      subject: a model with two test images or more.
      scores: of `keras_vae.tasks.anomaly_scores`.
      anomalies: images; or `"upside_down"`, the second half of the test images turned upside down; or a name of
        `keras_vae.data.other_images`, of which there are as many.
      false_positive_rate: of the threshold.
      samples: importance samples of `"log_prob"`.
      seed: of the noise of scores, and of the other images.

    Raises:
      UserError: an unknown score or name, or a conditional model with anomalies that have no condition.
    """
    half = len(subject) // 2
    calibration, normal = subject[:half], subject[half:]
    x, condition = _anomalies(subject, normal, anomalies, half, seed)
    sets = [(calibration.x, calibration.condition), (normal.x, normal.condition), (x, condition)]
    results = {}
    for score in scores:
        set_on, of_normal, of_anomalies = (
            anomaly_scores(subject.model, images, score, samples, seed, labels) for images, labels in sets
        )
        results[score] = judge(set_on, of_normal, of_anomalies, false_positive_rate)
    return results


def _anomalies(
    subject: HeldOut, normal: HeldOut, anomalies: str | np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, ConditionLike]:
    """The anomalies with their condition; other images have none, and a conditional model refuses them."""
    if not isinstance(anomalies, str):
        return anomalies, None
    if anomalies == UPSIDE_DOWN:
        return normal.x[:, ::-1], normal.condition
    binary = subject.model.likelihood_family.levels == 2
    return data.other_images(anomalies, subject.model.image_shape, count, binary, seed), None
