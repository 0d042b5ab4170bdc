"""Metrics of the representation: classes read from codes with few labels or many, and clusters of codes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_vae.checks import as_array, check_whole_number
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import Details, Estimate, mean_of, seed_of_repetition, share_of
from keras_vae.evaluation.evaluation import Evaluation, vectors_of
from keras_vae.evaluation.factors import vectors_in

LABELS = (10, 100, 1000)


def probes(
    codes: np.ndarray,
    labels: ArrayLike,
    test_codes: np.ndarray,
    test_labels: ArrayLike,
    counts: Sequence[int] = LABELS,
    repetitions: int = 5,
    neighbours: int = 5,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Return the test accuracy of a linear probe and of k nearest neighbours, fitted to few labelled codes and to all.

    The probe is a logistic regression on standardised codes (L2, C = 1); the number of neighbours is at most that of
    labels of a class. Each repetition draws a subset with the same number of each class, which gives the standard
    error; with all labels there is one fit, and the error is the binomial one of the test examples.

    Args:
      codes: `(n, dimensions)`.
      labels: `(n,)`, whole numbers.
      test_codes: of examples that are in no subset.
      test_labels: the labels of `test_codes`. A class of no training example is never predicted.
      counts: sizes of the subsets; one that is not smaller than the data, or of fewer than one a class, is left out.
      repetitions: 2 or more.
      neighbours: k at most.
      seed: of the subsets.

    Returns:
      `linear` and `knn` -> number of labels as a string, or "all" -> `value`, `standard_error`, and sample sizes.

    Raises:
      NotApplicable: labels of fewer than two classes, or no test examples.
      UserError: arrays that do not fit.
    """
    codes, labels = _checked(codes, labels, "codes")
    test_codes, test_labels = _checked(test_codes, test_labels, "test_codes", one_class=True)
    if codes.shape[1] != test_codes.shape[1]:
        raise UserError(f"Both sets of codes need the same dimensions. Given: {codes.shape[1]}, {test_codes.shape[1]}.")
    classes = np.unique(labels)
    seed, repetitions = check_whole_number(seed, "seed", 0), check_whole_number(repetitions, "repetitions", 2)
    rarest = min(int((labels == one).sum()) for one in classes)

    def hits(rows: np.ndarray | slice, neighbours: int) -> dict[str, np.ndarray]:
        """Return which test labels each estimator predicts that is fitted to some of the codes."""
        return {
            name: estimator.fit(codes[rows], labels[rows]).predict(test_codes) == test_labels
            for name, estimator in _estimators(neighbours).items()
        }

    scores: dict[str, dict[str, Estimate]] = {"linear": {}, "knn": {}}
    for count in counts:
        per_class = check_whole_number(count, "a count of labels") // len(classes)
        if not 1 <= per_class <= rarest or count >= len(labels):
            continue
        rows = []
        for repetition in range(repetitions):
            generator = np.random.default_rng([seed, count, repetition])
            subset = [generator.choice(np.flatnonzero(labels == one), per_class, False) for one in classes]
            rows.append(hits(np.concatenate(subset), min(neighbours, per_class)))
        details: Details = {"repetitions": repetitions, "seed": seed, "examples": len(test_labels)}
        for name in scores:
            accuracies = [float(row[name].mean()) for row in rows]
            scores[name][str(per_class * len(classes))] = mean_of(accuracies, **details)
    for name, row in hits(slice(None), neighbours if len(labels) >= neighbours else 1).items():
        scores[name]["all"] = share_of(row, labels=len(labels), examples=len(row))
    return scores


def probes_of(evaluation: Evaluation) -> dict[str, dict[str, Estimate]]:
    """As `probes`, fitted to the codes of training images, or to the first half of the codes without them.

    Examples without a label take no part.
    """
    labels, codes = evaluation.required("labels"), evaluation.vectors
    train, train_labels = evaluation.train, evaluation.train_labels
    if train is None or train_labels is None:
        half = len(codes) // 2
        fitted, scored = (codes[:half], labels[:half]), (codes[half:], labels[half:])
    else:
        fitted = vectors_of(evaluation.model, train, evaluation.train_condition), train_labels
        scored = codes, labels
    scores = probes(*_labelled(*fitted), *_labelled(*scored), repetitions=evaluation.repetitions, seed=evaluation.seed)
    return {name: _of_codes(evaluation, rows) for name, rows in scores.items()}


