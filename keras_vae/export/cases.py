"""What exported graphs are tried on: real digits, random noise, extremes, and codes drawn from the prior."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae import randomness
from keras_vae.core.inference import draw_codes
from keras_vae.errors import UserError
from keras_vae.export.graphs import TracedGraph
from keras_vae.export.parity import Case
from keras_vae.types import Condition, ConditionLike, Spec

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

EXAMPLES = 64
GOLDEN_EXAMPLES = 16
GOLDEN_NUMBERS = 20_000  # of one input of a prior's graph: their states are large, so it may be fewer examples
CALIBRATION = 512
_DIGITS = (28, 28, 1)
_SEED = 0


def takes_grey(model: "VAE") -> bool:
    """Whether the model's likelihood accepts grey levels, rather than pixels that are 0 or 1."""
    if model.likelihood_family.levels:
        return model.likelihood_family.levels > 2
    try:
        model.likelihood_family.check(np.full((1, *model.image_shape), 0.5, "float32"))
    except UserError:
        return False
    return True


def are_digits(model: "VAE") -> bool:
    """Whether MNIST's digits have the model's shape, and are what it is tried on."""
    return tuple(model.image_shape) == _DIGITS


def are_words(model: "VAE") -> bool:
    """Whether the bundled words have the model's length and vocabulary, and are what it is tried on."""
    if model.x_spec().kind != "tokens":
        return False
    from keras_vae import data

    known = (data.words.LENGTH, data.words.VOCABULARY_SIZE)
    return (model.image_shape[0], model.x_spec().classes) == known


def images_for(model: "VAE") -> tuple[str, dict[str, np.ndarray]]:
    """Where the images come from, in words, and the ordinary cases, those of the model's own kind first.

    MNIST's test digits, binarised and grey, if they have the model's shape; else random images from a fixed seed. For
    a model of tokens: words, if they have its length and vocabulary; else random tokens.
    """
    if model.x_spec().kind == "tokens":
        return _sequences_for(model)
    if are_digits(model):
        from keras_vae import data

        split = f"test[:{EXAMPLES}]"
        binary = {"digits": data.load_arrays("mnist", split, binarize="static")}
        grey = {"digits_grey": data.load_arrays("mnist", split)}
        return f"the first {EXAMPLES} test digits of MNIST", grey | binary if takes_grey(model) else binary | grey
    uniform = np.random.default_rng(_SEED).random((EXAMPLES, *model.image_shape), dtype="float32")
    grey = {"images_grey": uniform.round(3)}
    binary = {"images": (uniform < 0.5).astype("float32")}
    shape = "x".join(map(str, model.image_shape))
    return f"random images of shape {shape}, seed {_SEED}", grey | binary if takes_grey(model) else binary | grey


def real_inputs(model: "VAE", split: str, count: int, seed: int) -> dict[str, np.ndarray]:
    """`count` images of the model's own kind as "x", with their "condition" where the model takes one.

    MNIST's digits of `split`, with their labels, if they have the model's shape; else random images from `seed`. For
    a model of tokens, those of `images_for` again and again.
    """
    if model.x_spec().kind == "tokens":
        few = next(iter(images_for(model)[1].values()))
        x = np.resize(few, (count, *few.shape[1:]))
    elif are_digits(model):
        from keras_vae import data

        x = data.load_arrays("mnist", f"{split}[:{count}]", binarize=None if takes_grey(model) else "static")
        if model.condition_classes == 10:
            from keras_vae.data import sources

            labels = sources.read("mnist", f"{split}[:{count}]").labels
            return {"x": x, "condition": np.asarray(labels, "int32")}
    else:
        uniform = np.random.default_rng(seed).random((count, *model.image_shape), dtype="float32")
        steps = (model.likelihood_family.levels or 256) - 1  # a grid of K levels, the likelihood's or that of files
        x = np.round(uniform * steps) / np.float32(steps)
    conditions = {name: np.resize(array, (count, *array.shape[1:])) for name, array in conditions_for(model).items()}
    return {"x": x} | conditions


