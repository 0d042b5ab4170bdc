"""All numbers that apply to a model, in one nested dict."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number, in_blocks
from keras_vae.core.estimators import bits_per_dim, elbo_terms, importance_weights
from keras_vae.core.inference import checked_inputs, fitted
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation import aggregate, agreement, disentanglement, distances, generation, latent, representation
from keras_vae.evaluation.estimates import mean_of
from keras_vae.priors.base import codes_of
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

SECTIONS = ("likelihood", "latent", "disentanglement", "generation", "representation")
_SOME = 1000  # images: for what takes the square of their number, or a second for each


def evaluate(
    model: "VAE",
    x: ArrayLike,
    labels: ArrayLike | None = None,
    factors: ArrayLike | None = None,
    *,
    condition: ConditionLike = None,
    reference: ArrayLike | None = None,
    train_reference: Any = None,
    train: ArrayLike | None = None,
    train_labels: ArrayLike | None = None,
    sections: Sequence[str] = SECTIONS,
    samples: int = 200,
    seed: int = 0,
    repetitions: int = 5,
    prior: "FittedPrior | None" = None,
    report: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """What can be measured of `model` on held-out data: section -> metric -> `value`, `standard_error`, and its draws.

    * likelihood: `nats` (`elbo`, `log_px`, `kl` and `log_prob`, per example); `bits_per_dim` of 8-bit images (first
      1,000); `agreement` of importance weights, 5,000 for each of the first 1,000 images, and annealing;
    * latent: `kl_per_dimension`, `kl_split` (first 1,000 images), `gaussian_total_correlation` of a draw for each
      image, `active_units`, `collapse`; or `codebook`;
    * disentanglement: every metric, given factors;
    * generation: `reconstruction`; of digits `mnist_fd` and `condition_accuracy`, given reference digits;
      `memorisation`, given training images;
    * representation: `probes` and `clustering`, given labels. Probes are fitted to training images and their labels, or
      where there are none to the first half of `x`.

    Args:
      model: a model of this library.
      x: held-out images, in the likelihood's support.
      labels: classes, `(n,)`.
      factors: known factors, `(n, factors)`.
      condition: for a conditional model; `labels` if it is not given.
      reference: MNIST digits of the kind that the model draws, grey: asks for what is measured by a classifier of them.
      train_reference: training digits of that kind, for `memorisation` to compare with; `train` and `x` if not given.
      train: training images.
      train_labels: theirs.
      sections: which, of those above; or single metrics of them, such as `"latent.collapse"`.
      samples: importance samples of log p(x).
      seed: of all draws.
      repetitions: of what is repeated for its standard error; of clusters, bootstraps, twice as many.
      prior: of `keras_vae.priors`, fitted to the model, in the place of its own in `likelihood` and for the draws of
        `generation`; None: the model's own.
      report: is told in words how far what takes long is.

    Returns:
      The sections; `examples`, `seed`; and `without`: "section.metric" -> why this model, or these data, have none:
      what raised `NotApplicable`. A number that is not finite is no such reason, and raises.

    Raises:
      UserError: images that do not fit the model, an unknown section, labels or factors of another length, or labels
        of one class only where the representation is asked for.
    """
    unknown = [name for name in sections if name.split(".")[0] not in SECTIONS]
    if unknown:
        raise UserError(f"A section is one of {', '.join(SECTIONS)}. Given: {', '.join(map(repr, unknown))}.")
    seed, samples = check_whole_number(seed, "seed", 0), check_whole_number(samples, "samples", 0)
    if model.conditional and condition is None:
        condition = labels
    inputs = checked_inputs(model, x, condition)
    x, given = inputs["x"], inputs.get("condition")
    if len(x) < 2:
        raise UserError(f"A standard error needs two images or more. Given: {len(x)}.")
    for name, array in (("labels", labels), ("factors", factors)):
        if array is not None and len(array) != len(x):
            raise UserError(f"There must be a row of {name} for each of the {len(x)} images. Given: {len(array)}.")
    asks = {section.split(".")[0] for section in sections}
    if labels is not None and "representation" in asks and len(np.unique(labels)) < 2:
        raise UserError("Probes and clusters of codes need labels of two classes or more. Given: one only.")
    codes = vectors_of(model, x, given)

    def few(count: int) -> dict[str, Any]:
        return {"x": x[:count], "condition": None if given is None else given[:count]}

    def like_draws() -> tuple[Any, Any]:
        """Training and held-out images of the kind that the model draws."""
        pair = (train, x) if reference is None or train_reference is None else (train_reference, reference)
        return _given(pair[0], "train"), pair[1][:_SOME]

    def of_digits() -> dict[str, Any]:
        _given(reference, "reference")
        return generation.condition_accuracy(model, seed=seed)

    def gaussian() -> dict[str, Any]:
        draws: Any = codes_of(model, x, given, seed)
        if model.latent_kind == "index":
            raise NotApplicable(f"Integer codes have no correlation. Given: a {type(model).__name__}.")
        return aggregate.gaussian_total_correlation(_side_by_side(draws), seed=seed)

    asked: dict[str, dict[str, Callable[[], Any]]] = {
        "likelihood": {
            "nats": lambda: nats(model, inputs, samples, seed, prior, report),
            "bits_per_dim": lambda: bits(model, **few(_SOME), samples=max(samples, 1), seed=seed, prior=prior),
            "agreement": lambda: agreement.log_prob_agreement(model, **few(_SOME), seed=seed, prior=prior),
        },
        "latent": {
            "kl_per_dimension": lambda: latent.kl_by_group(model, x, given, seed),
            "kl_split": lambda: aggregate.kl_split(model, x[:_SOME], seed),
            "gaussian_total_correlation": gaussian,
            "active_units": lambda: latent.active_units(model, x, condition=given),
            "collapse": lambda: latent.collapse(model, x, condition=given),
            "codebook": lambda: latent.codebook_usage(model, x, given),
        },
        "disentanglement": {
            name: lambda metric=metric: disentanglement.repeated(
                metric, codes, _given(factors, "factors"), repetitions, seed
            )
            for name, metric in disentanglement.METRICS.items()
        },
        "generation": {
            "reconstruction": lambda: generation.reconstruction(model, x, given),
            "mnist_fd": lambda: generation.mnist_fd(
                model, _given(reference, "reference"), seed, condition=given, prior=prior
            ),
            "condition_accuracy": of_digits,
            "memorisation": lambda: memorised(
                model, *like_draws(), None if given is None else given[:_SOME], seed, prior
            ),
        },
        "representation": {
            "probes": lambda: probes(model, codes, _given(labels, "labels"), train, train_labels, repetitions, seed),
            "clustering": lambda: _of_codes(
                model, representation.clustering(codes, _given(labels, "labels"), 2 * repetitions, seed)
            ),
        },
    }  # fmt: skip
    result: dict[str, Any] = {"examples": len(x), "seed": seed, "without": {}}
    for section, name, function in list(_chosen(asked, sections)):
        result.setdefault(section, {})
        if report is not None:
            report(f"{section}: {name}")
        try:
            result[section][name] = function()
        except NotApplicable as error:
            result["without"][f"{section}.{name}"] = str(error)
    return result


def _chosen(asked: Mapping[str, Mapping[str, Any]], sections: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Section, metric and function of each that is asked for, by its section or by its own name."""
    every = {f"{section}.{name}": function for section, metrics in asked.items() for name, function in metrics.items()}
    for wanted in sections:
        found = [path for path in every if wanted in (path, path.split(".")[0])]
        if not found:
            section = wanted.split(".")[0]
            raise UserError(f"A metric of {section} is one of {', '.join(asked[section])}. Given: {wanted!r}.")
        for path in found:
            section, name = path.split(".", 1)
            yield section, name, every[path]


