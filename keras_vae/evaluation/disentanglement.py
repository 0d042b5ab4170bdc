"""Metrics of disentanglement, from codes and the true factors of their images.

`codes` are `(n, dimensions)` numbers, such as `model.encode(x)`; `factors` are `(n, factors)` integers, one column a
factor of variation. Every score but SAP is 1 for a code with one dimension for each factor. Docstrings state choices
that the papers leave open: compare numbers of one implementation only.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.evaluation.estimates import Details, Estimate, mean_of, seed_of_repetition
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.factors import checked, entropies, fitted, halves, information, linear
from keras_vae.registry import choose

Score: TypeAlias = float | dict[str, float]  # a metric, or several by name

BINS = 20
FORESTS = {"random_forest": RandomForestClassifier, "gradient_boosting": GradientBoostingClassifier}


def repeated(
    metric: Callable[..., Score],
    codes: np.ndarray,
    factors: ArrayLike,
    repetitions: int = 5,
    seed: int = 0,
    **arguments: Any,
) -> dict[str, Estimate]:
    """Return a metric on disjoint random parts of the data: name -> mean, standard error, repetitions, seed, examples.

    The parts are disjoint, so that the standard error over them is valid. A metric with a bias, such as MIG's
    histograms, has that of n / repetitions examples.

    Args:
      metric: a function of this module: of codes, factors and seed, to a number or a mapping of numbers.
      codes: `(n, dimensions)`.
      factors: `(n, factors)`.
      repetitions: parts, 2 or more.
      seed: of the parts, and of the metric in each.
      **arguments: of the metric.

    Raises:
      UserError: as the metric, or parts of fewer than 20 examples.
    """
    codes, factors = checked(codes, factors)
    repetitions, seed = check_whole_number(repetitions, "repetitions", 2), check_whole_number(seed, "seed", 0)
    order = np.random.default_rng(seed).permutation(len(codes))
    parts = np.array_split(order, repetitions)
    scores = [
        metric(codes[part], factors[part], seed=seed_of_repetition(seed, repetition), **arguments)
        for repetition, part in enumerate(parts)
    ]
    named = [score if isinstance(score, dict) else {metric.__name__: score} for score in scores]
    details: Details = {"repetitions": repetitions, "seed": seed, "examples": len(parts[-1])}
    return {name: mean_of([score[name] for score in named], **details) for name in named[0]}


def repeated_of(metric: Callable[..., Score], evaluation: Evaluation) -> dict[str, Estimate]:
    """As `repeated`, of the evaluation's codes and factors."""
    factors = evaluation.required("factors")
    return repeated(metric, evaluation.vectors, factors, evaluation.repetitions, evaluation.seed)


def mig(codes: np.ndarray, factors: ArrayLike, seed: int = 0, bins: int = BINS) -> float:
    """Return the mutual information gap: the mean over factors v of (I(z_1; v) - I(z_2; v)) / H(v).

    z_1 and z_2 are the two most informative dimensions.

    Equation 6 of Chen et al. 2018, https://arxiv.org/abs/1802.04942. I is that of a histogram of `bins` equal bins
    between a dimension's least and greatest value, as in Locatello et al. 2019, https://arxiv.org/abs/1811.12359.
    Deterministic: `seed` is there for `repeated`.
    """
    codes, factors = checked(codes, factors, dimensions=2)
    ranked = np.sort(information(codes, factors, bins), axis=0)[::-1]
    return float(np.mean((ranked[0] - ranked[1]) / entropies(factors)))


def modularity(codes: np.ndarray, factors: ArrayLike, seed: int = 0, bins: int = BINS) -> float:
    """Return modularity: the mean over dimensions of `1 - sum_{f != best} I_f**2 / (I_best**2 (F - 1))`.

    It is 1 if each dimension is informative about one factor only.

    Equation 2 of Ridgeway and Mozer 2018, https://arxiv.org/abs/1802.05312, on the histograms of `mig`. A dimension
    without any information counts 0, not 1.
    """
    codes, factors = checked(codes, factors)
    squared = information(codes, factors, bins) ** 2
    best = squared.max(axis=1)
    rest = (squared.sum(axis=1) - best) / (np.maximum(best, 1e-30) * (squared.shape[1] - 1))
    return float(np.where(best > 1e-20, 1.0 - rest, 0.0).mean())


