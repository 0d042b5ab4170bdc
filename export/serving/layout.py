"""Lay a bundle's SavedModel out as TensorFlow Serving reads it, with example requests made of its golden.json.

python layout.py out/ served/ NAME [VERSION]

Writes served/models/NAME/VERSION/, by default version 1; and for each signature served/requests/NAME/encode.json, the
body of a REST request, with encode.expected.json beside it, the outputs that Keras gave. The requests are those of the
version that was laid out last. Python's own library is enough.

A server runs whatever the SavedModel holds: of a bundle that is not your own, run `keras-vae check` first.
"""

import hashlib
import json
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

EXAMPLES = 2  # of golden.json's 16, in each request


def nested(array: dict[str, Any]) -> Any:
    """The first examples of an array of golden.json as nested lists."""
    shape = [min(EXAMPLES, array["shape"][0]), *array["shape"][1:]]
    # A missing number is null in JSON. TensorFlow Serving reads the word NaN, as Python writes it.
    values = [math.nan if value is None else value for value in array["data"][: math.prod(shape)]]
    for size in reversed(shape[1:]):
        values = [values[start : start + size] for start in range(0, len(values), size)]
    return values


def fresh(folder: Path) -> Path:
    """`folder`, which is not there, although its parent is: what an interrupted run left is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def checked(bundle: Path) -> dict[str, Any]:
    """The contents of bundle.json, where every file is the one it lists, no other is there, and names are words."""
    if not (bundle / "bundle.json").is_file():
        raise SystemExit(f"{bundle} is no bundle. Make one: keras-vae export NAME {bundle} --format saved_model.")
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    names = [*manifest["graphs"], *(graph["signature"] for graph in manifest["graphs"].values())]
    odd = [name for name in names if not re.fullmatch(r"\w+", name, re.ASCII)]
    if odd:
        raise SystemExit(f"Names in a bundle are made of letters, digits and underscores. Given: {odd[0]!r}.")
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise SystemExit(f"A bundle holds files and folders only, and no links. Given: {path}.")
        if path.is_file() and name != "bundle.json":
            if name not in manifest["files"]:
                raise SystemExit(f"{path} is no file of this bundle: bundle.json does not list it. Remove it.")
            if hashlib.sha256(path.read_bytes()).hexdigest() != manifest["files"][name]["sha256"]:
                raise SystemExit(f"{path} is not the file that was exported. Export the model again.")
    return manifest


def lay_out(bundle: Path, output: Path, name: str, version: int = 1) -> None:
    """Write the model's folder and the requests; a version that is there already is left alone, and refused."""
    manifest = checked(bundle)
    if "saved_model" not in manifest["formats"]:
        raise SystemExit(f"{bundle} has no SavedModel. Export it with --format saved_model.")
    final = output / "models" / name / str(version)
    if final.exists():
        raise SystemExit(f"{final} exists, and a server may be reading it. Say another version: {version + 1}.")
    golden = json.loads((bundle / "golden.json").read_text(encoding="utf-8"))["graphs"]
    requests, whole = output / "requests" / name, fresh(output / "requests" / f".{name}")
    whole.mkdir()
    for graph in golden.keys() & manifest["graphs"].keys():
        parts = golden[graph]
        signature = manifest["graphs"][graph]["signature"]
        inputs, outputs = ({key: nested(array) for key, array in parts[part].items()} for part in ("inputs", "outputs"))
        body = {"signature_name": signature, "inputs": inputs}
        (whole / f"{signature}.json").write_text(json.dumps(body) + "\n", encoding="utf-8")
        (whole / f"{signature}.expected.json").write_text(json.dumps({"outputs": outputs}) + "\n", encoding="utf-8")
    # Under another name first: a server that watches the folder must not see half a version.
    copy = fresh(final.with_name(f".copying-{version}"))
    shutil.copytree(bundle / "saved_model", copy, symlinks=True)
    whole.rename(fresh(requests))
    copy.rename(final)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    if not all(each.isdecimal() and int(each) > 0 for each in sys.argv[4:]):
        raise SystemExit(f"A version is a whole number above 0. Given: {sys.argv[4]}.")
    if sys.argv[3] != Path(sys.argv[3]).name or sys.argv[3].startswith("."):
        raise SystemExit(f"NAME is a model's, and no path. Given: {sys.argv[3]}.")
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
