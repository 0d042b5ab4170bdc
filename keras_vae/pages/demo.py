"""The page of `export/web` around a bundle: a folder for any web server, and a server for this machine.

A bundle that exists is shown without TensorFlow; a model of the zoo is exported first.
"""

import base64
import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from keras_vae import files
from keras_vae.errors import UserError
from keras_vae.runtimes.bundle import MANIFEST as BUNDLE
from keras_vae.runtimes.bundle import Bundle, read_bundle

MANIFEST = "demo.json"
_NPM_SECONDS = 300
_FORMATS = ("onnx", "onnx_fp16", "onnx_int8")
_SHOWN = ("image", "tokens")


class Site(NamedTuple):
    """A folder that a web server can serve as it is."""

    folder: Path
    runtime: str  # "local": it asks no other machine; "cdn": the page fetches its runtime
    note: str  # why the runtime is not local, or empty


def kit() -> Path:
    """The page's folder: the wheel's if there is one, else the checkout's."""
    packaged = Path(__file__).parents[1] / "_web"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "export" / "web" / "site"


def build(source: str | Path, folder: str | Path, overwrite: bool = False) -> Site:
    """Write the page, a bundle and the page's runtime to `folder`, which appears whole or not at all.

    The runtime, onnxruntime-web, comes from the folder's last state or from npm; where neither has it, the page takes
    it from a CDN when it is opened. Every file is compared with its hash in the page's runtime.json.

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
    with files.atomic(folder) as temporary:
        shutil.copytree(kit(), temporary, ignore=shutil.ignore_patterns("runtime", "bundle", ".*"))
        if bundle is None:
            _export(source, temporary / "bundle")
        else:
            shutil.copytree(bundle.path, temporary / "bundle")
        note = _put_runtime(temporary / "runtime", folder / "runtime")
        site = Site(folder, "cdn" if note else "local", note)
        files.write_json(temporary / MANIFEST, {"schema": "keras_vae.demo/1", "runtime": site.runtime})
    return site


def server(folder: str | Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of `folder` that only this machine reaches; it listens, and answers once `serve_forever` is called.

    Raises:
      UserError: the port is taken, or needs a privilege.
    """
    handler = functools.partial(_Handler, directory=str(folder))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"The page needs a port that is free. Given: {port} ({getattr(error, 'strerror', None) or error}). Say "
            f"--port 0 for any free one."
        ) from error


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012 - as in the base class; a system's own table may call modules text/plain
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        # Another demo may be served here next, and a browser would mix files of the two.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _existing(source: str | Path) -> Bundle | None:
    """The bundle that `source` is; None for a model, which is known to exist."""
    if not (Path(source) / BUNDLE).is_file():
        from keras_vae.zoo import cards, store

        store.checked_weights(store.entry(source))
        _require_shown(source, cards.card(source).kind)
        return None
    bundle = read_bundle(source)
    bundle.verify()
    _require_shown(bundle.path, bundle.graphs["encoder"]["inputs"]["x"]["kind"])
    first = next((name for name in _FORMATS if name in bundle.formats), None)  # the page opens the same
    if first is None or not all(bundle.graph_of(first, each) for each in ("encode", "decode")):
        raise UserError(
            f"The page opens ONNX files of an encoder and a decoder. Given: {bundle.path}, which has not both. Export "
            f"the model again: keras-vae export NAME {bundle.path} --format onnx."
        )
    return bundle


def _require_shown(source: str | Path, kind: str) -> None:
    if kind not in _SHOWN:
        raise UserError(f"The page shows images and sequences of tokens. Given: {source}, whose x are {kind}.")


def _export(name: str | Path, folder: Path) -> None:
    from keras_vae.export.entries import export_entry

    export_entry(name, folder, ("onnx",))


def _put_runtime(target: Path, previous: Path) -> str:
    """Put the runtime's files into `target`; returns why that was not possible, or nothing."""
    pinned = json.loads((kit() / "runtime.json").read_text(encoding="utf-8"))
    beside = kit().parent / "node_modules" / pinned["package"] / "dist"  # after npm install in a checkout's kit
    for place in (previous, beside):
        if _copied(pinned, place, target):
            return ""
    with tempfile.TemporaryDirectory() as scratch:
        reason = _npm(pinned, scratch)
        if not reason and _copied(pinned, Path(scratch) / "node_modules" / pinned["package"] / "dist", target):
            return ""
    reason = reason or "npm gave files of another hash"
    return f"{reason}, so the page fetches its runtime from {pinned['cdn'].split('/')[2]}: it needs the network."


def _copied(pinned: dict[str, Any], place: Path, target: Path) -> bool:
    for name, integrity in pinned["integrity"].items():
        kind, _, expected = integrity.partition("-")
        if not (place / name).is_file():
            return False
        actual = hashlib.new(kind, (place / name).read_bytes()).digest()
        if base64.b64encode(actual).decode() != expected:
            return False
    target.mkdir()
    for name in pinned["integrity"]:
        shutil.copyfile(place / name, target / name)
    return True


def _npm(pinned: dict[str, Any], scratch: str) -> str:
    """Install the runtime below `scratch`; returns why that failed, or nothing."""
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
