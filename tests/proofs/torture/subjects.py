"""The rows of the table: files of every kind that the library reads, made once, and their digests made to fit."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests import toy_runs
from tests.proofs.torture import formats
from tests.proofs.torture.formats import Format

CHANGES: dict[str, Any] = {
    "data.train": "train[:200]",
    "data.validation": "validation[:50]",
    "data.binarize": "static",
    "training.epochs": 3,
    "training.batch_size": 50,
    "evaluation.split": "test[:50]",
    "evaluation.samples": 2,
    "prior": {"class": "MixturePrior", "components": 2},
}
TWIN: dict[str, Any] = {"training.seed": 1}
RUNTIMES = {"saved_model": "saved_model", "onnx": "onnxruntime", "litert": "litert", "openvino": "openvino",
            "keras": "keras"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
      name: the row's.
      subject: the folder of the store that is copied, and read.
      file: in it, that is mutated.
      form: its format.
      readers: names in `readers.READERS`, taken in turn.
      others: further valid files that can take its place, in the store; its twin's always can.
      digests: whether the library keeps a digest of it, so that there is one to be made to fit.
      within: whether that digest is in the file itself, and nowhere else: another valid file has one that fits.
    """

    name: str
    subject: str
    file: str
    form: Format
    readers: tuple[str, ...]
    others: tuple[str, ...] = ()
    digests: bool = True
    within: bool = False


def _of_bundle(name: str, file: str, form: Format, runtimes: Sequence[str], others: Sequence[str] = ()) -> Kind:
    readers = [*(f"open {runtime}" for runtime in runtimes), *(f"check {runtime}" for runtime in runtimes)]
    return Kind(name, "bundle", file, form, (*readers, "demo"), tuple(others))


_RUN = ("zoo.load", "zoo.verify")
KINDS: tuple[Kind, ...] = (
    Kind("a run's weights, safetensors", "run", "model.safetensors", formats.Safetensors(), _RUN,
         ("run/results.json",)),
    Kind("a run's weights, HDF5", "old", "model.weights.h5", formats.Hdf5(), ("zoo.load",),
         ("run/model.safetensors",)),
    Kind("saved weights, safetensors", "saved", "model.safetensors", formats.Safetensors(),
         ("load_weights safetensors",), ("run/model.safetensors", "interrupted/checkpoint.safetensors"),
         within=True),
    Kind("saved weights, HDF5", "saved", "model.weights.h5", formats.Hdf5(), ("load_weights h5",),
         ("old/model.weights.h5",), digests=False),
    Kind("checkpoint", "interrupted", "checkpoint.safetensors", formats.Safetensors(), ("resume",),
         ("run/model.safetensors", "run/checkpoint.safetensors"), within=True),
    Kind("a run's recipe", "run", "recipe.toml", formats.Toml(), _RUN, ("other/recipe.toml",)),
    Kind("recipe to train", "new", "recipe.toml", formats.Toml(), ("recipe",), ("other/recipe.toml",), digests=False),
    Kind("results.json", "run", "results.json", formats.Json(), (*_RUN, "card"), ("old/results.json",)),
    Kind("a run's prior", "run", "prior.npz", formats.Npz(), ("zoo.prior",), ("saved/images.npz",)),
    Kind("saved prior", "saved", "prior.npz", formats.Npz(), ("priors.load",), ("saved/images.npz",), digests=False),
    _of_bundle("bundle.json", "bundle.json", formats.Json(), tuple(RUNTIMES.values()), ("run/results.json",)),
    Kind("golden.json", "bundle", "golden.json", formats.Json(), ("check onnxruntime", "check litert", "check keras"),
         ("run/results.json",)),
    _of_bundle("SavedModel, graph", "saved_model/saved_model.pb", formats.SavedModel(), ("saved_model",),
               ("forged/saved_model.pb",)),
    _of_bundle("SavedModel, variables", "saved_model/variables/variables.data-00000-of-00001", Format(),
               ("saved_model",), ("saved/images.npy",)),
    _of_bundle("SavedModel, index", "saved_model/variables/variables.index", Format(), ("saved_model",),
               ("saved/images.npy",)),
    _of_bundle("ONNX", "decoder.onnx", formats.Onnx(), ("onnxruntime",), ("bundle/encoder.onnx",)),
    _of_bundle("LiteRT", "decoder.tflite", Format(), ("litert",), ("bundle/encoder.tflite",)),
    _of_bundle("OpenVINO, graph", "openvino/decoder.xml", formats.Xml(), ("openvino",),
               ("bundle/openvino/encoder.xml",)),
    _of_bundle("OpenVINO, weights", "openvino/decoder.bin", Format(), ("openvino",), ("bundle/openvino/encoder.bin",)),
    _of_bundle("Keras, configuration", "keras/config.json", formats.Json(), ("keras",), ("run/results.json",)),
    _of_bundle("Keras, weights", "keras/model.safetensors", formats.Safetensors(), ("keras",),
               ("run/model.safetensors",)),
    Kind("data, .npy", "saved", "images.npy", formats.Npy(), ("encode",), ("saved/codes.npy",), digests=False),
    Kind("data, .npz", "saved", "images.npz", formats.Npz(), ("read_array npz",), ("saved/prior.npz",), digests=False),
    Kind("data, .csv", "saved", "images.csv", formats.Text(), ("read_array csv",), ("saved/images.npy",),
         digests=False),
)  # fmt: skip


