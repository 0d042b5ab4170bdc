"""The vocabulary of every room: tensors, batches, the shape of an input, examples, and a graph that leaves Python."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypeAlias, TypedDict, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike


class Tensor(Protocol):
    """A tensor of the backend, or a numpy array: what `keras.ops` takes and returns."""

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __len__(self) -> int: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __floordiv__(self, other: Any, /) -> Any: ...
    def __mod__(self, other: Any, /) -> Any: ...
    def __pow__(self, other: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...
    def __and__(self, other: Any, /) -> Any: ...
    def __or__(self, other: Any, /) -> Any: ...


Tensors: TypeAlias = Mapping[str, Tensor]  # named tensors: the outputs of a network, the levels of a latent
Latent: TypeAlias = "Tensor | Mapping[str, Tensor]"  # z: an array, or a dict of levels
Condition: TypeAlias = Tensor | Tensors  # y: an array, or a dict of named conditions
ConditionLike: TypeAlias = "ArrayLike | Mapping[str, ArrayLike] | None"  # y as a caller gives it
# "x"; "y" where there are labels, a Tensor, or a dict of them; "sample_weight", (batch,), where examples have weights.
Batch: TypeAlias = Mapping[str, Any]

Kind: TypeAlias = Literal[
    "image", "numbers", "tokens", "code", "direction", "level", "index", "noise", "vector", "label"
]  # fmt: skip


# The name of a number's type in files.
DtypeName = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float16", "float32", "float64"
]


class InputEntry(TypedDict):
    """A `Spec` as JSON, in `bundle.json`."""

    shape: list[int | None]  # the batch first, None where it is open
    dtype: DtypeName
    kind: Kind
    classes: NotRequired[int]
    missing: NotRequired[bool]
    support: NotRequired[str]


@dataclasses.dataclass(frozen=True)
class Spec:
    """One input of a model or a graph: an x, a latent, a condition, noise.

    Args:
      shape: of one example, without the batch.
      dtype: its dtype.
      kind: `"image"`; `"numbers"`, an x of any shape in a `support`; `"tokens"`, integers below `classes`; `"code"`, a
        latent that is one array; `"direction"`, one of length 1; `"level"`, one array of a latent that has several;
        `"index"`, a latent of integers below `classes`; `"noise"`; `"vector"`; or `"label"`, an integer below
        `classes`.
      classes: of a label, an index or tokens: how many there are; of numbers, the levels of their support, or 0.
      missing: of a label: whether it may be -1, which stands for a missing one.
      support: of numbers: the name of theirs, in `keras_vae.supports`.
    """

    shape: tuple[int, ...]
    dtype: str
    kind: Kind
    classes: int = 0
    missing: bool = True
    support: str = ""

    @property
    def is_row(self) -> bool:
        """Whether it is a row of a table: numbers along one axis, the columns."""
        return self.kind == "numbers" and len(self.shape) == 1

    @property
    def is_series(self) -> bool:
        """Whether it is a series: numbers along two axes, steps and channels."""
        return self.kind == "numbers" and len(self.shape) == 2

    def description(self, batch: int | None) -> InputEntry:
        """The input as `bundle.json` describes it; None in a shape is an open batch."""
        dtype = cast("DtypeName", self.dtype)  # an export has float32
        entry: InputEntry = {"shape": [batch, *self.shape], "dtype": dtype, "kind": self.kind}
        if self.classes:
            entry["classes"] = self.classes
        if not self.missing:
            entry["missing"] = False
        if self.support:
            entry["support"] = self.support
        return entry


@dataclasses.dataclass(frozen=True)
class Graph:
    """A function from named tensors to named tensors that can be exported; it holds no random op.

    Args:
      name: of its file: `"encoder"` gives `encoder.onnx`.
      signature: its name in a SavedModel and on a runtime: `"encode"`.
      inputs: by name, in the order in which `function` takes them; the first one's kind chooses the test cases.
      function: from those tensors to a dict of tensors; the keys are the output names in every format.
      result: the output that the runtime's method of the signature's name returns.
      absolute: outputs that must agree to 1e-5 on ordinary inputs, `export.parity`; all others, and all outputs on
        extreme inputs, relative to their size too.
      own_file: false for a graph that only a SavedModel carries, as a composition of others.
      reduced: false for a graph that formats of reduced precision leave out: a sequence of draws that once differs
        goes on differing.
    """

    name: str
    signature: str
    inputs: Mapping[str, Spec]
    function: Callable[..., Tensors]
    result: str = "mean"
    absolute: Sequence[str] = ("mean",)
    own_file: bool = True
    reduced: bool = True

    def call(self, *tensors: Tensor) -> dict[str, Tensor]:
        """The outputs for the inputs' tensors in their order."""
        return dict(self.function(**dict(zip(self.inputs, tensors, strict=True))))


@dataclasses.dataclass(frozen=True)
class Examples:
    """Real data of the kind that a model was made for.

    Args:
      x: images, or whatever the model's x is, `(examples, ...)`.
      condition: one for each, where the model is conditional.
      origin: where they come from, in a few words, such as "the split 'test' of mnist".
      licence: of the data, an SPDX identifier; None: not known.
      labels: a class for each, to be shown beside it; no model reads them.
      alphabet: of tokens that are letters: the letters, of which the first is token 1.
      columns: of rows of a table: the names of their numbers.
    """

    x: "np.ndarray"
    condition: ConditionLike = None
    origin: str = ""
    licence: str | None = None
    labels: "np.ndarray | None" = None
    alphabet: str | None = None
    columns: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a model of the zoo, or of a run, was loaded from.

    Args:
      name: of the entry, or of the run's folder.
      folder: that holds it.
      weights_sha256: of the weights that were loaded; None: the model is untrained.
      examples: reads the examples that its recipe is evaluated on, when it is called.
    """

    name: str
    folder: Path
    weights_sha256: str | None
    examples: Callable[[], Examples]
