"""How does the cost of a training step, of encode, decode and log p(x) grow with the size of things?

From one base, a dense VAE 784-400-400-20 at batch 128, one size changes at a time; of images, it is convolutions of a
size in pixels. The points of a curve take turns in one process, and times are of CPU, so that other work on the machine
changes little. A fitted exponent p says that cost grows as size**p: of all points, and of the last two, since what
each call costs whatever its size flattens the start.

    python benchmarks/growth.py [--only width] [--rounds 5] [--output benchmarks/growth.json]

Beside the JSON it draws docs/benchmarks/growth.png.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_vae import models
from keras_vae.backend import compiled
from keras_vae.benchmarking import machine
from keras_vae.core import VAE
from keras_vae.files import atomic, write_json
from keras_vae.zoo.results import PACKAGES

SCHEMA, PICTURE = "keras_vae.growth/1", Path(__file__).parents[1] / "docs/benchmarks/growth.png"
BATCH, EXAMPLES, SAMPLES, SECONDS = 128, 256, 32, 0.1  # SECONDS: of CPU, of one turn
UNITS = {
    "training step": "of a step",
    "encode": "an image",
    "decode": "a code",
    "log p(x)": f"an image, {SAMPLES} samples",
    "fit": "of an epoch",
}


class Point(NamedTuple):
    """One size of one axis: a model, and the sizes of its batches and of its images."""

    model: Callable[[], VAE]
    batch: int = BATCH
    examples: int = EXAMPLES
    fits: bool = False  # an epoch of that many examples, in place of single calls


def dense(latent_dim: int = 20, width: int = 400) -> VAE:
    """The base, and its neighbours."""
    network = {"name": "mlp", "hidden": (width, width)}
    return models.VAE(latent_dim=latent_dim, encoder=network, decoder=network)


def convolutions(size: int) -> VAE:
    """Two strided convolutions of few channels, on square images."""
    network = {"name": "conv", "filters": (16, 32), "dense": 64}
    return models.VAE((size, size, 1), latent_dim=20, encoder=network, decoder=network)


def iwae(samples: int) -> VAE:
    """The base, trained with several draws of each image."""
    network = {"name": "mlp", "hidden": (400, 400)}
    return models.IWAE(samples, latent_dim=20, encoder=network, decoder=network)


# axis -> its sizes, each with a point
AXES: dict[str, Mapping[int, Point]] = {
    "batch": {size: Point(dense, batch=size, examples=size) for size in (32, 128, 512)},
    "latent size": {size: Point(lambda size=size: dense(latent_dim=size)) for size in (8, 32, 128, 512)},
    "width": {size: Point(lambda size=size: dense(width=size)) for size in (100, 200, 400, 800, 1600)},
    "K of an IWAE": {size: Point(lambda size=size: iwae(size)) for size in (1, 5, 25, 50)},
    "side of images": {
        size: Point(lambda size=size: convolutions(size), batch=16, examples=16) for size in (28, 64, 128, 256)
    },
    "examples": {size: Point(dense, examples=size, fits=True) for size in (1024, 4096, 16384, 65536)},
}


def calls_of(axis: str, point: Point) -> dict[str, tuple[Callable[[], object], float]]:
    """What is timed at a point, by name: the call, and by how much its time is divided."""
    model, generator = point.model(), np.random.default_rng(0)
    x = (generator.random((point.examples, *model.image_shape)) < 0.15).astype("float32")
    model.compile(keras.optimizers.Adam(), steps_per_execution=32 if point.fits else 1)
    if point.fits:
        return {"fit": (lambda: model.fit(x, batch_size=point.batch, verbose=0), 1.0)}
    step = compiled(model.train_step, jit_compile=model.jit_compile)
    batch = {"x": keras.ops.convert_to_tensor(np.resize(x, (point.batch, *model.image_shape)))}
    calls: dict[str, tuple[Callable[[], object], float]] = {"training step": (lambda: step(batch), 1.0)}
    if axis != "K of an IWAE":  # K is of training only
        z, count = model.encode(x), float(len(x))
        calls["encode"] = lambda: model.encode(x), count
        calls["decode"] = lambda: model.decode(z), count
        calls["log p(x)"] = lambda: model.log_prob(x, SAMPLES), count
    return calls


def measure(axis: str, rounds: int) -> dict[str, Any]:
    """Return the sizes of an axis, and of each call its times there in CPU seconds, with the exponents."""
    points = {size: calls_of(axis, point) for size, point in AXES[axis].items()}
    counts, times = dict[tuple[int, str], int](), dict[tuple[int, str], list[float]]()
    for size, calls in points.items():
        for name, (call, _) in calls.items():
            _cpu_seconds(call, 1)  # traces and compiles
            counts[size, name] = max(1, int(SECONDS / max(_cpu_seconds(call, 1), 1e-4)))
            times[size, name] = []
    for turn in range(rounds):
        for size in list(points)[:: 1 if turn % 2 else -1]:
            for name, (call, share) in points[size].items():
                times[size, name].append(_cpu_seconds(call, counts[size, name]) / share)
    sizes = list(points)
    curves = {}
    for name in points[sizes[0]]:
        medians = [statistics.median(times[size, name]) for size in sizes]
        spread = [[min(times[size, name]), max(times[size, name])] for size in sizes]
        curves[name] = {
            "seconds": medians,
            "spread": spread,
            "exponent": exponent(sizes, medians),
            "last_exponent": exponent(sizes[-2:], medians[-2:]),
        }
    return {"sizes": sizes, "calls": curves}


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log seconds by log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _cpu_seconds(call: Callable[[], object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - start) / count


def markdown(result: Mapping[str, Any]) -> str:
    """The result as a table: times at the ends of each axis, and exponents."""
    lines = [
        "| with | CPU time | from | to | at the first, ms | at the last, ms | exponent | of the last two |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for axis, curve in result["axes"].items():
        for name, call in curve["calls"].items():
            sizes = [f"{curve['sizes'][end]:,}" for end in (0, -1)]
            times = [_milliseconds(call["seconds"][end]) for end in (0, -1)]
            lines.append(
                f"| {axis} | {name}, {UNITS[name]} | {' | '.join(sizes + times)} | {call['exponent']:.2f} | "
                f"{call['last_exponent']:.2f} |"
            )
    described = result["machine"]
    lines += [
        "",
        f"Medians of {result['rounds']} rounds in which the sizes of an axis take turns; {described['processor']}, "
        f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}; load before the start: "
        f"{described['load']:g} of {described['processors']} processors.",
    ]
    return "\n".join(lines)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.3g}"


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write one figure: a panel for each axis, both scales logarithmic."""
    from matplotlib.figure import Figure

    from keras_vae.plots import COLOURS

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    colours = dict(zip(UNITS, COLOURS, strict=False))
    for axes, (axis, curve) in zip(figure.subplots(2, 3).flat, result["axes"].items(), strict=False):
        for name, call in curve["calls"].items():
            label = f"{name}: {call['exponent']:.2f}"
            axes.loglog(
                curve["sizes"], [1e3 * value for value in call["seconds"]], "o-", color=colours[name], label=label
            )
        axes.set_xticks(curve["sizes"], [f"{size:,}" for size in curve["sizes"]])
        axes.minorticks_off()
        axes.set_title(axis, fontsize=10)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.4)  # room for the legend
        axes.legend(fontsize=8, title="CPU ms, exponent", title_fontsize=8, loc="upper left", ncols=2)
        axes.grid(alpha=0.3)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="axes whose name has this in it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    described, measured = machine.describe(), {}
    for axis in AXES:
        if arguments.only in axis:
            measured[axis] = measure(axis, arguments.rounds)
            print(axis, file=sys.stderr, flush=True)
            keras.backend.clear_session()
    result = {
        "schema": SCHEMA,
        "machine": described,
        "warnings": machine.warnings(described),
        "versions": {name: version(name) for name in PACKAGES},
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count(),
        "rounds": arguments.rounds,
        "batch_size": BATCH,
        "samples": SAMPLES,
        "axes": measured,
    }
    print(markdown(result))
    if arguments.output is not None:
        write_json(arguments.output, result)
        draw(result, PICTURE)


if __name__ == "__main__":
    main()
