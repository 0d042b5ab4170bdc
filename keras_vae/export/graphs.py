"""What is exported: named functions of named tensors, without a random op. Every format and every check starts here."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae import checks
from keras_vae.errors import ExportError
from keras_vae.export.remedies import is_random, remedy

_HALF = (tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum)


@dataclasses.dataclass(frozen=True)
class Input:
    """One input of a graph.

    Args:
      shape: of one example, without the batch.
      dtype: its dtype.
      kind: which checks and which test cases it gets: `"image"`, `"tokens"`, `"code"`, `"level"` (a code of
        several arrays), `"index"` (a code of integers), `"noise"`, `"vector"` or `"label"`.
      classes: of a label, an index or tokens, how many there are.
    """

    shape: tuple[int, ...]
    dtype: str
    kind: str
    classes: int = 0

    def description(self, batch: int | None) -> dict[str, Any]:
        """What `bundle.json` says of the input; None in a shape is an open batch."""
        known = {"shape": [batch, *self.shape], "dtype": self.dtype, "kind": self.kind}
        return known | ({"classes": self.classes} if self.classes else {})


@dataclasses.dataclass(frozen=True)
class Graph:
    """One function that leaves Python.

    Args:
      name: of its file: `"encoder"` gives `encoder.onnx`.
      signature: its name in a SavedModel and on a runtime: `"encode"`.
      inputs: by name, in the order in which `function` takes them; the first one's kind chooses the test cases.
      function: from those tensors to a dict of tensors; the keys are the output names in every format.
      result: the output that the runtime's method of the signature's name returns.
      absolute: outputs that must agree to 1e-5 on ordinary inputs; others, and all on extremes, relative to size too.
      own_file: false for a graph that only a SavedModel carries, being others of them in a row.
      reduced: false for a graph that formats of reduced precision leave out: a draw that starts otherwise goes on
        otherwise.
    """

    name: str
    signature: str
    inputs: Mapping[str, Input]
    function: Callable[..., Mapping[str, Any]]
    result: str = "mean"
    absolute: Sequence[str] = ("mean",)
    own_file: bool = True
    reduced: bool = True

    def specs(self, batch: int | None = None) -> list[Any]:
        """A `tf.TensorSpec` for each input, with its name; a batch of None is open."""
        return [tf.TensorSpec((batch, *given.shape), given.dtype, name=name) for name, given in self.inputs.items()]

    def call(self, *tensors: Any) -> dict[str, Any]:
        """The outputs for the inputs' tensors in their order."""
        return dict(self.function(**dict(zip(self.inputs, tensors, strict=True))))

    def traced(self, jit_compile: bool = False) -> Any:
        """`call` as a `tf.function`, which its caller may give `specs`."""

        def positional(*tensors: Any) -> dict[str, Any]:
            return self.call(*tensors)

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
        return self.graph.specs(self.batch)

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


def graphs_of(model: Any, sampler: bool = False, prior: Any = None) -> list[Graph]:
    """The graphs of a model: what its method `export_graphs` says, or those below.

    `encoder`: x -> the posterior's parameters; `decoder`: the code -> the likelihood's parameters and `mean`;
    `reconstruction`: x -> the mean image of the mean code; then the model's `further_graphs`; `sampler`, if asked for:
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
    if hasattr(model, "export_graphs"):
        return [*model.export_graphs(), *of_prior]
    spec = model.condition_spec()
    condition = {"condition": Input(**spec)} if spec else {}
    images = {"x": Input(**model.x_spec())} | condition
    codes = {name: Input(**given) for name, given in model.code_spec().items()}
    result = next((name for name in codes if name != "z"), "mean")

    def encode(x: Any, **given: Any) -> Mapping[str, Any]:
        return model.posterior_parameters(x, training=False, **given)

    def decode(**given: Any) -> Mapping[str, Any]:
        parts = {name: given.pop(name) for name in codes}
        code = parts if any(each.kind == "level" for each in codes.values()) else parts[next(iter(codes))]
        return model.likelihood_parameters(code, training=False, **given)

    def reconstruct(x: Any, **given: Any) -> Mapping[str, Any]:
        return {model.decoded: model.call({"x": x} | ({"y": given["condition"]} if given else {}))}

    graphs = [
        Graph("encoder", "encode", images, encode, result, ("mean", "log_var", *codes)),
        Graph("decoder", "decode", codes | condition, decode, model.decoded, (model.decoded,)),
        Graph("reconstruction", "reconstruct", images, reconstruct, model.decoded, (model.decoded,), own_file=False),
        *model.further_graphs(),
    ]
    if draws_by_levels(model) and prior is None:
        of_prior = [_ancestral(model)]
    drawing = [_sampler(model, encode, images, condition)] if sampler else []
    return [*graphs, *drawing, *of_prior]


def is_gaussian(model: Any) -> bool:
    """Whether q(z|x) is the diagonal Gaussian whose `mean` and `log_var` are the encoder's outputs."""
    if list(model.code_spec()) != ["z"] or not model.stochastic:
        return False
    spec = model.condition_spec()
    condition = tf.zeros((1, *spec["shape"]), spec["dtype"]) if spec else None
    x = tf.zeros((1, *model.x_spec()["shape"]), model.x_spec()["dtype"])
    posterior = model.posterior(x, condition)
    inner = getattr(posterior, "distribution", None)
    names = set(model.posterior_parameters(x, condition))
    return isinstance(posterior, tfd.Independent) and isinstance(inner, tfd.Normal) and names == {"mean", "log_var"}


