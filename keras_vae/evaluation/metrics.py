"""All metrics by name, and `evaluate`, which runs those that apply to a model and its data."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from numpy.typing import ArrayLike

from keras_vae import progress
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation import (
    aggregate,
    counts,
    disentanglement,
    forecasts,
    generation,
    latent,
    likelihood,
    representation,
    sequences,
    spectra,
    summary,
    tables,
)
from keras_vae.evaluation.evaluation import Evaluation, Options

if TYPE_CHECKING:
    from keras_vae.core import VAE

SECTIONS = ("likelihood", "latent", "disentanglement", "generation", "representation")


# Each returns its numbers, or raises NotApplicable if the model or the data have none.
METRICS: dict[str, Callable[[Evaluation], Mapping[str, Any]]] = {
    "summary.terms": summary.terms_of,
    "summary.fitted_terms": summary.fitted_terms_of,
    "summary.log_prob": summary.log_prob_of,
    "summary.squared_error": summary.squared_error_of,
    "summary.tokens": summary.tokens_of,
    "summary.active_units": summary.active_units_of,
    "summary.codebook": summary.codebook_of,
    "summary.own_terms": summary.own_terms_of,
    "likelihood.nats": likelihood.nats_of,
    "likelihood.bits_per_dim": likelihood.bits_per_dim_of,
    "likelihood.per_count": counts.per_count_of,
    "likelihood.per_token": sequences.per_token_of,
    "likelihood.agreement": likelihood.agreement_of,
    "latent.kl_per_dimension": latent.kl_by_group_of,
    "latent.kl_split": aggregate.kl_split_of_first,
    "latent.gaussian_total_correlation": aggregate.gaussian_total_correlation_of,
    "latent.active_units": latent.active_units_of,
    "latent.collapse": latent.collapse_of,
    "latent.codebook": latent.codebook_usage_of,
    **{
        f"disentanglement.{name}": partial(disentanglement.repeated_of, metric)
        for name, metric in disentanglement.METRICS.items()
    },
    "generation.reconstruction": generation.reconstruction_of,
    "generation.mnist_fd": generation.mnist_fd_of,
    "generation.condition_accuracy": generation.condition_accuracy_of,
    "generation.sharpness": spectra.sharpness_of,
    "generation.columns": tables.column_errors_of,
    "generation.correlations": tables.correlations_of,
    "generation.imputation": tables.imputation_of,
    "generation.forecast": forecasts.forecast_of,
    "generation.deviance": counts.deviance_of,
    "generation.totals": counts.totals_of,
    "generation.memorisation": generation.memorisation_of,
    "representation.probes": representation.probes_of,
    "representation.clustering": representation.clustering_of,
}


def evaluate(
    model: "VAE",
    x: ArrayLike,
    labels: ArrayLike | None = None,
    factors: ArrayLike | None = None,
    *,
    metrics: Sequence[str] = SECTIONS,
    **options: Unpack[Options],
) -> dict[str, Any]:
    """Return metrics of `model` on held-out data: section -> metric -> `value`, `standard_error`, and its draws.

    * likelihood: `nats` (`elbo`, `log_px`, `kl` and `log_prob`, per example); `per_count`, of counts; `per_token`, of
      sequences; of at most 1,000 of the images that log p(x) is measured on, `bits_per_dim`, where they have 8 bits,
      and `agreement` of importance weights, 5,000 for each image, and annealing;
    * latent: `kl_per_dimension`, `kl_split` (first 1,000 images), `gaussian_total_correlation` of a draw for each
      image, `active_units`, `collapse`; or `codebook`;
    * disentanglement: every metric, with factors;
    * generation: `reconstruction`, `sharpness`; for digits `mnist_fd` and `condition_accuracy`, with reference digits;
      `memorisation`, with training images; of numbers, errors of each of the `columns`, `correlations` of draws, and
      `imputation`, and of series a `forecast`, by a model that takes holes (first 1,000); of counts, `deviance` and
      `totals`;
    * representation: `probes` and `clustering`, with labels. Probes are fitted to training images and their labels, or
      to the first half of `x` without them;
    * summary, on request only: the numbers of a card.

    Args:
      model: a model of this library.
      x: held-out images, in the likelihood's support.
      labels: classes, `(n,)`; -1 where there is none.
      factors: true factors, `(n, factors)`.
      metrics: names of sections, or of single metrics such as `"latent.collapse"`.
      **options: as of `Evaluation`: condition, reference, train_reference, train, train_labels, samples, seed,
        repetitions, prior, report, columns.

    Returns:
      The sections; `examples`, `seed`; and `without`: "section.metric" -> why this model, or these data, have none:
      the message of `NotApplicable`. A number that is not finite is no such reason, and raises.

    Raises:
      UserError: images that do not fit the model, an unknown metric, or labels or factors of another length.
    """
    names = select(metrics)  # before what takes long
    return run(Evaluation(model, x, labels, factors, **options), names)


def run(evaluation: Evaluation, metrics: Sequence[str] = SECTIONS) -> dict[str, Any]:
    """As `evaluate`, of an evaluation that a caller has made."""
    names = select(metrics)
    if len(evaluation) < 2:
        raise UserError(f"A standard error needs two images or more. Given: {len(evaluation)}.")
    result: dict[str, Any] = {"examples": len(evaluation), "seed": evaluation.seed, "without": {}}
    with progress.listening("", evaluation.report):
        for name in names:
            section, metric = name.split(".")
            result.setdefault(section, {})
            progress.say(f"{section}: {metric}")
            try:
                result[section][metric] = dict(METRICS[name](evaluation))
            except NotApplicable as error:
                result["without"][name] = str(error)
    return result


def select(metrics: Sequence[str]) -> list[str]:
    """Return the metrics that sections and single metrics name, in their order.

    Raises:
      UserError: an unknown name, or no list of names.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise UserError(f"metrics is a list of names, such as {list(SECTIONS[:2])}. Given: {metrics!r}.")
    names = []
    for metric in metrics:
        section = str(metric).split(".")[0]
        of_section = [name for name in METRICS if name.split(".")[0] == section]
        if not of_section:
            raise UserError(f"A section of metrics is one of {', '.join(SECTIONS)}, summary. Given: {metric!r}.")
        if metric not in (section, *of_section):
            listed = ", ".join(name.split(".")[1] for name in of_section)
            raise UserError(f"A metric of {section} is one of {listed}. Given: {metric!r}.")
        names += of_section if metric == section else [metric]
    return list(dict.fromkeys(names))
