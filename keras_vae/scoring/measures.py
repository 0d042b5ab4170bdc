"""The numbers that a bundle gives of an example: codes, errors, bounds."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import ndtri

from keras_vae.errors import UserError
from keras_vae.registry import choose
from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.bundle import example_shape

Columns = Mapping[str, np.ndarray]  # by name, (rows,) or (rows, k)
Measure = Callable[[np.ndarray, np.ndarray], Columns]  # (x, rows of the whole input) -> columns


def codes(runtime: Runtime, seed: int) -> Measure:
    """Return the measure `code`: what `encode` returns, flattened."""
    return lambda x, rows: {"code": (z := runtime.encode(x)).reshape(len(z), -1)}


def reconstruction_error(runtime: Runtime, seed: int) -> Measure:
    """Return the measure `reconstruction_error`: the squared error of the decoded mean code, of observed numbers."""
    if len(inputs := runtime.bundle.graphs["decoder"]["inputs"]) > 1:
        raise UserError(
            f"A reconstruction needs one code, which encode returns. Given: {runtime.bundle.path}, whose decoder takes "
            f"{', '.join(inputs)}. Score its codes."
        )
    if not (entry := runtime.bundle.manifest["model"]).get("tells_total", True):
        raise UserError(
            f"Means are compared with x where they say how many are counted. Given: {runtime.bundle.path}, whose "
            f"likelihood, {entry['likelihood']}, takes the total of x. Score its codes."
        )

    def measure(x: np.ndarray, rows: np.ndarray) -> Columns:
        difference = (runtime.decode(runtime.encode(x)) - x).reshape(len(x), -1).astype("float64")
        difference[np.isnan(x).reshape(len(x), -1)] = 0.0
        return {"reconstruction_error": np.einsum("ij,ij->i", difference, difference)}

    return measure


def elbo(runtime: Runtime, seed: int) -> Measure:
    """Return the measures `elbo`, `log_px` and `kl`, in nats, with noise that is a function of seed and row."""
    entry = runtime.bundle.graphs.get("elbo")
    if entry is None or "elbo" not in runtime.graphs:
        raise UserError(
            f"An ELBO needs the graph elbo, of models with a Gaussian posterior. Given: {runtime.bundle.path}, without "
            f"it. Export the model again with --elbo, or score the reconstruction_error."
        )
    sizes = {name: example_shape(spec) for name, spec in entry["inputs"].items() if name != "x"}

    def measure(x: np.ndarray, rows: np.ndarray) -> Columns:
        noise = {name: normal((seed, i), rows, int(np.prod(s))) for i, (name, s) in enumerate(sizes.items())}
        shaped = {name: eps.reshape(len(x), *sizes[name]) for name, eps in noise.items()}
        return runtime.run("elbo", {"x": x, **shaped})

    return measure


def anomaly(runtime: Runtime, seed: int) -> Measure:
    """Return the measure `anomaly`: -ELBO in nats, as `tasks.anomaly_scores` has it; higher is stranger."""
    bound = elbo(runtime, seed)
    return lambda x, rows: {"anomaly": -bound(x, rows)["elbo"]}


MEASURES: dict[str, Callable[[Runtime, int], Measure]] = {
    "codes": codes,
    "reconstruction_error": reconstruction_error,
    "elbo": elbo,
    "anomaly": anomaly,
}


def measure_of(runtime: Runtime, what: str, seed: int) -> Measure:
    """Return a measure by its name in `MEASURES`.

    Raises:
      UserError: an unknown one, one that the bundle cannot give, or a model that takes conditions.
    """
    make = choose("measure", what, MEASURES)
    if more := [name for name in runtime.bundle.graphs["encoder"]["inputs"] if name != "x"]:
        raise UserError(
            f"Scored are models of x alone. Given: {runtime.bundle.path}, which takes {', '.join(more)} too."
        )
    return make(runtime, seed)


def normal(key: tuple[int, int], rows: np.ndarray, size: int) -> np.ndarray:
    """Return noise of N(0, I), `(rows, size)`, float32: of a row the same whichever rows are drawn with it.

    Philox counts in blocks of four numbers; each row has blocks of its own, and its uniforms go through the quantile
    function: Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405.
    """
    blocks = -(-size // 4)
    if not len(rows):
        return np.empty((0, size), "float32")
    first, last = int(rows.min()), int(rows.max())
    if last - first < 4 * len(rows):  # nearly all of a range: drawn at once
        generator = np.random.Generator(np.random.Philox(key=key).advance(first * blocks))
        uniform = generator.random((last - first + 1, 4 * blocks))[rows - first]
    else:
        uniform = np.stack([
            np.random.Generator(np.random.Philox(key=key).advance(int(row) * blocks)).random(4 * blocks) for row in rows
        ])  # fmt: skip
    return ndtri(np.clip(uniform[:, :size], 2.0**-54, None)).astype("float32")