def explicitness(codes: np.ndarray, factors: ArrayLike, seed: int = 0) -> float:
    """Return explicitness: 2 AUC - 1 of a linear classifier, the mean over values and factors; 0 is chance.

    The classifier predicts each value of each factor from the whole code.

    Section 3 of Ridgeway and Mozer 2018, https://arxiv.org/abs/1802.05312. The logistic regression is fitted on one
    half of the examples, and its one-against-rest AUC is of the other.
    """
    codes, factors = checked(codes, factors)
    first, second = halves(len(codes), seed)
    scores = []
    for factor in factors.T:
        classifier = fitted(linear(), codes[first], factor[first])
        chances = classifier.predict_proba(codes[second])
        for index, value in enumerate(classifier.classes_):
            hits = factor[second] == value
            if 0 < hits.sum() < len(hits):
                scores.append(2.0 * roc_auc_score(hits, chances[:, index]) - 1.0)
    return float(np.mean(scores))


def sap(codes: np.ndarray, factors: ArrayLike, seed: int = 0) -> float:
    """Return SAP, separated attribute predictability: the mean gap between the two best predictors of a factor.

    Section 3 of Kumar et al. 2018, https://arxiv.org/abs/1711.00848: a dimension's score for a factor of classes is the
    balanced accuracy of thresholds on that dimension alone, chosen by a decision tree with as many leaves as classes,
    classes weighted equally; of a constant dimension it is 0. So a dimension without information has the
    accuracy of chance, 1 / classes, and the best SAP is 1 less that, where two dimensions or more vary. Accuracy is
    here of the half of the examples that the thresholds were not chosen on.
    """
    codes, factors = checked(codes, factors, dimensions=2)
    first, second = halves(len(codes), seed)
    gaps = []
    for factor in factors.T:
        scores = []
        for dimension in codes.T[:, :, None]:
            if not np.ptp(dimension):
                scores.append(0.0)
                continue
            tree = DecisionTreeClassifier(max_leaf_nodes=max(2, len(np.unique(factor))), class_weight="balanced",
                                          random_state=seed)  # fmt: skip
            guesses = fitted(tree, dimension[first], factor[first]).predict(dimension[second])
            scores.append(_balanced_accuracy(factor[second], guesses))
        scores.sort()
        gaps.append(scores[-1] - scores[-2])
    return float(np.mean(gaps))


def dci(
    codes: np.ndarray, factors: ArrayLike, seed: int = 0, model: str = "random_forest", trees: int = 50
) -> dict[str, float]:
    """Return disentanglement, completeness and informativeness, from the importance of dimensions for factors.

    Eastwood and Williams 2018, sections 2 and 4.3, https://openreview.net/forum?id=By-7dz-AZ. A row of the importances
    R_ij, dimension i for factor j, gives disentanglement 1 - H(R_i.) / log F, weighted by the row's share of all; a
    column gives completeness 1 - H(R_.j) / log D, its mean over factors. Informativeness is the accuracy on the half of
    the examples that the trees were not fitted to. Numbers depend on the version of scikit-learn.

    Args:
      model: `"random_forest"`, or `"gradient_boosting"`, which Locatello et al. 2019 use, and is slow.
      trees: their number.
    """
    codes, factors = checked(codes, factors, dimensions=2)
    kind, (first, second) = choose("model", model, FORESTS), halves(len(codes), seed)
    columns, accuracies = [], []
    for factor in factors.T:
        forest = fitted(kind(n_estimators=trees, max_features=None, random_state=seed), codes[first], factor[first])
        columns.append(forest.feature_importances_)
        accuracies.append(forest.score(codes[second], factor[second]))
    importances = np.stack(columns, axis=1)
    weights = importances.sum(axis=1) / max(importances.sum(), 1e-30)
    return {
        "disentanglement": float((weights * _concentration(importances)).sum()),
        "completeness": float(_concentration(importances.T).mean()),
        "informativeness": float(np.mean(accuracies)),
    }


