"""A distribution of several latents, vectors or maps, each of which depends on those above it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from keras import ops

from keras_vae import divergences, randomness
from keras_vae.backend import TensorShape, base_of, block_of_noise, sample, soft_bound, tfd
from keras_vae.types import Tensor, Tensors

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Mapping[str, Shape]  # of the levels, `z1` first
Moments: TypeAlias = tuple[Tensor, Tensor]  # the mean and the log variance of a Gaussian
Conditional: TypeAlias = Callable[
    [str, Tensors, bool], Moments
]  # of a level, at the draws above it, in training or not


class Ladder(tfd.Distribution):
    """p(z_L) p(z_{L-1}|z_L) ... p(z_1|z_2, ..., z_L): a joint distribution, its event a dict of the levels.

    Args:
      shapes: of one draw of each level, by name, the top level first.
      level: from a name, and the draws of the levels above it, to that level's distribution.
    """

    by_position = True  # as of `backend.sample`, with which the levels are drawn

    def __init__(self, shapes: Shapes, level: Callable[[str, Tensors], tfd.Distribution]) -> None:
        self.names: tuple[str, ...] = tuple(shapes)
        self.level = level
        self._shapes, self._top = tuple(tuple(shape) for shape in shapes.values()), level(self.names[0], {})
        super().__init__(
            dtype=dict.fromkeys(self.names, self._top.dtype),
            reparameterization_type=self._top.reparameterization_type,
            validate_args=False,
            allow_nan_stats=True,
            name="ladder",
        )

    def above(self, name: str, z: Tensors) -> dict[str, Tensor]:
        """The part of `z` that a level depends on."""
        return {other: z[other] for other in self.names[: self.names.index(name)]}

    def from_noise(self, noise: Tensors, top: Tensor | None = None) -> dict[str, Tensor]:
        """The draws that noise of N(0, I) becomes, by name, of levels that are all Gaussian.

        Args:
          noise: by name, `(..., *shape)`.
          top: the top level's draw, which may then be of any distribution.
        """
        z: dict[str, Tensor] = {} if top is None else {self.names[0]: top}
        for name in self.names[len(z) :]:
            normal = base_of(self.level(name, z))
            z[name] = normal.loc + normal.scale * noise[name]
        return z

    def to_noise(self, z: Tensors) -> dict[str, Tensor]:
        """The noise of N(0, I) that `from_noise` makes these draws of, for each level below the top one."""
        noise = {}
        for name in self.names[1:]:
            normal = base_of(self.level(name, self.above(name, z)))
            noise[name] = (z[name] - normal.loc) / normal.scale
        return noise

    def means(self) -> dict[str, Tensor]:
        """The mean of each level given the means above it, by name, and `log_var_` and the name, at these."""
        z: dict[str, Tensor] = {}
        log_vars: dict[str, Tensor] = {}
        for name in self.names:
            normal = base_of(self.level(name, z))
            z[name], log_vars[f"log_var_{name}"] = normal.loc, 2.0 * ops.log(normal.scale)
        return z | log_vars

    def _sample_n(self, n: Tensor | int, seed: Tensor | None = None) -> dict[str, Tensor]:
        # Ancestral. The top level draws with `seed` itself, so that a ladder of one level is its distribution.
        if seed is not None and block_of_noise() is not None:
            z = {self.names[0]: sample(self.level(self.names[0], {}), (n,), seed)}
            for index, name in enumerate(self.names[1:], start=1):
                z[name] = sample(self.level(name, z), (), randomness.fold(seed, index))
            return z
        z = {self.names[0]: self.level(self.names[0], {}).sample(n, seed=seed)}
        for index, name in enumerate(self.names[1:], start=1):
            z[name] = self.level(name, z).sample(seed=None if seed is None else randomness.fold(seed, index))
        return z

    def _log_prob(self, value: Tensors) -> Tensor:
        # The sum over levels of log p(z_l|z_{l+1}, ..., z_L), nats.
        return sum(self.level(name, self.above(name, value)).log_prob(value[name]) for name in self.names)  # pyright: ignore[reportReturnType]

    def _batch_shape(self) -> TensorShape:
        return self._top.batch_shape

    def _batch_shape_tensor(self) -> Tensor:
        return self._top.batch_shape_tensor()

    def _event_shape(self) -> dict[str, TensorShape]:
        return {name: TensorShape(shape) for name, shape in zip(self.names, self._shapes, strict=True)}


@tfd.RegisterKL(Ladder, Ladder)
def _kl_without_draws(posterior: Ladder, prior: Ladder, name: str | None = None) -> Tensor:
    """The KL of ladders of one level.

    Raises:
      NotImplementedError: several levels, or a level without a closed form.
    """
    top, *below = posterior.names
    if below:
        raise NotImplementedError(
            "The KL of several levels is an expectation over the levels above: it has no closed form. Call "
            "keras_vae.distributions.ladder.kl_of_levels with draws of the posterior."
        )
    return tfd.kl_divergence(posterior.level(top, {}), prior.level(top, {}), name=name)


def kl_of_levels(posterior: Ladder, prior: Ladder, z: Tensors) -> Tensor:
    """KL(q(z_l|x, z_{>l}) || p(z_l|z_{>l})) at the draws `z` of the levels above: `(batch, levels)`, the top first.

    Nats, summed over a level's dimensions, unbiased for the KL of the joint distributions; in closed form, or at the
    draw of the level itself where its prior is a mixture.
    """
    values = []
    for name in posterior.names:
        above = posterior.above(name, z)
        q, p = posterior.level(name, above), prior.level(name, above)
        mixed = isinstance(p, tfd.MixtureSameFamily)
        kl = divergences.sampled_kl(q, p, z[name]) if mixed else divergences.kl(q, p)
        values.append(ops.sum(kl, axis=-1))
    return ops.stack(values, axis=-1)


def gaussian(outputs: Tensor) -> Moments:
    """Mean and log variance, bounded, from a network's output."""
    mean, log_var = ops.split(outputs, 2, axis=-1)
    return mean, soft_bound(log_var, -20.0, 20.0)


