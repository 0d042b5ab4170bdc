"""The wheel: what it holds, and that it works from an empty folder in an environment of its own.

Environments are filled from the package index that pip is configured with. Where there is none, KERAS_VAE_OFFLINE=1
skips what needs it.
"""

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import toy_runs
from tests.hub.server import TOKEN, serving

ROOT = Path(__file__).resolve().parents[1]
NEEDS_INDEX = pytest.mark.skipif("KERAS_VAE_OFFLINE" in os.environ, reason="KERAS_VAE_OFFLINE is set: no package index")
WEIGHTS = "model.safetensors"
LIGHT = ("numpy", "onnxruntime", "psutil", "typer", "rich")  # what list, show, check and bench need


def run_checked(words, folder, **kwargs):
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, capture_output=True, text=True, check=False, env=clean(), **kwargs
    )
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def clean():
    """No trace of the checkout, which would hide the installed package."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the sdist, which lies beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    run_checked([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], folder)
    (built,) = folder.glob("*.whl")
    return built


def environment(folder, *packages):
    """A virtual environment with `packages`; a failure to install is a failure, and says what pip said."""
    venv.create(folder)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    for words in packages:
        pip = [sys.executable, "-m", "pip", "--python", binaries / "python"]
        run_checked([*pip, "install", "--quiet", "--no-compile", *words], folder, timeout=1800)
    return binaries


@pytest.fixture(scope="module")
def light(wheel, tmp_path_factory):
    """The wheel without its dependencies: no TensorFlow, no Keras, no h5py, no matplotlib."""
    return environment(tmp_path_factory.mktemp("light"), ["--no-deps", wheel], LIGHT)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of the toy model, made outside of the environment that uses it."""
    from keras_vae import export
    from keras_vae.zoo import loading, recipes

    folder = tmp_path_factory.mktemp("exported")
    recipe = recipes.read(toy_runs.write_recipe(folder / "toy.toml"))
    export.export(loading.build(recipe), folder / "toy", formats=("onnx",))
    return folder / "toy"


@pytest.fixture
def keras_vae(light, tmp_path):
    """Run the installed command in an empty folder."""

    def command(*words, code=0):
        done = subprocess.run(
            [light / "keras-vae", *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False,
            timeout=300, env=clean(),
        )  # fmt: skip
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return command


def test_what_the_wheel_holds(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"keras_vae", wheel.name.split("-py3")[0] + ".dist-info"}, "no tests, no zoo beside the package"
    for name in ("recipe.toml", "model.safetensors", "results.json", "README.md"):
        packed = zipfile.ZipFile(wheel).read(f"keras_vae/_zoo/beta_vae_mnist/{name}")
        assert packed == (ROOT / "zoo/beta_vae_mnist" / name).read_bytes()
    page = {path.name for path in (ROOT / "export/web/site").iterdir() if path.is_file()}
    assert {name.split("/")[-1] for name in names if name.startswith("keras_vae/_web/")} == page, "and no 14 MB of wasm"
    digits = {f"keras_vae/data/tfds/{name}" for name in ("mnist.npz", "PROVENANCE.md")}
    assert digits <= set(names), "the digits come along, with their licence"
    words = {f"keras_vae/data/words/{name}" for name in ("words.txt.gz", "COPYRIGHT", "PROVENANCE.md")}
    assert words <= set(names), "the words come along, with their licence"
    assert not [name for name in names if "checkpoint" in name.split("/")[-1] and "_zoo" in name]
    assert not [name for name in names if name.startswith("keras_vae/_zoo/") and name.endswith(".py")]
    entry_points = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("entry_points.txt")))
    assert b"keras-vae = keras_vae.cli:main" in entry_points
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_weights_of_the_zoo_stay_small():
    held = [*ROOT.glob(f"zoo/*/*{WEIGHTS}"), *ROOT.glob("zoo/*/prior.npz")]
    assert sum(path.stat().st_size for path in held) <= 80e6, "python benchmarks/eight_bits.py NAME halves an entry's"