def factor_vae_metric(
    codes: np.ndarray,
    factors: ArrayLike,
    seed: int = 0,
    votes: int = 500,
    batch: int = 64,
    least_variance: float = 0.05,
) -> float:
    """Return the FactorVAE metric: how often the dimension of least variance identifies the fixed factor.

    It is the accuracy of a majority vote.

    Section 2 of Kim and Mnih 2018, https://arxiv.org/abs/1802.05983. A vote takes a factor, one of its values, and
    `batch` examples with that value, drawn with replacement; the dimension of least variance, relative to its variance
    in all the data, votes. Half of the votes make the majority, the others are scored. Chance is about 1 / factors.

    Args:
      votes: in each of the two halves.
      least_variance: dimensions of less variance are left out, by default as in Locatello et al. 2019,
        https://arxiv.org/abs/1811.12359: units that a VAE leaves at its prior. Codes of another scale than N(0, I) need
        another; 0 leaves out constant ones only. Without any dimension left the score is 0.
    """
    codes, factors = checked(codes, factors)
    variances = codes.var(axis=0)
    live = codes[:, variances > max(least_variance, 1e-12 * variances.max())]
    if not live.shape[1]:
        return 0.0
    scaled, generator = live / live.std(axis=0), np.random.default_rng(seed)
    table = np.zeros((2, live.shape[1], factors.shape[1]))
    for half in table:
        for _ in range(votes):
            factor, rows = _with_one_value(factors, batch, generator)
            half[np.argmin(scaled[rows].var(axis=0)), factor] += 1
    majority = table[0].argmax(axis=1)
    return float(table[1][np.arange(len(majority)), majority].sum() / votes)


def beta_vae_metric(codes: np.ndarray, factors: ArrayLike, seed: int = 0, votes: int = 500, batch: int = 64) -> float:
    """Return the BetaVAE metric: the accuracy of a linear classifier of the factor that pairs of examples share.

    Section 3 of Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl. A point is the mean of |z - z'| over
    `batch` pairs that agree in one value of one factor, drawn with replacement; `votes` points train the classifier, as
    many score it. Chance is 1 / factors.
    """
    codes, factors = checked(codes, factors)
    spread = codes.std(axis=0)
    scaled, generator = codes / np.where(spread > 0, spread, 1.0), np.random.default_rng(seed)
    points, names = [], []
    for _ in range(2 * votes):
        factor, rows = _pairs_with_one_factor(factors, batch, generator)
        points.append(np.abs(scaled[rows[0]] - scaled[rows[1]]).mean(axis=0))
        names.append(factor)
    classifier = fitted(linear(), np.stack(points[:votes]), np.array(names[:votes]))
    return float(classifier.score(np.stack(points[votes:]), np.array(names[votes:])))


METRICS: dict[str, Callable[..., Score]] = {
    metric.__name__: metric for metric in (mig, dci, sap, factor_vae_metric, beta_vae_metric, modularity, explicitness)
}


def _concentration(rows: np.ndarray) -> np.ndarray:
    """Return 1 - entropy of each row's shares over the log of their number; 0 for a row of zeros."""
    shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-30)
    entropy = -(shares * np.log(np.maximum(shares, 1e-30))).sum(axis=1) / np.log(rows.shape[1])
    return np.where(rows.sum(axis=1) > 0, 1.0 - entropy, 0.0)


def _balanced_accuracy(truth: np.ndarray, guesses: np.ndarray) -> float:
    """Return the mean recall of the classes."""
    classes = np.unique(truth)
    if len(classes) < 2:
        raise UserError("A factor has one value only in the half that is scored. Give more examples.")
    return float(np.mean([np.mean(guesses[truth == value] == value) for value in classes]))


def _with_one_value(factors: np.ndarray, batch: int, generator: np.random.Generator) -> tuple[int, np.ndarray]:
    factor = int(generator.integers(factors.shape[1]))
    value = generator.choice(np.unique(factors[:, factor]))
    return factor, generator.choice(np.flatnonzero(factors[:, factor] == value), batch)


def _pairs_with_one_factor(factors: np.ndarray, batch: int, generator: np.random.Generator) -> tuple[int, np.ndarray]:
    """Return a factor, and `(2, batch)` indices of examples; each pair shares the value of the factor."""
    factor = int(generator.integers(factors.shape[1]))
    first = generator.integers(len(factors), size=batch)
    second = np.empty_like(first)
    for value in np.unique(factors[first, factor]):
        same = factors[first, factor] == value
        second[same] = generator.choice(np.flatnonzero(factors[:, factor] == value), same.sum())
    return factor, np.stack([first, second])
