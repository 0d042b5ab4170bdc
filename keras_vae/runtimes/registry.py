"""The registry of runtimes: their formats and requirements, whether they are installed, and `open`."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keras_vae.errors import UnavailableError, UserError
from keras_vae.registry import Entries, choose

if TYPE_CHECKING:
    from keras_vae.runtimes.base import Runtime
    from keras_vae.runtimes.bundle import Bundle


class Known(NamedTuple):
    """A registered runtime: its module and requirements, so that listing runtimes imports none of them."""

    home: str  # module of this package and class, or another package's "package.module:Class"
    packages: tuple[str, ...]  # distributions; the version of the first is the runtime's
    modules: tuple[str, ...]  # modules that it imports
    formats: tuple[str, ...]  # of a bundle, the preferred one first
    remedy: str
    modes: tuple[str | None, ...] = (None,)  # ways to run, the default first
    on_request: tuple[str, ...] = ()  # modes that are timed only if asked for


_TENSORFLOW = "pip install keras-vae with its dependencies"
KNOWN: Entries[Known] = Entries(
    "runtimes",
    {
        "keras": Known(
            "keras_model:KerasRuntime",
            ("keras", "tensorflow"),
            ("keras", "tensorflow", "tensorflow_probability"),
            ("keras",),
            _TENSORFLOW,
            ("tf.function", "eager", "XLA"),
        ),
        "saved_model": Known(
            "saved_model:SavedModelRuntime", ("tensorflow",), ("tensorflow",), ("saved_model",), _TENSORFLOW
        ),
        "onnxruntime": Known(
            "onnx_runtime:OnnxRuntime",
            ("onnxruntime",),
            ("onnxruntime",),
            ("onnx", "onnx_fp16", "onnx_int8"),
            "pip install onnxruntime",
        ),
        "openvino": Known(
            "openvino_runtime:OpenVinoRuntime",
            ("openvino",),
            ("openvino",),
            ("openvino", "onnx"),
            "pip install openvino",
            (None, "bfloat16"),
            ("bfloat16",),
        ),
        "litert": Known(
            "litert_runtime:LiteRtRuntime",
            ("ai-edge-litert",),
            ("ai_edge_litert",),
            ("litert",),
            "pip install ai-edge-litert",
        ),
    },
)


class Installed(NamedTuple):
    """Whether a runtime can be used here."""

    version: str | None  # None if it cannot
    reason: str | None  # the reason why not, and the remedy


def names() -> list[str]:
    """Return the names of all runtimes, installed or not."""
    return list(KNOWN)


def formats_of(name: str) -> tuple[str, ...]:
    """Return the formats that a runtime opens, the preferred one first."""
    return choose("runtime", name, KNOWN).formats


def held(bundle: "Bundle", name: str) -> list[str]:
    """Return the formats in a bundle that a runtime opens, one for each precision, float32 first."""
    by_precision: dict[str, str] = {}
    for format_name in formats_of(name):
        if format_name in bundle.formats:
            by_precision.setdefault(bundle.precision_of(format_name), format_name)
    return list(by_precision.values())


def installed() -> dict[str, Installed]:
    """Return the version of every runtime, or the reason why it cannot be used here. Imports none of them."""
    reasons = {name: _why_not(name) for name in KNOWN}
    return {  # "unknown" where a distribution of another name was installed, such as onnxruntime-gpu
        name: Installed(None if reason else version_of(KNOWN[name].packages[0]) or "unknown", reason)
        for name, reason in reasons.items()
    }


def open(
    bundle: "Bundle | str | Path",
    name: str,
    threads: int | None = None,
    format_name: str | None = None,
    mode: str | None = None,
) -> "Runtime":
    """Open a bundle's graphs in a runtime. Its files are verified against their sha256 first.

    Args:
      bundle: its folder, or the result of `export`.
      name: `"keras"`, `"saved_model"`, `"onnxruntime"`, `"openvino"` or `"litert"`.
      threads: the number that computes one call; by default, every processor this process may use.
      format_name: one of the bundle's formats; by default, the first of `formats_of(name)` that it holds.
      mode: for `"keras"`: `"tf.function"`, `"eager"` or `"XLA"`; for `"openvino"`, `"bfloat16"`: faster where the
        processor supports it, with errors of about 1e-3.

    Raises:
      UserError: an unknown runtime or mode, a folder that is no bundle, or threads that can no longer be set.
      UnavailableError: the runtime is not installed, or the bundle has no file for it.
      CorruptFileError: a file is not the one that was exported.
    """
    from keras_vae.runtimes.bundle import read_bundle

    runtime = choose("runtime", name, KNOWN)
    bundle = read_bundle(bundle)
    if mode is not None and mode not in runtime.modes:
        modes = ", ".join(filter(None, runtime.modes)) or "none"
        raise UserError(f"The runtime {name!r} has the modes: {modes}. Given: mode={mode!r}.")
    formats = [other for other in runtime.formats if other in bundle.formats and format_name in (None, other)]
    if not formats:
        raise UnavailableError(
            f"The runtime {name!r} opens the format {' or '.join(runtime.formats)}. Given: {bundle.path}, which holds "
            f"{', '.join(bundle.formats)}. Export it again with --format {runtime.formats[0]}."
        )
    reason = _why_not(name)
    if reason:
        raise UnavailableError(reason)
    module, _, class_name = runtime.home.partition(":")
    try:
        home = module if "." in module else f"keras_vae.runtimes.{module}"
        kind = getattr(importlib.import_module(home), class_name)
    except ImportError as error:
        raise UnavailableError(
            f"The runtime {name!r} is installed, but cannot be imported: {error}. {runtime.remedy}."
        ) from error
    return kind(bundle, formats[0], threads, mode or runtime.modes[0])


def _why_not(name: str) -> str | None:
    """Return why a runtime cannot be used here, with a remedy, or None. Reads no versions, which would be slow."""
    missing = [module for module in KNOWN[name].modules if not _is_there(module)]
    if not missing:
        return None
    return f"The runtime {name!r} is not installed: there is no module {missing[0]}. Install it: {KNOWN[name].remedy}."


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def version_of(distribution: str) -> str | None:
    """Return the version of a distribution, or None where it is not installed. Does not import it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
