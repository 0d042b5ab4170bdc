"""Projection of codes to two dimensions, for scatter plots."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from keras_vae.checks import as_array, check_codes, check_number, check_whole_number
from keras_vae.errors import NotApplicable, UserError

METHODS = ("pca", "tsne")


def to_plane(codes: np.ndarray, method: str = "pca", seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Return codes `(examples, latent_dim)` as points `(examples, 2)`, by scikit-learn's PCA or t-SNE.

    Codes of two dimensions are returned as they are; codes of one get zeros for a second.

    Args:
      codes: vectors, as `model.encode` gives them.
      method: `"pca"`, linear; or `"tsne"`, which keeps neighbours together and no distances: van der Maaten and Hinton
        2008, https://jmlr.org/papers/v9/vandermaaten08a.html.
      seed: of t-SNE.
      perplexity: of t-SNE, about the number of neighbours that count: 1 or more, and fewer than examples.

    Raises:
      UserError: an unknown method, too few codes, or codes that are no finite vectors.
      NotApplicable: codes that are all the same, which have no axes.
    """
    if method not in METHODS:
        raise UserError(f"method is one of {', '.join(METHODS)}. Given: {method!r}.")
    array = as_array(codes, "codes")
    if array.ndim != 2:
        raise UserError(f"codes must have shape (examples, latent_dim). Given: {array.shape}.")
    array = check_codes(array, array.shape[1:], "codes")
    minimum = 3 if method == "pca" else int(check_number(perplexity, "perplexity", minimum=1.0)) + 2
    if len(array) < minimum:
        raise UserError(f"{method} needs {minimum} codes or more. Given: {len(array)}.")
    if array.shape[1] <= 2:
        return np.pad(array, ((0, 0), (0, 2 - array.shape[1])))
    if (array == array[0]).all():
        raise NotApplicable(
            f"A projection needs codes that differ. Given: {len(array)} equal ones. Has the model collapsed?"
        )
    seed = check_whole_number(seed, "seed", minimum=0)
    if method == "pca":
        return PCA(2, svd_solver="full").fit_transform(array)
    return TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(array)
