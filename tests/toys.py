"""Small models and images that tests share: 4x4 pixels, two latent dimensions, graphs that are traced in a second."""

from typing import Any

import numpy as np

from keras_vae.models import VAE

SHAPE = (4, 4, 1)
LATENT = 2
# Without XLA and with one step in each call: what is not about those compiles ten times faster.
PLAIN: dict[str, Any] = {"jit_compile": False, "steps_per_execution": 1}


def mlp(**arguments: Any) -> dict[str, Any]:
    return {"name": "mlp", "hidden": (8,), **arguments}


def toy(cls: type[VAE] = VAE, **arguments: Any) -> Any:
    """A model of `SHAPE` images with `LATENT` dimensions, not compiled; latent_dim=None leaves that argument out."""
    defaults = {"image_shape": SHAPE, "latent_dim": LATENT, "encoder": mlp(activation="tanh"), "decoder": mlp()}
    given = {**defaults, **arguments}
    return cls(**{name: value for name, value in given.items() if name != "latent_dim" or value is not None})


def compiled(cls: type[VAE] = VAE, optimizer: Any = "adam", **arguments: Any) -> Any:
    """A toy that is ready to train, without XLA."""
    model = toy(cls, **arguments)
    model.compile(optimizer, **PLAIN)
    return model


def binary(count: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Images of 0 and 1: each example has a brightness of its own, so that there is something to learn."""
    generator = np.random.default_rng(seed)
    brightness = generator.uniform(0.1, 0.9, (count, *(1,) * len(shape)))
    return (generator.random((count, *shape)) < brightness).astype("float32")


def grey(count: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Images of grey levels strictly between 0 and 1."""
    return np.random.default_rng(seed).uniform(0.05, 0.95, (count, *shape)).astype("float32")


def weights(model: Any) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.weights]


def same(first: Any, second: Any) -> bool:
    """Whether two lists of arrays are equal bit for bit."""
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def degenerate(model: Any) -> Any:
    """Give every example one code, with the least variance, exp(-20): the posterior draws almost nothing.

    The code is away from 0, where the decoder's ReLUs would turn on what little noise there is. What a network gives
    beside mean and log variance, as to a flow or to the level above, is constant too.
    """
    levels = getattr(model, "levels", None)
    sizes = [model.latent_dim] if levels is None else [shape[-1] for shape in levels.shapes.values()]
    networks = [model.encoder, *getattr(model, "rungs", {}).values()]
    for network, size in zip(networks, sizes, strict=True):
        kernel, bias = network.weights[-2:]  # of the last dense layer
        kernel.assign(np.zeros(kernel.shape))
        values = np.full(bias.shape, 0.7)
        values[size : 2 * size] = -60.0
        bias.assign(values)
    return model
