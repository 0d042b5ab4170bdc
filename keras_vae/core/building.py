"""From constructor arguments to networks, and back to a configuration."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import keras
import numpy as np

from keras_vae import randomness, weights
from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.registry import build, check_arguments
from keras_vae.types import Tensor

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE

# A mixin's `self` is the whole model, which this rule does not allow for.
# pyright: reportGeneralTypeIssues=false

# A network as a constructor takes it: its name, a mapping of name and arguments, or the layer itself.
NetworkSpec: TypeAlias = str | Mapping[str, Any] | keras.Layer


class Configurable:
    """Makes the networks of a `VAE` from names, mappings or layers, and gives its configuration back."""

    rejects: Mapping[str, str]
    _arguments: frozenset[str] = frozenset()  # of the constructors of the class and its bases
    _made: bool = False  # whether the constructor has returned
    _made_frozen: frozenset[str] = frozenset()  # the layers that arguments of the constructor froze

    if not TYPE_CHECKING:  # to a type checker, a class with a __setattr__ has every attribute

        def __init_subclass__(cls, **kwargs: object) -> None:
            super().__init_subclass__(**kwargs)
            if "__init__" in vars(cls):
                cls._arguments |= inspect.signature(cls.__init__).parameters.keys() - {"self", "args", "kwargs"}
                cls.__init__ = _noting_its_end(cls.__init__)

        def __setattr__(self, name: str, value: object) -> None:
            """Set an attribute; of a model that is made, none that its constructor took, but for a network.

            A property of the class does as it likes: who writes one provides for the graphs.

            Raises:
              UserError: such an argument.
            """
            fixed = self._made and name in self._arguments and hasattr(self, name)
            is_property = hasattr(getattr(type(self), name, None), "__set__")
            if fixed and not is_property and not isinstance(value, keras.Layer):
                raise UserError(_fixed(self, name, value))
            super().__setattr__(name, value)

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Refuse arguments that the class does not take, before its constructor runs, and suggest the nearest name.

        Raises:
          UserError: an unknown argument, or one in `rejects` that is not at its default.
        """
        defaults = {"beta": 1.0, "free_bits": 0.0, "active_dims": None, "x_shape": None, "missing": None}
        for name in [name for name in kwargs if name in cls.rejects]:
            value = kwargs[name]
            if name not in defaults or not _is_default(value, defaults[name]):
                why = cls.rejects[name]
                raise UserError(f"{cls.__name__} does not take {name}. {why}Given: {name}={value!r}. Leave it out.")
        check_arguments(
            cls.__name__, cls, kwargs, ignore=("name", "dtype", "trainable"), complete=False, hide=cls.rejects
        )
        return super().__new__(cls, *args, **kwargs)

    def make_network(
        self: "VAE",
        role: str,
        spec: NetworkSpec,
        named: Mapping[str, Any],
        input_shape: Sequence[int] | Tensor | Sequence[Tensor],
        output_shape: Sequence[int],
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        """Return a built network, from a name, a mapping of name and arguments, or a Keras layer, which is checked.

        Args:
          role: the role of the network: its initial weights are a function of this and of the model's seed.
          spec: the constructor's argument.
          named: name -> network class.
          input_shape: of one input; or the `keras.Input`s that the network is called on, such as integers.
          output_shape: of one output. The outputs of a network that returns a list are joined along the last axis.
          arguments: for a network chosen by name, in addition to `output_shape`.

        Raises:
          UserError: an unknown name, or a layer with another output shape.
        """
        network: Any = spec
        parts = keras.tree.flatten(input_shape)
        symbolic = any(isinstance(part, keras.KerasTensor) for part in parts)
        inputs = input_shape if symbolic else keras.Input(tuple(parts))
        with randomness.initial_weights(self.seed, role):
            if not isinstance(spec, keras.layers.Layer):
                network = build(role, spec, named, output_shape=output_shape, dtype=self.dtype_policy, **arguments)
            actual = _output_shape(network, inputs)
            if network is spec:
                _try_out(role, network, inputs)
        if actual != tuple(output_shape):
            shapes = [", ".join(map(str, x.shape[1:])) for x in keras.tree.flatten(inputs)]
            raise UserError(
                f"The {role} must map {' and '.join(f'(batch, {shape})' for shape in shapes)} to (batch, "
                f"{', '.join(map(str, output_shape))}) for this latent_dim and likelihood. Given: a layer with outputs "
                f"of shape {_written(actual)}. Change its last layer."
            )
        return network

    def variables_except(self: "VAE", *networks: keras.Layer) -> list[Any]:
        """Return the trainable variables outside `networks`: those of the player that trains the rest."""
        excluded = {id(variable) for network in networks for variable in network.trainable_variables}
        return [variable for variable in self.trainable_variables if id(variable) not in excluded]

    def get_config(self: "VAE") -> dict[str, Any]:
        """Return every constructor argument as plain data; layers are serialised by Keras.

        And "frozen", where there are any: the attribute paths of the layers whose `trainable` was set to False, the
        model's own being "".

        A variant adds its arguments: `{**super().get_config(), "gamma": self.gamma}`.
        """
        specs = {
            role: keras.saving.serialize_keras_object(spec) if isinstance(spec, keras.layers.Layer) else spec
            for role, spec in self.specs.items()
        }
        config = {
            "name": self.name,
            "dtype": self.dtype_policy.name,
            **({"image_shape": self.x_shape} if self.of_images else {"x_shape": self.x_shape}),
            **({"latent_shape": self.latent_shape} if self.latent_shape else {"latent_dim": self.latent_dim}),
            **specs,
            "beta": self.beta.get_config(),
            "free_bits": self.free_bits,
            "free_bits_on": self.free_bits_on,
            "free_bits_group": self.free_bits_group,
            "seed": self.seed,
            "active_dims": self.active_dims and self.active_dims.get_config(),
            "missing": self.missing,
        }
        frozen = [path for path in _frozen(self) if path not in self._made_frozen]
        config = {name: value for name, value in config.items() if name not in self.rejects}
        return config | ({"frozen": frozen} if frozen else {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build a model from its `get_config`. Arguments in `rejects` are dropped: older versions stored them.

        Raises:
          UserError: an argument that the class does not take, or a frozen layer that the model does not have.
        """
        arguments = {name: value for name, value in config.items() if name not in cls.rejects and name != "frozen"}
        model = cls(**{name: _deserialized(value) for name, value in arguments.items()})
        layers = weights.named_layers(cast(keras.Model, model)) if config.get("frozen") else {}
        for path in config.get("frozen", ()):
            if path not in layers:
                raise UserError(
                    f"Frozen layers are attributes of the model. Given: {path!r}, which this {cls.__name__} does not "
                    f"have. Leave 'frozen' out of the configuration, and set `trainable` on the model."
                )
            layers[path].trainable = False
        return model

    def get_compile_config(self: "VAE") -> dict[str, Any] | None:
        """Return the arguments of `compile`, for `model.save`: an optimizer for each player, XLA, steps per execution.

        None for a model that is not compiled, and is loaded uncompiled.
        """
        if not self.compiled:
            return None
        names = [player.name for player in self.players()]
        # Under mixed_float16 Keras scales losses unless it is told not to, which it does not note.
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        return {
            "optimizer": {
                name: keras.saving.serialize_keras_object(optimizer)
                for name, optimizer in zip(names, self.optimizers, strict=True)
            },
            "jit_compile": self.jit_compile,
            "steps_per_execution": self.steps_limit,
            **({"one_optimizer": True} if self.one_optimizer and self.extra_optimizers else {}),
            **({"run_eagerly": True} if self.run_eagerly else {}),
            **({} if scaled or self.dtype_policy.name != "mixed_float16" else {"auto_scale_loss": False}),
        }

    def compile_from_config(self: "VAE", config: Mapping[str, Any]) -> None:
        """Compile with the arguments that `get_compile_config` returned."""
        arguments = {name: value for name, value in config.items() if name != "one_optimizer"}
        optimizers = {name: _deserialized(optimizer) for name, optimizer in config["optimizer"].items()}
        self.compile(**{**arguments, "optimizer": optimizers})
        self.one_optimizer = config.get("one_optimizer", False)


def checked_shape(image_shape: Sequence[int], x_shape: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one x, from the arguments of the constructor.

    Raises:
      UserError: no shape of an image, or none at all.
    """
    if x_shape is not None:
        if not isinstance(x_shape, Sequence) or isinstance(x_shape, str) or not x_shape:
            raise UserError(f"x_shape is the shape of one x, such as (30,) for a row. Given: {x_shape!r}.")
        return tuple(check_whole_number(size, "x_shape") for size in x_shape)
    if not isinstance(image_shape, Sequence) or len(image_shape) != 3:
        rank = f" For x of other axes, x_shape={image_shape}." if isinstance(image_shape, Sequence) else ""
        raise UserError(f"image_shape is (height, width, channels). Given: {image_shape!r}.{rank}")
    return tuple(check_whole_number(size, "image_shape") for size in image_shape)


def checked_latent(
    latent_dim: int, latent_shape: Sequence[int] | None, takes_shape: bool
) -> tuple[int, tuple[int, ...] | None]:
    """Return the number of latent dimensions, and the shape that networks see them in, or None.

    Raises:
      UserError: no shape, or a class that does not take one.
    """
    if latent_shape is None:
        return check_whole_number(latent_dim, "latent_dim"), None
    if not takes_shape:
        raise UserError(
            f"latent_shape is of models with one latent, whose networks read nothing else. Given: {latent_shape!r}. "
            f"Give latent_dim."
        )
    if not isinstance(latent_shape, Sequence) or isinstance(latent_shape, str) or not latent_shape:
        raise UserError(f"latent_shape is the shape of one latent, such as (8, 8, 4). Given: {latent_shape!r}.")
    shape = tuple(check_whole_number(size, "latent_shape") for size in latent_shape)
    return math.prod(shape), shape


def check_missing(missing: object) -> str | None:
    """Return the argument `missing` of a model.

    Raises:
      UserError: none of its values.
    """
    if missing not in (None, "zero", "mask"):
        raise UserError(
            f"missing is 'zero' or 'mask', how the encoder reads NaN, a missing number; or None: NaN is refused. "
            f"Given: {missing!r}."
        )
    return missing


def _noting_its_end(constructor: Callable[..., None]) -> Callable[..., None]:
    """Return the constructor, which marks a model of its own class as made: not one of a class below, which goes on."""

    @functools.wraps(constructor)
    def noting(self: Any, *args: object, **kwargs: object) -> None:
        constructor(self, *args, **kwargs)
        if type(self).__init__ is noting:
            self._made, self._made_frozen = True, frozenset(_frozen(self)) - {""}

    # Keras looks at the signature without what is wrapped.
    noting.__signature__ = inspect.signature(constructor)  # pyright: ignore[reportAttributeAccessIssue]
    return noting


def _frozen(model: keras.Model) -> list[str]:
    """Return the attribute paths of the outermost layers whose `trainable` is False; [""] for the model itself."""
    paths: list[str] = []
    for path, layer in weights.named_layers(model).items():
        if not layer.trainable and not any(outer == "" or path.startswith(f"{outer}/") for outer in paths):
            paths.append(path)
    return paths


def _fixed(model: Any, name: str, value: object) -> str:
    """Return the message about an argument that is set on a model."""
    from keras_vae.schedules import Schedule

    kind = type(model).__name__
    rule = (
        f"The arguments of a model are fixed when it is made: its compiled step would go on with the old ones. Given: "
        f"{name} = {value!r}, set on a {kind}. "
    )
    if name in model.rejects:
        return f"{rule}A {kind} does not take it: leave it out."
    schedule = ""
    if isinstance(getattr(model, name), Schedule):
        example = '{"name": "linear", "final": 1.0, "steps": 10000}'
        schedule = f"For a weight that changes while training goes on, make it with a schedule, {name}={example}. "
    return (
        f"{rule}{schedule}Make a new model, new = type(model).from_config({{**model.get_config(), {name!r}: ...}}), "
        f"and give it these weights: new.set_weights(model.get_weights())."
    )


def _try_out(role: str, network: Any, inputs: Any) -> None:
    """Raise UserError unless a user's layer returns finite floats for each of some examples.

    Shapes of Keras do not show what happens to the batch, and integers would be cast without a word.
    """
    count = 3
    fill = {True: 0.5, False: 0}
    examples = keras.tree.map_structure(
        lambda part: keras.ops.full((count, *part.shape[1:]), fill["float" in part.dtype], part.dtype), inputs
    )
    for output in keras.tree.flatten(network(examples, training=False)):
        dtype = keras.backend.standardize_dtype(output.dtype)
        if tuple(output.shape)[:1] != (count,):
            raise UserError(
                f"The {role} must return one result for each example. Given: a layer that returns "
                f"{tuple(output.shape)} for {count} examples. Let its reshapes keep the batch: the first axis is -1 "
                f"there, and no other."
            )
        if "float" not in dtype:
            raise UserError(
                f"The {role} must return floats, which have gradients. Given: a layer that returns {dtype}. Leave out "
                f"what rounds or counts, or cast before it."
            )
        if not np.isfinite(keras.ops.convert_to_numpy(keras.ops.cast(output, "float32"))).all():
            raise UserError(
                f"The {role} must return finite numbers. Given: a layer that returns NaN or infinity for examples of "
                f"{fill[True]} everywhere. Look for logarithms, roots and divisions in it."
            )


def _output_shape(network: keras.Layer, inputs: object) -> tuple[int | None, ...]:
    """Return the shape of one output; a list of outputs is joined along the last axis."""
    outputs = network(inputs)
    shapes = [tuple(output.shape[1:]) for output in keras.tree.flatten(outputs)]
    if len(shapes) == 1 or len({shape[:-1] for shape in shapes}) > 1 or isinstance(outputs, Mapping):
        return shapes[0]
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def _written(shape: Sequence[int | None]) -> str:
    return f"(batch, {', '.join(map(str, shape))})"


def _is_default(value: object, default: float | None) -> bool:
    """Whether an argument is its default: a number may also be the configuration of its constant schedule."""
    from keras_vae.schedules import schedule

    if default is None:
        return value is None
    if isinstance(value, Mapping):
        return value == schedule(default).get_config()
    return isinstance(value, Real) and float(value) == default


def _deserialized(value: Tensor) -> Any:
    is_object = isinstance(value, Mapping) and "class_name" in value
    return keras.saving.deserialize_keras_object(value) if is_object else value