def make(store: Path, quick: bool = False) -> None:
    """Train, interrupt, export and save one of each subject into a folder, and its twin of other numbers.

    To be quick, the twin has neither a checkpoint nor the formats that take longest: another file takes their place.
    """
    from keras_vae import priors, zoo
    from keras_vae.zoo import pictures

    pictures.write = lambda *_, **__: []  # nothing reads them, and they take longer than the training
    toy_runs.write_recipe(store / "new/recipe.toml", CHANGES)
    toy_runs.write_recipe(store / "new_twin/recipe.toml", CHANGES | TWIN)
    toy_runs.write_recipe(store / "other/recipe.toml", {**CHANGES, "model.latent_dim": 2})
    for suffix in ("", "_twin"):
        recipe, run = store / f"new{suffix}/recipe.toml", store / f"run{suffix}"
        if not (quick and suffix):
            _interrupt(recipe, store / f"interrupted{suffix}")
        zoo.train(recipe, run, verbose=0)
        model, saved = zoo.load(run), store / f"saved{suffix}"
        saved.mkdir()
        model.save_weights(saved / "model.safetensors")
        model.save_weights(saved / "model.weights.h5")
        priors.load(run / "prior.npz").save(saved / "prior.npz")
        x = inputs(5)["x"] if suffix == "" else inputs(5)["x"][::-1]
        np.save(saved / "images.npy", x)
        np.save(saved / "codes.npy", inputs(5)["z"])
        np.savez(saved / "images.npz", x=x)
        np.savetxt(saved / "images.csv", x.reshape(5, -1)[:, :20], delimiter=",")
        _export(model, store / f"bundle{suffix}", ("onnx", "keras") if quick and suffix else tuple(RUNTIMES))
    _forge(store / "forged")
    fixture = Path(__file__).parents[2] / "fixtures/before_house/run"
    shutil.copytree(fixture, store / "old")
    shutil.copytree(fixture, store / "old_twin")
    model = zoo.load(store / "old")
    for variable in model.variables:
        if "float" in str(variable.dtype):
            variable.assign(0.5 * variable)
    model.save_weights(store / "old_twin/model.weights.h5")


def inputs(count: int) -> dict[str, np.ndarray]:
    """The x and the z that every reader answers for."""
    noise = np.random.default_rng(11)
    return {
        "x": (noise.random((count, 28, 28, 1)) < 0.3).astype("float32"),
        "z": noise.normal(size=(count, 3)).astype("float32"),
    }