def nats(
    model: "VAE",
    inputs: Mapping[str, np.ndarray],
    samples: int,
    seed: int,
    prior: "FittedPrior | None" = None,
    report: Callable[[str], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """`elbo`, `log_px`, `kl`, and `log_prob` where there are samples: means over images, nats.

    `log_prob` also has its `monte_carlo_error`, that of the mean over draws, the median of `effective_samples`, and its
    `seconds`. With a fitted `prior`, `elbo` and `kl` are those of the draw, and p(z) is the prior's in all.

    Raises:
      NotApplicable: a model without a distribution over codes.
      UserError: images outside the likelihood's support.
    """
    inputs = checked_inputs(model, inputs["x"], inputs.get("condition"), likelihood=True)
    terms = elbo_terms(model, inputs, seed)
    if prior is not None:
        elbo = model.elbo(inputs["x"], seed, inputs.get("condition"), prior)
        terms = {"elbo": elbo, "log_px": terms["log_px"]}
    found = {name: mean_of(terms[name], samples=1, seed=seed) for name in ("elbo", "log_px", "kl") if name in terms}
    certain = model.latent_kind == "index"
    if samples and not certain:  # of a certain code log p(x) is the ELBO
        start, chosen = time.perf_counter(), None if prior is None else fitted(model, prior)
        weighted = importance_weights(model, inputs, samples, seed, chosen, report)
        found["log_prob"] = agreement.over_images(weighted, samples, seed)
        found["log_prob"]["seconds"] = round(time.perf_counter() - start, 1)
    return found


def bits(
    model: "VAE", x: ArrayLike, condition: ConditionLike, samples: int, seed: int, prior: "FittedPrior | None" = None
) -> dict[str, Any]:
    """The mean of `bits_per_dim`."""
    found = bits_per_dim(model, x, samples, seed, condition, prior)
    return mean_of(found, samples=samples, seed=seed, examples=len(x))


def memorised(
    model: "VAE",
    train: ArrayLike,
    x: ArrayLike,
    condition: ConditionLike,
    seed: int,
    prior: "FittedPrior | None" = None,
) -> dict[str, Any]:
    """`distances.memorisation` of as many draws as there are held-out images `x`, without the list of neighbours."""
    if model.x_spec().kind != "image":
        raise NotApplicable(f"Copies are looked for among images. Given: a {type(model).__name__}, whose x are none.")
    found = distances.memorisation(model.sample(len(x), seed, condition, prior), train, x)
    del found["nearest"]
    return {**found, "examples": len(x), "train": len(train), "seed": seed}


def probes(
    model: "VAE",
    codes: np.ndarray,
    labels: ArrayLike,
    train: ArrayLike,
    train_labels: ArrayLike,
    repetitions: int,
    seed: int,
) -> dict[str, Any]:
    """`representation.probes` on the codes of training images, or of the first half where there are none."""
    if train is None or train_labels is None:
        half = len(codes) // 2
        parts = codes[:half], labels[:half], codes[half:], labels[half:]
    else:
        given = train_labels if model.conditional else None
        parts = vectors_of(model, train, given), train_labels, codes, labels
    found = representation.probes(*parts, repetitions=repetitions, seed=seed)
    return {name: _of_codes(model, rows) for name, rows in found.items()}


def _of_codes(model: "VAE", rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows about codes, which say so where each code was encoded with its label."""
    return {name: row | ({"given_labels": True} if model.conditional else {}) for name, row in rows.items()}


def vectors_of(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> np.ndarray:
    """The codes of images, of any kind, as one array `(n, dimensions)`: the levels of a hierarchy side by side, and for
    integers the vectors that they stand for.

    Raises:
      UserError: as `encode`.
    """
    codes: Any = model.encode(x, condition)
    levels = codes if isinstance(codes, Mapping) else {"z": codes}
    if model.latent_kind == "index":
        levels = {
            "z": in_blocks(lambda _, part: model.functions.of(model.vectors)(**part), {"code": np.asarray(codes)})
        }
    return _side_by_side(levels)


def _side_by_side(codes: np.ndarray) -> np.ndarray:
    levels = codes.values() if isinstance(codes, Mapping) else [codes]
    return np.concatenate([np.asarray(level).reshape(len(level), -1) for level in levels], axis=1)


_NEEDED = {
    "factors": "the known factors of each image, factors=, which sprites have",
    "labels": "a class for each image, labels=",
    "reference": "MNIST digits, reference=",
    "train": "training images, train=",
}


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise NotApplicable(f"This needs {_NEEDED[name]}. Given: none.")
    return value
