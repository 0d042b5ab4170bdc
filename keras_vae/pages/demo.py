"""The demo: the page of `export/web` with a bundle, in a folder for any web server.

A bundle is shown without TensorFlow; a model of the zoo is exported first.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from keras_vae import files
from keras_vae.errors import UserError
from keras_vae.pages.serving import MANIFEST
from keras_vae.runtimes.bundle import MANIFEST as BUNDLE
from keras_vae.runtimes.bundle import Bundle, read_bundle

_NPM_SECONDS = 300
_FORMATS = ("onnx", "onnx_fp16", "onnx_int8")
_SHOWN = ("image", "tokens", "numbers")


class Site(NamedTuple):
    """A static site."""

    folder: Path
    runtime: str  # "local": the folder has it; "cdn": the page fetches it
    note: str  # the reason for "cdn", or empty


def kit() -> Path:
    """Return the folder of the page: that of the wheel if there is one, else that of the checkout."""
    packaged = Path(__file__).parents[1] / "_web"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "export" / "web" / "site"


def build(source: str | Path, folder: str | Path, overwrite: bool = False) -> Site:
    """Write the page, a bundle and the page's runtime to `folder`, which appears whole or not at all.

    The runtime, onnxruntime-web, is copied from the previous contents of the folder or installed by npm; failing both,
    the page fetches it from a CDN. Every file is compared with its hash in runtime.json.

    Args:
      source: a bundle's folder, a model of the zoo, or the folder of a run.
      folder: new, empty, or one that this function wrote, which is replaced.
      overwrite: replace a folder with other contents.

    Raises:
      UserError: no such model or bundle, a bundle without ONNX files, or a folder that is not ours.
    """
    folder = files.check_output_folder(Path(folder).resolve(), MANIFEST, overwrite)
    bundle = _existing(source)
    if not (kit() / "runtime.json").is_file():
        raise UserError(f"This installation has no page: {kit()} is not there. Reinstall keras-vae.")
    with files.atomic_folder(folder) as temporary:
        shutil.copytree(kit(), temporary, ignore=shutil.ignore_patterns("runtime", "bundle", ".*"), dirs_exist_ok=True)
        if bundle is None:
            _export(source, temporary / "bundle")
        else:
            _copy(bundle, temporary / "bundle")
        note = _put_runtime(temporary / "runtime", folder / "runtime")
        site = Site(folder, "cdn" if note else "local", note)
        listed = sorted(path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file())
        described = {"schema": "keras_vae.demo/1", "runtime": site.runtime, "files": listed}
        files.write_json(temporary / MANIFEST, described)
    return site


def _existing(source: str | Path) -> Bundle | None:
    """Return the bundle in `source`; None for a model, after checking that it exists."""
    if not (Path(source) / BUNDLE).is_file():
        from keras_vae.zoo import cards, store

        store.checked_weights(store.entry(source))
        _require_shown(source, cards.card(source).kind)
        return None
    bundle = read_bundle(source)
    bundle.verify()
    inputs = [spec for graph in bundle.graphs.values() for name, spec in graph["inputs"].items() if name == "x"]
    _require_shown(bundle.path, inputs[0]["kind"] if inputs else "missing")
    opened = next((name for name in _FORMATS if name in bundle.formats), None)  # by the page too
    if opened is None or not all(bundle.graph_of(opened, signature) for signature in ("encode", "decode")):
        raise UserError(
            f"The page opens ONNX files of an encoder and a decoder. Given: {bundle.path}, which lacks one. Export "
            f"the model again: keras-vae export NAME {bundle.path} --format onnx."
        )
    return bundle


def _copy(bundle: Bundle, folder: Path) -> None:
    """Write the files that a bundle lists to `folder`: what was read and compared, and nothing that lies beside it."""
    for name in bundle.manifest["files"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bundle.read(name))
    shutil.copyfile(bundle.path / BUNDLE, folder / BUNDLE)


def _require_shown(source: str | Path, kind: str) -> None:
    if kind not in _SHOWN:
        raise UserError(f"The page shows images, sequences of tokens and numbers. Given: {source}, whose x are {kind}.")


def _export(name: str | Path, folder: Path) -> None:
    from keras_vae.export.entries import export_entry

    export_entry(name, folder, ("onnx",))


def _put_runtime(target: Path, previous: Path) -> str:
    """Put the files of the runtime into `target`; return the reason if that was not possible, or an empty string."""
    pinned = json.loads((kit() / "runtime.json").read_text(encoding="utf-8"))
    installed = kit().parent / "node_modules" / pinned["package"] / "dist"  # after npm install in a checkout
    for source in (previous, installed):
        if _copied(pinned, source, target):
            return ""
    with tempfile.TemporaryDirectory() as scratch:
        reason = _npm(pinned, scratch)
        if not reason and _copied(pinned, Path(scratch) / "node_modules" / pinned["package"] / "dist", target):
            return ""
    reason = reason or "the files of npm have another hash"
    return f"{reason}, so the page fetches its runtime from {pinned['cdn'].split('/')[2]}: it needs the network."


def _copied(pinned: dict[str, Any], source: Path, target: Path) -> bool:
    """Copy the runtime if `source` has all of its files, with their hashes; return whether it had."""
    for name, integrity in pinned["integrity"].items():
        kind, _, expected = integrity.partition("-")
        if not (source / name).is_file():
            return False
        actual = hashlib.new(kind, (source / name).read_bytes()).digest()
        if base64.b64encode(actual).decode() != expected:
            return False
    target.mkdir()
    for name in pinned["integrity"]:
        shutil.copyfile(source / name, target / name)
    return True


def _npm(pinned: dict[str, Any], scratch: str) -> str:
    """Install the runtime in `scratch`; return the reason if that failed, or an empty string."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    words = [npm, "install", f"{pinned['package']}@{pinned['version']}", "--prefix", scratch, "--ignore-scripts"]
    words += ["--no-save", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"]
    try:
        done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=_NPM_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"npm did not finish ({type(error).__name__})"
    last = next(iter(done.stderr.strip().splitlines()), "")
    return f"npm could not fetch it ({last[:200]})" if done.returncode else ""
