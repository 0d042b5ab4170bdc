"""The description of the codes in a bundle: the parameters of the prior, and statistics on examples."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import divergences
from keras_vae.backend import tfd
from keras_vae.core.graphs import draws_by_levels
from keras_vae.errors import UserError
from keras_vae.export.cases import by_name

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

Numbers: TypeAlias = "float | list[Numbers]"


def latent_facts(
    model: "VAE", inputs: Mapping[str, np.ndarray] | None, prior: "FittedPrior | None" = None
) -> dict[str, object]:
    """Return `latent` of `bundle.json`, for programs without Keras that draw codes, or order their dimensions.

    Returns:
      `prior`, as `prior_facts`; and, with inputs, `codes`: for each code of real numbers, by the decoder's input,
      `mean` and `scale`, the mean and standard deviation of the inputs' codes, and `kl`, the mean KL of each
      dimension, nats, where the model's KL is a sum over them in closed form.

    Args:
      model: the model.
      inputs: checked examples: "x", and conditions by the names of `condition_spec`; or None.
      prior: a fitted prior that is exported in place of the model's.
    """
    facts: dict[str, object] = {"prior": prior_facts(model) if prior is None else {"name": "graph", "noise": "gumbel"}}
    return facts if inputs is None else facts | {"codes": _codes(model, inputs)}


def _codes(model: "VAE", inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, Numbers]]:
    tensors = {name: ops.convert_to_tensor(array) for name, array in inputs.items()}
    x, condition = tensors["x"], model.condition_in(tensors)
    code = model.code(model.posterior_parameters(x, condition))
    specs, levels = model.latent_spec(), by_name(model, code)
    codes: dict[str, dict[str, Numbers]] = {}
    for name in (name for name, spec in specs.items() if spec.kind != "index"):
        array = np.asarray(levels[name], "float64")
        codes[name] = {"mean": _numbers(array.mean(axis=0)), "scale": _numbers(array.std(axis=0))}
    if len(codes) == 1 and model.stochastic and model.analytic_kl:
        kl = np.asarray(divergences.kl(model.posterior(x, condition), model.prior(condition)), "float64").mean(axis=0)
        if kl.shape == (model.latent_dim,):
            codes[next(iter(codes))]["kl"] = _numbers(kl)
    return codes


def prior_facts(model: "VAE") -> dict[str, object]:
    """Return the parameters of the prior, by its `name`.

    `"normal"`, independent numbers of `mean` and `scale`, a row for each class if it depends on the class; `"mixture"`
    of such, with `weights` and a row of `mean` and `scale` for each component; `"sphere"`, uniform directions;
    `"none"`; or `"other"`, of which golden.json holds draws. A fitted prior, and that of a hierarchy, are `"graph"`:
    `prior_sampler` maps `noise`, `"gumbel"` or `"normal"`, to codes.
    """
    if draws_by_levels(model):
        return {"name": "graph", "noise": "normal"}
    specs, classes = model.condition_spec(), model.condition_classes
    if classes:
        condition = ops.arange(classes, dtype="int32")
    else:
        zeros = {name: ops.zeros((1, *spec.shape), spec.dtype) for name, spec in specs.items()}
        condition = model.condition_in(zeros)
    try:
        prior = model.prior(condition)
    except UserError:
        return {"name": "none"}
    of_one = specs and not classes and prior.batch_shape.rank
    if isinstance(prior, tfd.SphericalUniform):
        return {"name": "sphere"}
    if isinstance(prior, tfd.MixtureSameFamily) and not prior.batch_shape.rank:
        mixture: Any = prior
        rows = _rows(mixture.components_distribution)
        if rows is not None:
            weights = mixture.mixture_distribution.probs_parameter()
            return {"name": "mixture", "weights": _numbers(weights), **rows}
    rows = None if of_one else _rows(prior)
    return {"name": "other"} if rows is None else {"name": "normal", **rows}


def _rows(distribution: tfd.Distribution) -> dict[str, Numbers] | None:
    """Return `mean` and `scale` of independent normals, a row for each of a batch; None for other distributions."""
    inner: Any = getattr(distribution, "distribution", None)
    if not isinstance(distribution, tfd.Independent) or not isinstance(inner, tfd.Normal):
        return None
    mean, scale = (np.broadcast_to(parameter, inner.batch_shape) for parameter in (inner.loc, inner.scale))
    return {"mean": _numbers(mean), "scale": _numbers(scale)}


def _numbers(array: ArrayLike) -> Numbers:
    """Return nested lists of numbers, rounded to 4 digits so that they are the same on every machine."""
    array = np.asarray(array, "float64")
    return [_numbers(row) for row in array] if array.ndim else float(f"{float(array):.4g}")
