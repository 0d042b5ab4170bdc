"""The graphs of a model: named functions of named tensors, from which every format and every check starts."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from keras import ops

from keras_vae import backend, divergences
from keras_vae.backend import TensorSpec, tfd
from keras_vae.errors import ExportError
from keras_vae.types import Graph, Spec, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE
    from keras_vae.priors.base import FittedPrior


def tensor_specs(graph: Graph, batch: int | None = None) -> list[TensorSpec]:
    """Return a named `tf.TensorSpec` for each input; a batch of None is open."""
    return [TensorSpec((batch, *spec.shape), spec.dtype, name=name) for name, spec in graph.inputs.items()]


def compiled(graph: Graph, jit_compile: bool = False) -> Any:
    """Return `graph.call` as a `tf.function`, to be traced with `tensor_specs`."""

    def positional(*tensors: Tensor) -> dict[str, Tensor]:
        return graph.call(*tensors)

    return backend.compiled(positional, jit_compile=jit_compile)


def graphs_of(
    model: "VAE", sampler: bool = False, prior: "FittedPrior | None" = None, elbo: bool = False
) -> list[Graph]:
    """Return the graphs of a model.

    `encoder`: x -> the posterior's parameters; `decoder`: the code -> the likelihood's parameters and `mean`;
    `reconstruction`: x -> the mean image of the mean code; then the model's `extra_graphs`; `sampler`, if asked for:
    x and eps, noise of N(0, I) -> the posterior's parameters and `z`, a draw; and the graphs of `prior`, one of
    `keras_vae.priors`. A hierarchy takes noise for each level, `eps_z1`, ..., in the sampler and in `prior_sampler`,
    noise -> a draw of p(z1, ..., zL). `elbo`, if asked for: x and eps -> `elbo`, `log_px` and `kl`. All with
    training=False, and with an input `condition` where the model takes one.

    Raises:
      ExportError: a sampler or an ELBO was asked for, and the posterior is not a Gaussian that the encoder's outputs
        describe; an ELBO of a conditional model; or a prior that has no graph.
      UserError: a prior that was not fitted to codes of this model.
    """
    of_prior = [] if prior is None else prior.export_graphs(model)
    condition = model.condition_spec()
    images = {"x": model.x_spec()} | condition
    codes = model.latent_spec()
    labels = {
        name: dataclasses.replace(spec, missing=spec.missing and model.decodes_unlabelled) if spec.classes else spec
        for name, spec in condition.items()
    }
    result = next((name for name in codes if name != "z"), "mean")
    bounded = model.x_spec().kind != "numbers"  # numbers of any size agree relative to it
    of_codes, of_x = (("mean", "log_var", *codes), (model.output_name,)) if bounded else ((), ())

    def encode(x: Tensor, **conditions: Tensor) -> Tensors:
        return model.posterior_parameters(x, model.condition_in(conditions), training=False)

    def decode(**tensors: Tensor) -> Tensors:
        levels = {name: tensors.pop(name) for name in codes}
        z = levels if model.latent_kind == "level" else levels[next(iter(codes))]
        return model.likelihood_parameters(z, model.condition_in(tensors), training=False)

    def reconstruct(x: Tensor, **conditions: Tensor) -> Tensors:
        return {model.output_name: model.call(model.batch_in({"x": x, **conditions}))}

    graphs = [
        Graph("encoder", "encode", images, encode, result, of_codes),
        Graph("decoder", "decode", codes | labels, decode, model.output_name, of_x),
        Graph(
            "reconstruction",
            "reconstruct",
            images,
            reconstruct,
            model.output_name,
            of_x,
            own_file=False,
        ),
        *model.extra_graphs(),
    ]
    if draws_by_levels(model) and prior is None:
        of_prior = [_ancestral(model)]
    drawing = [_sampler(model, encode, images, condition)] if sampler else []
    bounds = [_elbo(model)] if elbo else []
    return [*graphs, *drawing, *bounds, *of_prior]


def is_gaussian(model: "VAE") -> bool:
    """Return whether q(z|x) is the diagonal Gaussian of the encoder's outputs `mean` and `log_var`."""
    if list(model.latent_spec()) != ["z"] or not model.stochastic:
        return False
    zeros = {name: ops.zeros((1, *spec.shape), spec.dtype) for name, spec in model.condition_spec().items()}
    condition = model.condition_in(zeros)
    x = ops.zeros((1, *model.x_spec().shape), model.x_spec().dtype)
    posterior = model.posterior(x, condition)
    inner = getattr(posterior, "distribution", None)
    names = set(model.posterior_parameters(x, condition))
    return isinstance(posterior, tfd.Independent) and isinstance(inner, tfd.Normal) and names == {"mean", "log_var"}