def test_what_is_downloaded_stays_small(wheel):
    (sdist,) = wheel.parent.glob("*.tar.gz")
    assert wheel.stat().st_size <= 60e6 and sdist.stat().st_size <= 90e6
    files = zipfile.ZipFile(wheel).infolist()
    riding = {file.filename.split("/")[2]: file.file_size for file in files if file.filename.endswith(WEIGHTS)}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(settings["hooks"]["custom"]["weights"]) == riding.keys(), "each is an entry with weights"
    assert sum(file.file_size for file in files if file.filename.endswith((WEIGHTS, "prior.npz"))) <= 30e6
    cards = {file.filename.split("/")[2] for file in files if file.filename.endswith("recipe.toml")}
    assert cards == {path.parent.name for path in ROOT.glob("zoo/*/recipe.toml")}, "every card rides"
    with tarfile.open(sdist) as packed:
        names = [path for path in packed.getnames() if path.endswith((WEIGHTS, "prior.npz"))]
    assert {path.split("/")[2] for path in names} == riding.keys(), "the sdist has the weights of the wheel, no others"


def test_the_metadata_say_what_is_true(wheel):
    name = wheel.name.split("-py3")[0]
    text = zipfile.ZipFile(wheel).read(f"{name}.dist-info/METADATA").decode()
    assert "Classifier: Typing :: Typed" in text and "keras_vae/py.typed" in zipfile.ZipFile(wheel).namelist()
    assert {"hub", "gpu", "openvino", "litert", "tensorboard"} <= set(re.findall("Provides-Extra: (.+)", text))
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search("^version: (.+)", citation, re.M)[1] == re.search("^Version: (.+)", text, re.M)[1]


def test_what_the_workflows_call_is_there():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        for target in re.findall(r"run: make ([\w-]+)", text):
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"{path.name}: make {target}"
        assert "permissions:\n  contents: read\n" in text, path.name
    assert "run: .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()


@NEEDS_INDEX
def test_weights_that_did_not_ride_are_asked_for_by_name(light, tmp_path):
    script = "from keras_vae.zoo import store; print(store.checked_weights(store.entry('beta_tc_vae_sprites')))"
    environment_ = {**clean(), "XDG_CACHE_HOME": str(tmp_path), "KERAS_VAE_ZOO": ""}
    run = functools.partial(
        subprocess.run, [light / "python", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    done = run(env=environment_, check=False)
    assert "KERAS_VAE_ZOO is not set. Set KERAS_VAE_ZOO to the folder zoo of a checkout" in done.stderr
    done = run(env={**environment_, "KERAS_VAE_ZOO": str(ROOT / "zoo")}, check=True)
    assert done.stdout.strip() == str(ROOT / "zoo/beta_tc_vae_sprites/model.safetensors")


@NEEDS_INDEX
def test_without_tensorflow_the_zoo_is_listed_and_shown(keras_vae, light, tmp_path):
    from keras_vae import zoo

    names = "from importlib.metadata import distributions; print([each.name for each in distributions()])"
    installed = run_checked([light / "python", "-c", names], tmp_path).lower()
    assert "onnxruntime" in installed and "tensorflow" not in installed and "matplotlib" not in installed
    assert [each["name"] for each in json.loads(keras_vae("list", "--json").stdout)] == zoo.names()
    assert "beta_vae_mnist" in keras_vae("list").stdout
    shown = json.loads(keras_vae("show", "beta_vae_mnist", "--json").stdout)
    assert shown["results"] == zoo.card("beta_vae_mnist").results
    assert "log p(x)" in keras_vae("show", "beta_vae_mnist").stdout
    assert "Did you mean 'beta_vae_mnist'" in keras_vae("show", "beta_vae_minst", code=1).stderr
    assert keras_vae("--version").stdout == f"keras-vae {version('keras_vae')}\n"
    where = run_checked([light / "python", "-c", "from keras_vae.zoo import store; print(store.root())"], tmp_path)
    assert where.strip().endswith(os.path.join("keras_vae", "_zoo"))


@contextlib.contextmanager
def own_hub(folder, monkeypatch):
    """A Hub on this machine that huggingface_hub talks to in the block, with a cache in `folder`."""
    with serving() as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), "HF_TOKEN": TOKEN}
        for name, value in {**settings, "HF_HUB_DISABLE_XET": "1"}.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.slow