def draws_by_levels(model: Any) -> bool:
    """Whether the code has several levels, whose prior is Gaussian at each, given those above."""
    if any(given["kind"] != "level" for given in model.code_spec().values()):
        return False
    prior = model.prior()
    return isinstance(getattr(prior.level(prior.names[0], {}), "distribution", None), tfd.Normal)


def _noise_of_levels(model: Any) -> dict[str, Input]:
    return {f"eps_{name}": Input(given["shape"], "float32", "noise") for name, given in model.code_spec().items()}


def _ancestral(model: Any) -> Graph:
    levels = list(model.code_spec())

    def draw(**noise: Any) -> Mapping[str, Any]:
        return model.prior().from_noise({name: noise[f"eps_{name}"] for name in levels})

    return Graph("prior_sampler", "prior_sample", _noise_of_levels(model), draw, levels[0], levels)


def _sampler(model: Any, encode: Any, images: Mapping[str, Input], condition: Mapping[str, Input]) -> Graph:
    if draws_by_levels(model):
        levels = list(model.code_spec())

        def draw_levels(x: Any, **noise: Any) -> Mapping[str, Any]:
            return model.posterior(x).from_noise({name: noise[f"eps_{name}"] for name in levels})

        return Graph("sampler", "draw", {"x": images["x"], **_noise_of_levels(model)}, draw_levels, levels[0])
    if not is_gaussian(model):
        raise ExportError(
            f"A sampler draws from the Gaussian that the encoder's mean and log_var describe. Given: "
            f"{type(model).__name__}, whose posterior is another distribution. Leave the sampler out."
        )

    def draw(x: Any, eps: Any, **given: Any) -> Mapping[str, Any]:
        outputs = encode(x, **given)
        return {**outputs, "z": outputs["mean"] + ops.exp(0.5 * outputs["log_var"]) * eps}

    noise = {"eps": Input((model.latent_dim,), "float32", "noise")}
    return Graph("sampler", "draw", {"x": images["x"], **noise, **condition}, draw, "z", ("mean", "log_var"))


def trace(graph: Graph, batch: int | None = None) -> TracedGraph:
    """Trace a graph, and refuse one whose outputs are not a function of its inputs, computed in float32.

    Args:
      graph: what to trace.
      batch: the only batch size that it shall take; None: any.

    Raises:
      ExportError: it draws random numbers, or computes in half precision.
    """
    function = graph.traced()
    concrete = function.get_concrete_function(*graph.specs(batch))
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


def config_of(model: Any) -> dict[str, Any]:
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


def as_float32(model: Any) -> Any:
    """The model, or, if its policy is not float32, the same weights in a model that computes in float32.

    A network that was given as a layer keeps its own precision; `trace` refuses it.
    """
    if model.dtype_policy.name == "float32":
        return model
    single = type(model).from_config({**config_of(model), "dtype": "float32"})
    single.set_weights(model.get_weights())
    for known in ("zoo_name", "zoo_folder", "weights_sha256"):
        if hasattr(model, known):
            setattr(single, known, getattr(model, known))
    return single
