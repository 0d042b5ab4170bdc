"""A copy of CIFAR-10 in JPEG is read by the name that TFDS has, with its classes mixed."""

import io
import zipfile

import numpy as np
from PIL import Image

from keras_vae.data import sources
from tests.benchmarking.programs import program

CLASSES = ("airplane", "automobile", "truck")


def test_a_prepared_copy_is_read_by_name(tmp_path):
    generator, pixels = np.random.default_rng(0), {"train": {}, "test": {}}
    with zipfile.ZipFile(tmp_path / "copy.zip", "w") as archive:
        archive.writestr("README.md", "no picture")
        for split, count in (("train", 12), ("test", 2)):
            for label, name in enumerate(CLASSES):
                for number in range(count):
                    content = io.BytesIO()
                    Image.fromarray(generator.integers(0, 256, (32, 32, 3), "uint8")).save(content, "JPEG")
                    archive.writestr(f"{split}/{name}/{number:04}.jpg", content.getvalue())
                    pixels[split][np.asarray(Image.open(content)).tobytes()] = label
    copy = program("cifar10_jpeg").Copy(tmp_path / "copy.zip", data_dir=str(tmp_path / "tfds"))
    copy.download_and_prepare()
    for split, names in (("train", ("train", "validation")), ("test", ("test",))):
        parts = [sources.read("cifar10", name, tmp_path / "tfds") for name in names]
        read = {image.tobytes(): int(label) for part in parts for image, label in zip(*part[:2], strict=True)}
        assert read == pixels[split]
    assert len(parts[0].images) == 6 and len(set(sources.read("cifar10", "train", tmp_path / "tfds").labels[:12])) > 1