@NEEDS_INDEX
def test_without_tensorflow_a_model_goes_to_the_hub_and_comes_back(keras_vae, light, tmp_path, monkeypatch):
    pip = [sys.executable, "-m", "pip", "--python", light / "python", "install", "--quiet"]
    run_checked([*pip, "huggingface_hub>=2.4"], tmp_path, timeout=900)
    with own_hub(tmp_path, monkeypatch):
        address = json.loads(keras_vae("push", "beta_vae_mnist", "hf://ann/digits", "--json").stdout)["address"]
        shown = json.loads(keras_vae("show", "hf://ann/digits", "--json").stdout)
        script = f"from keras_vae.zoo import store; print(store.checked_weights(store.entry({address!r})))"
        path = run_checked([light / "python", "-c", script], tmp_path).strip()
    assert shown["name"] == "digits" and address.split("@")[1] in path
    assert Path(path).read_bytes() == (ROOT / "zoo/beta_vae_mnist/model.safetensors").read_bytes()


@NEEDS_INDEX
def test_without_tensorflow_a_bundle_is_run_checked_and_timed(keras_vae, light, bundle, tmp_path):
    report = json.loads(keras_vae("check", bundle, "--json").stdout)
    assert report["passed"] and {row["runtime"] for row in report["rows"]} == {"onnxruntime"}
    assert "agrees with Keras" in keras_vae("check", bundle, "--runtime", "onnxruntime").stdout

    results = json.loads(keras_vae("bench", bundle, "--batch", "1", "--batch", "8", "--calls", "20", "--json").stdout)
    timed = {row["runtime"]: row["status"] for row in results["rows"]}
    assert timed["onnxruntime"] == "ok" and timed["keras"] != "ok", "what is not installed is a row that says so"
    assert (tmp_path / "runs/bench/toy/bench.json").is_file()

    script = (
        "import sys, numpy as np, keras_vae\n"
        f"runtime = keras_vae.runtimes.open({str(bundle)!r}, 'onnxruntime')\n"
        "code = runtime.encode(np.zeros((3, 28, 28, 1), 'float32'))\n"
        "image = runtime.decode(np.zeros((2, 3), 'float32'))\n"
        "print(code.shape, image.shape)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    printed = run_checked([light / "python", "-c", script], tmp_path)
    assert printed.strip() == "(3, 3) (2, 28, 28, 1)"


@NEEDS_INDEX
@pytest.mark.parametrize(
    "words",
    [("train", "beta_vae_mnist"), ("sample", "beta_vae_mnist"), ("encode", "beta_vae_mnist"),
     ("traverse", "beta_vae_mnist"), ("evaluate", "beta_vae_mnist"), ("verify", "beta_vae_mnist"), ("quickstart",),
     ("export", "beta_vae_mnist", "out")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_without_tensorflow_what_needs_it_says_so(keras_vae, tmp_path, words):
    done = keras_vae(*words, code=1)
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert "which is not installed here. Install keras-vae with its dependencies: pip install keras-vae" in done.stderr
    assert "module tensorflow" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@NEEDS_INDEX
def test_with_all_dependencies_the_zoo_gives_its_numbers_and_is_shared(wheel, tmp_path, monkeypatch):
    """As a user installs it: nothing of the checkout, an empty folder, no network for the digits."""
    binaries = environment(tmp_path / "full", [f"{wheel}[hub]"])
    (tmp_path / "empty").mkdir()
    verified = json.loads(
        run_checked([binaries / "keras-vae", "verify", "beta_vae_mnist", "--json"], tmp_path / "empty", timeout=1800)
    )
    assert verified["agrees"] is True
    assert {"elbo", "log_px", "kl", "log_prob"} < set(verified["metrics"])
    with own_hub(tmp_path, monkeypatch):
        pushed = [binaries / "keras-vae", "push", "beta_vae_mnist", "hf://ann/digits", "--json"]
        address = json.loads(run_checked(pushed, tmp_path / "empty"))["address"]
        code = f"from keras_vae import zoo; print(type(zoo.load({address!r})).__name__)"
        assert run_checked([binaries / "python", "-c", code], tmp_path / "empty") == "BetaVAE\n"
    assert os.listdir(tmp_path / "empty") == []
