"""The server of a demo, asked over real connections: listed files, to pages of this machine, and nothing else."""

import http.client
import json
import re
import socket
import time

import pytest

from keras_vae.pages import demo, serving
from tests.browser import served

FILES = {
    "index.html": b"<!doctype html>",
    "app.js": b"1",
    "style.css": b"a {}",
    "runtime/ort.wasm": b"\0asm",
    "bundle/bundle.json": b"{}",
    "bundle/encoder.onnx": b"\x08",
    "bundle/evil.html": b"<script>alert(1)</script>",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Host and port of a server of a folder, beside which and in which there are files that are nobody's business."""
    outside = tmp_path_factory.mktemp("demo")
    (outside / "secret").write_text("secret")
    folder = outside / "site"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "unlisted.txt").write_text("secret")
    (folder / "link").symlink_to(outside / "secret")
    listed = [*FILES, "link", "gone.js", "runtime"]
    (folder / "demo.json").write_text(json.dumps({"files": listed}))
    with served(serving.server(folder, 0)) as url:
        yield "127.0.0.1", int(url.rstrip("/").rpartition(":")[2])


def asked(address, target, method="GET", **headers):
    """Status, headers and body; the target is sent as it stands."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection._validate_path = lambda url: None
    connection._encode_request = lambda request: request.encode("latin-1")
    connection.request(method, target, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def sent(address, text):
    """What comes back for bytes that are no request of any library."""
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        parts = iter(lambda: connection.recv(4096), b"")
        return b"".join(parts)


def test_listed_files_with_their_types(address):
    types = {
        "index.html": "text/html; charset=utf-8",
        "app.js": "text/javascript; charset=utf-8",
        "style.css": "text/css; charset=utf-8",
        "runtime/ort.wasm": "application/wasm",
        "bundle/bundle.json": "application/json",
        "bundle/encoder.onnx": "application/octet-stream",
        "bundle/evil.html": "application/octet-stream",  # a stranger's, in the page's own origin
    }
    for name, content in FILES.items():
        status, headers, body = asked(address, f"/{name}")
        assert (status, body, headers["Content-Type"]) == (200, content, types[name])
        assert asked(address, f"/{name}", "HEAD")[::2] == (200, b"")
        assert asked(address, f"/{name}", "HEAD")[1]["Content-Length"] == str(len(content))
    assert asked(address, "/")[2] == asked(address, "/?bundle=bundle/#x")[2] == FILES["index.html"]
    assert asked(address, "/app%2ejs")[2] == b"1"


@pytest.mark.parametrize(
    "target",
    [
        "/unlisted.txt", "/demo.json", "/link", "/gone.js", "/runtime", "/runtime/", "/bundle/", "/bundle", "/..",
        "/../secret", "/%2e%2e/secret", "/bundle/../../secret", "/bundle/..%2f..%2fsecret", "/..\\secret", "//secret",
        "/%00", "/app.js%00", "/\x00", "/%", "/%zz", "/%ff", "/%c0%ae%c0%ae/secret", "/" + "a" * 5000, "/%0d%0aX:y",
        "http://127.0.0.1/app.js", "app.js", "*", "/etc/passwd", "//etc/passwd", "/./app.js", "/app.js/",
    ],
)  # fmt: skip
def test_other_paths_are_not_there(address, target):
    status, _, body = asked(address, target)
    assert status == 404 and b"secret" not in body and b"passwd" not in body
    assert asked(address, "/app.js")[0] == 200  # it survives


def test_headers_come_with_every_answer(address):
    for target, method in (("/", "GET"), ("/", "HEAD"), ("/%00", "GET"), ("/", "POST"), ("/app.js", "GET")):
        _, headers, _ = asked(address, target, method)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-cache"
        assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers and "Python" not in headers["Server"]
    assert asked(address, "/missing", Host="evil.test")[1]["X-Frame-Options"] == "DENY"


def test_the_policy_is_that_of_the_page():
    page = (demo.kit() / "index.html").read_text(encoding="utf-8")
    assert re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', page)[1] == serving.POLICY


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "X"])
def test_methods_that_only_read(address, method):
    assert asked(address, "/app.js", method)[0] == 501


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:9"])
def test_hosts_of_this_machine(address, host):
    """At any port: one may be forwarded."""
    assert asked(address, "/app.js", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.test", "evil.test:8000", "127.0.0.1.evil.test", "localhost.evil.test", "evil.test#127.0.0.1", "0.0.0.0", "",
     "127.0.0.1@evil.test", "127.0.0.1:evil", "127.0.0.1, evil.test", "169.254.1.1", "localhost:1:2"],
)  # fmt: skip
def test_a_name_that_only_leads_here_is_refused(address, host):
    status, _, body = asked(address, "/app.js", Host=host)
    assert status == 403 and b"127.0.0.1 or localhost" in body


def test_one_host_and_no_less(address):
    assert b" 403 " in sent(address, b"GET /app.js HTTP/1.1\r\n\r\n").splitlines()[0]
    assert b" 403 " in sent(address, b"GET /app.js HTTP/1.0\r\n\r\n").splitlines()[0]
    twice = b"GET /app.js HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n"
    assert b" 403 " in sent(address, twice).splitlines()[0]


def test_what_is_no_request_ends_without_a_word(address, capfd):
    lines = (b"", b"\0\0\0", b"GET", b"GET / HTTP/9.9", b"\x16\x03\x01\x02\x00", b"A" * 70000, b"GET /app.js")
    for text in (*(line + b"\r\n\r\n" for line in lines), b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"):
        assert b"secret" not in sent(address, text)
    for _ in range(5):  # gone before the answer
        with socket.create_connection(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert asked(address, "/app.js")[0] == 200
    time.sleep(0.1)
    assert "Traceback" not in capfd.readouterr().err


def test_nothing_is_served_before_there_is_a_demo(tmp_path):
    for text in (None, "", "[]", '{"files": 3}', "\0"):
        if text is not None:
            (tmp_path / "demo.json").write_text(text)
        with served(serving.server(tmp_path, 0)) as url:
            assert asked(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2])), "/index.html")[0] == 404
