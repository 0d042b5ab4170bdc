"""Which models train faster with XLA, and which without? The rule of `compile(jit_compile="auto")` is checked here.

Steps of each model with and without XLA take turns in one process, on one batch. Times are of
CPU, so that other work on the machine changes little: the ratio is the median of the rounds.

    python benchmarks/engines.py [--only conv] [--rounds 5] [--output benchmarks/engines.json]
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_vae import models
from keras_vae.backend import compiled
from keras_vae.core import VAE
from keras_vae.core.training import gains_by_xla
from keras_vae.files import write_json
from keras_vae.zoo.results import processor

BATCH, SECONDS, TOLERANCE = 128, 0.4, 0.95  # a model on the wrong side by less is not counted against the rule
_MLP: dict[str, Any] = {"name": "mlp", "hidden": (400, 400)}
_SMALL: dict[str, Any] = {"name": "mlp", "hidden": (200, 200)}
_GATED: dict[str, Any] = {"name": "mlp", "hidden": (300, 300), "activation": "gated"}
_CONV: dict[str, Any] = {"name": "conv", "filters": (32, 64)}
_GRU: dict[str, Any] = {"name": "gru", "units": 96, "embedding_dim": 32}


def _both(network: Any) -> dict[str, Any]:
    return {"encoder": network, "decoder": network}


MODELS: dict[str, Callable[[], VAE]] = {
    "VAE, dense": lambda: models.VAE(latent_dim=20, **_both(_MLP)),
    "VAE, gated": lambda: models.VAE(latent_dim=40, **_both(_GATED)),
    "IWAE, K = 50": lambda: models.IWAE(50, latent_dim=50, **_both(_SMALL)),
    "IWAE, DReG, K = 5": lambda: models.IWAE(5, "dreg", latent_dim=20, **_both(_MLP)),
    "VQ-VAE, dense": lambda: models.VQVAE((16,), 128, 16, **_both(_MLP)),
    "FSQ-VAE, dense": lambda: models.FSQVAE((16,), (8, 5, 5, 5), **_both(_MLP)),
    "residual VQ-VAE, dense": lambda: models.ResidualVQVAE((16,), 4, 64, 16, **_both(_MLP)),
    "hierarchy, dense": lambda: models.HierarchicalVAE((20, 10), **_both(_MLP)),
    "VampPrior": lambda: models.VampVAE(pseudo_inputs=200, latent_dim=20, **_both(_MLP)),
    "flow posterior": lambda: models.FlowVAE(latent_dim=20, **_both(_MLP)),
    "hyperspherical": lambda: models.HypersphericalVAE(latent_dim=20, **_both(_MLP)),
    "FactorVAE": lambda: models.FactorVAE(latent_dim=10, **_both(_MLP)),
    "beta-TCVAE": lambda: models.BetaTCVAE(dataset_size=60000, latent_dim=10, **_both(_MLP)),
    "DIP-VAE": lambda: models.DIPVAE(latent_dim=10, **_both(_MLP)),
    "InfoVAE": lambda: models.InfoVAE(latent_dim=10, **_both(_MLP)),
    "WAE": lambda: models.WAE(latent_dim=10, **_both(_MLP)),
    "AAE": lambda: models.AAE(latent_dim=10, **_both(_MLP)),
    "VAE-GAN": lambda: models.VAEGAN(latent_dim=20, **_both(_MLP)),
    "RAE, gradient": lambda: models.RAE(latent_dim=20, regulariser="gradient", **_both(_MLP)),
    "CVAE": lambda: models.CVAE(latent_dim=20, num_classes=10, **_both(_MLP)),
    "semi-supervised": lambda: models.SemiSupervisedVAE(latent_dim=20, num_classes=10, classifier=_MLP, **_both(_MLP)),
    "sequences, GRU": lambda: models.SequenceVAE(length=16, vocabulary_size=28, latent_dim=16, **_both(_GRU)),
    "VAE, convolutions": lambda: models.VAE(latent_dim=20, **_both(_CONV)),
    "VAE, residual": lambda: models.VAE(latent_dim=20, **_both({"name": "residual", "filters": (16, 32)})),
    "VAE, growing": lambda: models.VAE((32, 32, 1), latent_dim=20, **_both("growing")),
    "VQ-VAE, convolutions": lambda: models.VQVAE((7, 7), 128, 16, **_both(_CONV)),
}


def batch_of(model: VAE) -> dict[str, Any]:
    """A batch of noise that the model takes."""
    generator = np.random.default_rng(0)
    if model.x_spec().kind == "tokens":
        x = generator.integers(1, 27, (BATCH, *model.image_shape), dtype="int32")
        x[:, 12:] = 0
    else:
        x = (generator.random((BATCH, *model.image_shape)) < 0.15).astype("float32")
    batch = {"x": keras.ops.convert_to_tensor(x)}
    if model.conditional:
        batch["y"] = keras.ops.convert_to_tensor(np.arange(BATCH, dtype="int32") % 10)
    return batch


def measure(make: Callable[[], VAE], rounds: int) -> dict[str, Any]:
    """CPU seconds of a step with XLA and without, and of the first step, with its compilation."""
    steps: dict[bool, tuple[Any, Any]] = {}
    first: dict[bool, float] = {}
    for xla in (True, False):
        model = make()
        model.compile(keras.optimizers.Adam(), jit_compile=xla, steps_per_execution=1)
        step, batch = compiled(model.train_step, jit_compile=xla), batch_of(model)
        first[xla] = _cpu_seconds(step, batch, 1)
        steps[xla] = step, batch
    single = max(_cpu_seconds(*steps[xla], 2) for xla in steps)
    count, times = max(2, min(50, int(SECONDS / single))), {True: list[float](), False: list[float]()}
    for index in range(rounds):
        for xla in (True, False) if index % 2 else (False, True):
            times[xla].append(_cpu_seconds(*steps[xla], count))
    return {
        "xla_seconds": statistics.median(times[True]),
        "plain_seconds": statistics.median(times[False]),
        "plain_over_xla": statistics.median(b / a for a, b in zip(times[True], times[False], strict=True)),
        "first_step_seconds": {"xla": first[True], "plain": first[False]},
        "auto_takes_xla": gains_by_xla(model.trainable_variables),
    }


def _cpu_seconds(step: Callable[[Any], Any], batch: Any, count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        step(batch)
    return (time.process_time() - start) / count


def right(row: dict[str, Any]) -> bool:
    """Whether the rule takes the faster setting, or loses next to nothing."""
    ratio = row["plain_over_xla"]
    return (ratio if row["auto_takes_xla"] else 1 / ratio) >= TOLERANCE


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = ["| model | XLA, ms | without, ms | without / XLA | auto |", "| --- | ---: | ---: | ---: | --- |"]
    for name, row in result["rows"].items():
        times = f"{1e3 * row['xla_seconds']:.1f} | {1e3 * row['plain_seconds']:.1f} | {row['plain_over_xla']:.2f}"
        choice = "XLA" if row["auto_takes_xla"] else "without"
        lines.append(f"| {name} | {times} | {choice}{'' if right(row) else ', the slower one'} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="models whose name has this in it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    rows = {}
    for name, make in MODELS.items():
        if arguments.only in name:
            rows[name] = measure(make, arguments.rounds)
            print(f"{name}: {rows[name]['plain_over_xla']:.2f}", file=sys.stderr, flush=True)
            keras.backend.clear_session()
    machine = {"processor": processor(), "cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    machine["threads"] = int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count()
    result = {"rows": rows, "batch_size": BATCH, "rounds": arguments.rounds, "machine": machine}
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
