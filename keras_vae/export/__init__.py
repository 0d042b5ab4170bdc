"""From a model to files that other runtimes open, with proof that they agree: one folder, a bundle.

`export` needs TensorFlow. `check` and `read_bundle` do not.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_vae.export.assemble import export as export
    from keras_vae.export.bundle import Bundle as Bundle
    from keras_vae.export.bundle import Parity as Parity
    from keras_vae.export.bundle import read_bundle as read_bundle
    from keras_vae.export.parity import Report as Report
    from keras_vae.export.parity import check as check

_HOMES = {
    "export": "assemble",
    "check": "parity",
    "Report": "parity",
    "Bundle": "bundle",
    "Parity": "bundle",
    "read_bundle": "bundle",
}
__all__ = ["Bundle", "Parity", "Report", "check", "export", "read_bundle"]


def __getattr__(name: str) -> Any:
    # Lazy (PEP 562): checking a bundle never imports TensorFlow.
    if name in _HOMES:
        return getattr(importlib.import_module(f"keras_vae.export.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'keras_vae.export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
