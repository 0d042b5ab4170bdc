"""Convert the zoo's entries, and the MNIST classifier, to today's formats: weights from Keras's HDF5 to safetensors,
and results.json with the recipe that it is of and digests of both.

    python benchmarks/convert_weights.py [FOLDER ...]

By default all entries of the zoo, and the classifier; or the folders of runs. Each file of weights is read by Keras,
written, read again, and compared bit for bit; only then are results and card rewritten, and the old file removed. Of a
recipe, the text must be that of the results' digest. A folder that has been converted is left as it is.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_vae import weights, zoo
from keras_vae.errors import CorruptFileError
from keras_vae.evaluation import mnist_classifier
from keras_vae.files import sha256, write_json, write_text
from keras_vae.zoo import cards, loading, store


def convert(old: Path, new: Path, model: keras.Model, other: keras.Model) -> dict[str, Any]:
    """Write the arrays of `old` into `new`, and return what results say of a file: `file`, `sha256`, `bytes`.

    Args:
      old: a `.weights.h5`.
      new: a `.safetensors`.
      model: a model of the weights.
      other: a second one, which reads what was written.

    Raises:
      CorruptFileError: an array that is not the same, bit for bit, in the files, or in the models that read them.
    """
    weights.load_hdf5(model, old)
    arrays = weights.numpy_arrays(weights.named_variables(model), storage="float16")
    weights.save(new, arrays)
    weights.load(other, new)
    stored, _ = weights.read(new, weights.size(weights.named_variables(model)))
    pairs = zip(model.weights, other.weights, strict=True)
    same = all(_bits(np.asarray(first)) == _bits(np.asarray(second)) for first, second in pairs)
    if not same or Counter(map(_bits, _datasets(old))) != Counter(map(_bits, stored.values())):
        new.unlink()
        raise CorruptFileError(f"{new} would not hold the arrays of {old} bit for bit. Nothing was converted.")
    return {"file": new.name, "sha256": sha256(new), "bytes": new.stat().st_size}


def convert_run(folder: Path) -> bool:
    """Convert the weights of a zoo entry or run, with its results and card; false if there is nothing to do."""
    where = store.entry(folder)
    old, results = where.folder / store.OLD_WEIGHTS, where.results
    if not old.is_file() and ("recipe" in results or not results):
        return False
    store.checked_weights(where)
    if old.is_file():
        model, other = (loading.build(where.recipe, "float32") for _ in range(2))
        results["weights"].update(convert(old, where.folder / store.WEIGHTS, model, other))
        write_text(where.folder / store.CARD, cards.Card(where.name, where.recipe, results, where.reference).markdown())
    store.write_results(where, results)
    old.unlink(missing_ok=True)
    return True


def convert_classifier() -> bool:
    """Convert the weights of the MNIST classifier, with its results; false if there is nothing to do."""
    new = mnist_classifier.WEIGHTS
    old = new.with_name("classifier.weights.h5")
    if not old.is_file():
        return False
    results = json.loads(mnist_classifier.RESULTS.read_text(encoding="utf-8"))
    results["weights"].update(convert(old, new, mnist_classifier.build(), mnist_classifier.build()))
    write_json(mnist_classifier.RESULTS, results)
    old.unlink()
    return True


def _datasets(path: Path) -> list[np.ndarray]:
    arrays: list[np.ndarray] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda _, item: arrays.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return arrays


def _bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.name, array.shape, array.tobytes()


def main(folders: Sequence[str]) -> Mapping[str, bool]:
    """Convert folders, or all that this repository holds; which of them were converted."""
    done = {str(path): convert_run(Path(path)) for path in folders or [store.root() / name for name in zoo.names()]}
    return done if folders else {**done, str(mnist_classifier.FOLDER): convert_classifier()}


if __name__ == "__main__":
    for path, converted in main(sys.argv[1:]).items():
        print(f"{path}: {'converted' if converted else 'nothing to convert'}")
