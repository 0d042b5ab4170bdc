"""A server of one demo, for this machine: the files that `demo.json` lists, to pages of this machine, and no more."""

import contextlib
import functools
import http.server
import json
import re
import stat
import sys
import urllib.parse
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any

from keras_vae.errors import UserError

MANIFEST = "demo.json"
# As in the head of index.html, for servers that send no such header.
POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' https://cdn.jsdelivr.net; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",  # another demo may be served here next, and a browser would mix files of the two
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Of the page's files; a bundle's are data, whatever a stranger calls them.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
_DATA = "application/octet-stream"
_LOCAL = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)


def server(folder: str | Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server of the demo in `folder`, on this machine only; it listens, and answers in `serve_forever`.

    Raises:
      UserError: the port is taken, or needs a privilege.
    """
    try:
        return _Server(("127.0.0.1", port), functools.partial(_Handler, Path(folder)))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"The page needs a free port. Given: {port} ({getattr(error, 'strerror', None) or error}). Use --port 0 "
            f"for any free one."
        ) from error


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a browser that went away
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server_version, sys_version = "keras_vae", ""
    timeout = 60  # seconds that a connection may say nothing

    def __init__(self, folder: Path, *connection: Any) -> None:
        self.folder = folder
        super().__init__(*connection)

    def do_GET(self) -> None:
        self._answer(whole=True)

    def do_HEAD(self) -> None:
        self._answer(whole=False)

    def _answer(self, whole: bool) -> None:
        hosts = self.headers.get_all("Host", [])
        # DNS rebinding: by a name of its own that resolves to this machine, another site could read this page.
        if len(hosts) != 1 or not _LOCAL.fullmatch(hosts[0].strip()):
            self.send_error(HTTPStatus.FORBIDDEN, "This page is for this machine: 127.0.0.1 or localhost")
            return
        name = self._name()
        content = None if name is None else self._content(name)
        if name is None or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        suffix = PurePosixPath(name).suffix
        typed = suffix == ".json" or not name.startswith("bundle/")
        self.send_header("Content-Type", _TYPES.get(suffix, _DATA) if typed else _DATA)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if whole:
            self.wfile.write(content)

    def _name(self) -> str | None:
        """Return the listed file that the request is for, or None."""
        path = self.path.partition("?")[0].partition("#")[0]
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            name = urllib.parse.unquote(path, errors="strict").removeprefix("/") or "index.html"
            listed = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))["files"]
            return name if path.startswith("/") and name in listed else None
        return None

    def _content(self, name: str) -> bytes | None:
        with contextlib.suppress(OSError):
            if stat.S_ISREG((self.folder / name).lstat().st_mode):
                return (self.folder / name).read_bytes()
        return None

    def end_headers(self) -> None:
        for header, value in _HEADERS.items():
            self.send_header(header, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