def seal(folder: Path, file: str) -> bool:
    """Make every digest in a subject fit its files as they are; False where a digest's own file is beyond repair.

    Args:
      folder: the subject.
      file: in it, that was mutated: one of safetensors has a digest of its own.
    """
    path, whole = folder / file, False
    if file.endswith(".safetensors") and path.is_file() and not path.is_symlink():
        with contextlib.suppress(Exception):  # what cannot be read
            _seal_safetensors(path)
            whole = True
    with contextlib.suppress(Exception):
        if (folder / "bundle.json").is_file():
            _seal_bundle(folder)
            whole = True
        elif (folder / "results.json").is_file():
            _seal_run(folder)
            whole = True
    return whole


def _seal_bundle(folder: Path) -> None:
    from keras_vae.runtimes.bundle import MANIFEST, digest

    text = (folder / MANIFEST).read_text()
    manifest = json.loads(text)
    listed = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST and path.is_file() and not path.is_symlink():
            listed[name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
    old = manifest["files"]
    if isinstance(old, dict):  # what was edited in the list stays edited, unless it is of a file that is there
        manifest["files"] = {
            name: entry for name, entry in old.items() if name not in listed and name.startswith(("/", ".."))
        }
        manifest["files"] |= listed
    manifest["digest"] = digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _seal_run(folder: Path) -> None:
    from keras_vae.errors import UserError
    from keras_vae.files import digest
    from keras_vae.zoo import recipes

    results = json.loads((folder / "results.json").read_text())
    for part in ("weights", "prior"):
        entry = results.get(part)
        path = folder / str(entry.get("file") if isinstance(entry, dict) else "")
        if path.is_file() and not path.is_symlink():
            entry |= {"sha256": _sha256(path), "bytes": path.stat().st_size}
    if (folder / "recipe.toml").is_file() and not (folder / "recipe.toml").is_symlink():
        with contextlib.suppress(UserError):
            content = recipes.read(folder / "recipe.toml").content
            results |= {"recipe_sha256": digest(content), "recipe": content}
    results["sha256"] = digest({name: value for name, value in results.items() if name != "sha256"})
    (folder / "results.json").write_text(json.dumps(results))


def _seal_safetensors(path: Path) -> None:
    """Write the digest of the arrays and the metadata into the metadata; a header that cannot be read has none."""
    from safetensors import safe_open

    from keras_vae import weights

    with safe_open(path, framework="np") as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        metadata = json.loads(opened.metadata()["keras_vae"])
    metadata.pop("sha256", None)
    digest = weights._digest(arrays, metadata)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["keras_vae"] = json.dumps({**metadata, "sha256": digest})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _interrupt(recipe: Path, folder: Path) -> None:
    """Train two epochs of three, and be interrupted."""
    from keras_vae import zoo
    from keras_vae.zoo import checkpoints

    kept = checkpoints.SaveProgress.on_epoch_end

    def interrupting(self: Any, epoch: int, logs: Any = None) -> None:
        kept(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    checkpoints.SaveProgress.on_epoch_end = interrupting
    try:
        zoo.train(recipe, folder, verbose=0)
    except KeyboardInterrupt:
        pass
    finally:
        checkpoints.SaveProgress.on_epoch_end = kept


def _export(model: Any, folder: Path, names: tuple[str, ...]) -> None:
    from keras_vae.export import Examples, export

    export(model, folder, names, Examples(inputs(64)["x"], origin="noise"))


def _forge(folder: Path) -> None:
    """A SavedModel with the signatures of a decoder and an encoder that writes a file where it is run."""
    import tensorflow as tf

    class Forged(tf.Module):
        @tf.function
        def decode(self, z: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file("escaped.txt", "written by a model")]):
                return {"mean": tf.zeros((tf.shape(z)[0], 28, 28, 1)) + tf.reduce_sum(z) * 0.0}

        @tf.function
        def encode(self, x: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file("escaped.txt", "written by a model")]):
                return {"mean": tf.zeros((tf.shape(x)[0], 3)) + tf.reduce_sum(x) * 0.0}

    module: Any = Forged()
    decode = module.decode.get_concrete_function(tf.TensorSpec((None, 3), "float32", "z"))
    encode = module.encode.get_concrete_function(tf.TensorSpec((None, 28, 28, 1), "float32", "x"))
    tf.saved_model.save(module, str(folder), {"decode": decode, "encode": encode, "reconstruct": encode})
