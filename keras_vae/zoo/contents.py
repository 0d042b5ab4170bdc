"""The contents of results.json as types, against which they are checked whenever they are read."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NotRequired, TypedDict

from keras_vae.schema import fault


class Number(TypedDict):
    """A number of `metrics` or `overview`, with how it was estimated."""

    value: float
    standard_error: NotRequired[float | None]
    samples: NotRequired[int]
    unit: NotRequired[str]
    tolerance: NotRequired[float]
    bound: NotRequired[Literal["lower", "upper"]]
    parts: NotRequired[list[float]]
    errors: NotRequired[list[float | None]]
    names: NotRequired[list[str]]
    examples: NotRequired[int]
    repetitions: NotRequired[int]
    chains: NotRequired[int]
    temperatures: NotRequired[int]
    effective_samples: NotRequired[float]
    monte_carlo_error: NotRequired[float]
    cap: NotRequired[float]
    ceiling: NotRequired[float]


class _File(TypedDict):
    file: str
    sha256: str
    bytes: int


class _Weights(_File):
    parameters: int


class _Evaluation(TypedDict):
    split: str
    examples: int
    binarize: str | None
    dequantize: NotRequired[bool]
    condition: str | None
    seed: int
    kind: NotRequired[Literal["image", "numbers", "tokens"]]
    columns: NotRequired[list[str]]
    left_out: NotRequired[list[str]]


class _Training(TypedDict):
    epochs: int
    steps: int
    seconds: float
    history: dict[str, list[float]]


class Further(TypedDict):
    """A training of the same recipe with another seed, and what was measured of it; its weights are not kept."""

    seed: int
    epochs: int
    seconds: float
    metrics: dict[str, Number]


class _Machine(TypedDict):
    processor: str
    cores: int | None


class _Collapse(TypedDict):
    verdict: str
    summary: str
    dimensions: list[Any]
    remedies: list[str]
    names: NotRequired[list[str]]


class _Latent(TypedDict):
    collapse: NotRequired[_Collapse]


class _Agreement(TypedDict):
    verdict: str
    seconds: float


class _Likelihood(TypedDict):
    agreement: NotRequired[_Agreement]


class _Generation(TypedDict):
    columns: NotRequired[dict[str, Number]]


class _Overview(TypedDict):
    seed: NotRequired[int]
    generation: NotRequired[_Generation]
    latent: NotRequired[_Latent]
    likelihood: NotRequired[_Likelihood]


class Results(TypedDict):
    """`results.json`, as far as it is read."""

    weights: _Weights
    evaluation: _Evaluation
    metrics: dict[str, Number]
    training: _Training
    versions: dict[str, str]
    machine: _Machine
    recipe_sha256: str
    recipe: NotRequired[dict[str, Any]]  # not in those of earlier versions
    prior: NotRequired[_File]
    overview: NotRequired[_Overview]
    pictures: NotRequired[list[str]]
    texts: NotRequired[dict[str, list[list[str]]]]
    seeds: NotRequired[list[Further]]
    notes: NotRequired[list[str]]  # sentences for the card: what was missed, and why


def fault_of(results: object) -> str:
    """Return the first fault in the contents of results.json, as `schema.fault` words it; empty if they have none."""
    if wrong := fault(results, Results):
        return wrong
    contents: Any = results
    rows = numbers(contents.get("overview", {}), "it.overview.")
    return next((wrong for path, row in rows if (wrong := fault(row, Number, path))), "")


def numbers(part: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every number in a part of results.json, at any depth, under its path: `path` and names with points."""
    for name, inner in part.items():
        if isinstance(inner, Mapping) and "value" in inner:
            yield f"{path}{name}", inner
        elif isinstance(inner, Mapping):
            yield from numbers(inner, f"{path}{name}.")
