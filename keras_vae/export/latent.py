"""What a bundle says of the codes: the prior in numbers, and how much each dimension says of real images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_vae import divergences
from keras_vae.backend import tfd
from keras_vae.errors import UserError
from keras_vae.export.graphs import draws_by_levels
from keras_vae.types import Condition

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior


def latent_facts(
    model: "VAE", images: np.ndarray, condition: Condition | None = None, prior: "FittedPrior | None" = None
) -> dict[str, Any]:
    """`bundle.json`'s `latent`, for programs that draw codes or show them in an order, and have no Keras.

    Returns:
      `prior`, as `prior_facts`; and `codes`: for each code of real numbers, by the decoder's name of it, `mean` and
      `scale`, the mean and standard deviation of the images' codes, and `kl`, the mean KL of each dimension, nats,
      where the model's KL is a sum over them in closed form.

    Args:
      images: checked images of the model's own kind.
      condition: one for each, where the model is conditional.
      prior: a fitted one that is exported in place of the model's.
    """
    x = ops.convert_to_tensor(images)
    given = None if condition is None else keras.tree.map_structure(ops.convert_to_tensor, condition)
    code = model.code(model.posterior_parameters(x, given))
    spec = model.latent_spec()
    parts = code if isinstance(code, Mapping) else {next(iter(spec)): code}
    codes: dict[str, dict[str, Any]] = {}
    for name in (name for name, each in spec.items() if each.kind != "index"):
        array = np.asarray(parts[name], "float64")
        codes[name] = {"mean": _numbers(array.mean(axis=0)), "scale": _numbers(array.std(axis=0))}
    if len(codes) == 1 and model.stochastic and model.analytic_kl:
        kl = np.asarray(divergences.kl(model.posterior(x, given), model.prior(given)), "float64").mean(axis=0)
        if kl.shape == (model.latent_dim,):
            codes[next(iter(codes))]["kl"] = _numbers(kl)
    return {"prior": prior_facts(model) if prior is None else {"name": "graph", "noise": "gumbel"}, "codes": codes}


def prior_facts(model: "VAE") -> dict[str, Any]:
    """The prior by `name`: `"normal"`, independent numbers of `mean` and `scale`, with a row for each class where it
    depends on the class; `"mixture"`, one of several such with probability `weights`, a row of `mean` and `scale`
    each; `"sphere"`, directions drawn alike; `"none"`; or `"other"`, of which golden.json holds draws. A
    fitted prior, and that of a hierarchy, are `"graph"`: `prior_sampler` makes codes of `noise`, `"gumbel"` or
    `"normal"`.
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
        rows = _rows(prior.components_distribution)
        if rows is not None:
            weights = prior.mixture_distribution.probs_parameter()
            return {"name": "mixture", "weights": _numbers(weights), **rows}
    rows = None if of_one else _rows(prior)
    return {"name": "other"} if rows is None else {"name": "normal", **rows}


def _rows(distribution: tfd.Distribution) -> dict[str, Any] | None:
    """`mean` and `scale` of independent normal numbers, a row for each of a batch; None: they are something else."""
    inner: Any = getattr(distribution, "distribution", None)
    if not isinstance(distribution, tfd.Independent) or not isinstance(inner, tfd.Normal):
        return None
    mean, scale = (np.broadcast_to(each, inner.batch_shape) for each in (inner.loc, inner.scale))
    return {"mean": _numbers(mean), "scale": _numbers(scale)}


def _numbers(array: Any) -> Any:
    """Nested lists of numbers of 4 digits, which are the same on every machine that computes in float32."""
    array = np.asarray(array, "float64")
    return [_numbers(row) for row in array] if array.ndim else float(f"{array:.4g}")
