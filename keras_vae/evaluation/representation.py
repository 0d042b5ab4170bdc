"""What codes are good for: classes read from them with few labels or many, and clusters in them."""

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

from keras_vae.checks import check_whole_number
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import mean_of, seed_of_repetition, share_of

LABELS = (10, 100, 1000)


def probes(
    codes: np.ndarray,
    labels: ArrayLike,
    test_codes: Any,
    test_labels: Any,
    counts: Sequence[int] = LABELS,
    repetitions: int = 5,
    neighbours: int = 5,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """The test accuracy of a linear probe and of k nearest neighbours, fitted to few labelled codes and to all.

    The probe is a logistic regression on standardised codes (L2, C = 1); neighbours vote, no more of them than there
    are labels of a class. A subset has the same number of each class and is drawn anew in each repetition, which gives
    the standard error; with all labels there is one fit, and the error is the binomial one of the test examples.

    Args:
      codes: `(n, dimensions)`.
      labels: `(n,)`, whole numbers.
      test_codes: of examples that are in no subset.
      test_labels: theirs.
      counts: sizes of the subsets; one that is not smaller than the data, or of fewer than one a class, is left out.
      repetitions: 2 or more.
      neighbours: k at most.
      seed: of the subsets.

    Returns:
      `linear` and `knn` -> number of labels as a string, or "all" -> `value`, `standard_error`, and what they are of.

    Raises:
      UserError: arrays that do not fit, one class only, or test labels of no training example.
    """
    codes, labels = _checked(codes, labels, "codes")
    test_codes, test_labels = _checked(test_codes, test_labels, "test_codes", one_class=True)
    if codes.shape[1] != test_codes.shape[1]:
        raise UserError(f"Both sets of codes need the same dimensions. Given: {codes.shape[1]}, {test_codes.shape[1]}.")
    classes = np.unique(labels)
    unknown = np.setdiff1d(test_labels, classes)
    if len(unknown):
        raise UserError(f"Every test label must be one to train on. Given: {', '.join(map(str, unknown))} in the test.")
    seed, repetitions = check_whole_number(seed, "seed", 0), check_whole_number(repetitions, "repetitions", 2)
    kept = np.minimum.reduce([int((labels == each).sum()) for each in classes])
    found: dict[str, dict[str, dict[str, Any]]] = {"linear": {}, "knn": {}}
    for count in counts:
        each = check_whole_number(count, "a count of labels") // len(classes)
        if not 1 <= each <= kept or count >= len(labels):
            continue
        scores: dict[str, list[float]] = {"linear": [], "knn": []}
        for repetition in range(repetitions):
            generator = np.random.default_rng([seed, count, repetition])
            chosen = np.concatenate([generator.choice(np.flatnonzero(labels == one), each, False) for one in classes])
            for name, estimator in _estimators(min(neighbours, each)).items():
                fitted = estimator.fit(codes[chosen], labels[chosen])
                scores[name].append(float((fitted.predict(test_codes) == test_labels).mean()))
        for name, values in scores.items():
            further = {"repetitions": repetitions, "seed": seed, "examples": len(test_labels)}
            found[name][str(each * len(classes))] = mean_of(values, **further)
    for name, estimator in _estimators(neighbours if len(labels) >= neighbours else 1).items():
        hits = estimator.fit(codes, labels).predict(test_codes) == test_labels
        found[name]["all"] = share_of(hits, labels=len(labels), examples=len(hits))
    return found


def clustering(codes: np.ndarray, labels: ArrayLike, repetitions: int = 10, seed: int = 0) -> dict[str, dict[str, Any]]:
    """How k-means clusters of codes, one for each class, agree with the classes: `nmi` and `ari`.

    Normalised mutual information (arithmetic mean of the entropies; 0 to 1) and the adjusted Rand index (0 for chance,
    1 for the same partition), of the best of 5 starts of k-means. The standard error is the spread over bootstraps:
    the examples are drawn anew, with replacement, and clustered again.

    Raises:
      NotApplicable: fewer different codes than classes.
      UserError: arrays that do not fit, or one class only.
    """
    codes, labels = _checked(codes, labels, "codes")
    seed, repetitions = check_whole_number(seed, "seed", 0), check_whole_number(repetitions, "repetitions", 2)
    classes = len(np.unique(labels))
    if len(np.unique(codes, axis=0)) < classes:
        raise NotApplicable(f"Clustering needs as many different codes as classes, {classes}. Given: fewer: the model "
                            f"ignores x.")  # fmt: skip
    own, again = _agreement(codes, labels, classes, 5, seed_of_repetition(seed, 0)), []
    for repetition in range(1, repetitions + 1):
        noise = seed_of_repetition(seed, repetition)
        chosen = np.random.default_rng(noise).integers(len(codes), size=len(codes))
        again.append(_agreement(codes[chosen], labels[chosen], classes, 3, noise))
    further = {"repetitions": repetitions, "seed": seed, "examples": len(codes), "clusters": classes}
    errors = {name: float(np.std([each[name] for each in again], ddof=1)) for name in own}
    return {name: {"value": value, "standard_error": errors[name], **further} for name, value in own.items()}


def _agreement(codes: np.ndarray, labels: np.ndarray, clusters: int, starts: int, seed: int) -> dict[str, float]:
    found = KMeans(clusters, n_init=starts, random_state=seed).fit_predict(codes)
    return {
        "nmi": float(normalized_mutual_info_score(labels, found)),
        "ari": float(adjusted_rand_score(labels, found)),
    }


def _estimators(neighbours: int) -> dict[str, Any]:
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "knn": KNeighborsClassifier(neighbours),
    }


def _checked(codes: np.ndarray, labels: ArrayLike, name: str, one_class: bool = False) -> tuple[np.ndarray, np.ndarray]:
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.dtype.kind not in "fiub" or codes.ndim < 2 or not len(codes):
        raise UserError(f"{name} must be numbers (n, dimensions). Given: {codes.dtype} of shape {codes.shape}.")
    codes = codes.reshape(len(codes), -1).astype("float64")
    if not np.isfinite(codes).all():
        raise UserError(f"{name} must be finite. Given: values that are NaN or infinite.")
    if labels.dtype.kind not in "iu" or labels.shape != (len(codes),):
        raise UserError(f"There must be one whole-number label for each of the {len(codes)} {name}. Given: "
                        f"{labels.dtype} of shape {labels.shape}.")  # fmt: skip
    if not one_class and len(np.unique(labels)) < 2:
        raise UserError("A probe needs two classes or more. Given: one only.")
    return codes, labels
