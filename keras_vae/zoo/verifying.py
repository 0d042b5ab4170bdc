"""The numbers of a card, with the tolerance within which `verify` measures them again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Required, TypedDict

from keras_vae import files
from keras_vae.checks import check_whole_number
from keras_vae.errors import CorruptFileError
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.metrics import run
from keras_vae.zoo import evaluations, priors, store
from keras_vae.zoo.loading import load

# In nats, and squared error. The same weights, digits and noise give the same numbers up to rounding, which changes a
# mean over the test digits by less than 0.001; another binarisation, split or weights file changes it by tenths.
TOLERANCE = 0.01
TOLERANCES = {
    "log_prob": 0.03,  # other draws, 200 for each digit or more, change the mean by a few thousandths
    "active_units": 1.0,  # rounding may move a variance across the threshold
    "codes_used": 1.0,
}


class CardMetric(Estimate, total=False):
    """A number of a card."""

    tolerance: Required[float]  # the largest difference that `verify` accepts


class Comparison(TypedDict):
    """A number of a card, and the same number measured again."""

    expected: float
    measured: float
    difference: float
    tolerance: float
    unit: str


def card_metrics(evaluation: Evaluation) -> dict[str, CardMetric]:
    """Return the numbers of a card: means over examples, with their standard errors and tolerances.

    Raises:
      UserError: images outside the likelihood's support, or fewer than two of them.
    """
    return with_tolerances(run(evaluation, ("summary",))["summary"])


def with_tolerances(summary: Mapping[str, Mapping[str, Any]]) -> dict[str, CardMetric]:
    """Return the numbers of the section "summary" of `keras_vae.evaluation.evaluate` by name, with tolerances."""
    rows: dict[str, CardMetric] = {}
    for name, part in summary.items():
        estimates: Any = {name: part} if "value" in part else part
        for key in estimates:
            row: Estimate = estimates[key]
            rows[key] = {**row, "tolerance": _tolerance(key, row)}
    return rows


def _tolerance(name: str, row: Estimate) -> float:
    if "batch" in row:  # a term of a variant, of any magnitude: the tolerance is partly relative
        return TOLERANCE + 1e-4 * abs(row["value"])
    return TOLERANCES.get(name, TOLERANCE)


def verify(name: str | Path, log_prob: bool = True, likelihood_examples: int | None = None) -> dict[str, Comparison]:
    """Measure a model's numbers again and compare them with its results.

    Args:
      name: a zoo name, a folder that `train` wrote, or hf://USER/MODEL.
      log_prob: include the importance-weighted likelihood, the slowest of them.
      likelihood_examples: measure it of so many examples only, the first ones, and compare with their mean in
        log_prob.npy, or leave it out where there is no such file; None: of all that the card's is of.

    Returns:
      Each number of the card by name.

    Raises:
      CorruptFileError: weights that are not the card's, or a number that is outside its tolerance or no longer
        measured.
      UserError: fewer than two examples.
    """
    if likelihood_examples is not None:
        check_whole_number(likelihood_examples, "likelihood_examples", minimum=2)
    entry, model = store.entry(name), load(name)
    recorded = dict(entry.results["metrics"])
    whole = log_prob and likelihood_examples is None
    samples = None if whole else 0
    evaluation = evaluations.evaluation_of(entry.recipe, model, samples=samples, prior=priors.prior(name))
    measured = card_metrics(evaluation)
    if "log_prob" in recorded and not whole:
        of_card, path = recorded["log_prob"], entry.folder / store.LOG_PROBS
        if log_prob and path.is_file():
            stored = files.read_array(path)[:likelihood_examples]
            part = evaluation.of_likelihood.first(len(stored))
            values = part.importance_weights(entry.recipe.evaluation.samples, with_prior=False)["log_prob"]
            recorded["log_prob"] = {**of_card, "value": float(stored.mean(dtype="float64"))}
            measured["log_prob"] = {**mean_of(values, unit="nats"), "tolerance": TOLERANCES["log_prob"]}
        else:
            del recorded["log_prob"]
    gone = sorted(recorded.keys() - measured.keys())
    if gone:
        raise CorruptFileError(
            f"{entry.name} has numbers on its card that are no longer measured: {', '.join(gone)}. "
            f"{store.repair(entry)}"
        )
    rows = {key: _compare(row, measured[key]) for key, row in recorded.items()}
    wrong = {key: row for key, row in rows.items() if not abs(row["difference"]) <= row["tolerance"]}
    if wrong:
        listed = ", ".join(
            f"{key} {row['measured']:.4f}, not {row['expected']:.4f} {row['unit']}".rstrip()
            for key, row in wrong.items()
        )
        raise CorruptFileError(f"{entry.name} does not give the numbers of its card: {listed}. {store.repair(entry)}")
    return rows


def _compare(recorded: Mapping[str, Any], measured: CardMetric) -> Comparison:
    return {
        "expected": recorded["value"],
        "measured": measured["value"],
        "difference": measured["value"] - recorded["value"],
        "tolerance": recorded.get("tolerance", TOLERANCE),
        "unit": measured.get("unit", ""),
    }
