"""All numbers that apply to a model, in one nested dict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_vae.arrays import check_whole_number, in_blocks
from keras_vae.errors import UserError
from keras_vae.evaluation import aggregate, annealing, disentanglement, distances, generation, latent, representation
from keras_vae.evaluation.estimates import mean_of
from keras_vae.evaluation.likelihood import bits_per_dim, elbo_terms
from keras_vae.inference import checked_inputs

SECTIONS = ("likelihood", "latent", "disentanglement", "generation", "representation")
_SOME, _ANNEALED = 1000, 16  # images: for what takes the square of their number, or seconds or minutes for each


def evaluate(
    model: Any,
    x: Any,
    labels: Any = None,
    factors: Any = None,
    *,
    condition: Any = None,
    reference: Any = None,
    train_reference: Any = None,
    train: Any = None,
    train_labels: Any = None,
    sections: Sequence[str] = SECTIONS,
    samples: int = 200,
    seed: int = 0,
    repetitions: int = 5,
    prior: Any = None,
) -> dict[str, Any]:
    """What can be measured of `model` on held-out data: section -> metric -> `value`, `standard_error`, and its draws.

    * likelihood: `nats` (`elbo`, `log_px`, `kl` and `log_prob`, per example); `bits_per_dim` of 8-bit images (first
      1,000); and the check `annealed` of log p(x) on the first 16 images, beside `log_prob` of the same ones;
    * latent: `kl_per_dimension`, `kl_split` (first 1,000 images), `active_units`, `collapse`; or `codebook`;
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
      repetitions: of what is repeated for its standard error.
      prior: of `keras_vae.priors`, fitted to the model, to draw what `generation` is of; None: the model's own.

    Returns:
      The sections; `examples`, `seed`; and `without`: "section.metric" -> why this model, or these data, have none.

    Raises:
      UserError: images that do not fit the model, or an unknown section.
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

    asked: dict[str, dict[str, Callable[[], Any]]] = {
        "likelihood": {
            "nats": lambda: nats(model, inputs, samples, seed),
            "bits_per_dim": lambda: bits(model, **few(_SOME), samples=max(samples, 1), seed=seed),
            "annealed": lambda: annealed(model, **few(_ANNEALED), samples=max(samples, 1), seed=seed),
        },
        "latent": {
            "kl_per_dimension": lambda: latent.kl_per_dimension(model, x, given).tolist(),
            "kl_split": lambda: aggregate.kl_split(model, x[:_SOME], seed),
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
            "clustering": lambda: representation.clustering(codes, _given(labels, "labels"), repetitions, seed),
        },
    }  # fmt: skip
    result: dict[str, Any] = {"examples": len(x), "seed": seed, "without": {}}
    for section, name, function in list(_chosen(asked, sections)):
        result.setdefault(section, {})
        try:
            result[section][name] = function()
        except UserError as error:
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


def nats(model: Any, inputs: Mapping[str, np.ndarray], samples: int, seed: int) -> dict[str, dict[str, Any]]:
    """`elbo`, `log_px`, `kl`, and `log_prob` where there are samples: means over images, nats.

    Raises:
      UserError: a model without a distribution over codes, or images outside the likelihood's support.
    """
    x, condition = inputs["x"], inputs.get("condition")
    terms = elbo_terms(model, checked_inputs(model, x, condition, likelihood=True), seed)
    found = {name: mean_of(terms[name], samples=1, seed=seed) for name in ("elbo", "log_px", "kl")}
    if samples:
        found["log_prob"] = mean_of(model.log_prob(x, samples, seed, condition), samples=samples, seed=seed)
    return found


def bits(model: Any, x: Any, condition: Any, samples: int, seed: int) -> dict[str, Any]:
    """The mean of `bits_per_dim`."""
    return mean_of(bits_per_dim(model, x, samples, seed, condition), samples=samples, seed=seed, examples=len(x))


def memorised(model: Any, train: Any, x: Any, condition: Any, seed: int, prior: Any = None) -> dict[str, Any]:
    """`distances.memorisation` of as many draws as there are held-out images `x`, without the list of neighbours."""
    found = distances.memorisation(model.sample(len(x), seed, condition, prior), train, x)
    del found["nearest"]
    return {**found, "examples": len(x), "train": len(train), "seed": seed}


def annealed(model: Any, x: Any, condition: Any, samples: int, seed: int) -> dict[str, Any]:
    """log p(x) by annealed importance sampling, and by importance weights, of the same few images: means, nats.

    `standard_error` is that of the draws, not of the images, which are the same in both.
    """
    found = annealing.annealed_importance(model, x, seed=seed, condition=condition)
    error = float(np.sqrt((found["standard_error"] ** 2).sum()) / len(x))
    return {
        "value": float(found["log_prob"].mean()),
        "standard_error": error,
        "log_prob": float(model.log_prob(x, samples, seed, condition).mean()),
        "acceptance": float(found["acceptance"].mean()),
        "examples": len(x),
        "samples": samples,
        "seed": seed,
    }


def probes(
    model: Any, codes: np.ndarray, labels: Any, train: Any, train_labels: Any, repetitions: int, seed: int
) -> dict[str, Any]:
    """`representation.probes` on the codes of training images, or of the first half where there are none."""
    if len(labels) != len(codes):
        raise UserError(f"There must be one label for each image. Given: {len(labels)} for {len(codes)}.")
    if train is None or train_labels is None:
        half = len(codes) // 2
        parts = codes[:half], labels[:half], codes[half:], labels[half:]
    else:
        given = train_labels if model.conditional else None
        parts = vectors_of(model, train, given), train_labels, codes, labels
    return representation.probes(*parts, repetitions=repetitions, seed=seed)


def vectors_of(model: Any, x: Any, condition: Any = None) -> np.ndarray:
    """The codes of images, of any kind, as one array `(n, dimensions)`: the levels of a hierarchy side by side, and for
    integers the vectors that they stand for.

    Raises:
      UserError: as `encode`.
    """
    codes: Any = model.encode(x, condition)
    levels = codes if isinstance(codes, Mapping) else {"z": codes}
    if any(spec["kind"] == "index" for spec in model.code_spec().values()):
        levels = {
            "z": in_blocks(lambda _, part: model.functions.of(model.vectors)(**part), {"code": np.asarray(codes)})
        }
    return np.concatenate([np.asarray(level).reshape(len(level), -1) for level in levels.values()], axis=1)


_NEEDED = {
    "factors": "the known factors of each image, factors=, which sprites have",
    "labels": "a class for each image, labels=",
    "reference": "MNIST digits, reference=",
    "train": "training images, train=",
}


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise UserError(f"This needs {_NEEDED[name]}. Given: none.")
    return value
