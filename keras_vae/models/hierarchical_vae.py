"""VAE with several levels of latents."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Unpack, cast

import keras
import numpy as np
from keras import ops

from keras_vae import checks, randomness
from keras_vae.core import VAE, Batch, Terms
from keras_vae.distributions.ladder import (
    Ladder,
    bottom_up,
    gaussian,
    kl_of_levels,
    normal,
    posterior_ladder,
    prior_ladder,
)
from keras_vae.distributions.mixture import GaussianMixture
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import LevelArguments
from keras_vae.models.parts.levels import Levels
from keras_vae.models.parts.pseudo_inputs import initial_pseudo_inputs, pseudo_inputs_of
from keras_vae.networks.ladder import BETWEEN_LEVELS, standard
from keras_vae.types import Condition, Latent, Spec, Tensor, Tensors


@keras.saving.register_keras_serializable(package="keras_vae")
class HierarchicalVAE(VAE):
    """L levels: log p(x|z_1..z_L) - sum_l KL(q(z_l|x, z_{>l}) || p(z_l|z_{>l})), p(z_L) = N(0, I). L = 1 is `VAE`.

    The ladder of Sønderby et al. 2016, https://arxiv.org/abs/1602.02282: a bottom-up path gives each level a Gaussian,
    and the posterior is its product with the prior, equations 11 to 13. The KL of a level is in closed form at the draw
    of the levels above: `Terms.kl` is `(batch, L)`, nats, z_1 first. A code is a dict of arrays, `z1` to `zL`.

    Logs the KL of each level, `kl_z1` to `kl_zL`, `(batch,)`, nats; with level_betas `beta_z1` to `beta_zL` too.

    Args:
      latent_dims: of z_1, ..., z_L: a number of dimensions, or `(height, width, channels)` of a map, as in
        `[(14, 14, 2), (7, 7, 4), 16]`. The residual networks, as encoder and decoder, keep the places of maps.
      hidden: the size of the hidden layer of each network between two levels, and of the bottom-up path: channels, of
        a map.
      between: further arguments of the networks between two levels: `activation` (of vectors, "gated" too),
        `batch_norm`, or `hidden`, the sizes of several layers.
      skip: x and every level depend on all levels above; false: each on the next one only, x on z_1.
      level_betas: a weight of each level's KL, times `beta`, a number or a schedule: the warm-up of each level.
      pseudo_inputs: K; if not 0, p(z_L) is the VampPrior, the mixture of q(z_L|u_k) at K learned images u_k, as in
        `VampVAE`, and the top level's KL is at the draw of that level.
      **kwargs: as `VAE`, but for latent_dim; free_bits_on is `"group"`, each level, or `"total"`.
    """

    analytic_kl = False  # it is closed given the levels above, which are drawn
    kl_axis = "group"
    batch_statistic = ""
    rejects = MappingProxyType(
        dict.fromkeys(("latent_dim", "latent_shape", "active_dims"), "Its levels have a size each, latent_dims. ")
    )

    def __init__(
        self,
        latent_dims: Sequence[Any] = (20, 10),
        hidden: int = 128,
        between: Mapping[str, Any] | None = None,
        skip: bool = True,
        level_betas: Sequence[Any] | None = None,
        pseudo_inputs: int = 0,
        **kwargs: Unpack[LevelArguments],
    ) -> None:
        self.hidden, self.skip = checks.check_whole_number(hidden, "hidden"), bool(skip)
        self.levels, self.latent_dims = Levels(latent_dims, self.hidden, self.skip), tuple(latent_dims)
        self.pseudo_inputs = checks.check_whole_number(pseudo_inputs, "pseudo_inputs", minimum=0)
        self.between = dict(between or {})
        super().__init__(latent_dim=int(np.prod(self.levels.shapes["z1"])), **kwargs)
        self.level_betas = None if level_betas is None else self.levels.schedules(level_betas)
        self.metric_names = tuple(f"kl_{name}" for name in self.levels.names)
        self.metric_names += tuple(f"beta_{name}" for name in self.levels.names) if self.level_betas else ()
        if self.level_betas and self.free_bits_on == "total":
            raise UserError("level_betas weigh levels apart, and free_bits_on='total' takes them together. Choose one.")
        self.rungs, self.prior_networks = (
            {
                name: self.make_network(
                    f"{role} of {name}", {**standard(shapes[1], self.hidden), **self.between}, BETWEEN_LEVELS, *shapes
                )
                for name, shapes in networks.items()
            }
            for role, networks in (("rung", self.levels.rungs()), ("prior", self.levels.priors()))
        )
        if self.pseudo_inputs:
            start = initial_pseudo_inputs(self.pseudo_inputs, self.likelihood_family, self.x_shape, self.seed)
            self.raw_pseudo_inputs = self.add_weight(shape=start.shape, initializer="zeros", name="pseudo_inputs")
            self.raw_pseudo_inputs.assign(start)

    def network_shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        shapes = super().network_shapes()
        encoded, decoded = self.levels.bottom_up("z1"), self.levels.joined_shape(self.levels.decoded())
        return {"encoder": (shapes["encoder"][0], encoded), "decoder": (decoded, shapes["decoder"][1])}

    def posterior(self, x: Tensor, condition: Condition | None = None, training: bool = False) -> Ladder:
        """q(z_1..z_L|x), a `Ladder` of batch shape `(batch,)`."""
        return posterior_ladder(self.levels.shapes, self._bottom_up(x, training), self._prior_level, training)

    def prior(self, condition: Condition | None = None, training: bool = False) -> Ladder:
        """p(z_1..z_L), a `Ladder` of batch shape `()`."""
        if not self.pseudo_inputs:
            return self._prior({}, training)
        return self._prior(self._bottom_up(pseudo_inputs_of(self, self.raw_pseudo_inputs), training), training)

    def posterior_and_prior(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> tuple[Any, Any]:
        """Both of one pass of the encoder, where the prior has pseudo-inputs."""
        if not self.pseudo_inputs:
            return super().posterior_and_prior(x, condition, training)
        pseudo_inputs, count = pseudo_inputs_of(self, self.raw_pseudo_inputs), self.pseudo_inputs
        both = self._bottom_up(ops.concatenate([pseudo_inputs, x]), training)
        pseudo = keras.tree.map_structure(lambda value: value[:count], both)
        likelihoods = keras.tree.map_structure(lambda value: value[count:], both)
        posterior = posterior_ladder(self.levels.shapes, likelihoods, self._prior_level, training)
        return posterior, self._prior(pseudo, training)

    def terms(self, batch: Batch, training: bool) -> Terms:
        posterior, prior = self.posterior_and_prior(batch["x"], training=training)
        z: dict[str, Any] = {}
        # The seeds of `Ladder.sample`, level by level, so that each level's draw belongs to positions.
        seed = self.draws.next()
        for index, name in enumerate(posterior.names):
            level_seed = randomness.fold(seed, index) if index else seed
            z[name] = self.draws.sample(posterior.level(name, z), seed=level_seed)
        log_px = self.likelihood(z, training=training).log_prob(batch["x"])
        kl = kl_of_levels(posterior, prior, z)[:, ::-1]
        weights = [beta(self.step) for beta in self.level_betas or ()]
        logs = dict(zip(self.metric_names, [*ops.unstack(kl, axis=1), *weights], strict=True))
        return Terms(log_px, kl, logs=logs, cache={"z": z})

    def objective(self, terms: Terms) -> Tensor:
        """The loss: mean of -log_px + beta(step) * sum_l level_beta_l(step) * kl_l, free bits on each kl_l."""
        if self.level_betas is None:
            return super().objective(terms)
        costs = [
            ops.cast(beta(self.step), self.float_dtype) * self.kl_cost(terms.kl[:, level : level + 1])
            for level, beta in enumerate(self.level_betas)
        ]
        return ops.mean(-terms.log_px + terms.penalty) + ops.cast(self.beta(self.step), self.float_dtype) * sum(costs)

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """`z1` to `zL`, each level's mean given the means above it, and `log_var_z1` to `log_var_zL` at these."""
        return self.posterior(x, condition, training).means()

    def code(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {name: parameters[name] for name in self.levels.names}

    def latent_spec(self) -> dict[str, Spec]:
        return self.levels.specs()

    def check_latent(self, z: Tensor) -> dict[str, Any]:
        return self.levels.check(z, self.float_dtype)

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        return super().likelihood_parameters(
            self.levels.joined(cast(Tensors, z), self.levels.decoded()), condition, training
        )

    def get_config(self) -> dict[str, Any]:
        arguments = {
            name: getattr(self, name) for name in ("latent_dims", "hidden", "between", "skip", "pseudo_inputs")
        }
        arguments["level_betas"] = self.level_betas and [beta.get_config() for beta in self.level_betas]
        return {**super().get_config(), **arguments}

    def _bottom_up(self, x: Tensor, training: bool) -> dict[str, tuple[Any, Any]]:
        outputs = self.apply_network(self.encoder, x, training)
        return bottom_up(
            self.levels.shapes, outputs, lambda name, below: self.apply_network(self.rungs[name], below, training)
        )

    def _prior(self, pseudo: Mapping[str, Any], training: bool) -> Ladder:
        """p(z_1..z_L), from the Gaussians of the bottom-up path at the pseudo-inputs; `pseudo` is empty without any."""
        top, shape = [*self.levels.shapes.items()][-1]
        zeros = ops.zeros(shape, self.float_dtype)
        highest = normal(pseudo.get(top, (zeros, zeros)), shape)
        highest = GaussianMixture(highest, self.pseudo_inputs) if pseudo else highest
        return prior_ladder(self.levels.shapes, highest, self._prior_level, training)

    def _prior_level(self, name: str, above: Mapping[str, Any], training: bool) -> tuple[Any, Any]:
        """The mean and log variance of p(z_l|z_{>l}); leading axes of the draws above are kept."""
        network = self.prior_networks[name]
        return gaussian(self.levels.below(name, above, lambda joined: self.apply_network(network, joined, training)))
