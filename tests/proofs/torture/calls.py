"""Bad calls of the public API: a good call of each function, with one or two of its arguments replaced by a bad one."""

import decimal
import functools
import inspect
import linecache
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.proofs.torture.subjects import inputs

Target = tuple[Callable[..., Any], dict[str, Any]]


class Call(NamedTuple):
    """A bad call, by the seed of its noise."""

    seed: int

    def __str__(self) -> str:
        return f"call/{self.seed}"


class _Odd:
    """An object that no function expects."""

    def __repr__(self) -> str:
        return "<odd>"


def _bad(noise: np.random.Generator) -> list[Any]:
    """The arguments that are tried, the same objects for none of two calls."""
    return [
        None, True, False, -1, 0, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.0, 1e308, 5e-324, float("nan"),
        float("inf"), 1j, decimal.Decimal("NaN"), "", "x", "nonsense", "../../x", "a\x00b", "A" * 100_000, b"bytes",
        bytearray(3), [], {}, set(), (), [None], [[1, 2], [3]], {"name": "nonsense"}, {"name": None}, {1: 2}, {"x": {}},
        {"name": "mlp", "hidden": "x"}, [1, "a"], range(3), slice(1), iter([1]), _Odd(), _Odd, len, Path("nowhere"),
        Path("/dev/null"), np.array([]), np.array(3.0), np.zeros((0, 28, 28, 1)), np.zeros((2, 28, 28)),
        np.zeros((2, 28, 28, 3)), np.full((2, 28, 28, 1), np.nan), np.full((2, 28, 28, 1), 255),
        np.full((2, 28, 28, 1), -1e-3, "float32"), np.full((2, 3), np.inf), np.full((2, 3), 1e38), np.zeros((2, 4)),
        np.zeros((2, 3), complex), np.array([[None, 1]]), np.array(["a", "b"]), np.array([b"a"]), np.zeros(2, "M8[s]"),
        np.zeros(2, [("a", "f4")]), np.zeros((1,) * 32), np.array([1, 2**40]), np.array([-2, 99]), np.float16(3),
        np.int64(-7), np.bool_(True), np.ma.masked_array([1.0, 2.0], [0, 1]),
        np.broadcast_to(np.float32(0.5), (5, 28, 28, 1)),
    ]  # fmt: skip


