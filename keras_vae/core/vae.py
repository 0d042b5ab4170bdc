"""The engine: a variant is its equation, and this module trains all of them.

Units and signs, fixed here: every term is in nats for one example, summed over pixels and latent dimensions, and
averaged over the batch only in the last line of a loss. `elbo = log_px - sum(kl)`, higher is better; a loss is what is
minimised.

A variant overrides one or two of these methods of `VAE`, and no other:

* in `terms`, `encode`, `sample`, `decode` and export: `posterior_parameters`, `posterior`, `prior`,
  `posterior_and_prior` (where both share one pass of the encoder), `likelihood_parameters`, `likelihood`: the
  distributions of the equation, and the outputs of networks that they are made of;
* once in each step: `terms`, the terms of the equation for a batch; `weighted`, these where examples have weights;
  `objective`, the loss of the first player; `players`, the losses and their variables; and in training, after the
  updates, `after_step`: moving averages, dead codes, fades. `batch_statistic` says what of them no weights can scale;
* in `log_prob` and evaluation: `log_weights`, log p(x, z) - log q(z|x), `elbo_under`, the ELBO with another prior, and
  `proposal`, the distribution of z in both;
  `log_p_condition`, log p(y) where the model has one; `vectors`, the real vectors of a code;
* once, after training: `after_training`, for densities that are fitted to finished codes;
* in the constructor: `network_shapes`, the shapes that the networks map between;
* about one x, one latent, one condition: `x_spec`, `latent_spec`, `condition_spec`, and the code of an image, `code`;
* where a model infers missing labels: `infer_condition`, the likeliest, and `draw_condition`, a draw;
* on the host, where arrays enter: `check_x`, `check_latent`, `check_condition`, `check_training_data`; and before the
  first step, `adapt_totals`, what is of the total of each training example, where `reads_totals`;
* in `compile`: `make_metric`, the running metric of a logged number;
* in export: `extra_graphs`, in addition to encoder and decoder.

A variant draws with `self.draws`, its `sample`, `normal` and `uniform`, which give each example the noise of its
position in the global batch. Their seed is set around `terms` rather than passed as an argument: a likelihood or a
prior may draw too, and every method that a variant overrides would have to pass it on.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, final

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, checks, likelihoods, randomness
from keras_vae.backend import tfd
from keras_vae.core.building import Configurable, NetworkSpec, check_missing, checked_latent, checked_shape
from keras_vae.core.estimators import CompiledFunctions
from keras_vae.core.example_weights import scaled, scaled_penalty, weights_of
from keras_vae.core.free_bits import checked_free_bits
from keras_vae.core.inference import Inference, check_static_shape
from keras_vae.core.saving import Saving
from keras_vae.core.training import Trainer
from keras_vae.core.watch import Watch
from keras_vae.data.iterators import WEIGHT
from keras_vae.errors import UserError
from keras_vae.likelihoods import Likelihood
from keras_vae.networks import DECODERS, ENCODERS
from keras_vae.networks.growing import GrowingNetwork
from keras_vae.networks.series import within
from keras_vae.schedules import Schedule, schedule
from keras_vae.types import Batch, Condition, ConditionLike, Graph, Kind, Latent, Provenance, Spec, Tensor


class Terms(NamedTuple):
    """The terms of the equation for one batch, in nats per example."""

    log_px: Tensor  # (batch,): log p(x|z), z from the posterior
    kl: Tensor  # (batch, groups): groups are latent dimensions, levels, or 1
    penalty: Tensor | float = 0.0  # (batch,) or scalar: further terms of the loss, minimised
    logs: Mapping[str, Any] = MappingProxyType({})  # by `metric_names`: (batch,), a scalar, or (batch,) and weights
    cache: Mapping[str, Any] = MappingProxyType({})  # tensors of the forward pass that players share


class Player(NamedTuple):
    """A loss and the variables that minimise it. Most models have one, adversarial ones a second for the critic."""

    name: str  # the key of its optimizer
    loss: Callable[[Terms], Tensor]  # -> scalar
    variables: list[Any]


@keras.saving.register_keras_serializable(package="keras_vae")
class VAE(Trainer, Inference, Saving, Configurable, keras.Model):
    """Variational autoencoder: maximises the ELBO, log p(x|z) - KL(q(z|x) || p(z)) with z from q(z|x).

    Equation 10 of Kingma and Welling 2014, https://arxiv.org/abs/1312.6114, with one sample and reparameterised
    gradients. Variants override one or two of the methods listed at the head of this module; none overrides
    train_step.

    Args:
      image_shape: `(height, width, channels)` of one image, its pixels in [0, 1].
      latent_dim: the number of latent dimensions.
      encoder: `"mlp"`, `"conv"`, `"residual"`, `"growing"`, of series `"gru"` or `"causal"`, a mapping of `name` and
        arguments, or a Keras layer from images to `2 * latent_dim` numbers, the posterior's mean and then its log
        variance, or to a list of these two.
      decoder: the same names, or a Keras layer from codes to images with `likelihood.channels_per_pixel` numbers for
        each channel.
      likelihood: `"bernoulli"`, `"gaussian"`, a mapping of `name` and arguments, or a `Likelihood`. Its `support` says
        which numbers x may hold.
      beta: the weight of the KL in the loss: a number, a mapping such as `{"name": "sigmoid", "final": 1.0}`, or a
        `Schedule`. The ELBO that is logged is never weighted.
      free_bits: kappa, in nats: the KL is not reduced below it. Kingma et al. 2016, equation 15,
        https://arxiv.org/abs/1606.04934.
      free_bits_on: kappa is for the batch mean of the KL of each `"dimension"`; of each `"group"` of dimensions, as in
        the paper; or of the `"total"`. By default for the finest parts that the variant's KL has.
      free_bits_group: how many consecutive dimensions are a group; it divides latent_dim. A level is one, undivided.
      seed: of the initial weights, and of the training noise, a pure function of seed and step.
      active_dims: how many latent dimensions there are at a step, of a latent that grows while training goes on: a
        number or a schedule. Of the others q(z|x) is the prior N(0, I), and the decoder sees 0; one that comes in is
        scaled from 0 to 1, as 2.5 are two and a half. By default all from the start. For Gaussian posteriors.
      x_shape: in place of image_shape, the shape of one x that is no image, of any number of axes: `(30,)` for the row
        of a table, `(steps, channels)` for a series. `"conv"`, `"residual"` and `"growing"` need three.
      missing: NaN in x is a number that is missing, and log p(x|z) sums over the others. The encoder reads 0 in its
        place, `"zero"`: Nazabal et al. 2020, section 2.2, https://arxiv.org/abs/1807.03653, and Mattei and Frellsen
        2019, https://arxiv.org/abs/1812.02633; or, `"mask"`, also whether each number is observed, 1 or 0, as further
        channels: Collier et al. 2020, https://arxiv.org/abs/2006.05301. None: NaN is refused. An encoder that has an
        attribute `reads_steps`, as `"gru"` and `"causal"` have, is called with `steps`, bools `(batch, steps)`: false
        beyond the last step of a series with an observed number, which is its end.
      latent_shape: in place of latent_dim, the shape of a latent for its networks, such as `(8, 8, 4)`: the encoder
        gives a map with a mean and a log variance for each channel, and the decoder reads a map, as `"residual"`
        networks do without a dense layer. Everything else has their numbers in one row: `(batch, 256)`. For variants
        whose networks are those of `VAE`.

    Raises:
      UserError: an invalid argument; the message names it, and the rule.
    """

    metric_names: tuple[str, ...] = ()  # what `terms` logs in addition to elbo, log_px and kl
    stochastic: bool = True  # False: the code is the encoder's output, so there is no KL, no ELBO and no log p(x)
    kl_axis: str = "dimension"  # the columns of `Terms.kl`, one for each: "dimension"; "group", as a level; or "total"
    analytic_kl: bool = True  # closed form through TFP; False: log q(z|x) - log p(z) at the sample
    has_sampler: bool = True  # the posterior is Gaussian, so that an exported graph draws from it; else False
    conditional: bool = False  # whether "y" of a batch is a condition
    output_name: str = "mean"  # which of `likelihood_parameters` stands for x: `decode` and `reconstruct` return it
    encoders: Mapping[str, Any] = ENCODERS  # the networks that have a name
    decoders: Mapping[str, Any] = DECODERS
    decodes_unlabelled: bool = True  # whether `decode` takes a label of -1, a missing one, as the encoder may
    draws_per_example: int = 1  # of q(z|x), in one call of `terms`
    # What the losses have that is no sum over examples, in words: then `sample_weight` is refused. "": nothing. It is
    # of the class that says it: one below it, with `objective`, `players` or `after_step`, says it anew or is refused.
    batch_statistic: str = ""
    rejects: Mapping[str, str] = MappingProxyType({})  # argument of `VAE` that the variant does not take -> the reason
    provenance: Provenance | None = None  # where a model of the zoo, or of a run, was loaded from

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 20,
        encoder: NetworkSpec = "mlp",
        decoder: NetworkSpec = "mlp",
        likelihood: str | Mapping[str, Any] | Likelihood = "bernoulli",
        beta: float | Mapping[str, Any] | Schedule = 1.0,
        free_bits: float = 0.0,
        free_bits_on: str | None = None,
        free_bits_group: int = 1,
        seed: int = 0,
        active_dims: float | Mapping[str, Any] | Schedule | None = None,
        x_shape: Sequence[int] | None = None,
        missing: str | None = None,
        latent_shape: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.strategy = backend.strategy_in_scope()
        if self.strategy is not None:
            self._distribute_strategy = None  # to Keras's loops this is one device: `core.training` has the functions
        self.of_images = x_shape is None
        self.x_shape = checked_shape(image_shape, x_shape)
        takes_shape = type(self).network_shapes is VAE.network_shapes
        self.latent_dim, self.latent_shape = checked_latent(latent_dim, latent_shape, takes_shape)
        self.seed = checks.check_whole_number(seed, "seed", minimum=0)
        self.free_bits, self.free_bits_on, self.free_bits_group = checked_free_bits(
            free_bits, free_bits_on, free_bits_group, type(self).__name__, self.kl_axis, self.latent_dim
        )
        self.beta = schedule(beta, "beta")
        self.active_dims = None if active_dims is None else schedule(active_dims, "active_dims")
        if self.active_dims is not None and not (self.stochastic and self.has_sampler and self.latent_kind == "code"):
            raise UserError(
                f"active_dims is for one latent with a Gaussian posterior. Given: {active_dims!r}, for a "
                f"{type(self).__name__}. Leave it out."
            )
        self.specs = {"encoder": encoder, "decoder": decoder, "likelihood": likelihood}
        self.step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, aggregation="only_first_replica", name="step"
        )
        self.draws = backend.Draws()
        self.likelihood_family = likelihoods.likelihood(likelihood, dtype=self.dtype_policy)
        if self.likelihood_family.in_model and self.likelihood_family.weights:
            raise UserError(
                f"A {type(self.likelihood_family).__name__} likelihood learns from the data of one model. Given: that "
                f"of another model. Make a new one: type(likelihood).from_config(likelihood.get_config())."
            )
        if not self.likelihood_family.built:
            self.likelihood_family.build((None, *self.x_shape))
        self.likelihood_family.in_model = True
        if self.of_images and not self.likelihood_family.support.hull.pixels:
            raise UserError(
                f"An image has pixels in [0, 1]. Given: image_shape, with a {type(self.likelihood_family).__name__} "
                f"likelihood, which is of other numbers. Give the shape as x_shape={self.x_shape}."
            )
        self.missing = check_missing(missing)
        if missing:
            self.likelihood_family = likelihoods.Observed(self.likelihood_family)
        shapes = self.network_shapes()
        if missing == "mask":
            (*others, channels), outputs = shapes["encoder"]
            shapes["encoder"] = ((*others, 2 * channels), outputs)
        self.encoder = self.make_network("encoder", encoder, self.encoders, *shapes["encoder"])
        self.decoder = self.make_network("decoder", decoder, self.decoders, *shapes["decoder"])
        self.extra_optimizers: dict[str, Any] = {}
        self.trackers: Trackers | None = None
        self.steps_limit = 1  # the most steps in each call of TensorFlow, as passed to `compile`
        self.watch = Watch(self)
        self._functions: CompiledFunctions | None = None
        self.built = True

    # --- The equation: what a variant may override ---

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Any]:
        """Return the encoder's outputs by name, as exported: `mean` and `log_var`, each `(batch, latent_dim)`."""
        outputs = self.apply_network(self.encoder, x, training)
        if not self.stochastic:
            return {"mean": self.in_a_row(outputs)}
        mean, log_var = map(self.in_a_row, ops.split(outputs, 2, axis=-1))
        return {"mean": self.active(mean), "log_var": self.active(backend.soft_bound(log_var, -20.0, 20.0))}

    def posterior(self, x: Tensor, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """q(z|x) = N(mean(x), diag(exp(log_var(x)))); batch shape `(batch,)`, event shape `(latent_dim,)`."""
        parameters = self.posterior_parameters(x, condition, training)
        if not self.stochastic:
            return tfd.Independent(tfd.Deterministic(parameters["mean"]), 1)
        return tfd.Independent(tfd.Normal(parameters["mean"], ops.exp(0.5 * parameters["log_var"])), 1)

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(z) = N(0, I); batch shape `()`, event shape `(latent_dim,)`."""
        zeros = ops.zeros((self.latent_dim,), self.float_dtype)
        return tfd.Independent(tfd.Normal(zeros, ops.ones_like(zeros)), 1)

    def posterior_and_prior(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> tuple[tfd.Distribution, tfd.Distribution]:
        """q(z|x) and p(z), as `terms` takes them. A prior made of posteriors shares the encoder's one pass here."""
        return self.posterior(x, condition, training), self.prior(condition, training)

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Any]:
        """Return the decoder's outputs by name, as exported: the likelihood's parameters and `mean`, an image."""
        code = self.active(z)
        code = ops.reshape(code, (-1, *self.latent_shape)) if self.latent_shape else code
        return self.likelihood_family.parameters(self.apply_network(self.decoder, code, training))

    def likelihood(self, z: Latent, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(x|z) for z of shape `(batch, latent_dim)`; batch shape `(batch,)`, event shape `x_shape`."""
        return self.likelihood_family.distribution(self.likelihood_parameters(z, condition, training))

    def terms(self, batch: Batch, training: bool) -> Terms:
        """Return the terms of the one-sample ELBO of `batch`, the KL in closed form if `analytic_kl`."""
        x, condition = batch["x"], self.condition_of(batch)
        if self.stochastic:
            posterior, prior = self.posterior_and_prior(x, condition, training)
        else:
            posterior, prior = self.posterior(x, condition, training), None
        z = self.draws.sample(posterior)
        log_px = self.likelihood(z, condition, training).log_prob(x)
        if prior is None:
            kl = ops.zeros_like(log_px)[:, None]
        elif self.analytic_kl:
            kl = backend.kl(posterior, prior)
        else:
            kl = backend.sampled_kl(posterior, prior, z)
        return Terms(log_px, kl, cache={"posterior": posterior, "z": z})

    def log_weights(
        self,
        x: Tensor,
        samples: int,
        seed: int | Tensor,
        condition: Condition | None = None,
        prior: tfd.Distribution | None = None,
        posterior: tfd.Distribution | None = None,
    ) -> Tensor:
        """log p(x, z) - log q(z|x) for `samples` draws z of q(z|x): shape `(samples, batch)`, nats.

        Args:
          x: images, a tensor.
          samples: draws for each example.
          seed: an integer, or a stateless seed (an int32 pair).
          condition: one for each example, where the model is conditional.
          prior: a distribution that takes the place of p(z).
          posterior: `proposal(x, condition)`, from a caller that draws several times and encodes once.
        """
        seed = randomness.seed_of(seed, randomness.EVALUATION) if isinstance(seed, int) else seed
        q = self.proposal(x, condition) if posterior is None else posterior
        p = self.prior(condition) if prior is None else prior
        in_block = backend.block_of_noise() is not None
        z = self.draws.sample(q, samples, seed=seed) if in_block else q.sample(samples, seed=seed)
        return self.functions.log_px_of(x, z, condition) + p.log_prob(z) - q.log_prob(z)

    def elbo_under(
        self, x: Tensor, seed: Tensor, condition: Condition | None = None, prior: tfd.Distribution | None = None
    ) -> Tensor:
        """log p(x, z) - log q(z|x) for one draw z of q(z|x), `prior` in place of p(z): `(batch,)`, nats.

        Args:
          x, condition, prior: as of `log_weights`.
          seed: a stateless seed.
        """
        return self.log_weights(x, 1, seed, condition, prior)[0]

    def proposal(self, x: Tensor, condition: Condition | None = None) -> tfd.Distribution:
        """Return the distribution that `log_weights` draws z from: q(z|x)."""
        return self.posterior(x, condition)

    def log_px_of(self, x: Tensor, z: Latent, condition: Condition | None = None, training: bool = False) -> Tensor:
        """log p(x|z) of each image for several codes of each, z of shape `(samples, batch, latent_dim)`: nats.

        z may be a dict of levels, each of such a shape.

        Returns:
          Shape `(samples, batch)`.
        """
        samples = keras.tree.flatten(z)[0].shape[0]

        def flat(value: Tensor) -> Tensor:  # (samples, batch, ...) -> (samples * batch, ...)
            return ops.reshape(value, (-1, *value.shape[2:]))

        def repeated(value: Tensor) -> Tensor:
            return flat(ops.broadcast_to(value, (samples, *ops.shape(value))))

        conditions = None if condition is None else keras.tree.map_structure(repeated, condition)
        likelihood = self.likelihood(keras.tree.map_structure(flat, z), conditions, training)
        return ops.reshape(likelihood.log_prob(repeated(x)), (samples, -1))

    def weighted(self, terms: Terms, weights: Tensor) -> Terms:
        """Return the terms for the losses where examples have weights `(batch,)`: each example's, times its weight.

        Their mean is then Keras's: the sum of weight times loss, divided by the number of examples. Where a loss reads
        `logs` or `cache`, a variant scales these too.
        """
        log_px, kl = scaled(terms.log_px, weights), scaled(terms.kl, weights)
        return terms._replace(log_px=log_px, kl=kl, penalty=scaled_penalty(terms.penalty, weights))

    def objective(self, terms: Terms) -> Tensor:
        """Return the loss, a scalar: the mean over the batch of -log_px + beta(step) * kl + penalty, with free bits."""
        beta = ops.cast(self.beta(self.step), self.float_dtype)
        return ops.mean(-terms.log_px + terms.penalty) + beta * self.kl_cost(terms.kl)

    def players(self) -> list[Player]:
        """Return the players: here `"model"` alone, with all trainable variables."""
        return [Player("model", self.objective, self.trainable_variables)]

    def after_step(self, terms: Terms) -> None:
        """Update state that is not trained, after the updates of each training step. Here, growing networks fade in.

        A variant that overrides it, for moving averages or dead codes, calls super().
        """
        for network in (self.encoder, self.decoder):
            if isinstance(network, GrowingNetwork):
                network.advance()

    def make_metric(self, name: str) -> keras.metrics.Metric:
        """Return the running metric of a logged number: the mean over examples."""
        return Mean(name=name)

    def after_training(self, images: Callable[[], np.ndarray]) -> None:
        """Called once by `keras_vae.zoo.train`, before the weights are stored: fit a density to finished codes.

        Args:
          images: reads all training images, `(examples, *image_shape)`, when it is called.
        """

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        """Return the shapes of one input and one output of `"encoder"` and `"decoder"`, as `make_network` takes them.

        Called by the constructor: a variant sets the attributes it reads here before `super().__init__`.
        """
        family, latent = self.likelihood_family, self.latent_shape or (self.latent_dim,)
        outputs = (*latent[:-1], (2 if self.stochastic else 1) * latent[-1])
        return {
            "encoder": (family.read_shape(self.x_shape), outputs),
            "decoder": (latent, family.raw_shape(self.x_shape)),
        }

    def x_spec(self) -> Spec:
        """Return the spec of one x, for data and for an exported encoder.

        The kind is "image"; "numbers", of any shape; or "tokens", int32, not cast.
        """
        hull = self.likelihood_family.support.hull
        if self.of_images:
            return Spec(self.x_shape, self.float_dtype, "image", support=hull.name if hull.missing else "")
        return Spec(self.x_shape, self.float_dtype, "numbers", hull.levels, support=hull.name)

    def check_x(self, x: ArrayLike, name: str = "x") -> np.ndarray:
        """Return `x` as the array that the model's graphs take.

        Args:
          name: of `x` in messages.

        Raises:
          UserError: another shape or dtype, or numbers outside the model's domain.
        """
        return checks.check_images(x, self.x_shape, name, self.likelihood_family.support.hull)

    def check_training_data(self, labelled: bool, batch_size: int) -> None:
        """Check that the model can learn from the training data, or warn: on the host, before the first step.

        Args:
          labelled: whether any example has a label.
          batch_size: examples in one batch.
        """

    @property
    def reads_totals(self) -> bool:
        """Whether `adapt_totals` is due before the first step: here, if the likelihood needs it."""
        return self.likelihood_family.reads_totals

    def adapt_totals(self, totals: np.ndarray) -> None:
        """Set what is of the total of each training example, `(examples,)`: here the likelihood's."""
        self.likelihood_family.adapt_totals(totals)

    def latent_spec(self) -> dict[str, Spec]:
        """Return the spec of one latent, by the name of each input of an exported decoder.

        The kind is "code"; "direction", a code of length 1, its densities over the sphere; "level", one array of a dict
        by these names; or "index", integers below `classes`.
        """
        return {"z": Spec((self.latent_dim,), "float32", "code")}

    def code(self, parameters: Mapping[str, Any]) -> Any:
        """Return the code that `encode` returns and `decode` takes, from `posterior_parameters`: here the mean.

        Other variants return an array of integers, or a dict of arrays, one for each level.
        """
        return parameters["mean"]

    def check_latent(self, z: Any) -> Any:
        """Return `z`, codes as `code` returns them, as the array, or dict of arrays, that the model's graphs take.

        Raises:
          UserError: codes of another shape or dtype, or that are not finite.
        """
        return checks.check_codes(z, (self.latent_dim,), dtype=self.float_dtype)

    def vectors(self, code: Latent) -> Latent:
        """Return the real vectors of a code, a tensor: the code itself, or the vectors that integers stand for."""
        return code

    def condition_spec(self) -> dict[str, Spec]:
        """Return the spec of one condition, by the name of each input of an exported graph; empty without conditions.

        The kind is "vector", or "label", an integer below `classes`. A single condition is called "condition"; with
        other names, a condition is a dict by these names.
        """
        return {}

    def check_condition(self, condition: ConditionLike, count: int) -> dict[str, np.ndarray]:
        """Return the condition of `count` examples as arrays by the names of `condition_spec`; empty if there is none.

        Raises:
          UserError: a condition that does not fit the model.
        """
        if condition is not None:
            name = type(self).__name__
            raise UserError(f"{name} takes no condition. Given: condition={condition!r}. Leave it out.")
        return {}

    def condition_of(self, batch: Batch) -> Condition | None:
        """Return the batch's condition, or None for a model that takes none."""
        if self.conditional and "y" not in batch:
            raise UserError(
                f"A {type(self).__name__} is given a condition for each example. Given: a batch without one. Let it be "
                f'(x, y), or a dict with "x" and "y".'
            )
        return batch["y"] if self.conditional else None

    def infer_condition(self, x: ArrayLike, condition: ConditionLike = None) -> ConditionLike:
        """Return the condition to decode codes of the images `x` with: the one passed in, missing labels inferred."""
        return condition

    def draw_condition(self, x: Tensor, condition: Condition | None, seed: Tensor) -> Condition | None:
        """Return the condition of images, tensors, with missing labels drawn; `seed` is stateless."""
        return condition

    def log_p_condition(self, condition: Condition) -> np.ndarray | None:
        """Return log p(y) of each condition, nats, if `elbo` and `log_prob` are of p(x, y); None if they are of p(x|y).

        Raises:
          NotApplicable: a condition without a probability.
        """
        return None

    def extra_graphs(self) -> list[Graph]:
        """Return the graphs that are exported in addition to encoder, decoder and reconstruction."""
        return []

    def record_provenance(self, provenance: Provenance | None) -> None:
        """Remember where the model was loaded from: its name, its folder, and how to read real examples."""
        self.provenance = provenance

    # --- What variants are written with ---

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one x, under the name that it has for images."""
        return self.x_shape

    @property
    def functions(self) -> CompiledFunctions:
        """The graphs that public methods call, made anew where networks, their variables or dtypes are others now."""
        if self._functions is not None and not self._functions.are_of(self):
            self._functions = self.test_function = self.predict_function = None
        if self._functions is None:
            self._functions = CompiledFunctions(self)
        return self._functions

    @functools.cached_property
    def x_dtype(self) -> str:
        """The dtype of x in a step: that of `x_spec`."""
        return self.x_spec().dtype

    @property
    def float_dtype(self) -> str:
        """The dtype of network outputs and losses: float32, or float64 under the policy "float64"."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    @property
    def latent_kind(self) -> Kind:
        """The kind of `latent_spec`: "code", "direction", "level" or "index"."""
        return next(iter(self.latent_spec().values())).kind

    @property
    def condition_classes(self) -> int:
        """The number of classes of a condition that is one label; 0 for another condition, or none."""
        specs = self.condition_spec()
        return specs["condition"].classes if specs.keys() == {"condition"} else 0

    def condition_in(self, arrays: Mapping[str, Any]) -> Condition | None:
        """Return the condition among named arrays, such as those of `check_condition`: an array, a dict, or None."""
        names = self.condition_spec().keys()
        if names <= {"condition"}:
            return arrays.get("condition")
        return {name: arrays[name] for name in names}

    def batch_in(self, arrays: Mapping[str, Any]) -> Batch:
        """Return the batch dict of named arrays: "x", and the conditions by the names of `condition_spec`."""
        condition = self.condition_in(arrays)
        return {"x": arrays["x"]} | ({} if condition is None else {"y": condition})

    def active(self, values: Latent) -> Any:
        """Return `values`, 0 in the dimensions that are not active at this step; further columns are left alone."""
        if self.active_dims is None or isinstance(values, Mapping):
            return values
        active = ops.cast(self.active_dims(self.step), values.dtype)
        dimension = np.arange(values.shape[-1])
        shares = ops.clip(active - ops.convert_to_tensor(dimension, values.dtype), 0.0, 1.0)
        return values * ops.where(dimension < self.latent_dim, shares, ops.ones_like(shares))

    def in_a_row(self, numbers: Tensor) -> Any:
        """Return the numbers of latents of `latent_shape` as `(batch, latent_dim)`."""
        return ops.reshape(numbers, (-1, self.latent_dim)) if self.latent_shape else numbers

    def apply_network(self, network: keras.Layer, inputs: Latent, training: bool) -> Any:
        """Return the network's output in `float_dtype`, whatever it computes in. Tokens are not cast."""
        tensor: Any = ops.cast(inputs, self.x_dtype if network is self.encoder else self.float_dtype)
        # Of another shape, a variant joined others to x.
        if network is self.encoder and tuple(tensor.shape[1:]) == self.x_shape:
            tensor = self.likelihood_family.standardized(tensor)
        steps: dict[str, Any] = {}
        if self.missing and network is self.encoder:
            missing = ops.not_equal(tensor, tensor)  # NaN. LiteRT has no isnan, and ONNX multiplies at other conditions
            tensor = ops.where(missing, ops.zeros_like(tensor), tensor)
            observed = 1 - ops.cast(missing, self.float_dtype)
            if getattr(network, "reads_steps", False):  # of x alone, to which a variant joined others
                steps = {"steps": within(observed[..., : self.x_shape[-1]])}
            if self.missing == "mask":
                tensor = ops.concatenate([tensor, observed], axis=-1)
        outputs = network(tensor, training=training, **steps)
        if isinstance(outputs, list | tuple):  # [mean, log_var], as Keras models often return them
            outputs = ops.concatenate(outputs, axis=-1)
        return ops.cast(outputs, self.float_dtype)

    def overridden(self, *methods: str, since: str) -> list[str]:
        """Return those of the methods that a class overrides below the one which defines the attribute `since`."""
        classes = type(self).__mro__

        def depth(name: str) -> int:
            return next(index for index, one in enumerate(classes) if name in vars(one))

        return [name for name in methods if depth(name) < depth(since)]

    def players_with(self, name: str, network: keras.Layer, loss: Callable[[Terms], Tensor]) -> list[Player]:
        """Return two players: `"model"`, which minimises the objective, and `name`, a network that minimises `loss`."""
        return [
            Player("model", self.objective, self.variables_except(network)),
            Player(name, loss, network.trainable_variables),
        ]

    def kl_cost(self, kl: Tensor) -> Tensor:
        """Return the KL in the loss, a scalar: the batch mean of the sum over groups, not reduced below `free_bits`."""
        if not self.free_bits:
            return ops.mean(ops.sum(kl, axis=-1))
        if self.free_bits_on == "total":
            kl = ops.sum(kl, axis=-1, keepdims=True)
        elif self.free_bits_group > 1:
            kl = ops.sum(ops.reshape(kl, (-1, self.latent_dim // self.free_bits_group, self.free_bits_group)), axis=-1)
        return ops.sum(ops.maximum(self.batch_mean(kl), self.free_bits))

    def batch_mean(self, values: Tensor) -> Tensor:
        """Return the mean of `(batch, ...)` over the global batch, for a loss that is not linear in it.

        Its gradient is correct if each replica's loss is divided by their number and the gradients are summed.
        """
        if backend.replica().count == 1:
            return ops.mean(values, axis=0)
        sums = [ops.sum(values, axis=0), ops.cast(ops.shape(values)[0], values.dtype)]
        total, count = backend.sum_over_replicas(sums)
        return total / count

    # --- The step ---

    @final
    @backend.waiting_for_data
    def train_step(self, data: object) -> dict[str, Any]:
        """Run one step for all players: one forward pass, each player's gradient for its variables, all updates."""
        batch, players, optimizers = self.as_batch(data, self.x_dtype), self.players(), self.optimizers
        batch, replicas = batch if self.watch.skips_training else self.watch.note(batch), backend.replica().count
        seed = backend.fold(backend.seed_of(self.seed, randomness.TRAINING), self.step)
        weights = weights_of(self, batch) if WEIGHT in batch else None

        def forward() -> tuple[list[Tensor], tuple[Terms, list[Tensor]]]:
            with self.draws.using(seed):
                terms = self.terms(batch, training=True)
                losses = self._player_losses(players, terms, weights)
            # Keras sums gradients over replicas.
            scaled = [optimizer.scale_loss(loss / replicas) for optimizer, loss in zip(optimizers, losses, strict=True)]
            return scaled, (terms, losses)

        gradients, (terms, losses) = backend.gradients(forward, [player.variables for player in players])
        for optimizer, gradient, player in zip(optimizers, gradients, players, strict=True):
            optimizer.apply_gradients(zip(gradient, player.variables, strict=True))
        self.after_step(terms)
        self.required_trackers().note_failures(backend.sum_over_replicas(losses), self.step)
        logs = self._log(batch, terms, players, losses, weights)
        self.step.assign_add(1)
        return logs

    @final
    def test_step(self, data: object) -> dict[str, Any]:
        """Return the same terms and losses with the networks in inference mode; step and schedules do not advance."""
        batch, players = self.as_batch(data, self.x_dtype), self.players()
        batch = self.watch.note(batch)
        weights = weights_of(self, batch) if WEIGHT in batch else None
        seed = backend.seed_of(self.seed, randomness.EVALUATION)
        seed = backend.fold(seed, self.required_trackers().batches.total)
        with self.draws.using(seed):
            terms = self.terms(batch, training=False)
        return self._log(batch, terms, players, self._player_losses(players, terms, weights), weights)

    @final
    def predict_step(self, data: object) -> Tensor:
        """Return the mean reconstruction of a batch."""
        return self(self.watch.note(self.as_batch(data, self.x_dtype), hull=True))

    def call(self, inputs: Tensor | Batch, training: bool = False) -> Tensor:
        """Return the mean reconstruction of images, or of a batch dict: `(batch, *image_shape)`.

        Raises:
          UserError: a tensor of another shape, as far as it is known. Its numbers are not looked at.
        """
        batch = self.as_batch(inputs, self.x_dtype)
        check_static_shape(batch["x"], self.x_spec().shape)
        condition = self.condition_of(batch)
        z = self.code(self.posterior_parameters(batch["x"], condition, training))
        return self.likelihood_parameters(z, condition, training)[self.output_name]

    @staticmethod
    def as_batch(data: object, dtype: str | None = None) -> Batch:
        """Return the batch dict of a batch from Keras: a dict already, or images, labels and weights, or fewer.

        Args:
          data: a batch.
          dtype: the dtype to cast the images to; a user's dataset may hold float64, bools or integers.

        Raises:
          UserError: no data, a dict without "x", or more parts.
        """
        parts = data if isinstance(data, tuple | list) else [data]
        if len(parts) > 3:
            raise UserError(f"A batch is (images, labels, sample_weight) at most. Given: {len(parts)} parts.")
        named = {name: part for name, part in zip(("x", "y", WEIGHT), parts, strict=False) if part is not None}
        batch = data if isinstance(data, Mapping) else named
        if f"{WEIGHT}s" in batch:
            raise UserError(f"The weights of a batch are called {WEIGHT!r}. Given: '{WEIGHT}s'. Rename them.")
        if batch.get("x") is None:
            content = "nothing" if data is None else f"a dict of {list(batch)}"
            raise UserError(f'A batch is a dict with "x", (images, labels), or images alone. Given: {content}.')
        return batch if dtype is None else {**batch, "x": ops.cast(batch["x"], dtype)}

    @property
    def optimizers(self) -> list[Any]:
        """One optimizer for each player, in the order of `players`; none before `compile`."""
        return [self.optimizer, *self.extra_optimizers.values()] if self.compiled else []

    def loss_names(self, players: Sequence[Player]) -> list[str]:
        """Return the name under which each player's loss is logged."""
        return ["loss", *(f"{player.name}_loss" for player in players[1:])]

    def logged_names(self, players: Sequence[Player]) -> list[str]:
        """Return the names that `fit` logs, in their order."""
        bound = ["elbo", "log_px", "kl", "beta"] if self.stochastic else ["log_px"]
        return [*self.loss_names(players), *bound, *self.metric_names]

    def required_trackers(self) -> "Trackers":
        """Return the running means.

        Raises:
          UserError: the model is not compiled.
        """
        if self.trackers is None:
            raise UserError("Call model.compile() before fit or evaluate.")
        return self.trackers

    def make_trackers(self, names: Sequence[str]) -> "Trackers":
        """Return running means for the metrics `names`."""
        return Trackers({name: self.make_metric(name) for name in names})

    def _player_losses(self, players: Sequence[Player], terms: Terms, weights: Tensor | None) -> list[Any]:
        terms = terms if weights is None else self.weighted(terms, weights)
        losses = [player.loss(terms) for player in players]
        # Weight decay and the like, of all layers: each player's gradient is for its own variables only.
        return [sum((ops.cast(extra, loss.dtype) for extra in self.losses), loss) for loss in losses]

    def _log(
        self, batch: Batch, terms: Terms, players: Sequence[Player], losses: Sequence[Tensor], weights: Tensor | None
    ) -> dict[str, Any]:
        kl = ops.sum(terms.kl, axis=-1)
        values = {name: loss for name, loss in zip(self.loss_names(players), losses, strict=True)} | dict(terms.logs)
        values |= {"elbo": terms.log_px - kl, "log_px": terms.log_px, "kl": kl, "beta": self.beta(self.step)}
        logged = {name: values[name] for name in self.logged_names(players)}
        return self.required_trackers().update(logged, ops.shape(batch["x"])[0], weights)


class Mean(keras.metrics.Mean):
    """A weighted mean; NaN rather than 0 before the first update."""

    def result(self) -> Any:
        return ops.where(self.count > 0, super().result(), float("nan"))


class Trackers:
    """The running means that `fit` and `evaluate` show, over examples or of scalars by batch size; the first failure.

    A plain object: Keras saves the variables of a model's attributes, and none of these belong in a weights file.
    """

    def __init__(self, means: Mapping[str, Any]) -> None:
        self.means = dict(means)  # name -> a Keras metric, a mean unless the variant has another
        # Batches since the last reset: evaluation noise is a function of it, so `evaluate` gives the same twice.
        self.batches = keras.metrics.Sum(name="batches")
        self.weighted = False  # whether a step was traced with weights of examples
        self.failure = keras.Variable(-1, dtype="int64", trainable=False, aggregation="only_first_replica")

    def update(
        self, values: Mapping[str, Any], batch_size: Tensor | int, weights: Tensor | None = None
    ) -> dict[str, Any]:
        """Add one batch: `values` are scalars, `(batch, ...)`, or `(batch,)` and its weights. Returns the means so far.

        Args:
          values: by name.
          batch_size: the weight of scalars.
          weights: of examples, `(batch,)`: their values are means weighted by these, as Keras's `weighted_metrics`.
        """
        self.batches.update_state(1.0)
        self.weighted = self.weighted or weights is not None
        for name, value in values.items():
            value, weight = value if isinstance(value, tuple) else (value, None)
            value = ops.cast(value, "float32")
            if not value.shape.rank:
                weight = ops.cast(batch_size, "float32")
            elif weights is not None:
                of_examples = ops.reshape(ops.cast(weights, "float32"), (-1, *[1] * (value.shape.rank - 1)))
                weight = of_examples if weight is None else of_examples * ops.cast(weight, "float32")
            elif weight is None and value.shape.rank == 1:
                weight = ops.ones_like(value)
            self.means[name].update_state(value, sample_weight=weight)
        return {name: mean.result() for name, mean in self.means.items()}

    def note_failures(self, losses: Sequence[Any], step: Tensor) -> None:
        """Record the first step and player with a loss that is not finite, as `step * players + player`."""
        for player, loss in enumerate(losses):
            number = ops.cast(step, "int64") * len(losses) + player
            first = ops.logical_and(self.failure < 0, ops.logical_not(ops.isfinite(loss)))
            self.failure.assign(ops.where(first, number, self.failure))
