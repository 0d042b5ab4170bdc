"""Emoji in colour, 64 x 64 pixels on white, in the styles of Google and of Twitter; labelled by category.

They are of the npm packages emoji-datasource-google and emoji-datasource-twitter 16.0.0, neither of which rides in this
package: Google's pictures are Noto Emoji, Apache-2.0; Twitter's are Twemoji, CC-BY-4.0; the list of names and
categories is MIT, copyright 2013 Cal Henderson.
"""

import functools
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from keras_vae.data.pictures import share_of
from keras_vae.data.splits import members
from keras_vae.errors import UnavailableError, reading

SETTING, STYLES, SIZE = "KERAS_VAE_EMOJI", ("google", "twitter"), 64
_REMEDY = (
    "Run `npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0`, unpack both archives into one "
    f"folder, and set {SETTING} to the folder `package` in it, which has emoji.json."
)


def read(split: str, folder: str | Path | None = None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return pixels, uint8 `(pictures, 64, 64, 3)`, their categories, int64 `(pictures,)`, and the categories' names.

    An emoji's two styles and its tones of skin are in one split, which depends on its code points alone. A picture's
    styles follow one another, in the order of `STYLES`.

    Args:
      split: "train", "validation" or "test".
      folder: with `emoji.json`, and the pictures in `img/STYLE/64`, as the packages have them, or in `STYLE64.zip`;
        None: where the variable KERAS_VAE_EMOJI points.

    Raises:
      UnavailableError: no such folder.
      CorruptFileError: a file in it that is not as the packages have it.
    """
    folder = folder or os.environ.get(SETTING)
    if not folder or not (Path(folder) / "emoji.json").is_file():
        raise UnavailableError(f"Emoji are read from a folder. Given: {folder or f'none, by {SETTING}'}. {_REMEDY}")
    return _read(split, Path(folder).resolve())


@functools.cache
def _read(split: str, folder: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    listed = folder / "emoji.json"
    with reading(listed, "is not the list of the packages", _REMEDY):
        emoji = sorted(json.loads(listed.read_text(encoding="utf-8")), key=lambda one: one["unified"])
        classes = tuple(sorted({one["category"] for one in emoji}))
        held = [emoji[i] for i in members(np.array([share_of(one["unified"]) for one in emoji]), split)]
        names = [(name, classes.index(one["category"])) for one in held for name in _pictures(one)]
    pixels = np.empty((len(names), len(STYLES), SIZE, SIZE, 3), "uint8")
    for style, title in enumerate(STYLES):
        contents = _contents(folder, title)
        for row, (name, _) in enumerate(names):
            with reading(folder, f"has no picture {name} of 64 x 64 pixels in the style {title}", _REMEDY):
                pixels[row, style] = _on_white(contents(name))
    labels = np.repeat([label for _, label in names], len(STYLES))
    pixels, labels = pixels.reshape(-1, SIZE, SIZE, 3), labels.astype("int64")
    for array in (pixels, labels):  # of every caller
        array.setflags(write=False)
    return pixels, labels, classes


def _pictures(emoji: dict) -> list[str]:
    """Return the names of the files of an emoji: without a tone of skin, then with each."""
    tones = [tone["image"] if isinstance(tone, dict) else tone for tone in emoji.get("skin_variations", {}).values()]
    return [emoji["image"], *tones]


def _contents(folder: Path, style: str) -> Callable[[str], bytes]:
    """Return the function from the name of a picture to its bytes."""
    archive = folder / f"{style}{SIZE}.zip"
    if not archive.is_file():
        return lambda name: (folder / "img" / style / str(SIZE) / name).read_bytes()
    with reading(archive, "is not an archive of pictures", _REMEDY):
        return zipfile.ZipFile(archive).read


def _on_white(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        if picture.size != (SIZE, SIZE):
            raise ValueError(f"it has {picture.size[0]} x {picture.size[1]} pixels")
        transparent = picture.convert("RGBA")
    white = Image.new("RGBA", transparent.size, "white")
    return np.asarray(Image.alpha_composite(white, transparent).convert("RGB"))
