"""The engine: a variant is its equation, and this module trains, evaluates and runs all of them.

Units and signs, fixed here: every term is in nats for one example, summed over pixels and latent dimensions, and
averaged over the batch only in the last line of a loss. `elbo = log_px - sum(kl)`, higher is better; a loss is what is
minimised.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import keras
import tensorflow as tf
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae import checks, divergences, likelihoods, randomness
from keras_vae.core import building, configuration, fitting, inference
from keras_vae.core.estimators import CompiledFunctions
from keras_vae.core.free_bits import cost_of_kl, take_free_bits
from keras_vae.core.training import Mean, Trackers, as_batch
from keras_vae.errors import UserError
from keras_vae.networks import DECODERS, ENCODERS
from keras_vae.schedules import Schedule, schedule

Batch = Mapping[str, Any]


class Terms(NamedTuple):
    """What one batch says of the equation, in nats per example."""

    log_px: Any  # (batch,): log p(x|z), z from the posterior
    kl: Any  # (batch, groups): groups are latent dimensions, levels, or 1
    penalty: Any = 0.0  # (batch,) or scalar: what the paper adds, minimised
    logs: Mapping[str, Any] = {}  # name in `log_names` -> (batch,) or scalar, or (batch,) and its weights: own numbers
    cache: Mapping[str, Any] = {}  # tensors that players share, so that one forward pass serves all


class Player(NamedTuple):
    """Who minimises what. Most models have one; adversarial ones, an autoencoder and a critic."""

    name: str  # the key of its optimizer
    loss: Callable[[Terms, Batch], Any]  # -> scalar
    variables: list[Any]


@keras.saving.register_keras_serializable(package="keras_vae")
class VAE(keras.Model):
    """Variational autoencoder: maximises the ELBO, log p(x|z) - KL(q(z|x) || p(z)) with z from q(z|x).

    Equation 10 of Kingma and Welling 2014, https://arxiv.org/abs/1312.6114, with one sample and reparameterised
    gradients. Variants override one or two of `posterior`, `prior`, `likelihood`, `terms`, `log_weights`, `objective`,
    `players`, `after_step` and `after_training`; none has a train_step of its own.

    Args:
      image_shape: `(height, width, channels)` of one image, its pixels in [0, 1].
      latent_dim: the number of latent dimensions.
      encoder: `"mlp"`, `"conv"`, `"residual"`, `"growing"`, a mapping of `name` and arguments, or a Keras layer from
        images to `2 * latent_dim` numbers: the posterior's mean and its log variance.
      decoder: the same names, or a Keras layer from codes to images with `likelihood.channels_per_pixel` numbers for
        each channel.
      likelihood: `"bernoulli"`, `"gaussian"`, a mapping of `name` and arguments, or a `Likelihood`.
      beta: the weight of the KL in the loss: a number, a mapping such as `{"name": "sigmoid", "final": 1.0}`, or a
        `Schedule`. The ELBO that is logged is never weighted.
      free_bits: kappa, in nats: the KL is not reduced below it. Kingma et al. 2016, equation 15,
        https://arxiv.org/abs/1606.04934.
      free_bits_on: kappa is for the batch mean of the KL of each `"dimension"`; of each `"group"` of dimensions, as in
        the paper; or of the `"total"`. By default for the finest parts that the variant's KL has.
      free_bits_group: how many consecutive dimensions are a group; it divides latent_dim. A level is one, undivided.
      seed: of the initial weights, and of the training noise, a pure function of seed and step.

    Raises:
      UserError: an argument that does not fit; the message says which, and the rule.
    """

    log_names: tuple[str, ...] = ()  # the names that `terms` logs beside elbo, log_px and kl
    stochastic: bool = True  # False: the code is the encoder's output, so there is no KL, no ELBO and no log p(x)
    kl_of: str = "dimension"  # what each column of `Terms.kl` is of: "dimension"; "group", as a level; or "total"
    analytic_kl: bool = True  # closed form through TFP; False: log q(z|x) - log p(z) at the sample
    conditional: bool = False  # whether "y" of a batch is a condition
    axes: tuple[str, ...] = ("height", "width", "channels")  # of one x: what `image_shape` is the shape of
    decoded: str = "mean"  # which of `likelihood_parameters` stands for x: `decode` and `reconstruct` return it
    encoders: Mapping[str, Any] = ENCODERS  # the networks that have a name
    decoders: Mapping[str, Any] = DECODERS
    code_space: str = "vectors"  # "directions": a code is a unit vector, and densities are over the sphere
    draws_per_example: int = 1  # of q(z|x), that `terms` takes
    refused: tuple[str, ...] = ()  # the arguments of `VAE` that the variant has no use for

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 20,
        encoder: Any = "mlp",
        decoder: Any = "mlp",
        likelihood: Any = "bernoulli",
        beta: float | Mapping[str, Any] | Schedule = 1.0,
        free_bits: float = 0.0,
        free_bits_on: str | None = None,
        free_bits_group: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if not isinstance(image_shape, Sequence) or len(image_shape) != len(self.axes):
            raise UserError(f"image_shape is ({', '.join(self.axes)}). Given: {image_shape!r}.")
        self.image_shape = tuple(checks.check_whole_number(size, "image_shape") for size in image_shape)
        self.latent_dim = checks.check_whole_number(latent_dim, "latent_dim")
        self.seed = checks.check_whole_number(seed, "seed", minimum=0)
        take_free_bits(self, free_bits, free_bits_on, free_bits_group)
        self.beta = schedule(beta)
        self.specs = {"encoder": encoder, "decoder": decoder, "likelihood": likelihood}
        self.step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, aggregation="only_first_replica", name="step"
        )
        self.draws = randomness.Draws()
        self.likelihood_family = likelihoods.likelihood(likelihood, dtype=self.dtype_policy)
        shapes = self.network_shapes()
        self.encoder = self.make_network("encoder", encoder, self.encoders, *shapes["encoder"])
        self.decoder = self.make_network("decoder", decoder, self.decoders, *shapes["decoder"])
        self.further_optimizers: dict[str, Any] = {}
        self._trackers: Trackers | None = None
        self.functions = CompiledFunctions(self)
        self.built = True

    # --- The equation: what a variant may override ---

    def posterior_parameters(self, x: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        """The encoder's output by name, as it is exported: `mean` and `log_var`, each `(batch, latent_dim)`."""
        outputs = self.run(self.encoder, x, training)
        if not self.stochastic:
            return {"mean": outputs}
        mean, log_var = ops.split(outputs, 2, axis=-1)
        return {"mean": mean, "log_var": likelihoods.soft_bound(log_var, -20.0, 20.0)}

    def posterior(self, x: Any, condition: Any = None, training: bool = False) -> tfd.Distribution:
        """q(z|x) = N(mean(x), diag(exp(log_var(x)))); batch shape `(batch,)`, event shape `(latent_dim,)`."""
        parameters = self.posterior_parameters(x, condition, training)
        if not self.stochastic:
            return tfd.Independent(tfd.Deterministic(parameters["mean"]), 1)
        return tfd.Independent(tfd.Normal(parameters["mean"], ops.exp(0.5 * parameters["log_var"])), 1)

    def prior(self, condition: Any = None, training: bool = False) -> tfd.Distribution:
        """p(z) = N(0, I); batch shape `()`, event shape `(latent_dim,)`."""
        zeros = ops.zeros((self.latent_dim,), self.float_dtype)
        return tfd.Independent(tfd.Normal(zeros, ops.ones_like(zeros)), 1)

    def posterior_and_prior(self, x: Any, condition: Any = None, training: bool = False) -> tuple[Any, Any]:
        """q(z|x) and p(z), as `terms` takes them. A prior made of posteriors shares the encoder's one pass here."""
        return self.posterior(x, condition, training), self.prior(condition, training)

    def likelihood_parameters(self, z: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        """The decoder's output by name, as it is exported: the likelihood's parameters and `mean`, an image."""
        return self.likelihood_family.parameters(self.run(self.decoder, z, training))

    def likelihood(self, z: Any, condition: Any = None, training: bool = False) -> tfd.Distribution:
        """p(x|z) for z of shape `(batch, latent_dim)`; batch shape `(batch,)`, event shape `image_shape`."""
        return self.likelihood_family.distribution(self.likelihood_parameters(z, condition, training))

    def terms(self, batch: Batch, training: bool) -> Terms:
        """The one-sample ELBO of `batch`, its KL in closed form where `analytic_kl` says so."""
        x, condition = batch["x"], self.condition_of(batch)
        if self.stochastic:
            posterior, prior = self.posterior_and_prior(x, condition, training)
        else:
            posterior, prior = self.posterior(x, condition, training), None
        z = posterior.sample(seed=self.draws.next())
        log_px = self.likelihood(z, condition, training).log_prob(x)
        if prior is None:
            kl = ops.zeros_like(log_px)[:, None]
        elif self.analytic_kl:
            kl = divergences.kl(posterior, prior)
        else:
            kl = divergences.sampled_kl(posterior, prior, z)
        return Terms(log_px, kl, cache={"posterior": posterior, "z": z})

    def log_weights(
        self, x: Any, samples: int, seed: Any, condition: Any = None, prior: Any = None, posterior: Any = None
    ) -> Any:
        """log p(x, z) - log q(z|x) for `samples` draws z of q(z|x): shape `(samples, batch)`, nats.

        Args:
          x: images, a tensor.
          samples: draws for each example.
          seed: an integer, or a stateless seed (an int32 pair).
          condition: one for each example, where the model is conditional.
          prior: a distribution that takes the place of p(z).
          posterior: of `proposal`, from a caller who asks several times and encodes once.
        """
        seed = randomness.seed_of(seed, randomness.EVALUATION) if isinstance(seed, int) else seed
        posterior = self.proposal(x, condition) if posterior is None else posterior
        prior = self.prior(condition) if prior is None else prior
        z = posterior.sample(samples, seed=seed)
        return self.functions.log_px_of(x, z, condition) + prior.log_prob(z) - posterior.log_prob(z)

    def log_px_of(self, x: Any, z: Any, condition: Any = None, training: bool = False) -> Any:
        """log p(x|z) of each image for several codes of each, z of shape `(samples, batch, latent_dim)`: nats.

        z may be a dict of levels, each of such a shape.

        Returns:
          Shape `(samples, batch)`.
        """
        samples = keras.tree.flatten(z)[0].shape[0]

        def flat(value: Any) -> Any:  # (samples, batch, ...) -> (samples * batch, ...)
            return ops.reshape(value, (-1, *value.shape[2:]))

        def repeated(value: Any) -> Any:
            return flat(ops.broadcast_to(value, (samples, *ops.shape(value))))

        given = None if condition is None else repeated(condition)
        return ops.reshape(
            self.likelihood(keras.tree.map_structure(flat, z), given, training).log_prob(repeated(x)), (samples, -1)
        )

    def objective(self, terms: Terms, step: Any) -> Any:
        """The loss, a scalar: mean over the batch of -log_px + beta(step) * kl + penalty, with free bits."""
        return ops.mean(-terms.log_px + terms.penalty) + ops.cast(self.beta(step), self.float_dtype) * self.kl_cost(
            terms.kl
        )

    def players(self) -> list[Player]:
        """Who minimises what: here one player, `"model"`, all trainable variables."""
        return [Player("model", lambda terms, batch: self.objective(terms, self.step), self.trainable_variables)]

    def after_step(self, terms: Terms) -> None:
        """Called in training after the updates of each step: moving averages, dead codes."""

    def make_metric(self, name: str) -> Any:
        """What gathers a number over an epoch, of its `Terms.logs` or the engine's: the mean over examples."""
        return Mean(name=name)

    def after_training(self, images: Callable[[], Any]) -> None:
        """Called once by `keras_vae.zoo.train`, before the weights are stored: fit what is fitted to finished codes.

        Args:
          images: reads all training images, `(examples, *image_shape)`, when it is called.
        """

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        """The shapes of one input and one output of `"encoder"` and of `"decoder"`, as `make_network` takes them.

        Called while the model is made: a variant sets what it reads here before `super().__init__`.
        """
        height, width, channels = self.image_shape
        pixels = (height, width, channels * self.likelihood_family.channels_per_pixel)
        return {
            "encoder": (self.image_shape, ((2 if self.stochastic else 1) * self.latent_dim,)),
            "decoder": ((self.latent_dim,), pixels),
        }

    def x_spec(self) -> dict[str, Any]:
        """What one x is, for data and for an exported encoder: its `shape`, `dtype` and `kind`.

        The kind is "image"; or "tokens", whole numbers below the number of `classes`, int32, which no graph casts.
        """
        return {"shape": self.image_shape, "dtype": self.float_dtype, "kind": "image"}

    def check_x(self, x: Any, name: str = "x") -> Any:
        """`x` as an array that the model's graphs take, in numpy.

        Args:
          name: what messages call it.

        Raises:
          UserError: another shape or dtype, or numbers outside the model's domain.
        """
        return checks.check_images(x, self.image_shape, name)

    def check_training_data(self, labelled: bool, batch_size: int) -> None:
        """Refuse training data that the model cannot learn from, or warn of them: on the host, before the first step.

        Args:
          labelled: whether any label is known.
          batch_size: examples in one batch.
        """

    def proposal(self, x: Any, condition: Any = None) -> Any:
        """What `log_weights` draws codes from, for a caller who asks several times and encodes once: q(z|x)."""
        return self.posterior(x, condition)

    def code(self, parameters: Mapping[str, Any]) -> Any:
        """What stands for an image, of its `posterior_parameters`: their mean. `encode` returns it, `decode` takes it.

        Another variant's code is an array of integers, or a dict of arrays, one a level.
        """
        return parameters["mean"]

    def check_code(self, z: Any) -> Any:
        """`z`, codes as `code` gives them, in numpy and ready for a graph.

        Raises:
          UserError: codes of another shape or dtype, or that are not finite.
        """
        return checks.check_codes(z, (self.latent_dim,)).astype(self.float_dtype)

    # --- What variants are written with ---

    @property
    def float_dtype(self) -> str:
        """What networks return and losses are computed in: float32, or float64 under the policy "float64"."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    make_network = building.make_network
    run = building.run
    variables_but = building.variables_but

    def players_with(self, name: str, network: Any, loss: Callable[[Terms], Any]) -> list[Player]:
        """Two players: `"model"`, which minimises the objective, and `name`, a network that minimises its own loss."""
        return [
            Player("model", lambda terms, batch: self.objective(terms, self.step), self.variables_but(network)),
            Player(name, lambda terms, batch: loss(terms), network.trainable_variables),
        ]

    def refuse(self, *names: str, why: str = "") -> None:
        """Raise UserError if one of these arguments of `VAE`, which the variant has no use for, was given.

        Args:
          *names: `"beta"`, `"free_bits"`.
          why: what the message adds, where the variant has a KL all the same.
        """
        self.refused = names
        given = {"beta": self.beta != schedule(1.0), "free_bits": self.free_bits != 0.0}
        for name in names:
            if given[name]:
                raise UserError(f"{type(self).__name__} has no use for {name}. {why}Given: {name}. Leave it out.")

    def condition_of(self, batch: Batch) -> Any:
        """The batch's condition, or None for a model that takes none."""
        return batch["y"] if self.conditional else None

    def code_spec(self) -> dict[str, dict[str, Any]]:
        """What one code is, for an exported decoder: by the name of each input, its `shape`, `dtype` and `kind`.

        The kind is "code"; "level", one array of a dict by these names; or "index", below the number of `classes`.
        """
        return {"z": {"shape": (self.latent_dim,), "dtype": "float32", "kind": "code"}}

    def vectors(self, code: Any) -> Any:
        """The numbers that a code stands for, a tensor: itself, or the vectors of integer codes."""
        return code

    def condition_spec(self) -> dict[str, Any]:
        """What one condition is, for an exported graph: `shape`, `dtype`, `kind`; empty for a model that takes none.

        The kind is "vector", or "label", whose number is given as `classes`.
        """
        return {}

    def log_p_condition(self, condition: Any) -> Any:
        """log p(y) of each condition, nats, in numpy, where `elbo` and `log_prob` are of p(x, y). None: of p(x|y).

        Raises:
          NotApplicable: a condition without a probability.
        """
        return None

    def further_graphs(self) -> list[Any]:
        """What is exported beside encoder, decoder and reconstruction: `keras_vae.export.graphs.Graph`s."""
        return []

    def check_condition(self, condition: Any, count: int) -> dict[str, Any]:
        """`{"condition": array}` for `count` examples, checked; empty for a model that takes none.

        Raises:
          UserError: a condition that does not fit the model.
        """
        return inference.no_condition(self, condition)

    kl_cost = cost_of_kl

    def batch_mean(self, values: Any) -> Any:
        """The mean of `(batch, ...)` over the batches of all replicas, for what is not linear in it; on all the same.

        Its gradient is right where each replica's loss is divided by their number and the gradients are summed.
        """
        replica: Any = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return ops.mean(values, axis=0)
        found = [ops.sum(values, axis=0), ops.cast(ops.shape(values)[0], values.dtype)]
        total, count = replica.all_reduce(tf.distribute.ReduceOp.SUM, found)
        return total / count

    # --- Training ---

    @final
    def train_step(self, data: Any) -> dict[str, Any]:
        """One step for all players: one forward pass, each player's gradient for its own variables, all updates."""
        batch, players, optimizers = as_batch(data, self.x_spec()["dtype"]), self.players(), self.optimizers
        replica = tf.distribute.get_replica_context()
        seed = randomness.seed_of(self.seed, randomness.TRAINING)
        seed = randomness.fold(seed, self.step, replica.replica_id_in_sync_group)
        with self.draws.using(seed), tf.GradientTape(persistent=len(players) > 1) as tape:
            terms = self.terms(batch, training=True)
            losses = self._player_losses(players, terms, batch)
            # Keras sums gradients over replicas.
            scaled = [
                optimizer.scale_loss(loss / replica.num_replicas_in_sync)
                for optimizer, loss in zip(optimizers, losses, strict=True)
            ]
        # Dense: of a gradient in parts, as of ops.take, Keras's Adam squares each part before it sums them.
        gradients = [
            [each if each is None else tf.convert_to_tensor(each) for each in tape.gradient(loss, player.variables)]
            for loss, player in zip(scaled, players, strict=True)
        ]
        for optimizer, gradient, player in zip(optimizers, gradients, players, strict=True):
            optimizer.apply_gradients(zip(gradient, player.variables, strict=True))
        self.after_step(terms)
        for network in self.layers:
            if hasattr(network, "after_training_step"):
                network.after_training_step()
        trackers = self._required_trackers()
        trackers.note_failures(losses, self.step)
        logs = self._log(batch, terms, players, losses)
        self.step.assign_add(1)
        return logs

    @final
    def test_step(self, data: Any) -> dict[str, Any]:
        """The same terms and losses without noise in the networks; the step and the schedules stand still."""
        batch, players = as_batch(data, self.x_spec()["dtype"]), self.players()
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = randomness.seed_of(self.seed, randomness.EVALUATION)
        seed = randomness.fold(seed, self._required_trackers().batches.total, replica)
        with self.draws.using(seed):
            terms = self.terms(batch, training=False)
        return self._log(batch, terms, players, self._player_losses(players, terms, batch))

    @property
    def optimizers(self) -> list[Any]:
        """One optimizer for each player, in the order of `players`; none before `compile`."""
        return [self.optimizer, *self.further_optimizers.values()] if self.compiled else []

    @property
    def metrics(self) -> list[Any]:
        """The epoch's running means, and the count of its batches; `fit` and `evaluate` reset them."""
        return [] if self._trackers is None else [*self._trackers.means.values(), self._trackers.batches]

    def get_metrics_result(self) -> dict[str, Any]:
        """The means so far: loss, elbo, log_px, kl, beta, and the variant's own."""
        return {name: mean.result() for name, mean in self._required_trackers().means.items()}

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The mean reconstruction of images, or of a batch dict: `(batch, *image_shape)`."""
        batch = as_batch(inputs, self.x_spec()["dtype"])
        condition = self.condition_of(batch)
        z = self.code(self.posterior_parameters(batch["x"], condition, training))
        return self.likelihood_parameters(z, condition, training)[self.decoded]

    # --- Training, around the step: fitting.py ---

    compile = fitting.compile
    fit = fitting.fit
    evaluate = fitting.evaluate
    predict = fitting.predict

    # --- Arrays in, arrays out: inference.py ---

    encode = inference.encode
    decode = inference.decode
    reconstruct = inference.reconstruct
    sample = inference.sample
    elbo = inference.elbo
    log_prob = inference.log_prob

    # --- As data, and back: configuration.py ---

    get_config = configuration.get_config
    from_config = classmethod(configuration.from_config)
    get_compile_config = configuration.get_compile_config
    compile_from_config = configuration.compile_from_config

    # --- Inside ---

    def _player_losses(self, players: Sequence[Player], terms: Terms, batch: Batch) -> list[Any]:
        losses = [player.loss(terms, batch) for player in players]
        # Weight decay and the like, of all layers: each player takes the gradient for its own variables only.
        return [sum((ops.cast(own, loss.dtype) for own in self.losses), loss) for loss in losses]

    def _metric_names(self, players: Sequence[Player]) -> list[str]:
        further = [f"{player.name}_loss" for player in players[1:]]
        bound = ["elbo", "log_px", "kl", "beta"] if self.stochastic else ["log_px"]
        return ["loss", *further, *bound, *self.log_names]

    def _log(self, batch: Batch, terms: Terms, players: Sequence[Player], losses: Sequence[Any]) -> dict[str, Any]:
        kl = ops.sum(terms.kl, axis=-1)
        names = self._metric_names(players)
        values = dict(zip(names, losses, strict=False)) | dict(terms.logs)
        values |= {"elbo": terms.log_px - kl, "log_px": terms.log_px, "kl": kl, "beta": self.beta(self.step)}
        return self._required_trackers().update({name: values[name] for name in names}, ops.shape(batch["x"])[0])

    def _required_trackers(self) -> Trackers:
        if self._trackers is None:
            raise UserError("Call model.compile() before fit or evaluate.")
        return self._trackers