def targets(store: Path, out: Path) -> dict[str, Target]:
    """A good call of each function: the function, and its arguments by name."""
    from keras_vae import data, evaluation, models, priors, runtimes, schedules, tasks, zoo
    from keras_vae.export import check, read_bundle
    from keras_vae.models import VAE
    from keras_vae.types import Examples

    given = inputs(4)
    x, z, model, labels = given["x"], given["z"], _models(store)["plain"], np.array([0, 1, 2, 1])
    conditional = _models(store)["conditional"]
    grey = np.linspace(0, 1, 16 * 4, dtype="float32").reshape(4, 4, 4, 1)
    mixture = zoo.prior(store / "run")
    runtime = _models(store)["runtime"]
    kinds: dict[str, Any] = {
        "image_shape": (4, 4, 1),
        "latent_dim": 2,
        "encoder": {"name": "mlp", "hidden": (4,)},
        "decoder": {"name": "mlp", "hidden": (4,)},
        "likelihood": "bernoulli",
        "seed": 0,
    }
    of_codes: dict[str, Any] = {"codes": np.random.default_rng(0).normal(size=(50, 3))}
    arrays: dict[str, Any] = {"images": grey, "labels": labels, "batch_size": 2, "training": False, "binarize": None,
                              "dequantize": False, "seed": 0, "first_epoch": 0}  # fmt: skip
    return {
        "encode": (model.encode, {"x": x, "condition": None}),
        "decode": (model.decode, {"z": z, "condition": None}),
        "reconstruct": (model.reconstruct, {"x": x}),
        "sample": (model.sample, {"count": 3, "seed": 0, "condition": None, "prior": mixture}),
        "elbo": (model.elbo, {"x": x, "seed": 0, "condition": None, "prior": None}),
        "log_prob": (model.log_prob, {"x": x, "samples": 3, "seed": 0, "prior": None}),
        "encode, conditional": (conditional.encode, {"x": x, "condition": labels}),
        "decode, conditional": (conditional.decode, {"z": z, "condition": labels}),
        "sample, conditional": (conditional.sample, {"count": 4, "seed": 0, "condition": labels}),
        "elbo, conditional": (conditional.elbo, {"x": x, "condition": labels}),
        "save_weights": (model.save_weights, {"filepath": out / "a.safetensors"}),
        "load_weights": (model.load_weights, {"filepath": store / "saved/model.safetensors"}),
        "fit": (functools.partial(_models(store)["trained"].fit, epochs=1, verbose=0), {"x": x, "batch_size": 2}),
        "VAE": (VAE, {**kinds, "beta": 1.0, "free_bits": 0.0, "free_bits_on": None, "free_bits_group": 1}),
        "BetaVAE": (models.BetaVAE, {**kinds, "beta": 4.0}),
        "CVAE": (models.CVAE, {**kinds, "num_classes": 3}),
        "VQVAE": (models.VQVAE, {"image_shape": (8, 8, 1), "latent_dim": 2, "codes": 4}),
        "IWAE": (models.IWAE, {**kinds, "samples": 2}),
        "zoo.load": (zoo.load, {"name": str(store / "run"), "weights": True}),
        "zoo.card": (zoo.card, {"name": str(store / "run")}),
        "zoo.names": (zoo.names, {"pattern": "*"}),
        "zoo.prior": (zoo.prior, {"name": str(store / "run")}),
        "zoo.verify": (zoo.verify, {"name": str(store / "run"), "log_prob": False}),
        "data.load": (data.load, {"name": "words", "split": "test", "binarize": None, "dequantize": False,
                                  "batch_size": 8, "training": False, "seed": 0, "first_epoch": 0, "labelled": None}),
        "data.load_arrays": (data.load_arrays, {"name": "words", "split": "test[:4]", "binarize": None}),
        "data.batches": (data.batches, arrays),
        "read_bundle": (read_bundle, {"bundle": store / "bundle"}),
        "check": (check, {"bundle": store / "bundle", "runtimes": ["onnxruntime"]}),
        "runtimes.open": (runtimes.open, {"bundle": store / "bundle", "name": "onnxruntime", "threads": 1,
                                          "format_name": "onnx", "mode": None}),
        "Runtime.encode": (runtime.encode, {"x": x}),
        "Runtime.decode": (runtime.decode, {"z": z}),
        "Runtime.run": (runtime.run, {"graph": "decoder", "inputs": {"z": z}}),
        "MixturePrior": (priors.MixturePrior, {"components": 2, "seed": 0}),
        "FlowPrior": (priors.FlowPrior, {"seed": 0}),
        "fit_codes": (priors.MixturePrior(components=2).fit_codes, of_codes),
        "prior.log_prob": (mixture.log_prob, {"codes": z}),
        "priors.load": (priors.load, {"path": store / "saved/prior.npz"}),
        "interpolate": (tasks.interpolate, {"model": model, "first": x, "second": x[::-1], "steps": 3,
                                            "method": "linear", "path": "codes", "seed": 0}),
        "traverse": (tasks.traverse, {"model": model, "x": x, "start": 0, "steps": 3, "span": 1.0}),
        "impute": (tasks.impute, {"model": model, "x": x, "observed": np.ones_like(x), "steps": 2, "seed": 0}),
        "anomaly_scores": (tasks.anomaly_scores, {"model": model, "x": x, "score": "elbo", "samples": 2, "seed": 0}),
        "threshold": (tasks.threshold, {"normal": np.arange(50.0), "false_positive_rate": 0.05}),
        "detection": (tasks.detection, {"normal": np.arange(50.0), "anomalous": np.arange(20.0), "cutoff": None,
                                        "false_positive_rate": 0.05}),
        "attribute_vector": (tasks.attribute_vector, {"model": model, "x": x, "has": np.array([1, 0, 1, 0], bool)}),
        "code_length": (tasks.code_length, {"model": model, "x": x}),
        "latent_plane": (tasks.latent_plane, {"model": _models(store)["plane"]}),
        "half_observed": (tasks.half_observed, {"image_shape": (28, 28, 1), "missing": "bottom", "seed": 0}),
        "evaluate": (evaluation.evaluate, {"model": model, "x": x, "metrics": ("likelihood.nats",), "seed": 0}),
        "schedule": (schedules.schedule, {"spec": {"name": "linear", "final": 1.0, "steps": 5}}),
        "Linear": (schedules.Linear, {"final": 1.0, "steps": 5}),
        "Examples": (_exported(model, out), {"examples": Examples(x, origin="noise")}),
    }  # fmt: skip