def draws_by_levels(model: "VAE") -> bool:
    """Return whether the code has several levels, each with a Gaussian prior conditioned on the levels above."""
    if model.latent_kind != "level":
        return False
    prior: Any = model.prior()
    return isinstance(getattr(prior.level(prior.names[0], {}), "distribution", None), tfd.Normal)


def _noise_of_levels(model: "VAE") -> dict[str, Spec]:
    return {f"eps_{name}": Spec(spec.shape, "float32", "noise") for name, spec in model.latent_spec().items()}


def _draw(ladder: Any, noise: Tensors, levels: list[str]) -> Tensors:
    return ladder.from_noise({name: noise[f"eps_{name}"] for name in levels})


def _ancestral(model: "VAE") -> Graph:
    levels = list(model.latent_spec())

    def draw(**noise: Tensor) -> Tensors:
        return _draw(model.prior(), noise, levels)

    return Graph("prior_sampler", "prior_sample", _noise_of_levels(model), draw, levels[0], levels)


def _sampler(
    model: "VAE", encode: Callable[..., Tensors], images: Mapping[str, Spec], condition: Mapping[str, Spec]
) -> Graph:
    if draws_by_levels(model):
        levels = list(model.latent_spec())

        def draw_levels(x: Tensor, **noise: Tensor) -> Tensors:
            return _draw(model.posterior(x), noise, levels)

        return Graph("sampler", "draw", {"x": images["x"], **_noise_of_levels(model)}, draw_levels, levels[0])
    if not is_gaussian(model):
        raise ExportError(
            f"A sampler draws from the Gaussian that the encoder's mean and log_var describe. Given: "
            f"{type(model).__name__}, which has another posterior. Leave the sampler out."
        )

    def draw(x: Tensor, eps: Tensor, **conditions: Tensor) -> Tensors:
        outputs = encode(x, **conditions)
        return {**outputs, "z": outputs["mean"] + ops.exp(0.5 * outputs["log_var"]) * eps}

    noise = {"eps": Spec((model.latent_dim,), "float32", "noise")}
    return Graph("sampler", "draw", {"x": images["x"], **noise, **condition}, draw, "z", ("mean", "log_var"))


def _elbo(model: "VAE") -> Graph:
    """The ELBO of one draw, whose noise is an input, so that bounds and anomaly scores need no Python."""
    if not is_gaussian(model) or model.condition_spec():
        raise ExportError(
            f"The graph elbo is of a Gaussian posterior without conditions. Given: {type(model).__name__}, which has "
            f"another. Leave it out."
        )

    def bound(x: Tensor, eps: Tensor) -> Tensors:
        posterior, prior = model.posterior_and_prior(x, None, training=False)
        q = backend.base_of(posterior)
        z = q.loc + q.scale * eps
        if model.analytic_kl:
            p = backend.base_of(prior)
            kl = divergences.gaussian_kl(q.loc, q.scale, p.loc, p.scale)
        else:
            kl = backend.sampled_kl(posterior, prior, z)
        log_px, kl = model.likelihood(z).log_prob(x), ops.sum(kl, axis=-1)
        return {"elbo": log_px - kl, "log_px": log_px, "kl": kl}

    inputs = {"x": model.x_spec(), "eps": Spec((model.latent_dim,), "float32", "noise")}
    return Graph("elbo", "elbo", inputs, bound, "elbo", (), reduced=False)
