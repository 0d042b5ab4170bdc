"""The inputs that exported graphs are compared on: examples, extremes, and codes drawn from the prior."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from keras_vae import randomness
from keras_vae.core.inference import draw_codes
from keras_vae.errors import UserError
from keras_vae.export.examples import CALIBRATION, CheckedExamples
from keras_vae.export.graphs import TracedGraph
from keras_vae.export.parity import Case
from keras_vae.runtimes.bundle import GoldenArray, GoldenGraph, array_of
from keras_vae.types import DtypeName, Latent, Spec

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

EXAMPLES = 64
GOLDEN_EXAMPLES = 16
# In one array of golden.json, a number of about 10 bytes: of large images fewer examples are stored, one at least.
GOLDEN_NUMBERS = 100_000
PRIOR_NUMBERS = 20_000  # of a prior's graphs, which are several, and have large states
_SEED = 0

Arrays = dict[str, np.ndarray]
Trials = dict[str, tuple[bool, np.ndarray]]  # case -> whether it is ordinary, and the array; the first is typical


def takes_grey(model: "VAE") -> bool:
    """Return whether the model's likelihood accepts grey levels, rather than pixels that are 0 or 1."""
    return model.likelihood_family.levels != 2


def generated(model: "VAE") -> np.ndarray:
    """Return `EXAMPLES` random x in the likelihood's support, for an export without examples."""
    spec, generator = model.x_spec(), np.random.default_rng(_SEED)
    shape = (EXAMPLES, *spec.shape)
    if spec.kind == "tokens":
        (length,) = spec.shape
        tokens = generator.integers(1, spec.classes, shape, dtype="int32")
        ends = generator.integers(0, length + 1, (EXAMPLES, 1))
        return np.where(np.arange(length) < ends, tokens, 0).astype("int32")
    support = model.likelihood_family.support
    if spec.kind == "numbers" and not support.pixels:
        return support.draw(generator, shape)
    uniform = generator.random(shape, dtype="float32")
    steps = (support.levels or 256) - 1  # a grid of K levels, the likelihood's or that of files
    pixels = np.round(uniform * steps) / np.float32(steps) if takes_grey(model) else (uniform < 0.5).astype("float32")
    return np.where(generator.random(shape) < 0.2, np.float32(np.nan), pixels) if support.missing else pixels


def conditions_for(model: "VAE") -> Arrays:
    """Return `EXAMPLES` conditions by the name of the input: every class and -1, or normal numbers."""
    conditions, generator = {}, np.random.default_rng(_SEED + 2)
    for name, spec in model.condition_spec().items():
        if spec.kind == "label":
            array = np.arange(EXAMPLES) % (spec.classes + 1) - 1
        else:
            array = generator.normal(size=(EXAMPLES, *spec.shape)).round(4)
        conditions[name] = array.astype(spec.dtype)
    return conditions


def condition_of(model: "VAE", arrays: Mapping[str, np.ndarray]) -> np.ndarray | Arrays | None:
    """Return the condition among named arrays, as the model's public methods take it."""
    held = {name: arrays[name] for name in model.condition_spec()}
    return held if len(held) > 1 else next(iter(held.values()), None)


def codes_for(model: "VAE", inputs: Mapping[str, np.ndarray], prior: "FittedPrior | None" = None) -> tuple[str, Arrays]:
    """Return the origin of the codes, "prior" or "codes", and a code for each input, rounded to 4 decimals for JSON.

    Draws of the prior, or of the fitted one; for a model without a prior, the codes of the inputs.
    """
    noise, condition = randomness.seed_of(_SEED, randomness.SAMPLING), condition_of(model, inputs)
    try:
        origin = "prior"
        if prior is None:
            codes = draw_codes(model, len(inputs["x"]), noise, condition)
        else:
            codes = prior.distribution_for(model).sample(len(inputs["x"]), seed=noise)
    except UserError:
        origin, codes = "codes", model.encode(inputs["x"], condition)
    specs = model.latent_spec()
    return origin, {name: array.astype(specs[name].dtype).round(4) for name, array in by_name(model, codes).items()}


def by_name(model: "VAE", codes: Latent) -> Arrays:
    """Return codes by the names of `latent_spec`, in numpy."""
    levels = codes if isinstance(codes, Mapping) else {next(iter(model.latent_spec())): codes}
    return {name: np.asarray(array) for name, array in levels.items()}


def cases_for(
    graphs: Sequence[TracedGraph],
    model: "VAE",
    examples: CheckedExamples | None = None,
    prior: "FittedPrior | None" = None,
) -> dict[str, list[Case]]:
    """Return graph -> its cases, with Keras's outputs.

    The first input takes every case; the others follow it, as the levels of a code do, or stay typical.
    """
    trials = _trials(model, examples, prior)

    def trials_of(name: str, spec: Spec) -> Trials:
        return trials.get(name) or (trials["x"] if spec.kind == model.x_spec().kind else _made_for(spec))

    def following(name: str, spec: Spec, case: str) -> np.ndarray:
        of_input = trials_of(name, spec)
        array = of_input.get(case, next(iter(of_input.values())))[1]
        if not spec.missing:  # a label of the decoder's: class 0 in place of none
            array = np.maximum(array, 0)
        return array.astype(spec.dtype)

    cases: dict[str, list[Case]] = {}
    for traced in graphs:
        (first, spec), *others = traced.graph.inputs.items()
        cases[traced.name] = []
        for case, (ordinary, array) in trials_of(first, spec).items():
            inputs = {first: array} | {name: following(name, other, case) for name, other in others}
            cases[traced.name].append(Case(case, ordinary, inputs, traced.run(inputs)))
    return cases


