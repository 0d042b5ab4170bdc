"""The rules that numbers keep: of a support, which hold alike for an array on the host and for a batch in a graph.

A rule is written once, in operations that `numpy` and `keras.ops` share: `Support.check` holds arrays to it, and
`keras_vae.core.watch` every batch of a stream.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_vae.errors import UserError

# How far from a level, in levels, a pixel may lie: float32 files of k / 255 pass.
_GRID = 1e-3
# How far past the ends of [0, 1] a pixel is called an error of rounding.
_ROUNDING = 1e-3
_OR_MISSING = ", or missing"  # ends the name of a support with NaN
_MIXED = "mixed: "  # begins the name of one of columns that differ


class Facts(NamedTuple):
    """The facts in a message about numbers that break a rule."""

    number: float  # how many break it
    low: float  # of all that are finite
    high: float
    value: float  # the least that breaks it
    row: float  # the first example that has one


class Rule(NamedTuple):
    """One rule: which numbers break it, and what is said of them."""

    broken: Callable[[Any, Any], Any]  # (numpy or keras.ops, x) -> a bool for each number of x
    message: Callable[[str, Facts], str]  # (what x is called, facts) -> rule, what was given, remedy


def _of_files(generator: "np.random.Generator", shape: tuple[int, ...]) -> np.ndarray:
    return np.round(generator.random(shape, dtype="float32") * 255) / np.float32(255)


@dataclasses.dataclass(frozen=True)
class Support:
    """The numbers that an x, or a condition, may have, as rules.

    Args:
      rules: of several that are broken, the first is reported.
      levels: how many values a number can take, k / (levels - 1); 0: no grid.
      within: the wider support that networks read, if it is not this one: they read grey levels that a Bernoulli has
        no probability of. Its rules are the first of `rules`.
      implied: how many of the first rules are broken only where a later one is: to say what is wrong, not to find it.
      name: by which `named` finds it, from the manifest of a bundle.
      pixels: whether its numbers lie in [0, 1], as those of images do.
      missing: whether NaN stands for a number that is missing.
      fill: one of its numbers, to compute with where one is missing.
      draw: random numbers in it, of a shape.
      ends: the least and the greatest number to try a network on.
      interval: whether its numbers are those from one end to the other, and nothing else is asked of them.
      counted: whether its numbers are counts, which add up.
    """

    rules: tuple[Rule, ...]
    levels: int = 0
    within: "Support | None" = None
    implied: int = 0
    name: str = ""
    pixels: bool = True
    missing: bool = False
    fill: float = 0.0
    draw: "Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]" = _of_files
    ends: tuple[float, float] = (0.0, 1.0)
    interval: bool = False
    counted: bool = False

    @property
    def hull(self) -> "Support":
        """The support that a network may read."""
        return self.within or self

    def or_missing(self) -> "Support":
        """Return this support with NaN, for a number that is missing. Nothing is asked of such a number."""

        def holding(rule: Rule) -> Rule:
            return rule._replace(broken=lambda ops, x: ops.logical_and(ops.equal(x, x), rule.broken(ops, x)))

        def draw(generator: "np.random.Generator", shape: tuple[int, ...]) -> np.ndarray:
            return np.where(generator.random(shape) < 0.2, np.float32(np.nan), self.draw(generator, shape))

        return dataclasses.replace(
            self,
            rules=tuple(map(holding, self.rules)),
            within=self.within and self.within.or_missing(),
            name=f"{self.name}{_OR_MISSING}",
            missing=True,
            interval=False,
            draw=draw,
        )

    def broken(self, ops: Any, x: Any) -> Any:
        """Return for each number of `x` whether it breaks a rule; `ops` is numpy or keras.ops."""
        return functools.reduce(ops.logical_or, [rule.broken(ops, x) for rule in self.rules[self.implied :]])

    def breaks(self, ops: Any, x: Any) -> Any:
        """Return for each example of `x`, `(examples, ...)`, whether a number of it breaks a rule: `(examples,)`."""
        return _by_example(ops, self.broken(ops, x))

    def diagnosis(self, ops: Any, x: Any) -> list[Any]:
        """Return the index of the first broken rule and its `Facts`: scalars, of an `x` that breaks one."""
        # Plain reductions: XLA takes minutes to compile argmax and gather over a batch of images.
        *masks, mask = [rule.broken(ops, x) for rule in self.rules]
        first: Any = len(masks)
        for index, earlier in reversed(list(enumerate(masks))):
            breaks = ops.any(earlier)
            first, mask = ops.where(breaks, index, first), ops.where(breaks, earlier, mask)
        low = high = x
        if "float" in str(x.dtype):
            low, high = (ops.where(ops.isfinite(x), x, end) for end in (np.inf, -np.inf))
        low, high = ops.min(low), ops.max(high)
        rows = _by_example(ops, mask)
        row = ops.min(ops.where(rows, ops.arange(ops.shape(x)[0]), ops.shape(x)[0]))
        return [first, ops.sum(ops.where(mask, 1, 0)), low, high, ops.min(ops.where(mask, x, high)), row]

    def message(self, diagnosis: list[float], name: str = "x") -> str:
        """Return the message about a diagnosis, numbers on the host, of what is called `name`."""
        return self.rules[int(diagnosis[0])].message(name, Facts(*diagnosis[1:]))

    def check(self, array: np.ndarray, name: str = "x") -> None:
        """Raise UserError if a number of `array`, `(examples, ...)`, breaks a rule."""
        with np.errstate(invalid="ignore"):
            # Two passes without a copy, where most numbers are right; NaN is no end of an interval.
            whole = self.interval and array.size and not isinstance(array, np.memmap)  # which would be read twice
            if whole and self.ends[0] <= array.min() and array.max() <= self.ends[1]:
                return
            if any(self.broken(np, piece).any() for piece in pieces(array)):
                raise UserError(self.message([float(fact) for fact in self.diagnosis(np, array)], name))


def _by_example(ops: Any, mask: Any) -> Any:
    # A product with ones, as XLA takes longer for a sum or a disjunction.
    size = math.prod(mask.shape[1:])
    return ops.matmul(ops.reshape(mask, (-1, size)), ops.ones((size,))) > 0


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the examples in pieces that fit a processor's cache, so that a check of a whole dataset is one pass."""
    rows = max(1, 65536 // max(1, math.prod(array.shape[1:])))
    return (array[start : start + rows] for start in range(0, len(array), rows))


def _pixel_remedy(facts: Facts) -> str:
    low, high = facts.low, facts.high
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return "that is rounding: clip them, np.clip(x, 0, 1)"
    if low >= 0 and 127 < high <= 255:
        return "divide by 255"
    if low >= 0:
        bits = ", or 255 for 8-bit levels" if high < 255 else ""
        return f"divide by the largest value that they can have, {high:.7g} perhaps{bits}"
    if low >= -1 and high <= 1:
        return "rescale them: (x + 1) / 2 takes [-1, 1] to [0, 1]"
    return (
        "rescale them: (x - low) / (high - low), with the ends of all your data; or, for numbers that are no pixels, "
        "use likelihood='normal', and x_shape for image_shape"
    )


REALS = Support(
    (
        Rule(
            lambda ops, x: ops.logical_not(ops.isfinite(x)),
            lambda name, facts: (
                f"{name} must be finite. Given: {facts.number:.0f} values that are NaN or infinite. Remove those "
                f"examples."
            ),
        ),
    ),
    name="reals",
    pixels=False,
    draw=lambda generator, shape: generator.normal(size=shape).astype("float32"),
    ends=(-6.0, 6.0),
)
PIXELS = Support(
    (
        *REALS.rules,
        Rule(
            lambda ops, x: ops.logical_not(ops.logical_and(x >= 0, x <= 1)),  # NaN too
            lambda name, facts: (
                f"Pixels of {name} must lie in [0, 1]. Given: values from {facts.low:.7g} to {facts.high:.7g}; "
                f"{_pixel_remedy(facts)}."
            ),
        ),
    ),
    implied=1,
    name="pixels",
    interval=True,
)


def _above_zero(name: str, facts: Facts) -> str:
    remedy = (
        "leave them out, add a small number to all, or use likelihood='normal'"
        if facts.low == 0
        else "use likelihood='normal', which is of all real numbers"
    )
    return (
        f"{name} must be above 0, as it has a logarithm. Given: {facts.number:.0f} values that are not, from "
        f"{facts.low:.7g}; {remedy}."
    )


POSITIVE = Support(
    (*REALS.rules, Rule(lambda ops, x: ops.logical_not(x > 0), _above_zero)),
    name="positive",
    pixels=False,
    fill=1.0,
    draw=lambda generator, shape: np.exp(generator.normal(size=shape)).astype("float32"),
    ends=(1e-3, 1e3),
)

WEIGHTS = Support(
    (
        Rule(
            lambda ops, x: x == -np.inf,  # which stands for one that is not there
            lambda name, facts: (
                f"{name} is one finite number for each example. Given: {facts.number:.0f} examples without one, or "
                f"with minus infinity. Give each batch as many weights as examples."
            ),
        ),
        Rule(
            REALS.rules[0].broken,
            lambda name, facts: (
                f"{name} must be finite. Given: {facts.number:.0f} values that are NaN or infinite. Give these "
                f"examples a weight, 0 to leave them out."
            ),
        ),
        Rule(
            lambda ops, x: x < 0,
            lambda name, facts: (
                f"{name} must be 0 or more. Given: {facts.number:.0f} values below it, from {facts.low:.7g}. Set them "
                f"to 0 to leave these examples out: numpy.maximum({name}, 0)."
            ),
        ),
    ),
    name="weights",
    pixels=False,
)


def _not_counted(name: str, facts: Facts) -> str:
    if facts.low < 0:
        remedy = "counts are not below 0: take them as they were counted, or use likelihood='normal'"
    elif facts.high <= 1:
        remedy = "multiply shares by the number that they are of, or use likelihood='gaussian'"
    else:
        remedy = "take them before any scaling or logarithm, or use likelihood='normal'"
    return (
        f"{name} must be counts, whole numbers from 0. Given: values from {facts.low:.7g} to {facts.high:.7g}, such as "
        f"{facts.value:.7g}; {remedy}."
    )


@functools.cache
def counts(most: int = 0) -> Support:
    """Return the support of counts, whole numbers from 0, in floats or integers.

    Args:
      most: the largest; 0: any.
    """
    below = _below(
        most + 1,
        0,
        lambda name, facts: (
            f"{name} must be counts of at most {most}, the trials of the likelihood. Given: values from "
            f"{facts.low:.7g} to {facts.high:.7g}; set its trials to their number, {facts.high:.7g} or more."
        ),
    )
    whole = Rule(lambda ops, x: ops.logical_not(ops.logical_and(x >= 0, x == ops.round(x))), _not_counted)  # NaN too
    return Support(
        (*REALS.rules, whole, *([below] if most else [])),
        levels=most + 1 if most else 0,
        name="counts",
        pixels=False,
        draw=lambda generator, shape: (
            generator.integers(0, most + 1, shape) if most else generator.poisson(3.0, shape)
        ).astype("float32"),
        ends=(0.0, float(most or 1000)),
        counted=True,
    )


@functools.cache
def mixed(columns: tuple[tuple[str, int], ...]) -> Support:
    """Return the support of the rows of a table whose columns differ.

    Args:
      columns: the kind of each, of `keras_vae.columns`, and how many classes it has, or 0.
    """
    kinds = np.array([kind for kind, _ in columns])
    positive, real = kinds == "positive", kinds == "real"
    most = np.array([classes or np.inf for _, classes in columns], "float32")

    def below(name: str, facts: Facts) -> str:
        sizes = ", ".join(f"{index} ({classes})" for index, (_, classes) in enumerate(columns) if classes)
        return (
            f"Classes of a column of {name} are numbered from 0, below how many there are. Given: {facts.value:.7g} in "
            f"row {facts.row:.0f}, where the columns of classes are {sizes}. Number them as the training data were."
        )

    def draw(generator: "np.random.Generator", shape: tuple[int, ...]) -> np.ndarray:
        x = [
            generator.integers(0, classes, shape[:-1])
            if classes
            else {"real": REALS, "positive": POSITIVE}.get(kind, counts()).draw(generator, shape[:-1])
            for kind, classes in columns
        ]
        return np.stack(x, axis=-1).astype("float32")

    return Support(
        (
            *REALS.rules,
            Rule(
                lambda ops, x: ops.logical_and(positive, ops.logical_not(x > 0)),
                lambda name, facts: (
                    f"Positive columns of {name} must be above 0, as they have a logarithm. Given: {facts.value:.7g} "
                    f"in row {facts.row:.0f}, where those are {_listed(positive)}. Make them 'real' or 'count'."
                ),
            ),
            Rule(
                lambda ops, x: ops.logical_and(
                    np.logical_not(positive | real), ops.logical_not(ops.logical_and(x >= 0, x == ops.round(x)))
                ),
                lambda name, facts: (
                    f"Counts and classes of {name} must be whole numbers from 0. Given: {facts.value:.7g} in row "
                    f"{facts.row:.0f}, where those columns are {_listed(~(positive | real))}. Make them 'real', or "
                    f"number their values."
                ),
            ),
            Rule(lambda ops, x: x >= most, below),
        ),
        name=_MIXED + ", ".join(f"{kind} {classes}" if classes else kind for kind, classes in columns),
        pixels=False,
        fill=1.0,  # above 0, a count, and a class where there are two
        draw=draw,
        ends=(1.0, 1.0),
    )


def _listed(mask: np.ndarray) -> str:
    return ", ".join(map(str, np.flatnonzero(mask)))


def named(name: str, levels: int) -> Support:
    """Return the support of the numbers of an x, from its `name` and `levels`; of a support without a name, `REALS`."""
    if name.endswith(_OR_MISSING):
        return named(name.removesuffix(_OR_MISSING), levels).or_missing()
    if name.startswith(_MIXED):
        parts = [part.partition(" ") for part in name.removeprefix(_MIXED).split(", ")]
        return mixed(tuple((kind, int(classes or 0)) for kind, _, classes in parts))
    if name == "counts":
        return counts(max(levels - 1, 0))
    return {"pixels": PIXELS, "positive": POSITIVE}.get(name, REALS)


def grid(levels: int, message: Callable[[str, Facts], str]) -> Support:
    """Return the support of pixels k / (levels - 1).

    Args:
      levels: 2 or more.
      message: about a pixel in [0, 1] that is none of them.
    """

    def off(ops: Any, x: Any) -> Any:
        level = x * (levels - 1)
        return ops.abs(level - ops.round(level)) > _GRID

    return Support((*PIXELS.rules, Rule(off, message)), levels, within=PIXELS, implied=1)


def _below(classes: int, least: int, message: Callable[[str, Facts], str]) -> Rule:
    return Rule(lambda ops, x: ops.logical_or(x < least, x >= classes), message)


@functools.cache
def labels(classes: int, missing: bool = True) -> Support:
    """Return the support of labels: integers below `classes`, and -1 if one may be missing."""
    more = ", or be -1, unlabelled" if missing else ": a code is decoded as of one class"
    return Support(
        (
            _below(
                classes,
                -int(missing),
                lambda name, facts: (
                    f"{name} must lie from 0 to {classes - 1}{more}. Given: labels from {facts.low:.0f} to "
                    f"{facts.high:.0f}. Number the classes from 0, or set num_classes."
                ),
            ),
        )
    )


@functools.cache
def tokens(classes: int) -> Support:
    """Return the support of token ids: integers below `classes`, and only 0 after the first 0 of a sequence."""

    def goes_on(ops: Any, x: Any) -> Any:
        return ops.logical_and(ops.cumsum(ops.where(x == 0, 1, 0), axis=-1) > 0, x != 0)

    return Support(
        (
            _below(
                classes,
                0,
                lambda name, facts: (
                    f"{name} must lie from 0 to {classes - 1}, the tokens of the vocabulary. Given: tokens from "
                    f"{facts.low:.0f} to {facts.high:.0f}."
                ),
            ),
            Rule(
                goes_on,
                lambda name, facts: (
                    f"Token 0 ends a sequence, and only 0 follows it. Given: {name}[{facts.row:.0f}], which goes on "
                    f"with {facts.value:.0f}. Fill sequences up with 0."
                ),
            ),
        )
    )
