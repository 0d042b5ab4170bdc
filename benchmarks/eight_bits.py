"""Store trained entries of the zoo in eight bits, measure them again, and record what that costs.

    python benchmarks/eight_bits.py NAME ...

Writes a run of the recipe with `storage = "int8"` into `runs/queue/NAME`, and that recipe as `zoo/NAME/next.toml`:
`adopt.py NAME` makes it the entry. The numbers that both have are compared example by example where the
entry keeps log p(x) of each, and by their means otherwise, in eight_bits.json.
"""

import argparse
import json
import math
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_vae import files, weights
from keras_vae.errors import UserError
from keras_vae.zoo import priors, store, training

ROOT = Path(__file__).resolve().parents[1]
QUEUE, OUTPUT = ROOT / "runs" / "queue", Path(__file__).with_suffix(".json")
STORAGE = 'storage = "int8"'


def with_storage(text: str) -> str:
    """The text of a recipe with `storage = "int8"` as the last key of its section [training]."""
    section = re.search(r"(?ms)^\[training\]\n.*?\n(?=\n|\Z)", text)
    if section is None:
        raise ValueError("the recipe has no section [training] that ends with an empty line")
    return f"{text[: section.end()]}{STORAGE}\n{text[section.end() :]}"


def convert(name: str) -> dict[str, Any]:
    """Store an entry in eight bits as a finished run of the queue; what that costs.

    Raises:
      UserError: an entry that is in eight bits, is not trained, or has another recipe to be trained with next.
    """
    entry = store.entry(name)
    if not entry.results or entry.recipe.training.storage == "int8" or (entry.folder / store.NEXT).exists():
        raise UserError(
            f"An entry is stored in eight bits once, if it is trained and no other recipe of it waits. Given: {name}. "
            f"Put {STORAGE} into its {store.NEXT} where it has one."
        )
    text, run = with_storage(entry.recipe.text), QUEUE / name
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(entry.folder, run)
    files.write_text(run / store.RECIPE, text)
    where, model, prior = store.entry(run), training.load(entry.folder), priors.prior(name)
    record: dict[str, Any] = dict(entry.results)
    weights.save(run / store.WEIGHTS, weights.numpy_arrays(weights.named_variables(model), "int8"))
    record["weights"] = {**record["weights"], **_file(run / store.WEIGHTS)}
    if prior is not None:
        prior.save(run / store.PRIOR, "int8")
        record["prior"] = {**record["prior"], **_file(run / store.PRIOR)}
    store.write_results(where, record)
    training.measure_again(run)
    files.write_text(entry.folder / store.NEXT, text)
    return cost(entry, store.entry(run))


def _file(path: Path) -> dict[str, Any]:
    return {"sha256": files.sha256(path), "bytes": path.stat().st_size}


def cost(before: store.Entry, after: store.Entry) -> dict[str, Any]:
    """The bytes of two runs of the same weights, and the differences of their numbers: later minus earlier."""
    old, new = before.results, after.results
    sizes = [sum(results[part]["bytes"] for part in ("weights", "prior") if part in results) for results in (old, new)]
    row: dict[str, Any] = {"bytes": {"float16": sizes[0], "int8": sizes[1]}, "differences": {}}
    for key, metric in old["metrics"].items():
        if "value" in metric and key in new["metrics"]:
            row["differences"][key] = {"value": new["metrics"][key]["value"] - metric["value"], "of": metric["value"]}
    paths = [where.folder / store.LOG_PROBS for where in (before, after)]
    if all(path.is_file() for path in paths):
        pairs = files.read_array(paths[1]).astype("float64") - files.read_array(paths[0])
        row["differences"]["log_prob"] |= {
            "value": float(pairs.mean()),
            "standard_error": float(pairs.std(ddof=1) / math.sqrt(len(pairs))),
            "examples": len(pairs),
        }
    return row


def markdown(results: Mapping[str, Any]) -> str:
    """The table of docs/benchmarks/fidelity.md."""
    lines = ["| entry | MB in float16 | in eight bits | change of log p(x), nats | of the squared error |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for name, row in sorted(results["entries"].items()):
        sizes = " | ".join(f"{row['bytes'][storage] / 1e6:.2f}" for storage in ("float16", "int8"))
        likelihood, error = (row["differences"].get(key) for key in ("log_prob", "squared_error"))
        nats = f"{likelihood['value']:+.3f}" if likelihood else ""
        if likelihood and "standard_error" in likelihood:
            nats += f" ± {likelihood['standard_error']:.3f}"
        share = f"{error['value'] / error['of']:+.2%}" if error else ""
        lines.append(f"| {name} | {sizes} | {nats} | {share} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help="of the zoo")
    for name in parser.parse_args().names:
        row = convert(name)
        results = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.is_file() else {"entries": {}}
        results["entries"][name] = row
        files.write_json(OUTPUT, results)
        print(name, json.dumps(row["differences"]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