def _trials(model: "VAE", examples: CheckedExamples | None, prior: "FittedPrior | None") -> dict[str, Trials]:
    """Return name of an input -> its trials."""
    conditions = conditions_for(model)
    if examples is None:
        case, inputs = "generated", {"x": generated(model)} | conditions
    else:
        case, inputs = "examples", _repeated(examples.measured, EXAMPLES)
    origin, codes = codes_for(model, {"x": inputs["x"]} | conditions, prior)
    trials: dict[str, Trials] = {"x": {case: (True, inputs["x"])} | _extremes_for(model, inputs["x"])}
    for name, spec in model.latent_spec().items():
        extremes = (0, spec.classes - 1) if spec.kind == "index" else (6, -6)
        trials[name] = {origin: (True, codes[name])}
        scale = 6 * np.sqrt(codes[name][0].size) if spec.kind == "direction" else 1
        trials[name] |= {f"all {value}": (False, np.full_like(codes[name], value / scale)) for value in extremes}
    for name, array in conditions.items():
        trials[name] = {"every condition": (True, array), case: (True, inputs[name])}
    return trials


def _repeated(arrays: Mapping[str, np.ndarray], count: int) -> Arrays:
    """Return the first `count` examples, repeated if they are fewer."""
    return {name: np.resize(array[:count], (count, *array.shape[1:])) for name, array in arrays.items()}


def _extremes_for(model: "VAE", x: np.ndarray) -> Trials:
    """Return extreme inputs: noise, and every number, or token, at its lowest and its highest."""
    spec, generator = model.x_spec(), np.random.default_rng(_SEED + 1)
    if spec.kind == "tokens":
        highest, noise = spec.classes - 1, generator.integers(1, spec.classes, x.shape, dtype="int32")
        lowest: float = 0
    else:
        lowest, highest = model.likelihood_family.support.ends
        noise = generator.random(x.shape, dtype="float32")
        if not model.likelihood_family.support.pixels:
            noise = model.likelihood_family.support.draw(generator, x.shape)
    extremes = {"noise": noise} | {f"all {value:g}": np.full_like(x, value) for value in (lowest, highest)}
    return {name: (False, array) for name, array in extremes.items()}


def _made_for(spec: Spec) -> Trials:
    """Return trials of an input other than x, codes or conditions: every index in turn, or normal numbers."""
    if spec.kind == "index":
        size = EXAMPLES * int(np.prod(spec.shape, dtype=int))
        array = (np.arange(size) % spec.classes).reshape(EXAMPLES, *spec.shape)
    else:
        array = np.random.default_rng(_SEED + 3).normal(size=(EXAMPLES, *spec.shape)).round(4)
    return {"made": (True, array.astype(spec.dtype))}


def calibration_for(
    graphs: Sequence[TracedGraph], model: "VAE", examples: CheckedExamples, cases: Mapping[str, Sequence[Case]]
) -> dict[str, Arrays]:
    """Return graph -> `CALIBRATION` inputs by name: examples, or codes of examples alternating with draws of the prior.

    Other inputs are those of the graph's typical case.
    """
    inputs = _repeated(examples.calibration, CALIBRATION)
    encoded = by_name(model, model.encode(inputs["x"], condition_of(model, inputs)))
    _, drawn = codes_for(model, inputs)
    codes = {
        name: np.where(np.arange(CALIBRATION).reshape(-1, *[1] * (array.ndim - 1)) % 2, drawn[name], array)
        for name, array in encoded.items()
    }
    noise = np.random.default_rng(_SEED + 4).normal(size=(CALIBRATION, model.latent_dim))
    arrays = {**inputs, **codes, "eps": noise}
    calibration: dict[str, Arrays] = {}
    for traced in (traced for traced in graphs if traced.graph.own_file and traced.graph.reduced):
        for name, spec in traced.graph.inputs.items():
            array = arrays[name] if name in arrays else cases[traced.name][0].inputs[name]
            shape = (CALIBRATION, *spec.shape)
            calibration.setdefault(traced.name, {})[name] = np.resize(array, shape).astype(spec.dtype)
    return calibration


def golden(graphs: Sequence[TracedGraph], cases: Mapping[str, Sequence[Case]]) -> dict[str, GoldenGraph]:
    """Return examples of each graph's typical case with Keras's outputs, as JSON.

    They are `GOLDEN_EXAMPLES`, or as many as have `GOLDEN_NUMBERS` in the largest array, but one at least. Numbers are
    rounded to 7 decimals and 7 digits, a hundredth of the tolerance.
    """
    held: dict[str, GoldenGraph] = {}
    for traced in graphs:
        if traced.graph.own_file:
            case = cases[traced.name][0]
            largest = max(array[:1].size for array in [*case.inputs.values(), *case.outputs.values()])
            numbers = GOLDEN_NUMBERS if traced.graph.reduced else PRIOR_NUMBERS
            count = max(1, min(GOLDEN_EXAMPLES, numbers // largest))
            inputs = {name: array[:count] for name, array in case.inputs.items()}
            rounded = {name: _flat(array) for name, array in inputs.items()}
            exact = {name: array_of(stored) for name, stored in rounded.items()}
            outputs = {name: _flat(array) for name, array in traced.run(exact).items()}
            held[traced.name] = {"inputs": rounded, "outputs": outputs}
    return held


def _short(value: float) -> float | None:
    if math.isnan(value):
        return None  # JSON has no NaN
    return int(value) if value == int(value) else float(f"{value:.7g}")


def _flat(array: np.ndarray) -> GoldenArray:
    if array.dtype.kind == "f":
        data = [_short(value) for value in array.ravel().round(7).tolist()]
    else:
        data = array.ravel().tolist()
    return {"shape": list(array.shape), "dtype": cast(DtypeName, array.dtype.name), "data": data}
