"""Make `keras_vae/data/tfds/mnist.npz` from the records of TensorFlow Datasets, and compare it with the one here.

    python benchmarks/bundled_digits.py [--data-dir FOLDER] [--output FILE]

Reads MNIST 3.0.1 from FOLDER, where TFDS prepared it, in the order of the records; where it is not prepared, TFDS
downloads it. Fails unless the arrays are those of the bundled file, and says whether the bytes of the files are: these
depend on the version of zlib too. With --output the file is also written.
"""

import argparse
import hashlib
import io
import sys
import zlib
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from keras_vae.data.sources import BUNDLED
from keras_vae.files import atomic


def arrays(data_dir: str | None) -> dict[str, np.ndarray]:
    """Return images and labels of both splits as bytes, in the order of the records."""
    builder = tfds.builder("mnist:3.0.1", data_dir=data_dir)
    builder.download_and_prepare()
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    made = {}
    for split in ("train", "test"):
        part = builder.as_dataset(split=split, batch_size=-1, shuffle_files=False, read_config=in_order)
        made[f"{split}_images"] = np.asarray(tfds.as_numpy(part["image"]))
        made[f"{split}_labels"] = np.asarray(tfds.as_numpy(part["label"])).astype("uint8")
    return made


def packed(made: dict[str, np.ndarray]) -> bytes:
    """Return the bytes of the file: numpy writes no time into it, so equal arrays give equal bytes."""
    memory = io.BytesIO()
    np.savez_compressed(memory, allow_pickle=False, **made)
    return memory.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=None, help="where TFDS keeps prepared data; by default its own folder")
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    made = arrays(arguments.data_dir)
    content, bundled = packed(made), BUNDLED["mnist"].read_bytes()
    if arguments.output is not None:
        with atomic(arguments.output) as path:
            path.write_bytes(content)
    with np.load(io.BytesIO(bundled), allow_pickle=False) as held:
        same = set(held) == set(made) and all(
            held[name].dtype == array.dtype and np.array_equal(held[name], array) for name, array in made.items()
        )
    print(f"arrays: {'the same' if same else 'others'}")
    print(f"bytes: {'the same' if content == bundled else 'others'}, by zlib {zlib.ZLIB_RUNTIME_VERSION}")
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
