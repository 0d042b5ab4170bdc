"""A model whose conditions may be missing: a variant takes these as its methods, `decode = missing_labels.decode`.

The variant has `num_classes`; `log_p`, the logarithm of p(y), `(num_classes,)`; `log_q(x, training)`, its
classifier's log q(y|x), `(batch, num_classes)`; `rows(labels, count)`, one-hot rows, of zeros where a label is missing;
and as its `proposal` q(z|x, y) of every class, Gaussian, of batch shape `(num_classes, batch)`.
"""

import warnings
from typing import Any

import numpy as np
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae import checks, randomness
from keras_vae.core import VAE, inference
from keras_vae.errors import NotApplicable, UserError
from keras_vae.models.parts import conditions


def condition_spec(self: Any) -> dict[str, Any]:
    """As `VAE.condition_spec`: a label."""
    return {"shape": (), "dtype": "int32", "kind": "label", "classes": self.num_classes}


def check_condition(self: Any, condition: Any, count: int) -> dict[str, Any]:
    """Labels `(count,)`, int32, -1 where there are none, under `condition`.

    Raises:
      UserError: labels that do not fit.
    """
    return {"condition": conditions.labels_or_none(condition, self.num_classes, count)}


def check_training_data(self: Any, labelled: bool, batch_size: int) -> None:
    """As `VAE.check_training_data`: warns of data without a single label, from which no class is learned."""
    if not labelled:
        warnings.warn(
            f"{type(self).__name__} learns classes from labels, and these training data have none: it trains as if "
            f'all labels were missing. Give fit the labels, as y or as "y" of a batch, -1 where there is none.',
            stacklevel=2,
        )


def classify(self: Any, x: Any) -> np.ndarray:
    """q(y|x) of each image: probabilities, `(batch, num_classes)`.

    Raises:
      UserError: as `encode`.
    """
    images = inference.checked_inputs(self, x)
    return np.exp(checks.in_blocks(lambda _, part: self.functions.of(self.log_q)(part["x"]), images))


def decode(self: Any, z: Any, condition: Any = None) -> np.ndarray:
    """As `VAE.decode`, with a label for each code.

    Raises:
      UserError: as `VAE.decode`, or a code without a label.
    """
    if condition is None or (checks.check_labels(condition, self.num_classes) < 0).any():
        raise UserError("decode needs a label for each code. Given: none, or -1. Give condition=, from 0.")
    return inference.decode(self, z, condition)


def reconstruct(self: Any, x: Any, condition: Any = None) -> np.ndarray:
    """As `VAE.reconstruct`; the likeliest class stands for a missing label.

    Raises:
      UserError: as `encode`.
    """
    labels = inference.checked_inputs(self, x, condition)["condition"]
    return inference.reconstruct(self, x, np.where(labels < 0, self.classify(x).argmax(-1), labels))


def sample(self: Any, count: int, seed: int = 0, condition: Any = None, prior: Any = None) -> np.ndarray:
    """As `VAE.sample`; labels are drawn from p(y) where no condition is given.

    Raises:
      UserError: as `VAE.sample`, or a label of -1.
    """
    if condition is None:
        count, seed = (checks.check_whole_number(each, "count and seed", minimum=0) for each in (count, seed))
        condition = np.random.default_rng(seed).choice(self.num_classes, count, p=np.exp(self.log_p))
    return inference.sample(self, count, seed, condition, prior)


def log_p_condition(self: Any, condition: Any) -> np.ndarray:
    """As `VAE.log_p_condition`: log p(y) of each label.

    Raises:
      NotApplicable: a missing label.
    """
    if (labels := np.asarray(condition)).min() < 0:
        raise NotApplicable("A label has a probability where it is known. Given: -1, no label, for one image or more.")
    return np.asarray(self.log_p)[labels]


def log_weights(
    self: Any, x: Any, samples: int, seed: Any, condition: Any = None, prior: Any = None, posterior: Any = None
) -> Any:
    """As `VAE.log_weights`: log of p(x, z, y) / q(z|x, y), and of its sum over all classes where a label is missing."""
    seed = randomness.seed_of(seed, randomness.EVALUATION) if isinstance(seed, int) else seed
    inner = (self.proposal(x) if posterior is None else posterior).distribution
    own = self.rows(condition, ops.shape(x)[0])

    def weighed(rows: Any, place: Any, mean: Any, scale: Any) -> Any:
        gaussian = tfd.Independent(tfd.Normal(mean, scale), 1)
        log_w = VAE.log_weights(self, x, samples, randomness.fold(seed, place), rows, prior, gaussian)
        return log_w + ops.sum(rows * self.log_p, axis=-1)

    def of_known() -> Any:
        mean, scale = (ops.einsum("by,ybd->bd", own, each) for each in (inner.loc, inner.scale))
        return weighed(own, self.num_classes, mean, scale)

    def of_all() -> Any:
        # One class after the other, as all at once are too much memory.
        places = ops.arange(self.num_classes, dtype="int32")
        joint = ops.map(lambda each: weighed(self.class_rows(each[0], ops.shape(x)[0]), *each),
                        (places, inner.loc, inner.scale))  # fmt: skip
        asked = ops.transpose(own + 1.0 - ops.sum(own, axis=-1, keepdims=True))[:, None] > 0
        return ops.logsumexp(ops.where(asked, joint, -np.inf), axis=0)

    return of_all() if condition is None else ops.cond(ops.all(ops.sum(own, axis=-1) > 0), of_known, of_all)
