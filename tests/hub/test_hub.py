"""Models to the Hub and back, over a local server that speaks its API, with the faults that happen."""

import json
import re
import shutil
import time

import numpy as np
import pytest

from keras_vae import zoo
from keras_vae.errors import CorruptFileError, UnavailableError, UserError
from keras_vae.hub.front_matter import front_matter
from keras_vae.zoo import hub_folders, store
from tests import toy_runs
from tests.hub.server import TOKEN, serving

ENTRY = "wae_mnist"
HERE = "hf://ann/digits"


def at(url, monkeypatch):
    """Let huggingface_hub, which reads HF_ENDPOINT when it is imported, talk to `url`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The local Hub, an empty cache, and a token that may write."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # huggingface_hub waits before it tries again
    with serving() as server:
        at(server.url, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # files go by LFS
        (tmp_path / "token").write_text(TOKEN)
        yield server


@pytest.fixture
def pushed(hub):
    """The address, with its commit, of an entry of the zoo that was pushed."""
    return zoo.push(ENTRY, HERE)


def log_out(tmp_path):
    (tmp_path / "token").unlink()


def weights_of(server):
    return server.files("ann/digits")["model.safetensors"]


def fail(server, pattern, status=None, code="", message="", times=10**6):
    """Let the server refuse requests that match; without a status, close their connections unanswered."""
    left = [times]

    def fault(request):
        if not re.search(pattern, f"{request.command} {request.where}") or not left[0]:
            return False
        left[0] -= 1
        if status is None:
            request.close_connection = True
        else:
            request.refuse(status, code, message)
        return True

    server.fault = fault


def test_a_model_goes_to_the_hub_and_comes_back(hub, pushed, tmp_path):
    assert re.fullmatch(r"hf://ann/digits@[0-9a-f]{40}", pushed)
    entry, files = store.entry(ENTRY), hub.files("ann/digits")
    for path in entry.folder.iterdir():
        if path.name in files and path.name != "README.md":
            assert files[path.name] == path.read_bytes(), path.name
    pictures = {"curves.png", "reconstructions.png"}
    assert {"recipe.toml", "results.json", "model.safetensors", "README.md", *pictures} <= files.keys()
    assert not any("next" in name or "checkpoint" in name for name in files)

    card = zoo.card(HERE)
    assert card.name == "digits" and card.results == entry.results and card.reference == pushed
    model = zoo.load(pushed)
    assert model.provenance.name == "digits" and model.provenance.weights_sha256 == entry.results["weights"]["sha256"]
    for ours, theirs in zip(zoo.load(ENTRY).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert zoo.card(model.provenance.folder).reference == pushed, "its folder in the cache is the same model"


def test_the_card_has_the_front_matter_of_the_hub(hub, pushed):
    from huggingface_hub import ModelCard

    card = ModelCard(hub.files("ann/digits")["README.md"].decode())
    facts, results = card.data, store.entry(ENTRY).results
    assert (facts.license, facts.library_name, facts.datasets) == ("apache-2.0", "keras_vae", ["ylecun/mnist"])
    assert {"variational-autoencoder", "WAE"} <= set(facts.tags) and facts.model_name == "digits"
    numbers = {row.metric_type: row.metric_value for row in facts.eval_results}
    assert numbers == {name: row["value"] for name, row in results["metrics"].items()}
    assert {(row.dataset_type, row.dataset_split) for row in facts.eval_results} == {("ylecun/mnist", "test")}
    assert f'keras_vae.zoo.load("{HERE}")' in card.text and card.text.lstrip().startswith("# digits")


@pytest.mark.parametrize(
    ("name", "task"),
    [("beta_vae_mnist", "unconditional-image-generation"), ("sequence_vae_words", "text-generation"),
     ("rae_mnist", None), ("cvae_mnist", None)],
)  # fmt: skip
def test_the_task_is_what_the_model_can_do(name, task):
    from huggingface_hub import ModelCard

    facts = ModelCard(f"{front_matter(zoo.card(name))}\ntext").data
    assert facts.pipeline_tag == task and facts.license is None
    assert len(facts.eval_results) == len(zoo.card(name).results["metrics"])


def test_a_model_of_numbers_gives_features():
    from huggingface_hub import ModelCard

    card = zoo.card("beta_vae_mnist")
    results = {**card.results, "evaluation": {**card.results["evaluation"], "kind": "numbers"}}
    facts = ModelCard(f"{front_matter(card._replace(results=results))}\ntext").data
    assert facts.pipeline_tag == "feature-extraction" and facts.eval_results


def test_a_later_push_is_another_commit_and_the_first_stays(hub, pushed, own_run, tmp_path):
    (own_run / store.LOG_PROBS).unlink(missing_ok=True)
    later = zoo.push(own_run, HERE)
    assert later != pushed and zoo.card(later).recipe.summary == "A toy that learns little."
    assert zoo.card(HERE).reference == later
    assert zoo.card(pushed).recipe.summary == zoo.card(ENTRY).recipe.summary
    front = hub.files("ann/digits")["README.md"].decode()
    assert "license" not in front.split("\n---\n")[0], "whose weights they are, their owner says"
    assert ".gitattributes" in hub.files("ann/digits")
    branch = zoo.push(ENTRY, f"{HERE}@try")
    assert zoo.card(f"{HERE}@try").reference == branch and zoo.card(HERE).reference == later


def test_what_the_run_lacks_is_removed_from_the_hub(hub, pushed):
    hub.commit("ann/digits", "main", {**hub.files("ann/digits"), "prior.npz": b"old", "notes.md": b"mine"})
    zoo.push(ENTRY, HERE)
    assert "prior.npz" not in hub.files("ann/digits") and hub.files("ann/digits")["notes.md"] == b"mine"


def test_a_pinned_address_that_was_fetched_asks_the_hub_for_nothing(hub, pushed):
    zoo.card(pushed)
    hub.requests.clear()
    zoo.card(pushed)
    assert hub.requests == []


def test_the_cache_serves_when_the_hub_is_gone(hub, pushed, monkeypatch):
    from huggingface_hub import constants

    zoo.card(HERE)
    fail(hub, ".", 503, message="Down for maintenance")
    assert zoo.card(HERE).reference == pushed
    at("http://127.0.0.1:9", monkeypatch)  # nobody listens
    assert zoo.card(HERE).reference == pushed and zoo.card(pushed).reference == pushed
    with pytest.raises(
        UnavailableError, match=r"hf://ann/other cannot be fetched, as the Hub cannot be reached.*cache"
    ):
        zoo.card("hf://ann/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert zoo.card(HERE).reference == pushed


def test_a_download_that_is_cut_goes_on_where_it_was(hub, pushed, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)  # what arrives in one piece, 10 MB, is kept or lost
    data = weights_of(hub)

    def cut(request):
        if request.command != "GET" or not request.where.endswith("model.safetensors") or request.headers.get("Range"):
            return False
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[: len(data) // 2])
        request.close_connection = True
        return True

    hub.fault = cut
    assert store.checked_weights(store.entry(HERE)).read_bytes() == data
    asked = [line for line in hub.requests if line.startswith("GET") and "model.safetensors" in line]
    assert len(asked) == 2 and 0 < int(re.search(r"bytes=(\d+)-", asked[1])[1]) <= len(data) // 2


def test_a_download_that_fails_half_way_leaves_no_half_model(hub, pushed, tmp_path):
    fail(hub, "GET .*model.safetensors")
    with pytest.raises(UnavailableError, match=r"Traffic with the Hub about .* failed: .*Try again: files that are wh"):
        zoo.card(HERE)
    hub.fault = lambda request: False
    hub.requests.clear()
    assert zoo.card(HERE).reference == pushed
    assert len([line for line in hub.requests if line.startswith("GET") and "results.json" in line]) <= 1


def test_other_bytes_than_the_digest_are_refused(hub, pushed, tmp_path):
    files, other = hub.files("ann/digits"), bytearray(weights_of(hub))
    other[-1] ^= 1
    hub.commit("ann/digits", "main", {**files, "model.safetensors": bytes(other)})
    with pytest.raises(CorruptFileError, match=r"are not those of the card: expected sha256 .*rm -r .*on the Hub too"):
        zoo.load(HERE)
    hub.commit(
        "ann/digits", "main", {**files, "results.json": files["results.json"].replace(b'"epochs": ', b'"epochs": 1')}
    )
    with pytest.raises(CorruptFileError, match=r"its digest is another than it says\. To fetch it again, remove"):
        zoo.card(HERE)
    hub.commit("ann/digits", "main", files)
    assert zoo.card(HERE).results


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("hf://ann/nobody", r"hf://ann/nobody is not on the Hub, or is private\. Correct its name, or log in"),
        (f"{HERE}@v9", r"hf://ann/digits@v9 has no such revision\. Choose a branch, tag or commit of http"),
        ("hf://ann", r"An address on the Hub is hf://USER/MODEL or .*Given: hf://ann\."),
        ("hf://ann/../digits", "An address on the Hub is"),
        ("hf://ann/digits@../../x", "An address on the Hub is"),
        ("hf://ann/empty", r"hf://ann/empty is no model of keras_vae: it has no recipe\.toml"),
    ],
)
def test_what_is_not_there_is_said(hub, pushed, address, text):
    hub.create("ann/empty")
    with pytest.raises(UserError, match=text):
        zoo.card(address)


def test_a_gated_or_private_model_says_what_to_do(hub, pushed, tmp_path):
    fail(hub, "/api/models/", 403, "GatedRepo", "Access to model ann/digits is restricted.")
    with pytest.raises(
        UserError, match=r"hf://ann/digits is gated: accept its terms at http.*/ann/digits, then log in"
    ):
        zoo.card(HERE)
    hub.fault = lambda request: False
    hub.private.add("ann/digits")
    assert zoo.card(HERE).reference == pushed
    shutil.rmtree(tmp_path / "cache")
    log_out(tmp_path)
    with pytest.raises(UserError, match=r"is not on the Hub, or is private\. Correct its name, or log in \(hf auth"):
        zoo.card(HERE)


def test_a_hub_in_trouble_is_named(hub, pushed):
    fail(hub, "/api/models/", 502, message="Bad Gateway")
    with pytest.raises(UserError, match=r"The Hub refused hf://ann/digits: 502, Bad Gateway\. Try again later\."):
        zoo.card(HERE)
    fail(hub, "/api/models/", 429, message="Rate limit")
    with pytest.raises(UserError, match=r"429, Rate limit\. Too many requests: try again in some minutes\."):
        zoo.card(HERE)


def test_pushing_needs_a_token_that_may_write(hub, tmp_path):
    (tmp_path / "token").write_text("hf_of_another")
    with pytest.raises(UserError, match=r"The Hub refused .*: 401, Invalid .*token is missing or not valid: log in"):
        zoo.push(ENTRY, HERE)
    log_out(tmp_path)
    with pytest.raises(UserError, match=r"the Hub needs a token that may write\. Log in: hf auth login; or set HF_"):
        zoo.push(ENTRY, HERE)
    assert hub.commits == {}


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [("POST .*/commit/", 403, "Private repository storage limit reached"), ("PUT ", 403, "Storage quota is used up")],
)
def test_a_push_that_is_refused_half_way_commits_nothing(hub, pushed, request_, status, words):
    before = hub.branches["ann/digits"]["main"]
    hub.objects.clear()
    fail(hub, request_, status, message=words)
    with pytest.raises(UserError, match=rf"The Hub refused hf://ann/digits: 403, {words}\. The account of your token"):
        zoo.push(ENTRY, HERE)
    assert hub.branches["ann/digits"]["main"] == before
    hub.fault = lambda request: False
    assert zoo.push(ENTRY, HERE) != pushed


def test_a_run_that_is_not_whole_is_not_pushed(hub, own_run):
    with pytest.raises(UserError, match=r"A commit on the Hub never changes\. Given: .*Push to a branch"):
        zoo.push(own_run, f"{HERE}@{'a' * 40}")
    (own_run / store.WEIGHTS).write_bytes(b"none")
    with pytest.raises(CorruptFileError, match="are not those of the card"):
        zoo.push(own_run, HERE)
    (own_run / store.RESULTS).unlink()
    with pytest.raises(CorruptFileError, match="is not trained to its end"):
        zoo.push(own_run, HERE)
    assert hub.commits == {}


def test_a_bundle_of_the_same_weights_goes_with_them(hub, own_run, tmp_path):
    from keras_vae import export

    export.export(zoo.load(own_run), tmp_path / "onnx", formats=["onnx"])
    zoo.push(own_run, HERE, bundle=tmp_path / "onnx", private=True)
    files = hub.files("ann/digits")
    assert {"bundle/bundle.json", "bundle/golden.json", "bundle/encoder.onnx", "bundle/decoder.onnx"} <= files.keys()
    assert "ann/digits" in hub.private
    with pytest.raises(UserError, match=r"A bundle is pushed beside the weights that it was exported from\. Given: "):
        zoo.push(ENTRY, HERE, bundle=tmp_path / "onnx")
    zoo.push(own_run, HERE)
    assert not any(name.startswith("bundle/") for name in hub.files("ann/digits")), "an old bundle does not stay"


def test_without_huggingface_hub_the_remedy_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for act in (lambda: zoo.card(HERE), lambda: zoo.push(ENTRY, HERE)):
        with pytest.raises(UnavailableError, match=r'not installed here\. Install it: pip install "keras_vae\[hub\]"'):
            act()


def test_the_command_line_pushes_shows_and_says_what_failed_in_one_line(hub, tmp_path, monkeypatch):
    environment = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = toy_runs.cli(["push", ENTRY, HERE, "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    address = json.loads(done.stdout)["address"]
    shown = toy_runs.cli(["show", address, "--json"], tmp_path)
    assert json.loads(shown.stdout)["results"] == zoo.card(ENTRY).results, shown.stderr
    done = toy_runs.cli(["show", "hf://ann/digit"], tmp_path)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("Error: hf://ann/digit is not on the Hub")


def test_a_folder_of_another_kind_is_no_address(tmp_path):
    for name in ("snapshots/" + "a" * 40, "models--ann--x/snapshots/v1", "models--x/snapshots/" + "a" * 40):
        assert hub_folders.address_of(tmp_path / name) is None
    cached = tmp_path / "models--ann--x/snapshots" / ("a" * 40)
    assert str(hub_folders.address_of(cached)) == f"hf://ann/x@{'a' * 40}"
    (cached.parents[1] / "blobs").mkdir(parents=True)
    cached.mkdir(parents=True)
    for name, inside in (("../../blobs/1", True), ("/etc/hostname", False)):
        (cached / "link").unlink(missing_ok=True)
        (cached / "link").symlink_to(name)
        assert hub_folders.in_cache(cached, cached / "link") is inside
