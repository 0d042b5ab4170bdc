"""VAE that learns from images of which few are labelled."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, checks, divergences, randomness
from keras_vae.backend import base_of, tfd
from keras_vae.core import VAE, Batch, Terms
from keras_vae.core.inference import checked_count, checked_inputs
from keras_vae.errors import NotApplicable, UserError
from keras_vae.models.parts import conditions
from keras_vae.models.parts.arguments import WholeBetaArguments
from keras_vae.networks import ENCODERS, NetworkSpec
from keras_vae.types import Condition, ConditionLike, Latent, Spec, Tensor

if TYPE_CHECKING:
    from keras_vae.priors import FittedPrior


@keras.saving.register_keras_serializable(package="keras_vae")
class SemiSupervisedVAE(VAE):
    """The model M2: p(x|z, y) p(z) p(y) with q(z|x, y), and a classifier q(y|x) that also stands for missing labels.

    Kingma et al. 2014, https://arxiv.org/abs/1406.5298. The labels of a batch are "y", -1 where there is none. Of a
    labelled image the ELBO is the bound of log p(x, y), equation 6: log p(x|z, y) - KL(q(z|x, y) || p(z)) + log p(y).
    Of another it is the bound of log p(x), equation 7: the mean of the above over q(y|x), plus the entropy H(q(y|x)).
    The loss adds alpha * -log q(y|x) for labelled images, equation 9. Every image is run with every class, a labelled
    one too: which are labelled differs from batch to batch, and a compiled step has one shape.

    The last group of KL is the label's: KL(q(y|x) || p(y)), or -log p(y) where it is known. Logs `accuracy`, the
    classifier's on labelled images, NaN where there are none. `elbo` and `log_prob` speak of log p(x, y) with a
    condition, and of log p(x) without, or of -1. In `encode`, `reconstruct` and tasks that move a code the likeliest
    class stands for a missing label; `sample` draws one from p(y), `tasks.impute` one from q(y|x) each turn. `decode`
    needs one: without, outputs of `likelihood` and of an exported decoder are NaN.

    Args:
      num_classes: labels are 0 to num_classes - 1.
      alpha: the weight of one labelled image's classification loss, in a loss that is a mean over all N. The paper's
        0.1 * N times the mean over N_l labelled ones is 0.1 * N / N_l here: 50 for 100 labels of 50,000 images.
      classifier: as an encoder, from images to num_classes logits.
      class_probabilities: p(y); by default the classes are equally likely.
      **kwargs: as `VAE`, but for free_bits. beta weighs the KL of z and that of the label; 1 is the paper's bound.
    """

    conditional = True
    decodes_unlabelled = False
    rejects = MappingProxyType(
        {"free_bits": "Its KL is a mean over classes. ", "missing": "Its classifier reads the whole of x. "}
    )
    metric_names = ("accuracy",)

    def __init__(
        self,
        num_classes: int = 10,
        alpha: float = 50.0,
        classifier: NetworkSpec = "mlp",
        class_probabilities: Sequence[float] | None = None,
        **kwargs: Unpack[WholeBetaArguments],
    ) -> None:
        self.num_classes = checks.check_whole_number(num_classes, "num_classes")
        self.alpha = checks.check_number(alpha, "alpha")
        self.class_probabilities = conditions.check_shares(class_probabilities, self.num_classes)
        super().__init__(**kwargs)
        self.log_p = conditions.log_shares(self.class_probabilities, self.num_classes).astype(self.float_dtype)
        self.specs["classifier"] = classifier
        shapes = self.likelihood_family.read_shape(self.x_shape), (self.num_classes,)
        self.classifier = self.make_network("classifier", classifier, ENCODERS, *shapes)

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        return conditions.network_shapes(self, super().network_shapes(), self.num_classes)

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """Those of q(z|x, y); the likeliest class stands for a missing label. A condition may be one-hot rows."""
        read = self.likelihood_family.standardized(x)
        joined = conditions.joined(self.encoder, read, self._known_or_likeliest(x, condition))
        return super().posterior_parameters(joined, condition, training)

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        if condition is None:
            raise UserError("p(x|z, y) needs a label for each code. Given: no condition. Give labels from 0.")
        rows = self.rows(condition)
        parameters = super().likelihood_parameters(ops.concatenate([z, rows], axis=-1), condition, training)
        if rows is condition:
            return parameters
        # A missing label is 0 / 0: no graph can raise, and no class is an image of none. Of the outputs, as ReLU may
        # turn NaN into 0.
        labelled = ops.sum(rows, axis=-1)
        one_or_nan = ops.cast(labelled / labelled, parameters["mean"].dtype)
        return {
            name: value * ops.reshape(one_or_nan, (-1, *(1,) * (len(value.shape) - 1)))
            for name, value in parameters.items()
        }

    def condition_of(self, batch: Batch) -> Any:
        return self._known_or_likeliest(batch["x"], batch.get("y"))

    def terms(self, batch: Batch, training: bool) -> Terms:
        x, classes, count = batch["x"], self.num_classes, ops.shape(batch["x"])[0]
        images, rows = (
            ops.tile(x, (classes, *(1,) * len(self.x_shape))),
            ops.repeat(ops.eye(classes, dtype=x.dtype), count, axis=0),
        )
        posterior = self.posterior(images, rows, training)
        # The same noise for each class: then the mean over q(y|x) has no more of it than one draw.
        noise = ops.tile(self.draws.sample(self.prior(), examples=count), (classes, 1))
        normal = base_of(posterior)
        z = normal.loc + normal.scale * noise
        log_px = ops.reshape(self.likelihood(z, rows, training).log_prob(images), (classes, count))
        kl_z = ops.reshape(divergences.kl(posterior, self.prior()), (classes, count, self.latent_dim))
        log_q, labels = self.log_q(x, training), self.rows(batch.get("y"), count)
        labelled, log_q_label = ops.sum(labels, axis=-1), ops.sum(labels * log_q, axis=-1)
        shares, entropy = _shares(labels, log_q)
        kl_y = -entropy - ops.sum(shares * self.log_p, axis=-1)
        by_class = ops.transpose(shares)
        kl = ops.concatenate([ops.sum(by_class[..., None] * kl_z, axis=0), kl_y[:, None]], axis=-1)
        right = ops.cast(log_q_label >= ops.max(log_q, axis=-1), x.dtype)
        return Terms(ops.sum(by_class * log_px, axis=0), kl, -self.alpha * log_q_label, {"accuracy": (right, labelled)})

    def proposal(self, x: Tensor, condition: Condition | None = None) -> tfd.Distribution:
        """q(z|x, y) of every class y, whether the label is known or not: batch shape `(num_classes, batch)`."""
        parameters = ops.map(
            lambda y: self.posterior_parameters(x, self.class_rows(y, ops.shape(x)[0])),
            ops.arange(self.num_classes, dtype="int32"),
        )
        return tfd.Independent(tfd.Normal(parameters["mean"], ops.exp(0.5 * parameters["log_var"])), 1)

    def log_q(self, x: Tensor, training: bool = False) -> Tensor:
        """log q(y|x), `(batch, num_classes)`."""
        x = self.likelihood_family.standardized(x)
        return ops.log_softmax(self.apply_network(self.classifier, x, training))

    def condition_spec(self) -> dict[str, Spec]:
        return {"condition": Spec((), "int32", "label", self.num_classes)}

    def check_condition(self, condition: ConditionLike, count: int) -> dict[str, np.ndarray]:
        """Labels `(count,)`, int32, -1 where there are none, under `condition`.

        Raises:
          UserError: labels that do not fit.
        """
        return {"condition": conditions.labels_or_none(condition, self.num_classes, count)}

    def check_training_data(self, labelled: bool, batch_size: int) -> None:
        """As `VAE.check_training_data`: warns of data without a single label, from which no class is learned."""
        conditions.warn_unlabelled(type(self).__name__, labelled)

    def classify(self, x: ArrayLike) -> np.ndarray:
        """q(y|x) of each image: probabilities, `(batch, num_classes)`.

        Raises:
          UserError: as `encode`.
        """
        images = checked_inputs(self, x)
        return np.exp(checks.in_blocks(lambda _, part: self.functions.of(self.log_q)(part["x"]), images))

    def infer_condition(self, x: ArrayLike, condition: ConditionLike = None) -> np.ndarray:
        """As `VAE.infer_condition`: the likeliest class for a missing label.

        Raises:
          UserError: as `encode`.
        """
        labels = checked_inputs(self, x, condition)["condition"]
        return np.where(labels < 0, self.classify(x).argmax(-1), labels) if (labels < 0).any() else labels

    def draw_condition(self, x: Tensor, condition: Condition | None, seed: Tensor) -> Tensor:
        """As `VAE.draw_condition`: y from q(y|x) for a missing label."""
        rows = self.rows(condition, ops.shape(x)[0])
        drawn = self.rows(tfd.Categorical(logits=self.log_q(x)).sample(seed=seed))
        return ops.where(ops.sum(rows, axis=-1, keepdims=True) > 0, rows, drawn)

    def sample(
        self, count: int, seed: int = 0, condition: ConditionLike = None, prior: "FittedPrior | None" = None
    ) -> np.ndarray:
        """As `VAE.sample`; a label of -1, or of none, is drawn from p(y).

        Raises:
          UserError: as `VAE.sample`.
        """
        count, seed = checked_count(self, count), checks.check_whole_number(seed, "seed", minimum=0)
        labels = self.check_condition(condition, count)["condition"]
        drawn = np.random.default_rng(seed).choice(self.num_classes, count, p=np.exp(self.log_p))
        return super().sample(count, seed, np.where(labels < 0, drawn, labels), prior)

    def log_p_condition(self, condition: Condition) -> np.ndarray:
        """As `VAE.log_p_condition`: log p(y) of each label.

        Raises:
          NotApplicable: a missing label.
        """
        if ((labels := np.asarray(condition)) < 0).any():
            raise NotApplicable(
                "A label has a probability where it is known. Given: -1, no label, for one image or more."
            )
        return np.asarray(self.log_p)[labels]

    def log_weights(
        self,
        x: Tensor,
        samples: int,
        seed: int | Tensor,
        condition: Condition | None = None,
        prior: tfd.Distribution | None = None,
        posterior: tfd.Distribution | None = None,
    ) -> Tensor:
        """As `VAE.log_weights`: log of p(x, z, y) / q(z|x, y), and of its sum over the classes where y is missing."""
        base = randomness.seed_of(seed, randomness.EVALUATION) if isinstance(seed, int) else seed
        inner = base_of(self.proposal(x) if posterior is None else posterior)
        labels = self.rows(condition, ops.shape(x)[0])

        def of_labels() -> Tensor:
            mean, scale = (ops.einsum("by,ybd->bd", labels, value) for value in (inner.loc, inner.scale))
            return self._joint_weights(x, samples, randomness.fold(base, self.num_classes), labels, prior, mean, scale)

        def of_all() -> Tensor:
            joint = self._weights_by_class(x, samples, base, prior, inner)
            counted = ops.transpose(labels + 1.0 - ops.sum(labels, axis=-1, keepdims=True))[:, None] > 0
            return ops.logsumexp(ops.where(counted, joint, -np.inf), axis=0)

        return of_all() if condition is None else ops.cond(ops.all(ops.sum(labels, axis=-1) > 0), of_labels, of_all)

    def elbo_under(
        self, x: Tensor, seed: Tensor, condition: Condition | None = None, prior: tfd.Distribution | None = None
    ) -> Tensor:
        """As `VAE.elbo_under`: equation 6, or where y is missing equation 7, the mean over q(y|x) plus its entropy."""
        joint = self._weights_by_class(x, 1, seed, prior, base_of(self.proposal(x)))[:, 0]
        shares, entropy = _shares(self.rows(condition, ops.shape(x)[0]), self.log_q(x))
        by_class = ops.transpose(shares)
        return ops.sum(ops.where(by_class > 0, by_class * joint, 0.0), axis=0) + entropy  # 0, not 0 times -inf

    def _weights_by_class(
        self, x: Tensor, samples: int, base: Tensor, prior: tfd.Distribution | None, posterior: tfd.Normal
    ) -> Tensor:
        """log p(x, z, y) - log q(z|x, y) for draws of each class y: `(num_classes, samples, batch)`."""
        # One class after the other, as all at once are too much memory.
        return ops.map(
            lambda part: self._joint_weights(
                x, samples, randomness.fold(base, part[0]), self.class_rows(part[0], ops.shape(x)[0]), prior, *part[1:]
            ),
            (ops.arange(self.num_classes, dtype="int32"), posterior.loc, posterior.scale),
        )

    def _joint_weights(
        self,
        x: Tensor,
        samples: int,
        seed: Tensor,
        rows: Tensor,
        prior: tfd.Distribution | None,
        mean: Tensor,
        scale: Tensor,
    ) -> Tensor:
        """log p(x, z, y) - log q(z|x, y) for draws of `N(mean, scale**2)`, y as one-hot rows: `(samples, batch)`."""
        gaussian = tfd.Independent(tfd.Normal(mean, scale), 1)
        log_w = super().log_weights(x, samples, seed, rows, prior, gaussian)
        return log_w + ops.sum(rows * self.log_p, axis=-1)

    def get_config(self) -> dict[str, Any]:
        names = ("num_classes", "alpha", "class_probabilities")
        return super().get_config() | {name: getattr(self, name) for name in names}

    def rows(self, labels: Condition | None, count: Tensor | int | None = None) -> Tensor:
        """Labels as one-hot rows, `(batch, num_classes)`, of zeros where one is missing."""
        return conditions.one_hot(labels, self.num_classes, self.float_dtype, count)

    def class_rows(self, y: Tensor, count: Tensor | int) -> Tensor:
        """`rows` of one class for `count` images."""
        return self.rows(ops.broadcast_to(y, (count,)))

    def _known_or_likeliest(self, x: Tensor, condition: Condition | None) -> Tensor:
        """One-hot rows; the classifier's likeliest class where the label is missing."""
        if (rows := self.rows(condition, ops.shape(x)[0])) is condition:  # rows already
            return rows
        likeliest = self.rows(backend.argmax(self.log_q(x), axis=-1))
        return ops.where(ops.sum(rows, axis=-1, keepdims=True) > 0, rows, likeliest)


def _shares(labels: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight of each class of each image, and their entropy: all on its label, or q(y|x) without one."""
    labelled = ops.sum(labels, axis=-1) > 0
    q = ops.exp(log_q)
    return ops.where(labelled[:, None], labels, q), ops.where(labelled, 0.0, -ops.sum(q * log_q, axis=-1))