def bottom_up(shapes: Shapes, outputs: Tensor, rung: Callable[[str, Tensor], Tensor]) -> dict[str, Moments]:
    """The Gaussian of each level that the image alone gives.

    Args:
      shapes: of the levels, `z1` first.
      outputs: the encoder's, the first level's Gaussian and what is handed on.
      rung: from a level's name and what the level below hands on to the same of this level.
    """
    likelihoods = {}
    for name, shape in shapes.items():
        outputs = outputs if name == "z1" else rung(name, ops.relu(outputs))
        likelihoods[name], outputs = gaussian(outputs[..., : 2 * shape[-1]]), outputs[..., 2 * shape[-1] :]
    return likelihoods


def normal(moments: Moments, shape: Sequence[int]) -> tfd.Distribution:
    """N(mean, diag(exp(log_var))) of these two, its event of `shape`."""
    mean, log_var = moments
    return tfd.Independent(tfd.Normal(mean, ops.exp(0.5 * log_var)), len(shape))


def merged(first: Moments, second: Moments) -> Moments:
    """The product of two Gaussians, normalised: precisions add, and weigh the means.

    Equations 11 to 13 of Sønderby et al. 2016, https://arxiv.org/abs/1602.02282.
    """
    share = ops.sigmoid(second[1] - first[1])
    # -log(exp(-a) + exp(-b)); ONNX has no logaddexp
    log_var = ops.minimum(first[1], second[1]) - ops.softplus(-ops.abs(first[1] - second[1]))
    return share * first[0] + (1.0 - share) * second[0], log_var


def posterior_ladder(
    shapes: Shapes, likelihoods: Mapping[str, Moments], conditional: Conditional, training: bool
) -> Ladder:
    """At each level the product of the Gaussian of the image, and of that of the levels above.

    Args:
      shapes: of the levels, `z1` first.
      likelihoods: mean and log variance of each level, from the image: as `bottom_up`.
      conditional: from a name, the draws above it and `training` to mean and log variance.
      training: passed on to `conditional`.
    """

    def level(name: str, above: Tensors) -> tfd.Distribution:
        moments = likelihoods[name]
        return normal(merged(moments, conditional(name, above, training)) if above else moments, shapes[name])

    return Ladder(_from_the_top(shapes), level)


def prior_ladder(shapes: Shapes, top: tfd.Distribution, conditional: Conditional, training: bool) -> Ladder:
    """`top`, and below it the Gaussians that the levels above give, as in `posterior_ladder`."""

    def level(name: str, above: Tensors) -> tfd.Distribution:
        return normal(conditional(name, above, training), shapes[name]) if above else top

    return Ladder(_from_the_top(shapes), level)


def _from_the_top(shapes: Shapes) -> dict[str, Shape]:
    return dict([*shapes.items()][::-1])
