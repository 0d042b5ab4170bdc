"""What is exported: named functions of named tensors, without a random op. Every format and every check starts here."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import ArrayLike
from tensorflow_probability import distributions as tfd

from keras_vae import checks
from keras_vae.errors import ExportError
from keras_vae.export.remedies import is_random, remedy
from keras_vae.types import Graph, Spec

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

_HALF = (tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum)


def tensor_specs(graph: Graph, batch: int | None = None) -> list[Any]:
    """A `tf.TensorSpec` for each input, with its name; a batch of None is open."""
    return [tf.TensorSpec((batch, *spec.shape), spec.dtype, name=name) for name, spec in graph.inputs.items()]


def compiled(graph: Graph, jit_compile: bool = False) -> Any:
    """`graph.call` as a `tf.function`, to be traced with `tensor_specs`."""

    def positional(*tensors: Any) -> dict[str, Any]:
        return graph.call(*tensors)

    return tf.function(positional, autograph=False, jit_compile=jit_compile)


@dataclasses.dataclass(frozen=True)
class TracedGraph:
    """A graph with its concrete function, known to hold no random op."""

    graph: Graph
    function: Any  # the tf.function
    concrete: Any
    batch: int | None = None  # the only batch size that it takes; None: any

    @property
    def name(self) -> str:
        return self.graph.name

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs that Keras gives, for any number of examples."""
        count = len(next(iter(inputs.values())))
        return checks.in_blocks(
            lambda _, part: self.concrete(*(tf.constant(part[name]) for name in self.graph.inputs)),
            inputs,
            pad=self.batch is not None,
            size=self.batch or max(count, 1),
        )

    @property
    def specs(self) -> list[Any]:
        """What it was traced with."""
        return tensor_specs(self.graph, self.batch)

    def description(self) -> dict[str, Any]:
        """What `bundle.json` says of the graph; None in a shape is an open batch."""
        outputs = self.concrete.structured_outputs
        return {
            "signature": self.graph.signature,
            "result": self.graph.result,
            "inputs": {name: given.description(self.batch) for name, given in self.graph.inputs.items()},
            "outputs": {
                name: {
                    "shape": [self.batch, *outputs[name].shape[1:]],
                    "dtype": outputs[name].dtype.name,
                    "tolerance": "absolute" if name in self.graph.absolute else "relative",
                }
                for name in sorted(outputs)
            },
        }


def graphs_of(model: "VAE", sampler: bool = False, prior: "FittedPrior | None" = None) -> list[Graph]:
    """The graphs of a model.

    `encoder`: x -> the posterior's parameters; `decoder`: the code -> the likelihood's parameters and `mean`;
    `reconstruction`: x -> the mean image of the mean code; then the model's `extra_graphs`; `sampler`, if asked for:
    x and eps, noise of N(0, I) -> the posterior's parameters and `z`, a draw; and what `prior`, one of
    `keras_vae.priors`, says. A hierarchy takes noise for each level, `eps_z1`, ..., in the sampler and in
    `prior_sampler`, noise -> a draw of p(z1, ..., zL). All with training=False, and with a further input `condition`
    where the model takes one.

    Raises:
      ExportError: a sampler was asked for, and the posterior is not a Gaussian that the encoder's outputs describe; or
        a prior that has no graph.
      UserError: a prior that was not fitted to codes of this model.
    """
    of_prior = [] if prior is None else prior.export_graphs(model)
    condition = model.condition_spec()
    images = {"x": model.x_spec()} | condition
    codes = model.latent_spec()
    result = next((name for name in codes if name != "z"), "mean")

    def encode(x: ArrayLike, **conditions: Any) -> Mapping[str, Any]:
        return model.posterior_parameters(x, model.condition_in(conditions), training=False)

    def decode(**given: Any) -> Mapping[str, Any]:
        parts = {name: given.pop(name) for name in codes}
        code = parts if model.latent_kind == "level" else parts[next(iter(codes))]
        return model.likelihood_parameters(code, model.condition_in(given), training=False)

    def reconstruct(x: ArrayLike, **given: Any) -> Mapping[str, Any]:
        y = model.condition_in(given)
        return {model.output_name: model.call({"x": x} | ({} if y is None else {"y": y}))}

    graphs = [
        Graph("encoder", "encode", images, encode, result, ("mean", "log_var", *codes)),
        Graph("decoder", "decode", codes | condition, decode, model.output_name, (model.output_name,)),
        Graph(
            "reconstruction",
            "reconstruct",
            images,
            reconstruct,
            model.output_name,
            (model.output_name,),
            own_file=False,
        ),
        *model.extra_graphs(),
    ]
    if draws_by_levels(model) and prior is None:
        of_prior = [_ancestral(model)]
    drawing = [_sampler(model, encode, images, condition)] if sampler else []
    return [*graphs, *drawing, *of_prior]


