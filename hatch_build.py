"""What the wheel carries of the zoo: every card, and the weights of the entries that pyproject.toml lists.

An editable install reads the checkout's folder. The other weights are fetched: keras_vae/zoo/fetching.py.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEIGHTS = ("model.safetensors", "prior.npz")


class ZooBuildHook(BuildHookInterface):
    """Adds the files of zoo/ to a wheel as keras_vae/_zoo."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them, unless the wheel is that of an editable install."""
        if version == "editable":
            return
        zoo, riding = Path(self.root) / "zoo", set(self.config["weights"])
        for path in sorted(zoo.rglob("*")):
            if path.is_file() and (path.name not in WEIGHTS or path.parent.name in riding):
                build_data["force_include"][str(path)] = f"keras_vae/_zoo/{path.relative_to(zoo).as_posix()}"
