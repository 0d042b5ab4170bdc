"""The levels of a hierarchy: vectors, or maps below them; what depends on what, and in which shape."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vae import checks
from keras_vae.errors import UserError
from keras_vae.networks.stack import repeated
from keras_vae.schedules import Schedule, schedule
from keras_vae.types import Spec, Tensor

Shape = tuple[int, ...]


class Levels:
    """Shapes, and the network between every two levels.

    Args:
      latent_dims: of `z1`, `z2`, ...: the size of a vector, or `(height, width, channels)` of a map.
      hidden: numbers that the bottom-up path hands on from level to level; of a map, its channels.
      skip: a level depends on all levels above it, and the image on all; else each on the next one.

    Raises:
      UserError: as `shapes_of`.
    """

    def __init__(self, latent_dims: object, hidden: int, skip: bool) -> None:
        self.shapes, self.hidden, self.skip = shapes_of(latent_dims), hidden, skip
        self.names = list(self.shapes)

    def parents(self, name: str) -> list[str]:
        """The levels that a level depends on, the next one first."""
        after = self.names[self.names.index(name) + 1 :]
        return after if self.skip else after[:1]

    def decoded(self) -> list[str]:
        """The levels that the image depends on."""
        return self.names if self.skip else self.names[:1]

    def bottom_up(self, name: str) -> Shape:
        """The shape of what the bottom-up path gives at a level: a Gaussian and what it hands on, none from the top."""
        *places, size = self.shapes[name]
        return (*places, 2 * size + (self.hidden if name != self.names[-1] else 0))

    def below(self, name: str, above: Mapping[str, Any], network: Callable[[Tensor], Tensor]) -> Tensor:
        """The outputs of `network` for the draws above a level; their leading axes are kept.

        Args:
          name: of the level.
          above: draws `(..., *shape)` of the levels above it.
          network: from one batch of its parents, joined, to outputs.
        """
        parents = self.parents(name)
        leading = ops.shape(above[parents[0]])[: -len(self.shapes[parents[0]])]
        flat = {parent: ops.reshape(above[parent], (-1, *self.shapes[parent])) for parent in parents}
        outputs = network(self.joined(flat, parents))
        return ops.reshape(outputs, (*leading, *outputs.shape[1:]))

    def schedules(self, weights: Sequence[Any]) -> list[Schedule]:
        """A schedule for each level, of numbers or schedules.

        Raises:
          UserError: not as many as levels.
        """
        if len(weights) != len(self.names):
            sizes = f"latent_dims={[*self.shapes.values()]}, level_betas={weights!r}"
            raise UserError(f"There are as many level_betas as levels. Given: {sizes}.")
        return [schedule(weight, "level_betas") for weight in weights]

    def rungs(self) -> dict[str, tuple[Shape, Shape]]:
        """For each level but the lowest, the shapes of its bottom-up network's input and output."""
        pairs = itertools.pairwise(self.names)
        return {name: ((*self.shapes[below][:-1], self.hidden), self.bottom_up(name)) for below, name in pairs}

    def priors(self) -> dict[str, tuple[Shape, Shape]]:
        """For each level but the top one, the shapes of its prior's network's input and output: a Gaussian."""
        shapes = {name: self.shapes[name] for name in self.names[:-1]}
        return {name: (self.joined_shape(self.parents(name)), (*s[:-1], 2 * s[-1])) for name, s in shapes.items()}

    def joined_shape(self, names: Sequence[str]) -> Shape:
        """The shape of what `joined` makes of these levels."""
        return (*self.shapes[names[0]][:-1], sum(self.shapes[name][-1] for name in names))

    def joined(self, z: Mapping[str, Any], names: Sequence[str]) -> Tensor:
        """These levels of `z` side by side, `(batch, *joined_shape(names))`; the first, lowest one gives the size.

        A vector next to a map has its numbers at every position; a smaller map is repeated to the size of the first.
        """
        if len(self.shapes[names[0]]) == 1:
            return ops.concatenate([z[name] for name in names], axis=-1)
        height, width = self.shapes[names[0]][:2]
        parts = []
        for name in names:
            shape = self.shapes[name]
            if len(shape) == 3:
                parts.append(repeated(z[name], height // shape[0]))
            else:
                parts.append(ops.reshape(z[name], (-1, 1, 1, *shape)) * ops.ones((1, height, width, 1), z[name].dtype))
        return ops.concatenate(parts, axis=-1)

    def specs(self) -> dict[str, Spec]:
        """As `VAE.latent_spec`."""
        return {name: Spec(shape, "float32", "level") for name, shape in self.shapes.items()}

    def check(self, z: Tensor, dtype: str) -> dict[str, np.ndarray]:
        """`z`, a mapping of `(batch, *shape)` arrays, one for each level, in numpy and of `dtype`.

        Raises:
          UserError: no mapping of these names, or arrays that do not fit or differ in number.
        """
        if not isinstance(z, Mapping) or set(z) != set(self.names):
            kind = f"a mapping of {', '.join(map(str, z))}" if isinstance(z, Mapping) else type(z).__name__
            raise UserError(
                f"A code is a mapping of the arrays {', '.join(self.names)}, as encode gives it. Given: {kind}."
            )
        arrays = {name: checks.check_codes(z[name], shape, name, dtype=dtype) for name, shape in self.shapes.items()}
        if len({len(array) for array in arrays.values()}) > 1:
            counts = ", ".join(f"{name}: {len(array)}" for name, array in arrays.items())
            raise UserError(f"Every level of a code must have one batch size. Given: {counts}.")
        return arrays


def shapes_of(latent_dims: object) -> dict[str, tuple[int, ...]]:
    """The shape of each level, `z1` first, of the sizes of vectors and the shapes of maps.

    Raises:
      UserError: no level; a size that is no whole number; a map above a vector; or maps whose sizes do not halve.
    """
    if isinstance(latent_dims, str) or not isinstance(latent_dims, Sequence) or not latent_dims:
        raise UserError(f"There is one level or more: latent_dims is a list of their sizes. Given: {latent_dims!r}.")
    shapes = {}
    for level, dims in enumerate(latent_dims, start=1):
        sizes = tuple(dims) if isinstance(dims, Sequence) and not isinstance(dims, str) else (dims,)
        shapes[f"z{level}"] = tuple(checks.check_whole_number(size, "a size in latent_dims") for size in sizes)
        if isinstance(dims, Sequence) and len(sizes) != 3:
            raise UserError(f"A level is a number, or (height, width, channels). Given: {dims!r} in latent_dims.")
    for below, above in itertools.pairwise(shapes.values()):
        if len(above) == 1:
            continue
        ratio = below[0] // above[0] if len(below) == 3 else 0
        if not ratio or ratio & (ratio - 1) or below[:2] != (above[0] * ratio, above[1] * ratio):
            raise UserError(
                f"A map stands above a map of its own height and width, or of 2, 4, 8, ... times both; vectors stand "
                f"above all maps. Given: {above} above {below} in latent_dims={latent_dims!r}."
            )
    return shapes
