"""Metadata of a model: for `bundle.json`, and as text for formats that carry metadata."""

import json
import platform
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

import keras_vae
from keras_vae.backend import tfd
from keras_vae.errors import UserError
from keras_vae.evaluation.evaluation import dimension_names
from keras_vae.export.cases import conditions_for, takes_grey
from keras_vae.export.examples import CheckedExamples
from keras_vae.runtimes.registry import version_of
from keras_vae.zoo import store

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

_PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "openvino", "ai-edge-litert", "numpy")
# The versions that decide a file's bytes; onnxruntime's converters make float16 and int8.
_IN_FILES = ("keras_vae", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")
_LICENCE = "Apache-2.0"


class Facts(TypedDict):
    """Parts of `bundle.json`."""

    model: dict[str, object]
    preprocessing: dict[str, object]
    licences: dict[str, str | None]
    versions: dict[str, str]


def facts_of(model: "VAE", prior: "FittedPrior | None" = None, examples: CheckedExamples | None = None) -> Facts:
    """Return `model`, `preprocessing`, `licences` and `versions`, as JSON.

    `model`: class, zoo_name, weights_sha256, likelihood, tells_total (only where the decoder's means have another total
    than x: false), latent_dim, latents (the names of a code's numbers), prior, labels (the names of a condition's
    classes), image_shape. `licences`: of the software, of the weights (None: not from the zoo), of the examples in
    golden.json (None: unknown, or no examples).

    Args:
      model: the model.
      prior: a fitted prior that is exported in place of the model's.
      examples: of the export.
    """
    origin = model.provenance
    shipped = origin is not None and origin.folder.parent == store.root()
    return {
        "model": {
            "class": type(model).__name__,
            "zoo_name": origin.name if origin else None,
            "weights_sha256": origin.weights_sha256 if origin else None,
            "likelihood": model.likelihood_family.title.lower(),
            **({} if model.likelihood_family.tells_total else {"tells_total": False}),
            "latent_dim": model.latent_dim,
            "latents": dimension_names(model),
            "prior": prior_of(model) if prior is None else type(prior).__name__,
            "labels": [str(label) for label in range(model.condition_classes)] or None,
            "image_shape": list(model.x_shape),
        },
        "preprocessing": _preprocessing(model, examples),
        "licences": {
            "software": _LICENCE,
            "weights": _LICENCE if shipped else None,
            "images": examples.licence if examples else None,
        },
        "versions": _versions(),
    }


def _preprocessing(model: "VAE", examples: CheckedExamples | None) -> dict[str, object]:
    spec, alphabet = model.x_spec(), examples.alphabet if examples else None
    if spec.kind == "tokens":
        rule = "token ids; 0 ends a sequence, and only 0 follows it"
        facts: dict[str, object] = {"dtype": "int32", "range": [0, spec.classes - 1], "layout": "batch, length"}
        if alphabet is None:
            return facts | {"rule": rule}
        return facts | {"alphabet": alphabet, "rule": f"{rule}; 1 is the first letter of the alphabet"}
    missing = "; NaN is a missing number" if model.missing else ""
    if spec.kind == "numbers":
        axes, kinds = axes_of(model), [column.kind for column in model.likelihood_family.columns.values()]
        columns = list(examples.columns if examples else ()) or list(model.likelihood_family.columns)
        classes = {
            name: list(column.classes) for name, column in model.likelihood_family.columns.items() if column.classes
        }
        within = ", raw: the graphs standardise them" if model.likelihood_family.standardizes else ""
        return {
            "dtype": "float32",
            "layout": f"batch, {', '.join(map(str, spec.shape))}",
            **({"axes": axes} if axes else {}),
            **({"columns": columns} if columns else {}),
            **({"kinds": kinds} if kinds else {}),
            **({"classes": classes} if classes else {}),
            "rule": f"{spec.support or 'reals'}, as the model was trained on{within}{missing}",
        }
    grey, rule = takes_grey(model), "grey levels divided by 255"
    return {
        "dtype": "float32",
        "range": [0, 1],
        "layout": "batch, height, width, channels",
        "binarized": not grey,
        **({"crop": True} if _crops(model) else {}),
        "rule": f"{rule if grey else f'pixels are 0 or 1: {rule}, then binarised'}{missing}",
    }


def _crops(model: "VAE") -> bool:
    """Whether the recipe that the model was loaded by, if there is one, cuts pictures to the shape of x."""
    if model.provenance is None or not (model.provenance.folder / store.RECIPE).is_file():
        return False
    entry = store.Entry(model.provenance.name, model.provenance.folder)
    return bool(entry.recipe.data.arguments.get("crop"))


def axes_of(model: "VAE") -> list[str] | None:
    """Return what the axes of an x of numbers are, as the model's arguments say; None where they do not.

    `["columns"]`, a row of a table; or `["steps", "channels"]`, a series: two axes, and an encoder that reads steps, or
    a scale, a dispersion or `standardize` by `"channel"`.
    """
    if len(model.x_shape) == 1:
        return ["columns"]
    series = getattr(model.encoder, "reads_steps", False) or model.likelihood_family.by_channel
    return ["steps", "channels"] if series and len(model.x_shape) == 2 else None


def prior_of(model: "VAE") -> str | None:
    """Return the name of the prior: "standard normal" for N(0, I), else its distribution's; None without a prior."""
    condition = model.condition_in(conditions_for(model))
    try:
        prior = model.prior(condition)
    except UserError:
        return None
    if prior is None:
        return None
    inner: Any = getattr(prior, "distribution", None)
    if isinstance(inner, tfd.Normal) and np.all(np.asarray(inner.loc) == 0) and np.all(np.asarray(inner.scale) == 1):
        return "standard normal"
    return type(prior).__name__.strip("_")


def as_text(facts: Facts) -> dict[str, str]:
    """Return the facts as text, for formats with metadata: `keras_vae.<fact>`, and `version.<package>`."""
    text = {f"keras_vae.{name}": _text(value) for name, value in facts["model"].items() if value is not None}
    text |= {f"keras_vae.{name}": _text(facts[name]) for name in ("preprocessing", "licences")}
    return text | {f"version.{name}": facts["versions"][name] for name in _IN_FILES if name in facts["versions"]}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _versions() -> dict[str, str]:
    installed = {package: version for package in _PACKAGES if (version := version_of(package))}
    return {"keras_vae": keras_vae.__version__, "python": platform.python_version(), **installed}
