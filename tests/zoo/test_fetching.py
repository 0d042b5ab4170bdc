"""Weights that a wheel came without, from a folder or over HTTP: digests, the cache, cut downloads, no connection."""

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from keras_vae import zoo
from keras_vae.errors import CorruptFileError, UnavailableError
from keras_vae.zoo import fetching, store

ENTRY, SEVERAL = "rae_mnist", "vq_vae_mnist"


class Handler(BaseHTTPRequestHandler):
    """Serves a folder under /zoo with ranges; an answer ends after `cuts.pop(0)` bytes."""

    folder: Path
    cuts: list[int]
    requests: list[str]
    status = 200

    def do_GET(self):
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.requests.append(f"{self.path} {begin}")
        path = self.folder / self.path.removeprefix("/zoo/")
        if self.status != 200 or not path.is_file():
            return self.send_error(self.status if self.status != 200 else 404)
        data = path.read_bytes()
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        self.wfile.write(data[begin:][: self.cuts.pop(0) if self.cuts else None])

    def log_message(self, format, *args):
        pass


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """The zoo as a wheel has it that left the weights of two entries out, an empty cache, and no setting."""
    monkeypatch.delenv(fetching.SETTING, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkout, packaged = store.root(), tmp_path / "_zoo"
    for name in (ENTRY, SEVERAL):
        shutil.copytree(checkout / name, packaged / name, ignore=shutil.ignore_patterns("*.safetensors", "*.npz"))
    monkeypatch.setattr(store, "root", lambda: packaged)
    return checkout


@pytest.fixture
def server(wheel, monkeypatch):
    handler = type("Serving", (Handler,), {"folder": wheel, "cuts": [], "requests": []})
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv(fetching.SETTING, f"http://127.0.0.1:{web.server_port}/zoo/")
    yield handler
    web.shutdown()
    web.server_close()
    thread.join()


def weights(name=ENTRY):
    return store.checked_weights(store.entry(name))


def test_without_the_setting_the_error_names_it_and_a_checkout(wheel):
    assert zoo.names() == [ENTRY, SEVERAL] and zoo.card(ENTRY).results, "cards are there"
    rule = (
        r"rae_mnist came without its model\.safetensors, and KERAS_VAE_ZOO is not set\. Set .* the folder zoo of a chec"
    )
    with pytest.raises(UnavailableError, match=rule):
        zoo.load(ENTRY)


def test_a_folder_is_read_where_it_is(wheel, monkeypatch, tmp_path):
    monkeypatch.setenv(fetching.SETTING, str(wheel))
    assert weights() == wheel / ENTRY / store.WEIGHTS
    assert zoo.load(ENTRY).latent_dim and not (tmp_path / "cache").exists()
    monkeypatch.setenv(fetching.SETTING, str(tmp_path / "none"))
    with pytest.raises(UnavailableError, match=r"none/rae_mnist/model\.safetensors is no file\. Set KERAS_VAE_ZOO to"):
        weights()
    (tmp_path / "none" / ENTRY).mkdir(parents=True)
    (tmp_path / "none" / ENTRY / store.WEIGHTS).write_bytes(b"of an earlier version")
    with pytest.raises(CorruptFileError, match=r"is not the file of the card: expected sha256 .*of this keras_vae"):
        weights()


def test_a_url_is_fetched_once_and_then_needs_no_connection(server, wheel, monkeypatch):
    for name in (ENTRY, SEVERAL):
        assert weights(name).read_bytes() == (wheel / name / store.WEIGHTS).read_bytes()
    prior = store.checked_prior(store.entry(SEVERAL))
    assert prior is not None and prior.read_bytes() == (wheel / SEVERAL / store.PRIOR).read_bytes()
    assert len(server.requests) == 3
    monkeypatch.setenv(fetching.SETTING, "")
    assert weights().is_file() and len(server.requests) == 3


def test_a_cut_download_goes_on_where_it_was(server, wheel):
    server.cuts += [1000, 0, 5000]
    assert weights().read_bytes() == (wheel / ENTRY / store.WEIGHTS).read_bytes()
    assert [line.split()[1] for line in server.requests] == ["0", "1000", "1000", "6000"]


def test_what_one_call_got_the_next_one_keeps(server, wheel, tmp_path):
    server.cuts += [1000, 0, 0, 0, 0]
    rule = (
        r"Cannot fetch http.*/rae_mnist/model\.safetensors: the connection was cut\. Try again, .*: set KERAS_VAE_ZOO"
    )
    with pytest.raises(UnavailableError, match=rule):
        weights()
    assert not list(tmp_path.rglob("cache/**/model.safetensors"))
    server.requests.clear()
    assert weights().is_file() and server.requests == ["/zoo/rae_mnist/model.safetensors 1000"]
    assert not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.parametrize("change", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data + b"more"])
def test_other_bytes_are_refused_and_not_kept(server, wheel, tmp_path, change):
    data = (wheel / ENTRY / store.WEIGHTS).read_bytes()
    server.folder = tmp_path / "other"
    (server.folder / ENTRY).mkdir(parents=True)
    (server.folder / ENTRY / store.WEIGHTS).write_bytes(change(data))
    with pytest.raises(
        CorruptFileError, match=r"http.*model\.safetensors is not the file of the card: expected sha256"
    ):
        weights()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    server.folder = wheel
    assert weights().read_bytes() == data


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (503, 5)])
def test_a_server_that_refuses_is_named_with_its_answer(server, status, asked):
    server.status = status
    with pytest.raises(
        UnavailableError, match=rf"Cannot fetch http.*: {status}, .*Without a connection: set KERAS_VAE"
    ):
        weights()
    assert len(server.requests) == asked


def test_nobody_listens(server, monkeypatch):
    monkeypatch.setenv(fetching.SETTING, "http://127.0.0.1:9/zoo")
    with pytest.raises(UnavailableError, match=r"Cannot fetch http://127\.0\.0\.1:9/zoo/rae_mnist/.*refused"):
        weights()


def test_a_spoilt_file_in_the_cache_is_fetched_anew(server, wheel):
    path = weights()
    path.write_bytes(b"spoilt")
    assert weights().read_bytes() == (wheel / ENTRY / store.WEIGHTS).read_bytes() and len(server.requests) == 2


def test_in_a_checkout_a_missing_file_is_put_back_from_git(wheel, monkeypatch, tmp_path):
    shutil.copytree(tmp_path / "_zoo", tmp_path / "zoo")
    monkeypatch.setattr(store, "root", lambda: tmp_path / "zoo")
    monkeypatch.setenv(fetching.SETTING, str(wheel))
    with pytest.raises(CorruptFileError, match=r"actual missing.*git checkout -- zoo/rae_mnist"):
        weights()
