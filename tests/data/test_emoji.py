"""Emoji of a folder: on white, labelled, an emoji whole in one split; as npm unpacks them, or in archives."""

import zipfile

import numpy as np
import pytest

from keras_vae import data
from keras_vae.data import emoji, sources
from keras_vae.errors import CorruptFileError, UnavailableError, UserError
from tests.emoji import STYLES, picture, write_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path)


def test_a_picture_lies_on_white(folder):
    pixels, _, _ = emoji.read("train", folder)
    assert pixels.dtype == np.uint8 and pixels.shape[1:] == (64, 64, 3)
    assert (pixels[:, 0, 0] == 255).all()
    inside = pixels[:, 32, 32].astype(int)
    # The styles alternate; of a colour c that covers 128/255, there is c 128/255 + 255 127/255.
    np.testing.assert_allclose(inside[::2, 0], 127, atol=1)
    np.testing.assert_allclose(inside[1::2, 0], round(200 * 128 / 255 + 127), atol=1)


def test_an_emoji_is_in_one_split_in_both_styles_and_all_tones(folder):
    """Its number is a quarter of the green of its pictures: 2 of it, or 6 where there are tones."""
    seen = {}
    for split in ("train", "validation", "test"):
        pixels, labels, classes = emoji.read(split, folder)
        assert classes == ("Activities", "Flags")
        numbers = np.round((pixels[:, 32, 32, 1] - 127.0) * 255 / 128 / 4).astype(int)
        for number, label in zip(numbers, labels, strict=True):
            seen.setdefault((number, split), []).append(label)
    assert len(seen) == len({number for number, _ in seen}) == 60
    for (number, _), labels in seen.items():
        assert labels == [(number + 1) % 2] * (6 if number % 3 == 0 else 2)


def test_archives_hold_the_same(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("archives")
    (other / "emoji.json").write_bytes((folder / "emoji.json").read_bytes())
    for style in STYLES:
        with zipfile.ZipFile(other / f"{style}64.zip", "w") as archive:
            for path in (folder / "img" / style / "64").iterdir():
                archive.write(path, path.name)
    for first, second in zip(emoji.read("test", folder), emoji.read("test", other), strict=True):
        np.testing.assert_array_equal(first, second)


def test_they_are_loaded_by_name(folder, monkeypatch):
    images = sources.read("emoji", "train+validation", folder)
    assert len(images.images) == sum(len(emoji.read(split, folder)[0]) for split in ("train", "validation"))
    assert images.classes == ("Activities", "Flags")
    monkeypatch.setenv(emoji.SETTING, str(folder))
    batch = next(iter(data.load("emoji", "train", batch_size=8)))
    assert batch["x"].shape == (8, 64, 64, 3) and set(np.asarray(batch["y"])) <= {0, 1}


def test_labels_by_name_are_category_and_style(folder):
    """The style is seen in the red of the square, and stays with its picture in any split or slice, and shuffled."""
    for split in ("test", "train+validation[5:31]"):
        images = sources.read("emoji", split, folder)
        style = images.named["style"]
        assert style.classes == STYLES and images.named["category"].classes == images.classes
        np.testing.assert_array_equal(style.values, images.images[:, 32, 32, 0] > 150)
        np.testing.assert_array_equal(images.named["category"].values, images.labels)
    for batch in data.load("emoji", "train", batch_size=16, data_dir=folder, labels=("style", "category")):
        assert set(batch["y"]) == {"style", "category"}
        np.testing.assert_array_equal(batch["y"]["style"], np.asarray(batch["x"])[:, 32, 32, 0] > 0.6)


def test_labels_that_the_data_do_not_have(folder):
    with pytest.raises(UserError, match=r"have: category, style\. Given: 'stile'\. Did you mean 'style'\?"):
        data.load("emoji", "test", data_dir=folder, labels=("stile",))
    with pytest.raises(UserError, match=r"have: none\. Given: 'digit'\. Of one label, a CVAE has num_classes in place"):
        data.load("mnist", "test", labels=("digit",))


def test_without_a_folder_there_is_a_remedy(tmp_path, monkeypatch):
    monkeypatch.delenv(emoji.SETTING, raising=False)
    with pytest.raises(UnavailableError, match=r"Given: none, by KERAS_VAE_EMOJI\. Run `npm pack emoji-datasource-goo"):
        sources.read("emoji", "train")
    with pytest.raises(UnavailableError, match=rf"Given: {tmp_path}"):
        sources.read("emoji", "train", tmp_path)


def test_files_that_are_not_of_the_packages(folder):
    path = folder / "img" / "google" / "64" / "1f601.png"
    picture((0, 0, 0), 32).save(path)
    with pytest.raises(CorruptFileError, match=r"has no picture .* in the style google: it has 32 x 32 pixels\. Run"):
        for split in ("train", "validation", "test"):
            emoji.read(split, folder)
    path.write_bytes(b"GIF89a")
    with pytest.raises(CorruptFileError, match="in the style google"):
        for split in ("train", "validation", "test"):
            emoji.read(split, folder)
    (folder / "emoji.json").write_text("[{}]", encoding="utf-8")
    with pytest.raises(CorruptFileError, match="is not the list of the packages"):
        emoji.read("test", folder / ".")