def calibration_for(
    graphs: Sequence[TracedGraph], model: "VAE", cases: Mapping[str, Sequence[Case]]
) -> dict[str, dict[str, np.ndarray]]:
    """graph -> `CALIBRATION` inputs by name: training digits, their codes, and draws of the prior, in turns.

    Inputs of another kind are those of the graph's typical case.
    """
    given = real_inputs(model, "train", CALIBRATION, _SEED + 3)
    condition = model.condition_in(given)
    encoded = model.encode(given["x"], condition)
    own = encoded if isinstance(encoded, Mapping) else {next(iter(model.latent_spec())): encoded}
    _, drawn = codes_for(model, given["x"], condition)
    codes = {
        name: np.where(np.arange(CALIBRATION).reshape(-1, *[1] * (array.ndim - 1)) % 2, drawn[name], array)
        for name, array in own.items()
    }
    noise = np.random.default_rng(_SEED + 4).normal(size=(CALIBRATION, model.latent_dim))
    known = {**given, **codes, "eps": noise}
    found: dict[str, dict[str, np.ndarray]] = {}
    for traced in (each for each in graphs if each.graph.own_file and each.graph.reduced):
        for name, spec in traced.graph.inputs.items():
            array = known[name] if name in known else cases[traced.name][0].inputs[name]
            shape = (CALIBRATION, *spec.shape)
            found.setdefault(traced.name, {})[name] = np.resize(array, shape).astype(spec.dtype)
    return found


def _sequences_for(model: "VAE") -> tuple[str, dict[str, np.ndarray]]:
    from keras_vae import data

    (length,), classes = model.image_shape, model.x_spec().classes
    if are_words(model):
        return f"the first {EXAMPLES} test words", {"words": data.load_arrays("words", f"test[:{EXAMPLES}]")}
    generator = np.random.default_rng(_SEED)
    tokens = generator.integers(1, classes, (EXAMPLES, length), dtype="int32")
    ends = generator.integers(0, length + 1, (EXAMPLES, 1))
    return f"random tokens, seed {_SEED}", {"tokens": np.where(np.arange(length) < ends, tokens, 0).astype("int32")}


def _extremes_for(model: "VAE", first: np.ndarray) -> dict[str, np.ndarray]:
    """What no model was made for: noise, and every pixel, or token, the lowest and the highest."""
    spec, generator = model.x_spec(), np.random.default_rng(_SEED + 1)
    if spec.kind == "tokens":
        highest, noise = spec.classes - 1, generator.integers(1, spec.classes, first.shape, dtype="int32")
    else:
        highest, noise = 1, generator.random(first.shape, dtype="float32")
    return {"noise": noise, "all 0": np.zeros_like(first), f"all {highest}": np.full_like(first, highest)}


def labels_for(model: "VAE") -> np.ndarray | None:
    """The classes of `images_for`'s digits, `(EXAMPLES,)`; None where the images are random."""
    if tuple(model.image_shape) != _DIGITS:
        return None
    from keras_vae import data

    return next(iter(data.load("mnist", f"test[:{EXAMPLES}]", batch_size=EXAMPLES).as_numpy_iterator()))["y"]


def true_condition(model: "VAE", labels: np.ndarray | None) -> Condition | None:
    """The condition that belongs to the images: their classes where the model knows them, else `conditions_for`'s."""
    if labels is not None and labels.max() < model.condition_classes:
        return labels.astype("int32")
    return model.condition_in(conditions_for(model))


def conditions_for(model: "VAE") -> dict[str, np.ndarray]:
    """`EXAMPLES` conditions by the name of the input: every class and -1, or normal numbers."""
    conditions, generator = {}, np.random.default_rng(_SEED + 2)
    for name, spec in model.condition_spec().items():
        if spec.kind == "label":
            array = np.arange(EXAMPLES) % (spec.classes + 1) - 1
        else:
            array = generator.normal(size=(EXAMPLES, *spec.shape)).round(4)
        conditions[name] = array.astype(spec.dtype)
    return conditions


def codes_for(
    model: "VAE", images: np.ndarray, condition: ConditionLike = None, prior: "FittedPrior | None" = None
) -> tuple[str, dict[str, np.ndarray]]:
    """What the codes are, and one for each image by input, rounded to 4 decimals so that JSON holds them exactly.

    Draws of the prior, a fitted one if there is one, or the images' own codes for a model that has none.
    """
    noise = randomness.seed_of(_SEED, randomness.SAMPLING)
    try:
        origin = "prior"
        if prior is None:
            codes = draw_codes(model, len(images), noise, condition)
        else:
            codes = prior.distribution_for(model).sample(len(images), seed=noise)
    except UserError:
        origin, codes = "codes", model.encode(images, condition)
    spec = model.latent_spec()
    parts = codes if isinstance(codes, Mapping) else {next(iter(spec)): codes}
    return origin, {name: np.asarray(parts[name], given.dtype).round(4) for name, given in spec.items()}


