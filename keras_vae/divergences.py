"""Divergences between distributions, in nats: free functions on tensors, each with its formula."""

import functools
import operator
from collections.abc import Callable

from keras import ops

from keras_vae.backend import base_of, tfd
from keras_vae.backend import is_product as is_product
from keras_vae.backend import kl as kl
from keras_vae.backend import sampled_kl as sampled_kl
from keras_vae.types import Tensor


def cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """The loss of a critic that separates two samples: mean -log sigmoid(positive) - mean log sigmoid(-negative).

    Twice the binary cross-entropy of equal shares, in nats; the best logit is the log ratio of the two densities:
    Goodfellow et al. 2014, equation 1, https://arxiv.org/abs/1406.2661.

    Args:
      positive: logits of the first sample, `(n,)`.
      negative: logits of the second, `(m,)`; of none, as in a batch too small to have them, the mean is 0.
    """
    count = ops.cast(ops.maximum(ops.shape(negative)[0], 1), negative.dtype)
    return ops.mean(ops.softplus(-positive)) + ops.sum(ops.softplus(negative)) / count


def rbf(squared_distance: Tensor, dimensions: int) -> Tensor:
    """`exp(-d**2 / (2 * dimensions))`: the Gaussian kernel, its bandwidth that of distances under N(0, I)."""
    return ops.exp(-squared_distance / (2.0 * dimensions))


def imq(squared_distance: Tensor, dimensions: int) -> Tensor:
    """sum over scales s of `C / (C + d**2)`, C = 2 * dimensions * s: inverse multiquadrics, with heavy tails.

    Section 4 of Tolstikhin et al. 2018, https://arxiv.org/abs/1711.01558.
    """
    scales = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    parts = [(c := 2.0 * dimensions * s) / (c + squared_distance) for s in scales]
    return functools.reduce(operator.add, parts)


KERNELS = {"imq": imq, "rbf": rbf}


def mmd(x: Tensor, y: Tensor, kernel: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Squared maximum mean discrepancy, E k(x, x') - 2 E k(x, y) + E k(y, y'), without bias: it may be negative.

    The U-statistic, which leaves out k(x, x): equation 3 of Gretton et al. 2012,
    https://jmlr.org/papers/v13/gretton12a.html.

    Args:
      x: `(n, dimensions)`; of fewer than 2 examples there is no estimate, and it is 0.
      y: `(m, dimensions)`, likewise.
      kernel: from squared distances, and the number of dimensions, to similarities.
    """

    def similarities(a: Tensor, b: Tensor) -> Tensor:
        return kernel(ops.sum(ops.square(a[:, None] - b[None, :]), axis=-1), int(x.shape[-1]))

    def mean_of_pairs(a: Tensor) -> Tensor:
        count, matrix = ops.cast(ops.shape(a)[0], a.dtype), similarities(a, a)
        return (ops.sum(matrix) - ops.sum(ops.diagonal(matrix))) / ops.maximum(count * (count - 1.0), 1.0)

    distance = mean_of_pairs(x) + mean_of_pairs(y) - 2.0 * ops.mean(similarities(x, y))
    enough = ops.cast(ops.minimum(ops.shape(x)[0], ops.shape(y)[0]) > 1, x.dtype)
    return distance * enough


def covariance(x: Tensor) -> Tensor:
    """The covariance matrix of rows x, `(batch, dimensions)`, divided by the batch: `(dimensions, dimensions)`."""
    centred = x - ops.mean(x, axis=0, keepdims=True)
    return ops.matmul(ops.transpose(centred), centred) / ops.cast(ops.shape(x)[0], x.dtype)


def gaussian_kl(mean: Tensor, scale: Tensor, prior_mean: Tensor, prior_scale: Tensor) -> Tensor:
    """KL(N(mean, scale^2) || N(prior_mean, prior_scale^2)) of each dimension, nats, in operations that ONNX has too.

    Appendix B of Kingma & Welling 2014, https://arxiv.org/abs/1312.6114, for any Gaussian prior. TFP's own form has an
    expm1, which ONNX lacks.
    """
    ratio, distance = scale / prior_scale, (mean - prior_mean) / prior_scale
    return 0.5 * (ops.square(ratio) + ops.square(distance) - 1.0) - ops.log(ratio)


ESTIMATORS = {"stratified": True, "weighted": False}


def minibatch_log_probs(
    posterior: tfd.Distribution, z: Tensor, dataset_size: int, estimator: str, first: int | Tensor = 0
) -> tuple[Tensor, Tensor]:
    """log q(z_i) and log q(z_ij) for codes of a batch, q(z) = (1/N) sum over n of q(z|x_n) being estimated from it.

    Appendix C of Chen et al. 2018, https://arxiv.org/abs/1802.04942. For M examples of N, z_i drawn from q(z|x_i):

    * "stratified": (1/N) q(z_i|x_i) + (N-1)/(N (M-1)) sum over m != i of q(z_i|x_m), whose expectation over batches
      is q(z_i). The paper weighs the others unequally; equal weights have the same expectation and less variance.
    * "weighted": (1/(N M)) sum over m of q(z_i|x_m).

    Args:
      posterior: a product over dimensions, batch shape `(batch,)`.
      z: codes of the batch, or of some examples in a row, `(codes, latent_dim)`.
      dataset_size: N.
      estimator: `"stratified"` or `"weighted"`.
      first: the index in the batch of the first of z.

    Returns:
      `(codes,)` and `(codes, latent_dim)`.
    """
    # log q(z_i | x_m), a dimension at a time: (codes, batch, latent_dim)
    log_q = base_of(posterior).log_prob(z[:, None, :])
    examples = ops.shape(log_q)[1]
    count = ops.cast(examples, z.dtype)
    diagonal = ops.cast(ops.arange(ops.shape(z)[0])[:, None] + first == ops.arange(examples), z.dtype)
    size = float(dataset_size)
    if estimator == "stratified":
        others = (size - 1.0) / (size * ops.maximum(count - 1.0, 1.0))
        log_weight = ops.log(diagonal / size + (1.0 - diagonal) * others)
    else:
        log_weight = ops.zeros_like(diagonal) - ops.log(size * count)
    joint = ops.logsumexp(ops.sum(log_q, axis=-1) + log_weight, axis=1)
    return joint, ops.logsumexp(log_q + log_weight[:, :, None], axis=1)