def _labelled(codes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes that have a label, and their labels; all of them if these are no whole numbers."""
    if labels.dtype.kind != "i":
        return codes, labels
    return codes[labels >= 0], labels[labels >= 0]


def _of_codes(evaluation: Evaluation, rows: dict[str, Estimate]) -> dict[str, Estimate]:
    """Return rows about codes, marked where each code was encoded with its label."""
    return {name: {**row, "given_labels": True} if evaluation.model.conditional else row for name, row in rows.items()}


def clustering(codes: np.ndarray, labels: ArrayLike, repetitions: int = 10, seed: int = 0) -> dict[str, Estimate]:
    """Return how k-means clusters of codes, one for each class, agree with the classes: `nmi` and `ari`.

    Normalised mutual information (arithmetic mean of the entropies; 0 to 1) and the adjusted Rand index (0 for chance,
    1 for the same partition), of the best of 5 starts of k-means. The standard error is the spread over bootstraps:
    the examples are resampled with replacement, and clustered again.

    Raises:
      NotApplicable: fewer different codes than classes, or labels of fewer than two classes.
      UserError: arrays that do not fit.
    """
    codes, labels = _checked(codes, labels, "codes")
    seed, repetitions = check_whole_number(seed, "seed", 0), check_whole_number(repetitions, "repetitions", 2)
    classes = len(np.unique(labels))
    if len(np.unique(codes, axis=0)) < classes:
        raise NotApplicable(f"Clustering needs as many different codes as classes, {classes}. Given: fewer: the model "
                            f"ignores x.")  # fmt: skip
    scores, resampled = _agreement(codes, labels, classes, 5, seed_of_repetition(seed, 0)), []
    for repetition in range(1, repetitions + 1):
        noise = seed_of_repetition(seed, repetition)
        rows = np.random.default_rng(noise).integers(len(codes), size=len(codes))
        resampled.append(_agreement(codes[rows], labels[rows], classes, 3, noise))
    details: Details = {"repetitions": repetitions, "seed": seed, "examples": len(codes), "clusters": classes}
    errors = {name: float(np.std([score[name] for score in resampled], ddof=1)) for name in scores}
    return {name: {"value": value, "standard_error": errors[name], **details} for name, value in scores.items()}


def clustering_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """As `clustering`, of the evaluation's codes and labels. Examples without a label take no part."""
    labels, repetitions = evaluation.required("labels"), 2 * evaluation.repetitions
    labelled = _labelled(evaluation.vectors, labels)
    return _of_codes(evaluation, clustering(*labelled, repetitions, evaluation.seed))


def _agreement(codes: np.ndarray, labels: np.ndarray, clusters: int, starts: int, seed: int) -> dict[str, float]:
    clustered = KMeans(clusters, n_init=starts, random_state=seed).fit_predict(codes)
    return {
        "nmi": float(normalized_mutual_info_score(labels, clustered)),
        "ari": float(adjusted_rand_score(labels, clustered)),
    }


def _estimators(neighbours: int) -> dict[str, Any]:
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "knn": KNeighborsClassifier(neighbours),
    }


def _checked(codes: np.ndarray, labels: ArrayLike, name: str, one_class: bool = False) -> tuple[np.ndarray, np.ndarray]:
    codes, labels = vectors_in(codes, name), as_array(labels, "labels")
    if not len(codes):
        raise NotApplicable(f"{name} must be of one labelled example or more. Given: none.")
    if labels.dtype.kind not in "iu" or labels.shape != (len(codes),):
        raise UserError(f"There must be one whole-number label for each of the {len(codes)} {name}. Given: "
                        f"{labels.dtype} of shape {labels.shape}.")  # fmt: skip
    if not one_class and len(np.unique(labels)) < 2:
        raise NotApplicable("Probes and clusters of codes need labels of two classes or more. Given: one only.")
    return codes, labels
