"""The base class of fitted priors: the codes they are fitted to, the models they fit, and their file."""

import inspect
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, checks, files, progress, randomness, weights
from keras_vae.backend import tfd
from keras_vae.core import inference
from keras_vae.errors import CorruptFileError, ExportError, UserError, reading
from keras_vae.schema import fault
from keras_vae.types import ConditionLike, Graph, Spec, Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE

FORMAT = 1
_REMEDY = "Save one with save."


class Head(TypedDict):
    """The JSON of a saved prior."""

    format: int
    prior: str  # the name of its class
    arguments: dict[str, Any]  # of its constructor
    shape: list[int]  # of one code
    classes: int


class FittedPrior:
    """A distribution over the codes of a trained model, which takes the place of its prior.

    `model.sample(16, prior=fitted)`, `model.elbo(x, prior=fitted)` and `model.log_prob(x, prior=fitted)` use it. It is
    fitted to one draw of q(z|x) for each training image. The density of the aggregate posterior is the best prior of a
    trained model: Hoffman and Johnson 2016, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf.

    For a conditional model it is fitted to the codes of all conditions together and does not depend on the condition:
    log p(x|y) is then the bound with p(z) in place of p(z|y).

    A prior defines `fit_codes`, `arrays`, `restore` and `make_distribution`; every argument of its constructor is an
    attribute of the same name.
    """

    kind = "code"  # of latent_spec: "code", one vector; "index", an array of integers
    has_graphs = False  # whether `export_graphs` gives any
    in_eight_bits = True  # whether `storage="int8"` does for its matrices; else they are float16

    def __init__(self, seed: int = 0) -> None:
        self.seed = checks.check_whole_number(seed, "seed", minimum=0)
        self.shape: tuple[int, ...] = ()  # of one code
        self.classes = 0  # of each number of a code of kind "index"
        self.fitted = False
        self.history: dict[str, list[float]] = {}  # of the fit: a number after each epoch; none for a closed form

    @property
    def least_codes(self) -> int:
        """The number of codes that a fit needs: one batch, or as many as components."""
        return max(2, getattr(self, "batch_size", 2), getattr(self, "components", 2))

    @progress.listening("prior")
    def fit(self, model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> Self:
        """Fit to the codes of images, one draw of q(z|x) each; a function of the seed, the images and the model.

        Args:
          model: a trained model whose code is one array of this prior's kind.
          x: training images, in [0, 1].
          condition: one for each image, where the model is conditional.

        Raises:
          UserError: a model of other codes, or images that do not fit it.
        """
        spec = self.spec_of(model)
        return self.fit_codes(codes_of(model, x, condition, self.seed), spec.classes)

    def fit_codes(self, codes: np.ndarray, classes: int = 0) -> Self:
        """Fit to an array of codes.

        Args:
          codes: `(count, *shape)`: finite numbers, or integers from 0 to `classes - 1`.
          classes: of codes of integers.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fit_codes(codes, classes)")

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name."""
        raise NotImplementedError(f"{type(self).__name__} must define arrays()")

    def restore(self, held: Mapping[str, np.ndarray]) -> None:
        """Set the fitted arrays, as `arrays` returns them, for codes of `shape` and `classes`."""
        raise NotImplementedError(f"{type(self).__name__} must define restore(held)")

    def make_distribution(self, dtype: str) -> tfd.Distribution:
        """Return the fitted distribution, with log probabilities of this dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define make_distribution(dtype)")

    @property
    def fitted(self) -> bool:
        """Whether it was fitted. Setting it forgets the distributions of an earlier fit, and their graphs."""
        return self._fitted

    @fitted.setter
    def fitted(self, fitted: bool) -> None:
        self._fitted = fitted
        self._distributions: dict[str, tfd.Distribution] = {}
        self._graphs: dict[str, Callable[[Tensor], Any]] = {}

    def distribution(self, dtype: str = "float32") -> tfd.Distribution:
        """Return the distribution of one code: batch shape `()`, event shape `shape`; nats. It changes with a fit only.

        Raises:
          UserError: nothing was fitted.
        """
        if not self.fitted:
            raise UserError(f"This {type(self).__name__} was not fitted. Call prior.fit(model, train_images) first.")
        if dtype not in self._distributions:
            with backend.outside_of_graphs():
                self._distributions[dtype] = self.make_distribution(dtype)
        return self._distributions[dtype]

    def log_prob(self, codes: np.ndarray) -> np.ndarray:
        """Return log p of each code, `(count,)`, nats.

        Raises:
          UserError: codes of another shape, or so far away that float32 has no log p; or nothing was fitted.
        """
        function = self._graphs.setdefault("log_prob", backend.compiled(self.distribution().log_prob))
        inputs = {"codes": self.checked(codes)}
        return checks.check_results(
            checks.in_blocks(lambda _, part: function(part["codes"]), inputs, pad=True), "log p"
        )

    @property
    def variables(self) -> list[Tensor]:
        """The variables that the exported graphs refer to."""
        return []

    def export_graphs(self, model: "VAE") -> list[Graph]:
        """Return the graphs that draw codes outside of Python.

        Raises:
          ExportError: this kind of prior has none.
        """
        raise ExportError(
            f"A prior is exported as graphs that draw codes from noise, which an AutoregressivePrior has. Given: a "
            f"{type(self).__name__} for {type(model).__name__}. Export without prior=, and draw its codes in Python: "
            f"prior.distribution().sample(count)."
        )

    def checked(self, codes: np.ndarray) -> np.ndarray:
        """Return codes as an array of the prior's shape and kind, or raise UserError."""
        if self.kind == "index":
            return checks.check_indices(codes, self.shape, self.classes)
        return checks.check_codes(codes, self.shape, "codes", "what the prior was fitted to", "float32")

    def spec_of(self, model: "VAE") -> Spec:
        """Return the spec of the model's code, which is one array.

        Raises:
          UserError: its codes are of another kind.
        """
        specs = list(model.latent_spec().values())
        if len(specs) > 1 or specs[0].kind != self.kind:
            rule = {"code": "one vector of numbers", "index": "an array of integers"}[self.kind]
            kinds = " and ".join(spec.kind for spec in specs)
            raise UserError(
                f"A {type(self).__name__} is a distribution over codes that are {rule}. Given: "
                f"{'an' if type(model).__name__[0] in 'AEIO' else 'a'} {type(model).__name__}, whose code is {kinds}."
            )
        return specs[0]

    def distribution_for(self, model: "VAE") -> tfd.Distribution:
        """Return the distribution in the model's dtype.

        Raises:
          UserError: it was not fitted, or to codes of another shape or number of entries than this model's.
        """
        distribution, spec = self.distribution(model.float_dtype), self.spec_of(model)
        if tuple(spec.shape) != self.shape or spec.classes != self.classes:
            entries = [f" of {count} entries" if count else "" for count in (self.classes, spec.classes)]
            raise UserError(
                f"A prior must be fitted to codes of the model it is used with. Given: a prior of codes of shape "
                f"{self.shape}{entries[0]}, and a model of codes of shape {tuple(spec.shape)}{entries[1]}. "
                f"Call prior.fit(model, train_images)."
            )
        return distribution

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in list(inspect.signature(type(self)).parameters)}

    def save(self, path: str | Path, storage: str = "float32") -> None:
        """Write the prior to one .npz file, atomically: arrays of numbers and a line of JSON, no code.

        Args:
          path: of the file.
          storage: of matrices, as of `weights.stored`; vectors stay as they are, and a mixture's matrices are
            float16 where others are int8.

        Raises:
          UserError: nothing was fitted, a number that float16 cannot hold, or the file cannot be written.
        """
        self.distribution()
        head: Head = {
            "format": FORMAT,
            "prior": type(self).__name__,
            "arguments": self.get_config(),
            "shape": list(self.shape),
            "classes": self.classes,
        }
        storage = "float16" if storage == "int8" and not self.in_eight_bits else storage
        held: dict[str, np.ndarray] = {}
        for name, array in self.arrays().items():
            whole = storage == "float32" or array.ndim < 2
            held |= {name: array} if whole else weights.stored(name, array.astype("float32"), storage)
        prefixed: dict[str, Any] = {f"array/{name}": array for name, array in held.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, head=np.array(json.dumps(head)), **prefixed)  # factors are half zeros
        with files.atomic(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; never unpickles. `keras_vae.priors.load` finds the class by itself.

        Raises:
          CorruptFileError: no such file, or not one of this prior.
        """
        head, held = read(path)
        if head["prior"] != cls.__name__:
            raise CorruptFileError(f"{path} holds no {cls.__name__}. Given: a {head['prior']}.")
        return cls.from_data(head, held, path)

    @classmethod
    def from_data(cls, head: Head, held: Mapping[str, np.ndarray], path: str | Path) -> Self:
        """Return the fitted prior of a head and arrays, as `read` returns them."""
        with reading(path, f"is not a whole {cls.__name__}", _REMEDY):
            try:
                prior = cls(**head["arguments"])
            except UserError as error:
                raise ValueError(str(error)) from error
            prior.shape, prior.classes = tuple(head["shape"]), head["classes"]
            prior.restore(held)
            if not all(np.isfinite(array).all() for array in held.values()):
                raise ValueError("its numbers are not finite")
            prior.fitted = True
            prior.distribution()
        return prior


def read(path: str | Path) -> tuple[Head, dict[str, np.ndarray]]:
    """Return the head and the arrays of a saved prior.

    Raises:
      CorruptFileError: not the file of a prior.
    """
    with reading(path, "is not the file of a fitted prior", _REMEDY):
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            head = json.loads(str(file["head"]))
            arrays = {name.removeprefix("array/"): file[name] for name in file.files if name.startswith("array/")}
        held = {
            name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in weights.restored(arrays).items()
        }
        if wrong := fault(head, Head, "its head"):
            raise ValueError(wrong)
        if head["format"] != FORMAT:
            raise ValueError(f"its format is {head['format']}, and this version reads {FORMAT}")
        return head, held


def codes_of(model: "VAE", x: ArrayLike, condition: ConditionLike = None, seed: int = 0) -> np.ndarray:
    """Return one draw of q(z|x) for each image, `(count, *code shape)`; the codes of a model without noise.

    Raises:
      UserError: as `encode`.
    """
    inputs = inference.checked_inputs(model, x, condition)
    base = randomness.seed_of(seed, randomness.EVALUATION)

    @backend.compiled
    def draw(part: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        return model.posterior(part["x"], model.condition_in(part)).sample(seed=noise)

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Tensor:
        return draw({name: ops.convert_to_tensor(array) for name, array in part.items()}, randomness.fold(base, block))

    return checks.in_blocks(one_block, inputs, pad=True)
