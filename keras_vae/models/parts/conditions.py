"""Conditions, labels and vectors: one-hot rows, inputs of networks, and checks."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_vae import registry
from keras_vae.checks import check_codes, check_labels, check_whole_number
from keras_vae.errors import UserError
from keras_vae.types import Condition, ConditionLike, Spec, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core import VAE

# Other inputs of graphs, and outputs, which tf2onnx cannot tell from inputs of the same name; and what Keras reads.
_TAKEN = ("x", "y", "z", "eps", "mean", "log_var", "logits", "log_scale", "mixture_logits", "means", "log_scales",
          "loc", "log_rate", "log_mean", "log_dispersion", "zero_logits", "class_name")  # fmt: skip


def one_hot(labels: Condition | None, classes: int, dtype: str, count: Tensor | int | None = None) -> Tensor:
    """Labels `(batch,)` as `(batch, classes)`: a label of -1, unlabelled, is a row of zeros.

    Not keras.ops.one_hot, of which ONNX counts -1 from the end.

    Args:
      labels: integers; or None, which is -1 for each of `count`; or one-hot rows already, which are returned.
      classes: how many there are.
      dtype: of the rows.
      count: of examples.
    """
    if labels is None:
        return ops.zeros((count, classes), dtype)
    integers: Any = ops.convert_to_tensor(labels)
    if len(integers.shape) == 2:
        return integers
    return ops.cast(ops.equal(ops.cast(integers, "int32")[:, None], ops.arange(classes, dtype="int32")), dtype)


def named_specs(conditions: Mapping[str, int | Mapping[str, int]]) -> dict[str, Spec]:
    """The spec of each of several conditions, from a number of classes or `{"dim": n}` by name.

    Raises:
      UserError: no condition, a name that an exported graph cannot have, or a size that is neither of these.
    """
    if not isinstance(conditions, Mapping) or not conditions:
        example = '{"category": 10, "style": {"dim": 2}}'
        raise UserError(f"conditions are a mapping by name, as {example}. Given: {conditions!r}.")
    specs: dict[str, Spec] = {}
    for name, size in conditions.items():
        if not isinstance(name, str) or not name.isidentifier() or name in _TAKEN:
            raise UserError(
                f"A condition's name is an input of the exported graphs: letters, digits and _, and none of "
                f"{', '.join(_TAKEN)}. Given: {name!r}. Rename it."
            )
        if isinstance(size, Mapping) and set(size) == {"dim"}:
            specs[name] = Spec((check_whole_number(size["dim"], f"dim of the condition {name}"),), "float32", "vector")
        elif isinstance(size, Mapping):
            raise UserError(f'The condition {name} is a number of classes, or {{"dim": n}}. Given: {size!r}.')
        else:
            specs[name] = Spec((), "int32", "label", check_whole_number(size, f"the classes of the condition {name}"))
    return specs


def features(condition: Tensors, specs: Mapping[str, Spec], dtype: str) -> Tensor:
    """The conditions side by side, labels one-hot, in the order of `specs`: `(batch, numbers of all)`."""
    parts = [
        ops.cast(condition[name], dtype) if spec.kind == "vector" else one_hot(condition[name], spec.classes, dtype)
        for name, spec in specs.items()
    ]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)


def check_one(condition: object, name: str, spec: Spec, count: int, dtype: str = "float32") -> np.ndarray:
    """One condition of `count` examples: labels int32 `(count,)`, or vectors `(count, *spec.shape)` of `dtype`.

    Raises:
      UserError: of another shape or number, or labels out of range.
    """
    if spec.kind == "vector":
        array = check_codes(condition, spec.shape, name, "one vector an example", dtype)
    else:
        array = check_labels(condition, spec.classes, name)
    return check_count(array, count, name)


def reads_vectors(network: keras.Layer) -> bool:
    """Whether a network, a layer or a class of layers, reads an image as one vector: else it reads planes.

    It declares so by an attribute `reads_vectors` that is true, as `keras_vae.networks.MLP` does; or by its inputs,
    where it was made with them: they have one axis, the batch's not counted.
    """
    declared = getattr(network, "input_shape", None)
    flat = isinstance(declared, tuple) and len(declared) == 2 and not isinstance(declared[-1], Sequence)
    return flat or bool(getattr(network, "reads_vectors", False))


def joined(network: keras.Layer, x: Tensor, features: Tensor) -> Tensor:
    """x `(batch, ..., channels)` and features `(batch, size)` as the one input of `network`.

    One that reads vectors takes all pixels and then the features, `(batch, pixels + size)`: repeated on each pixel they
    would have as many weights as there are pixels. Any other takes each feature as one more channel.
    """
    if reads_vectors(network):
        return ops.concatenate([ops.reshape(x, (-1, math.prod(x.shape[1:]))), features], axis=-1)
    planes = features[(slice(None), *(None,) * (len(x.shape) - 2))]
    planes = ops.broadcast_to(planes, (*ops.shape(x)[:-1], features.shape[-1]))
    return ops.concatenate([x, planes], axis=-1)


def network_shapes(model: "VAE", shapes: dict[str, tuple[Any, ...]], size: int) -> dict[str, tuple[Any, ...]]:
    """`VAE.network_shapes` for an encoder and a decoder that both read `size` features besides their input.

    Args:
      model: under construction; its `specs` say what the encoder will be.
      shapes: those without a condition.
      size: of the condition's features.
    """
    spec = model.specs["encoder"]
    encoder = spec if isinstance(spec, keras.layers.Layer) else registry.named("encoder", spec, model.encoders)[0]
    (*pixels, channels), outputs = shapes["encoder"]
    (codes,), images = shapes["decoder"]
    read = (math.prod(pixels) * channels + size,) if reads_vectors(encoder) else (*pixels, channels + size)
    return {"encoder": (read, outputs), "decoder": ((codes + size,), images)}


def check_count(array: np.ndarray, count: int, name: str = "condition") -> np.ndarray:
    """`array`, if it holds one condition for each of `count` examples.

    Raises:
      UserError: it does not.
    """
    if len(array) != count:
        raise UserError(f"There must be one {name} for each example. Given: {len(array)} for {count}.")
    return array


def labels_or_none(condition: ConditionLike, classes: int, count: int) -> np.ndarray:
    """Labels for `count` examples, int32: those given, or -1 for all where there are none.

    Raises:
      UserError: not whole numbers from -1 to `classes` - 1, or not one for each example.
    """
    if condition is None:
        return np.full(count, -1, "int32")
    return check_count(check_labels(condition, classes), count)


def check_shares(shares: Sequence[float] | None, classes: int) -> tuple[float, ...] | None:
    """The probabilities of the classes, or None: all equal.

    Raises:
      UserError: not one positive number for each class, or a sum that is not 1.
    """
    if shares is None:
        return None
    array = np.asarray(shares)
    fits = array.dtype.kind in "fiu" and array.shape == (classes,) and bool((array > 0).all())
    if not fits or abs(float(array.sum()) - 1) > 1e-6:
        raise UserError(
            f"class_probabilities are {classes} positive numbers that sum to 1, one a class. Given: {shares!r}."
        )
    return tuple(float(share) for share in array)


def log_shares(shares: Sequence[float] | None, classes: int) -> np.ndarray:
    """log p(y), of the probabilities that `check_shares` returns: float64 `(classes,)`."""
    array = np.asarray(shares or [1.0] * classes)
    return np.log(array / array.sum())


def warn_unlabelled(model: str, labelled: bool) -> None:
    """Warn of training data without a single label, from which no class is learned.

    Args:
      model: the name of its class.
      labelled: whether any label is known.
    """
    if not labelled:
        warnings.warn(
            f"{model} learns classes from labels, and these training data have none: it trains as if all labels were "
            f'missing. Give fit the labels, as y or as "y" of a batch, -1 where there is none.',
            stacklevel=3,
        )
