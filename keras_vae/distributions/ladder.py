"""A distribution of several latents, vectors or maps, each of which depends on those above it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras import ops

from keras_vae import divergences, randomness
from keras_vae.backend import tfd
from keras_vae.likelihoods import soft_bound
from keras_vae.types import Tensor


class Ladder:
    """p(z_L) p(z_{L-1}|z_L) ... p(z_1|z_2, ..., z_L): TFP distributions, one a level, and the code a dict of draws.

    It has what the engine asks of a distribution: `sample`, `log_prob` and `batch_shape`.

    Args:
      names: of the levels, the top one first.
      level: from a name, and the draws of the levels above it, to that level's distribution.
    """

    def __init__(self, names: Sequence[str], level: Callable[[str, Mapping[str, Any]], tfd.Distribution]) -> None:
        self.names, self.level = tuple(names), level

    @property
    def batch_shape(self) -> Any:
        """That of the top level."""
        return self.level(self.names[0], {}).batch_shape

    def above(self, name: str, z: Mapping[str, Any]) -> dict[str, Any]:
        """The part of `z` that a level depends on."""
        return {other: z[other] for other in self.names[: self.names.index(name)]}

    def sample(self, sample_shape: Any = (), seed: Any = None) -> dict[str, Any]:
        """Ancestral draws, name -> `(*sample_shape, *batch_shape, *shape of the level)`; `seed` is a stateless seed.

        The top level draws with `seed` itself, as a distribution of its own would.
        """
        z: dict[str, Any] = {}
        for place, name in enumerate(self.names):
            shape, noise = ((), randomness.fold(seed, place)) if place else (sample_shape, seed)
            z[name] = self.level(name, z).sample(shape, seed=noise)
        return z

    def from_noise(self, noise: Mapping[str, Any], top: Any = None) -> dict[str, Any]:
        """The draws that noise of N(0, I) becomes, by name, of levels that are all Gaussian.

        `top`: the top level's draw, which may then be of any distribution.
        """
        z: dict[str, Any] = {} if top is None else {self.names[0]: top}
        for name in self.names[len(z) :]:
            inner = self.level(name, z).distribution
            z[name] = inner.loc + inner.scale * noise[name]
        return z

    def to_noise(self, z: Mapping[str, Any]) -> dict[str, Any]:
        """The noise of N(0, I) that `from_noise` makes these draws of, for each level below the top one."""
        noise = {}
        for name in self.names[1:]:
            inner = self.level(name, self.above(name, z)).distribution
            noise[name] = (z[name] - inner.loc) / inner.scale
        return noise

    def means(self) -> dict[str, Any]:
        """The mean of each level given the means above it, by name, and `log_var_` and the name, at these."""
        z, log_vars = {}, {}
        for name in self.names:
            inner = self.level(name, z).distribution
            z[name], log_vars[f"log_var_{name}"] = inner.loc, 2.0 * ops.log(inner.scale)
        return z | log_vars

    def log_prob(self, z: Mapping[str, Any]) -> Any:
        """The sum over levels of log p(z_l|z_{l+1}, ..., z_L), nats."""
        return sum(self.level(name, self.above(name, z)).log_prob(z[name]) for name in self.names)


def gaussian(outputs: Tensor) -> tuple[Any, Any]:
    """Mean and log variance, bounded, from a network's output."""
    mean, log_var = ops.split(outputs, 2, axis=-1)
    return mean, soft_bound(log_var, -20.0, 20.0)


def bottom_up(
    shapes: Mapping[str, Any], outputs: Tensor, rung: Callable[[str, Any], Any]
) -> dict[str, tuple[Any, Any]]:
    """What the image says of each level: the mean and log variance of a Gaussian.

    Args:
      shapes: of the levels, `z1` first.
      outputs: the encoder's, the first level's Gaussian and what is handed on.
      rung: from a level's name and what the level below hands on to the same of this level.
    """
    own = {}
    for name, shape in shapes.items():
        outputs = outputs if name == "z1" else rung(name, ops.relu(outputs))
        own[name], outputs = gaussian(outputs[..., : 2 * shape[-1]]), outputs[..., 2 * shape[-1] :]
    return own


def normal(parameters: tuple[Any, Any], shape: Sequence[int]) -> tfd.Distribution:
    """N(mean, diag(exp(log_var))) of these two, its event of `shape`."""
    mean, log_var = parameters
    return tfd.Independent(tfd.Normal(mean, ops.exp(0.5 * log_var)), len(shape))


def merged(own: tuple[Any, Any], prior: tuple[Any, Any]) -> tuple[Any, Any]:
    """The product of two Gaussians, normalised: precisions add, and weigh the means. Means and log variances.

    Equations 11 to 13 of Sønderby et al. 2016, https://arxiv.org/abs/1602.02282.
    """
    share = ops.sigmoid(prior[1] - own[1])
    # -log(exp(-a) + exp(-b)); ONNX has no logaddexp
    log_var = ops.minimum(own[1], prior[1]) - ops.softplus(-ops.abs(own[1] - prior[1]))
    return share * own[0] + (1.0 - share) * prior[0], log_var


def posterior_ladder(shapes: Mapping[str, Any], own: Mapping[str, Any], given: Any, training: bool) -> Ladder:
    """At each level the product of what the image says, and of what the levels above do.

    Args:
      shapes: of the levels, `z1` first.
      own: for each level, mean and log variance, from the image.
      given: from a name, the draws above it and `training` to mean and log variance.
      training: handed on.
    """

    def level(name: str, above: Mapping[str, Any]) -> tfd.Distribution:
        return normal(merged(own[name], given(name, above, training)) if above else own[name], shapes[name])

    return Ladder([*shapes][::-1], level)


def prior_ladder(shapes: Mapping[str, Any], top: tfd.Distribution, given: Any, training: bool) -> Ladder:
    """`top`, and below it what the levels above say, as in `posterior_ladder`."""

    def level(name: str, above: Mapping[str, Any]) -> tfd.Distribution:
        return normal(given(name, above, training), shapes[name]) if above else top

    return Ladder([*shapes][::-1], level)


def kl_of_levels(posterior: Ladder, prior: Ladder, z: Mapping[str, Any]) -> Any:
    """KL(q(z_l|x, z_{>l}) || p(z_l|z_{>l})) at the draws `z` of the levels above: `(batch, levels)`, the top first.

    Nats, summed over a level's dimensions; in closed form, or at the draw of the level itself where its prior is a
    mixture.
    """
    values = []
    for name in posterior.names:
        above = posterior.above(name, z)
        own, given = posterior.level(name, above), prior.level(name, above)
        mixed = isinstance(given, tfd.MixtureSameFamily)
        kl = divergences.sampled_kl(own, given, z[name]) if mixed else divergences.kl(own, given)
        values.append(ops.sum(kl, axis=-1))
    return ops.stack(values, axis=-1)