def run(call: Call, place: Path, store: Path, debug: bool = False) -> tuple[str, str, str]:
    """Make a bad call: what happened, a sentence, and the function."""
    from keras_vae.errors import UserError

    noise = np.random.default_rng([7, call.seed])
    known = targets(store, place / "out")
    name = list(known)[call.seed % len(known)]
    function, arguments = known[name]
    bad = _bad(noise)
    names = [
        key for key in arguments if key not in ("model", "prior")
    ]  # what is no model at all is a type checker's matter
    changed = noise.choice(names, size=min(len(names), int(noise.integers(1, 3))), replace=False)
    replaced = {str(key): bad[noise.integers(len(bad))] for key in changed}
    said = f"{name}({', '.join(f'{key}={_shown(value)}' for key, value in replaced.items())})"
    try:
        result = function(**{**arguments, **replaced})
    except UserError as error:
        return "refused", f"{said}: {error}"[:400], name
    except (TypeError, ValueError) as error:
        if debug:
            traceback.print_exc()
        frames = traceback.extract_tb(error.__traceback__)
        ours = "keras_vae" in frames[-1].filename and (frames[-1].line or "").lstrip().startswith("raise ")
        mistyped = any(_excluded(function, key, value) for key, value in replaced.items())
        if ours or mistyped:
            return "refused", f"{said}: {error}"[:400], name
        return "traceback", f"{said}: {_where(error)}", name
    except BaseException as error:
        if debug:
            traceback.print_exc()
        return "traceback", f"{said}: {_where(error)}", name
    wrong = [path for path, array in _arrays(result) if array.dtype.kind == "f" and not np.isfinite(array).all()]
    return ("invalid", f"{said}: not finite: {wrong[0]}", name) if wrong else ("valid", said, name)


def _excluded(function: Callable[..., Any], name: str, value: Any) -> bool:
    """Whether the signature of a function takes no value of this type: that documents a TypeError, or a ValueError."""
    parameters = inspect.signature(function).parameters
    hint = parameters[name].annotation if name in parameters else ""
    text = hint.__name__ if isinstance(hint, type) else str(hint).replace("pathlib.", "")
    kinds = {part.strip(" \"'") for part in text.split("|")}
    plain: dict[str, Any] = {"str": str, "Path": Path, "int": int, "float": int | float, "bool": bool,
                             "None": type(None), "Bundle": str, "Sequence[str]": list | tuple}  # fmt: skip
    return kinds <= plain.keys() and not any(isinstance(value, plain[kind]) for kind in kinds)


_made: dict[Path, dict[str, Any]] = {}


def _models(store: Path) -> dict[str, Any]:
    if store not in _made:
        from keras_vae import runtimes, zoo
        from keras_vae.models import CVAE, VAE

        small: dict[str, Any] = {"latent_dim": 3, "encoder": {"name": "mlp", "hidden": (4,)},
                                 "decoder": {"name": "mlp", "hidden": (4,)}}  # fmt: skip
        trained = VAE(**small)
        trained.compile("adam", jit_compile=False, steps_per_execution=1)
        _made[store] = {
            "plain": zoo.load(store / "run"),
            "conditional": CVAE(**small, num_classes=3),
            "trained": trained,
            "plane": VAE(**{**small, "latent_dim": 2}),
            "runtime": runtimes.open(store / "bundle", "onnxruntime", threads=1),
        }
    return _made[store]


def _exported(model: Any, out: Path) -> Callable[..., Any]:
    from keras_vae.export import export

    def exported(examples: Any) -> Any:
        return export(model, out / "bundle", ("keras",), examples)

    return exported


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "keras_vae" in frame.filename]
    frame = (ours or list(frames))[-1]
    linecache.checkcache()
    text = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__module__}.{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}: {text}"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array({value.dtype}, {value.shape})"
    text = value if inspect.isroutine(value) else repr(value)
    return f"{text}"[:60]


def _arrays(value: Any, path: str = "result") -> list[tuple[str, np.ndarray]]:
    if isinstance(value, np.ndarray | float):
        return [(path, np.asarray(value))]
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [found for key, item in items for found in _arrays(item, f"{path}/{key}")]
