"""The readers of every kind of file, as functions from a folder to the numbers that they give."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.proofs.torture.subjects import RUNTIMES, inputs

Numbers = dict[str, np.ndarray]
_COUNT = 5


def zoo_load(folder: Path, out: Path) -> Numbers:
    from keras_vae import zoo

    return _answers(zoo.load(folder))


def zoo_verify(folder: Path, out: Path) -> Numbers:
    """What `keras-vae verify` and `keras-vae show` do, without log p(x)."""
    from keras_vae import zoo

    rows = zoo.verify(folder, log_prob=False)
    return {name: np.array(row["measured"]) for name, row in rows.items()} | card(folder, out)


def card(folder: Path, out: Path) -> Numbers:
    """The card, as `keras-vae show` and the README print it, and all numbers in it."""
    from keras_vae import zoo
    from keras_vae.errors import UserError

    shown = zoo.card(folder)
    if not shown.results:
        raise UserError("The card says: not trained.")
    text = [shown.markdown(), repr(shown), shown._repr_html_()]
    parts = {key: value for key, value in shown.results.items() if "sha256" not in key and key != "digest"}
    for part in ("weights", "prior"):
        parts[part] = {key: value for key, value in (parts.get(part) or {}).items() if key not in ("sha256", "bytes")}
    plain = json.dumps([text, parts], sort_keys=True).replace(str(folder), "RUN")
    return {"text": np.frombuffer(plain.encode(), "uint8"), **_floats(parts)}


def load_weights(suffix: str) -> Callable[[Path, Path], Numbers]:
    def read(folder: Path, out: Path) -> Numbers:
        from keras_vae.zoo import loading, recipes

        model = loading.build(recipes.read(folder.parent / "store/new/recipe.toml"), "float32")
        before = [np.array(weight) for weight in model.weights]
        try:
            model.load_weights(folder / f"model.{suffix}")
        except Exception:
            after = [np.array(weight) for weight in model.weights]
            if not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
                raise AssertionError("a refused file changed weights of the model") from None
            raise
        return _answers(model)

    return read


def resume(folder: Path, out: Path) -> Numbers:
    """Go on from the checkpoint to the end: the weights as stored, and the state after the last epoch."""
    from keras_vae import weights, zoo
    from keras_vae.zoo import pictures

    pictures.write = lambda *_, **__: []
    model = zoo.train(folder / "recipe.toml", folder, verbose=0)
    state = weights.read(folder / "checkpoint.safetensors", 2**30)[0]
    return {**{f"state/{name}": array for name, array in state.items()}, **_answers(model)}


def recipe(folder: Path, out: Path) -> Numbers:
    """What `train` does with a recipe before its first step, less the reading of data."""
    from keras_vae.zoo import loading, optimizers, priors, recipes

    read = recipes.read(folder / "recipe.toml")
    model = loading.build(read)
    priors.build(read, model)
    optimizers.from_spec(read.training.optimizer)
    return {"parameters": np.array(model.count_params())}


def zoo_prior(folder: Path, out: Path) -> Numbers:
    from keras_vae import zoo

    prior = zoo.prior(folder)
    return {} if prior is None else _of_prior(prior)


def priors_load(folder: Path, out: Path) -> Numbers:
    from keras_vae import priors

    return _of_prior(priors.load(folder / "prior.npz"))


def opened(runtime: str) -> Callable[[Path, Path], Numbers]:
    def read(folder: Path, out: Path) -> Numbers:
        from keras_vae import runtimes

        bundle, given = runtimes.open(folder, runtime), inputs(_COUNT)
        return {"codes": bundle.encode(given["x"]), "image": bundle.decode(given["z"])}

    return read


def checked(runtime: str) -> Callable[[Path, Path], Numbers]:
    def read(folder: Path, out: Path) -> Numbers:
        from keras_vae.export import check

        report = check(folder, [runtime])
        repr(report), report._repr_html_()
        return opened(runtime)(folder, out)

    return read


def demo(folder: Path, out: Path) -> Numbers:
    """The site of a bundle, which its ONNX files are copied to."""
    from keras_vae.pages import demo as page

    page._npm = lambda *_: "npm is not tried"
    site = page.build(folder, out / "site")
    return opened("onnxruntime")(site.folder / "bundle", out)


def encode(folder: Path, out: Path) -> Numbers:
    from keras_vae import files, zoo

    array = files.read_array(folder / "images.npy")
    return {"codes": zoo.load(folder.parent / "store/run").encode(array)}


def read_array(file: str) -> Callable[[Path, Path], Numbers]:
    def read(folder: Path, out: Path) -> Numbers:
        from keras_vae import files
        from keras_vae.errors import UserError

        try:
            return {"array": files.read_array(folder / file)}
        except UserError:
            if file.endswith(".npy"):
                raise
            return {"refused": np.zeros(0)}  # always: neither format is one that the library reads

    return read


READERS: dict[str, Callable[[Path, Path], Numbers]] = {
    "zoo.load": zoo_load,
    "zoo.verify": zoo_verify,
    "card": card,
    "load_weights safetensors": load_weights("safetensors"),
    "load_weights h5": load_weights("weights.h5"),
    "resume": resume,
    "recipe": recipe,
    "zoo.prior": zoo_prior,
    "priors.load": priors_load,
    **{f"open {runtime}": opened(runtime) for runtime in RUNTIMES.values()},
    **{f"check {runtime}": checked(runtime) for runtime in RUNTIMES.values()},
    "demo": demo,
    "encode": encode,
    "read_array npz": read_array("images.npz"),
    "read_array csv": read_array("images.csv"),
}
WRITES = {"resume": ("subject",)}  # readers whose output is in the subject itself


def same(first: Numbers, second: Numbers) -> bool:
    """Whether two readings are equal bit for bit."""
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and np.array_equal(first[name], second[name], equal_nan=True)
        if first[name].dtype.kind == "f"
        else np.array_equal(first[name], second[name])
        for name in first
    )


def faults(numbers: Numbers) -> list[str]:
    """What makes a reading one of no valid model: numbers that are not finite, pixels outside [0, 1]."""
    found = [f"{name} is not finite" for name, array in numbers.items() if not np.isfinite(array).all()]
    image = numbers.get("image")
    if image is not None and image.size and not (image.min() >= 0 and image.max() <= 1):
        found.append(f"pixels from {image.min():g} to {image.max():g}")
    return found


def _answers(model: Any) -> Numbers:
    given = inputs(_COUNT)
    weights = {f"weight/{index}": np.array(weight) for index, weight in enumerate(model.weights)}
    z = given["z"] if model.latent_dim == given["z"].shape[1] else np.resize(given["z"], (_COUNT, model.latent_dim))
    return {**weights, "codes": model.encode(given["x"]), "image": model.decode(z)}


def _of_prior(prior: Any) -> Numbers:
    draws = np.asarray(prior.distribution().sample(_COUNT, seed=(1, 2)))
    return {"draws": draws, "log_prob": prior.log_prob(draws)} | {
        f"array/{name}": np.asarray(array) for name, array in prior.arrays().items()
    }


def _floats(value: Any, path: str = "") -> Numbers:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    found = {name: array for key, item in items for name, array in _floats(item, f"{path}/{key}").items()}
    return {path: np.array(value)} if isinstance(value, float) else found
