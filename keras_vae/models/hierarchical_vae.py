"""VAE with several levels of latents."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae import arrays
from keras_vae.core import VAE, Batch, Terms
from keras_vae.errors import UserError
from keras_vae.hierarchy import Ladder, check_levels, gaussian, kl_of_levels, merged, normal
from keras_vae.networks import MLP
from keras_vae.schedules import schedule


@keras.saving.register_keras_serializable(package="keras_vae")
class HierarchicalVAE(VAE):
    """L levels: log p(x|z_1..z_L) - sum_l KL(q(z_l|x, z_{>l}) || p(z_l|z_{>l})), p(z_L) = N(0, I). L = 1 is `VAE`.

    The ladder of Sønderby et al. 2016, https://arxiv.org/abs/1602.02282: a bottom-up path gives each level a Gaussian,
    and the posterior is its product with the prior, equations 11 to 13. The KL of a level is in closed form at the draw
    of the levels above: `Terms.kl` is `(batch, L)`, nats, z_1 first. A code is a dict of arrays, `z1` to `zL`, each
    `(batch, its dimensions)`. Levels are vectors; the encoder and decoder may be convolutional.

    Args:
      latent_dims: the dimensions of z_1, ..., z_L.
      hidden: the size of the hidden layer of each network between two levels, and of the bottom-up path.
      skip: x and every level depend on all levels above; false: each on the next one only, x on z_1.
      level_betas: a weight of each level's KL beside `beta`, a number or a schedule: each level's warm-up.
      **kwargs: as `VAE`, but for latent_dim; free bits are for each level.
    """

    analytic_kl = False  # it is closed given the levels above, which are drawn

    def __init__(
        self,
        latent_dims: Sequence[int] = (20, 10),
        hidden: int = 128,
        skip: bool = True,
        level_betas: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.latent_dims = tuple(arrays.check_whole_number(size, "a size in latent_dims") for size in latent_dims)
        self.hidden, self.skip = arrays.check_whole_number(hidden, "hidden"), bool(skip)
        if not self.latent_dims or (level_betas is not None and len(level_betas) != len(self.latent_dims)):
            given = f"latent_dims={latent_dims!r}, level_betas={level_betas!r}"
            raise UserError(f"There is one level or more, and as many level_betas. Given: {given}.")
        self.sizes = {f"z{level}": size for level, size in enumerate(self.latent_dims, start=1)}
        super().__init__(latent_dim=self.latent_dims[0], **kwargs)
        self.level_betas = None if level_betas is None else [schedule(beta) for beta in level_betas]
        if self.level_betas and self.free_bits_on == "total":
            raise UserError("level_betas weigh levels apart, and free_bits_on='total' takes them together. Choose one.")
        spec, known, names = {"name": "mlp", "hidden": (self.hidden,)}, {"mlp": MLP}, list(self.sizes)
        self.rungs, self.prior_networks = {}, {}
        for place, name in enumerate(names[1:], start=1):
            shapes = (self.hidden,), (2 * self.sizes[name] + self._further(place),)
            self.rungs[name] = self.make_network(f"rung of {name}", spec, known, *shapes)
        for name in names[:-1]:
            shapes = (sum(self.sizes[other] for other in self._parents(name)),), (2 * self.sizes[name],)
            self.prior_networks[name] = self.make_network(f"prior of {name}", spec, known, *shapes)

    def network_shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        shapes = super().network_shapes()
        decoded = sum(self.latent_dims) if self.skip else self.latent_dims[0]
        width = (2 * self.latent_dims[0] + self._further(0),)
        return {"encoder": (shapes["encoder"][0], width), "decoder": ((decoded,), shapes["decoder"][1])}

    def posterior(self, x: Any, condition: Any = None, training: bool = False) -> Any:
        """q(z_1..z_L|x), a `Ladder` of batch shape `(batch,)`."""
        outputs, own = self.run(self.encoder, x, training), {}
        for name, size in self.sizes.items():
            if name != "z1":
                outputs = self.run(self.rungs[name], ops.relu(outputs), training)
            own[name], outputs = gaussian(outputs[:, : 2 * size]), outputs[:, 2 * size :]

        def level(name: str, above: Mapping[str, Any]) -> tfd.Distribution:
            return normal(*(merged(own[name], self._prior_level(name, above, training)) if above else own[name]))

        return Ladder(list(self.sizes)[::-1], level)

    def prior(self, condition: Any = None, training: bool = False) -> Any:
        """p(z_1..z_L), a `Ladder` of batch shape `()`."""

        def level(name: str, above: Mapping[str, Any]) -> tfd.Distribution:
            if above:
                return normal(*self._prior_level(name, above, training))
            zeros = ops.zeros((self.sizes[name],), self.float_dtype)
            return normal(zeros, zeros)

        return Ladder(list(self.sizes)[::-1], level)

    def terms(self, batch: Batch, training: bool) -> Terms:
        posterior, prior = self.posterior(batch["x"], training=training), self.prior(training=training)
        z = posterior.sample(seed=self.draws.next())
        log_px = self.likelihood(z, training=training).log_prob(batch["x"])
        return Terms(log_px, kl_of_levels(posterior, prior, z)[:, ::-1], cache={"z": z})

    def objective(self, terms: Terms, step: Any) -> Any:
        """The loss: mean of -log_px + beta(step) * sum_l level_beta_l(step) * kl_l, free bits on each kl_l."""
        if self.level_betas is None:
            return super().objective(terms, step)
        costs = [
            ops.cast(beta(step), self.float_dtype) * self.kl_cost(terms.kl[:, place : place + 1])
            for place, beta in enumerate(self.level_betas)
        ]
        return ops.mean(-terms.log_px + terms.penalty) + ops.cast(self.beta(step), self.float_dtype) * sum(costs)

    def posterior_parameters(self, x: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        """`z1` to `zL`, each level's mean given the means above it, and `log_var_z1` to `log_var_zL` at these."""
        posterior, z, log_vars = self.posterior(x, condition, training), {}, {}
        for name in posterior.names:
            inner = posterior.level(name, z).distribution
            z[name], log_vars[f"log_var_{name}"] = inner.loc, 2.0 * ops.log(inner.scale)
        return z | log_vars

    def code(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {name: parameters[name] for name in self.sizes}

    def code_spec(self) -> dict[str, dict[str, Any]]:
        return {name: {"shape": (size,), "dtype": "float32", "kind": "level"} for name, size in self.sizes.items()}

    def check_code(self, z: Any) -> dict[str, Any]:
        return check_levels(z, self.sizes, self.float_dtype)

    def likelihood_parameters(self, z: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        joined = ops.concatenate([z[name] for name in self.sizes], axis=-1) if self.skip else z["z1"]
        return super().likelihood_parameters(joined, condition, training)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("latent_dims", "hidden", "skip")}
        own["level_betas"] = self.level_betas and [beta.get_config() for beta in self.level_betas]
        return {**{name: value for name, value in super().get_config().items() if name != "latent_dim"}, **own}

    def _further(self, place: int) -> int:
        """The width of what the bottom-up path hands on from the level at `place`: none from the top."""
        return self.hidden if place < len(self.latent_dims) - 1 else 0

    def _parents(self, name: str) -> list[str]:
        after = list(self.sizes)[list(self.sizes).index(name) + 1 :]
        return after if self.skip else after[:1]

    def _prior_level(self, name: str, above: Mapping[str, Any], training: bool) -> tuple[Any, Any]:
        """The mean and log variance of p(z_l|z_{>l}); leading axes of the draws above are kept."""
        joined = ops.concatenate([above[parent] for parent in self._parents(name)], axis=-1)
        outputs = self.run(self.prior_networks[name], ops.reshape(joined, (-1, joined.shape[-1])), training)
        return gaussian(ops.reshape(outputs, (*ops.shape(joined)[:-1], outputs.shape[-1])))