def arrays_for(
    model: "VAE", images: dict[str, np.ndarray], prior: "FittedPrior | None" = None
) -> dict[str, dict[str, tuple[bool, np.ndarray]]]:
    """Kind of input, or name of a code -> case -> whether it is ordinary, and the array; the first case is typical."""
    first = next(iter(images.values()))
    conditions = conditions_for(model)
    origin, codes = codes_for(model, first, model.condition_in(conditions), prior)
    image_cases = {name: (True, array) for name, array in images.items()}
    image_cases |= {name: (False, array) for name, array in _extremes_for(model, first).items()}
    code_cases = {}
    for name, given in model.latent_spec().items():
        extremes = (0, given.classes - 1) if given.kind == "index" else (6, -6)
        code_cases[name] = {origin: (True, codes[name])}
        code_cases[name] |= {f"all {value}": (False, np.full_like(codes[name], value)) for value in extremes}
    condition_cases = {name: {"condition": (True, array)} for name, array in conditions.items()}
    return {model.x_spec().kind: image_cases, **code_cases, **condition_cases}


def _made_for(given: Spec) -> dict[str, tuple[bool, np.ndarray]]:
    """Cases of an input that is no image, code or condition: every index in turn, or normal numbers."""
    if given.kind == "index":
        size = EXAMPLES * int(np.prod(given.shape, dtype=int))
        array = (np.arange(size) % given.classes).reshape(EXAMPLES, *given.shape)
    else:
        array = np.random.default_rng(_SEED + 3).normal(size=(EXAMPLES, *given.shape)).round(4)
    return {"made": (True, array.astype(given.dtype))}


def cases_for(
    graphs: Sequence[TracedGraph], model: "VAE", images: dict[str, np.ndarray], prior: "FittedPrior | None" = None
) -> dict[str, list[Case]]:
    """graph -> its cases, with Keras's outputs. The first input takes every case; further ones follow or stay typical.

    The levels of a code follow its first.
    """
    arrays = arrays_for(model, images, prior)

    def cases_of(name: str, given: Any) -> dict[str, tuple[bool, np.ndarray]]:
        known = arrays.get(name) or arrays.get(given.kind)
        return known or _made_for(given)

    def following(name: str, given: Any, case: str) -> np.ndarray:
        known = cases_of(name, given)
        return known.get(case, next(iter(known.values())))[1].astype(given.dtype)

    cases: dict[str, list[Case]] = {}
    for traced in graphs:
        (first, given), *further = traced.graph.inputs.items()
        cases[traced.name] = []
        for case, (ordinary, array) in cases_of(first, given).items():
            inputs = {first: array} | {name: following(name, other, case) for name, other in further}
            cases[traced.name].append(Case(case, ordinary, inputs, traced.run(inputs)))
    return cases


def golden(graphs: Sequence[TracedGraph], cases: dict[str, list[Case]]) -> dict[str, Any]:
    """What `golden.json` holds: `GOLDEN_EXAMPLES` examples of each graph's typical case, or fewer of a
    prior's, with Keras's outputs.

    Numbers are rounded to 7 decimals and 7 digits, a hundredth of the tolerance.
    """
    held = {}
    for traced in graphs:
        if traced.graph.own_file:
            whole = cases[traced.name][0].inputs
            fit = GOLDEN_NUMBERS // max(array[:1].size for array in whole.values())
            count = GOLDEN_EXAMPLES if traced.graph.reduced else max(1, min(GOLDEN_EXAMPLES, fit))
            inputs = {name: array[:count] for name, array in whole.items()}
            rounded = {name: _flat(array) for name, array in inputs.items()}
            exact = {name: np.array(a["data"], a["dtype"]).reshape(a["shape"]) for name, a in rounded.items()}
            outputs = {name: _flat(array) for name, array in traced.run(exact).items()}
            held[traced.name] = {"inputs": rounded, "outputs": outputs}
    return held


def _flat(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind == "f":
        data = [
            int(value) if value == int(value) else float(f"{value:.7g}") for value in array.ravel().round(7).tolist()
        ]
    else:
        data = array.ravel().tolist()
    return {"shape": list(array.shape), "dtype": array.dtype.name, "data": data}
