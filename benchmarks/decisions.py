"""The table to choose a model of digits by: what each entry of the zoo is good at, as measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_vae.zoo.wording import number, number_of_first

ROOT = Path(__file__).parents[1]


def results_of(name: str) -> dict[str, Any]:
    """results.json of an entry of the zoo."""
    return json.loads((ROOT / "zoo" / name / "results.json").read_text(encoding="utf-8"))


def overview(name: str, path: str) -> Mapping[str, Any] | None:
    """The number at a dotted path of the overview of an entry of the zoo; None: it has none."""
    part: Any = results_of(name).get("overview", {})
    for key in path.split("."):
        part = part.get(key) if isinstance(part, Mapping) else None
    return part


def markdown() -> str:
    """Models of digits, but for densities of grey levels."""
    names = sorted(path.parent.name for path in ROOT.glob("zoo/*/results.json"))
    data = {name: results_of(name)["recipe"]["data"] for name in names}
    names = [name for name in names if data[name].get("name") == "mnist" and not data[name].get("dequantize")]
    lines = [
        "| model | log p(x), nats | K | squared error | draws: `mnist_fd` | accuracy from 100 labels | training, s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in names:
        results = results_of(name)
        cells = [
            f"[{name}](zoo/{name}/README.md)",
            number_of_first(results["metrics"].get("log_prob")),
            f"{results['metrics'].get('log_prob', {}).get('samples', '')}",
            number(results["metrics"].get("squared_error")),
            number(overview(name, "generation.mnist_fd.mnist_fd")),
            number(overview(name, "representation.probes.linear.100")),
            f"{results['training']['seconds']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
