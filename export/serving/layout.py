"""Lay a bundle's SavedModel out as TensorFlow Serving reads it, with example requests made of its golden.json.

python layout.py out/ served/ NAME [EXAMPLES]

Writes served/NAME/1/, the version 1 of the model NAME; and for each signature served/requests/encode.json, the body of
a REST request, with served/requests/encode.expected.json, the outputs that Keras gave. Python's own library is enough.
"""

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any


def nested(array: dict[str, Any], examples: int) -> Any:
    """The first examples of an array of golden.json as nested lists."""
    shape = [min(examples, array["shape"][0]), *array["shape"][1:]]
    values = array["data"][: math.prod(shape)]
    for size in reversed(shape[1:]):
        values = [values[start : start + size] for start in range(0, len(values), size)]
    return values


def lay_out(bundle: Path, output: Path, name: str, examples: int = 2) -> None:
    """Write the model's folder and the requests; a version that is there already is left alone, and refused."""
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    if "saved_model" not in manifest["formats"]:
        raise SystemExit(f"{bundle} has no SavedModel. Export it with --format saved_model.")
    version = output / name / "1"
    if version.exists():
        raise SystemExit(f"{version} exists. Choose another folder, or remove it.")
    golden = json.loads((bundle / "golden.json").read_text(encoding="utf-8"))["graphs"]
    requests = output / "requests"
    requests.mkdir(parents=True, exist_ok=True)
    for graph, parts in golden.items():
        signature = manifest["graphs"][graph]["signature"]
        inputs, outputs = ({key: nested(array, examples) for key, array in part.items()} for part in parts.values())
        body = {"signature_name": signature, "inputs": inputs}
        (requests / f"{signature}.json").write_text(json.dumps(body) + "\n", encoding="utf-8")
        (requests / f"{signature}.expected.json").write_text(json.dumps({"outputs": outputs}) + "\n", encoding="utf-8")
    # Under another name first: a server that watches the folder must not see half a version.
    whole = output / name / ".copying"
    shutil.copytree(bundle / "saved_model", whole, dirs_exist_ok=True)
    whole.rename(version)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