def is_gaussian(model: "VAE") -> bool:
    """Whether q(z|x) is the diagonal Gaussian whose `mean` and `log_var` are the encoder's outputs."""
    if list(model.latent_spec()) != ["z"] or not model.stochastic:
        return False
    zeros = {name: tf.zeros((1, *spec.shape), spec.dtype) for name, spec in model.condition_spec().items()}
    condition = model.condition_in(zeros)
    x = tf.zeros((1, *model.x_spec().shape), model.x_spec().dtype)
    posterior = model.posterior(x, condition)
    inner = getattr(posterior, "distribution", None)
    names = set(model.posterior_parameters(x, condition))
    return isinstance(posterior, tfd.Independent) and isinstance(inner, tfd.Normal) and names == {"mean", "log_var"}


def draws_by_levels(model: "VAE") -> bool:
    """Whether the code has several levels, whose prior is Gaussian at each, given those above."""
    if model.latent_kind != "level":
        return False
    prior = model.prior()
    return isinstance(getattr(prior.level(prior.names[0], {}), "distribution", None), tfd.Normal)


def _noise_of_levels(model: "VAE") -> dict[str, Spec]:
    return {f"eps_{name}": Spec(given.shape, "float32", "noise") for name, given in model.latent_spec().items()}


def _ancestral(model: "VAE") -> Graph:
    levels = list(model.latent_spec())

    def draw(**noise: Any) -> Mapping[str, Any]:
        return model.prior().from_noise({name: noise[f"eps_{name}"] for name in levels})

    return Graph("prior_sampler", "prior_sample", _noise_of_levels(model), draw, levels[0], levels)


def _sampler(model: "VAE", encode: Any, images: Mapping[str, Spec], condition: Mapping[str, Spec]) -> Graph:
    if draws_by_levels(model):
        levels = list(model.latent_spec())

        def draw_levels(x: ArrayLike, **noise: Any) -> Mapping[str, Any]:
            return model.posterior(x).from_noise({name: noise[f"eps_{name}"] for name in levels})

        return Graph("sampler", "draw", {"x": images["x"], **_noise_of_levels(model)}, draw_levels, levels[0])
    if not is_gaussian(model):
        raise ExportError(
            f"A sampler draws from the Gaussian that the encoder's mean and log_var describe. Given: "
            f"{type(model).__name__}, whose posterior is another distribution. Leave the sampler out."
        )

    def draw(x: ArrayLike, eps: Any, **given: Any) -> Mapping[str, Any]:
        outputs = encode(x, **given)
        return {**outputs, "z": outputs["mean"] + ops.exp(0.5 * outputs["log_var"]) * eps}

    noise = {"eps": Spec((model.latent_dim,), "float32", "noise")}
    return Graph("sampler", "draw", {"x": images["x"], **noise, **condition}, draw, "z", ("mean", "log_var"))


def trace(graph: Graph, batch: int | None = None) -> TracedGraph:
    """Trace a graph, and refuse one whose outputs are not a function of its inputs, computed in float32.

    Args:
      graph: what to trace.
      batch: the only batch size that it shall take; None: any.

    Raises:
      ExportError: it draws random numbers, or computes in half precision.
    """
    function = compiled(graph)
    concrete = function.get_concrete_function(*tensor_specs(graph, batch))
    definition = concrete.graph.as_graph_def()
    nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
    random = sorted({node.op for node in nodes if is_random(node.op)})
    if random:
        raise ExportError(
            f"An exported graph must be a function of its inputs. Given: the {graph.name}, which holds the random "
            f"{'op' if len(random) == 1 else 'ops'} {', '.join(random)}. {remedy(random)}"
        )
    half = [node.name for node in nodes if any(attr.type in _HALF for attr in node.attr.values())]
    if half:
        raise ExportError(
            f"Exported graphs compute in float32. Given: the {graph.name}, of which {half[0]!r} and {len(half) - 1} "
            f"other operations compute in 16 bits. Build the networks that you give to the model with dtype='float32'."
        )
    return TracedGraph(graph, function, concrete, batch)


def config_of(model: "VAE") -> dict[str, Any]:
    """The model's configuration.

    Raises:
      ExportError: a network was given as a layer without a `get_config`.
    """
    try:
        return model.get_config()
    except NotImplementedError as error:
        layer = " ".join(str(error).split()).split(" was created")[0]
        raise ExportError(
            f"To be built again, a model must be described by data. Given: a layer that is not ({layer}). Define its "
            f"get_config, or export a float32 model to formats other than 'keras'."
        ) from error


def as_float32(model: "VAE") -> Any:
    """The model, or, if its policy is not float32, the same weights in a model that computes in float32.

    A network that was given as a layer keeps its own precision; `trace` refuses it.
    """
    if model.dtype_policy.name == "float32":
        return model
    single = type(model).from_config({**config_of(model), "dtype": "float32"})
    single.set_weights(model.get_weights())
    single.record_provenance(model.provenance)
    return single
