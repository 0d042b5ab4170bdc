"""A small Hub on a loopback port: the HTTP API as huggingface_hub calls it, with faults on request."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"
_LARGE = (".safetensors", ".png", ".npz", ".npy", ".onnx")


class Hub(ThreadingHTTPServer):
    """Repositories by name: commits, each its files by path, and branches.

    `fault` is asked before every answer, with the request; true means that it has answered.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.private: set[str] = set()
        self.fault: Callable[[Request], bool] = lambda request: False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def create(self, name: str) -> None:
        self.commits[name], self.branches[name] = {}, {}
        self.commit(name, "main", {".gitattributes": b"*.safetensors filter=lfs"})

    def commit(self, name: str, branch: str, files: dict[str, bytes]) -> str:
        """Make `files` the whole content of a branch; return the id of the commit."""
        listed = repr([len(self.commits[name]), sorted(files.items())])
        sha = hashlib.sha1(listed.encode(), usedforsecurity=False).hexdigest()
        self.commits[name][sha] = files
        self.branches[name][branch] = sha
        return sha

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        return self.commits[name][self.branches[name].get(revision, revision)]


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, Hub)
        return self.server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _handle(self) -> None:
        self.where = unquote(urlsplit(self.path).path)
        self.body = b"".join(self._chunks()) if "Transfer-Encoding" in self.headers else self._read()
        self.hub.requests.append(f"{self.command} {self.where} {self.headers.get('Range', '')}".strip())
        if self.hub.fault(self):
            return
        for verbs, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, self.where)
            if match and self.command in verbs.split():
                return answer(self, **match.groupdict())
        self.refuse(404, "", "no such endpoint")

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # the names that http.server calls

    def reply(self, content: bytes | object, status: int = 200, **headers: str | int) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.reply({"error": message}, status, X_Error_Code=code, X_Error_Message=message)

    @property
    def allowed(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def found(self, name: str, revision: str) -> str | None:
        """The commit of a revision; None after an answer that there is none."""
        if name not in self.hub.commits or (name in self.hub.private and not self.allowed):
            self.refuse(404 if self.allowed else 401, "RepoNotFound", "Repository not found")
            return None
        sha = self.hub.branches[name].get(revision, revision)
        if sha not in self.hub.commits[name]:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
            return None
        return sha

    def info(self, name: str, revision: str = "main") -> None:
        if sha := self.found(name, revision):
            self.reply({"id": name, "sha": sha, "private": False, "tags": [], "downloads": 0, "siblings": []})

    def tree(self, name: str, revision: str) -> None:
        if sha := self.found(name, revision):
            files = self.hub.commits[name][sha].items()
            self.reply([{"type": "file", "path": path, "size": len(data), "oid": _oid(data)} | _lfs(path, data)
                        for path, data in files])  # fmt: skip

    def resolve(self, name: str, revision: str, path: str) -> None:
        if sha := self.found(name, revision):
            data = self.hub.commits[name][sha].get(path)
            if data is None:
                return self.refuse(404, "EntryNotFound", "Entry not found")
            tag = _lfs(path, data).get("lfs", {}).get("oid") or _oid(data)
            headers: dict[str, str | int] = {"ETag": f'"{tag}"', "X_Repo_Commit": sha, "Accept_Ranges": "bytes"}
            begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            if begin:
                headers["Content_Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            self.reply(data[begin:], 206 if begin else 200, **headers)

    def create(self) -> None:
        if not self.allowed:
            return self.refuse(401, "", "Invalid username or password.")
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        known = name in self.hub.commits
        if not known:
            self.hub.create(name)
            self.hub.private |= {name} if wanted.get("visibility") == "private" else set()
        self.reply({"url": f"{self.hub.url}/{name}", "name": name}, 409 if known else 200)

    def branch(self, name: str, revision: str) -> None:
        branches = self.hub.branches[name]
        known = revision in branches
        branches.setdefault(revision, branches["main"])
        self.reply({}, 409 if known else 200)

    def preupload(self, name: str, revision: str) -> None:
        files = [{"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                  "shouldIgnore": False, "oid": None} for file in json.loads(self.body)["files"]]  # fmt: skip
        self.reply({"files": files})

    def batch(self, name: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/objects/{one['oid']}"}}}
            for one in json.loads(self.body)["objects"]
        ]
        self.reply({"transfer": "basic", "objects": objects})

    def put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.refuse(400, "", "another sha256")
        self.hub.objects[oid] = self.body
        self.reply({})

    def commit(self, name: str, revision: str) -> None:
        files = dict(self.hub.files(name, revision))
        for line in map(json.loads, self.body.splitlines()):
            key, value = line["key"], line["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        sha = self.hub.commit(name, revision, files)
        self.reply({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha})


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _lfs(path: str, data: bytes) -> dict[str, Any]:
    if not path.endswith(_LARGE):
        return {}
    return {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}


_NAME = "(?P<name>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", "/api/repos/create", Request.create),
    ("POST", "/api/validate-yaml", lambda request: request.reply({"warnings": [], "errors": []})),
    ("GET", f"/api/models/{_NAME}", Request.info),
    ("GET", f"/api/models/{_NAME}/revision/(?P<revision>.+)", Request.info),
    ("GET", f"/api/models/{_NAME}/tree/(?P<revision>.+)", Request.tree),
    ("POST", f"/api/models/{_NAME}/branch/(?P<revision>.+)", Request.branch),
    ("POST", f"/api/models/{_NAME}/preupload/(?P<revision>.+)", Request.preupload),
    ("POST", f"/api/models/{_NAME}/commit/(?P<revision>.+)", Request.commit),
    ("POST", f"/{_NAME}.git/info/lfs/objects/batch", Request.batch),
    ("PUT", "/objects/(?P<oid>.+)", Request.put),
    ("GET HEAD", f"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Request.resolve),
]


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
