"""A folder of made-up emoji, as the packages of npm have them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

TONES = ("1F3FB", "1F3FF")
STYLES = ("google", "twitter")


def picture(colour, size=64):
    """Transparent but for a square in the middle, which is half transparent."""
    image = np.zeros((size, size, 4), "uint8")
    image[16:48, 16:48] = (*colour, 128)
    return Image.fromarray(image)


def write_folder(folder: Path) -> Path:
    """Write 60 emoji of two categories, every third in two tones of skin too; the red of the second style is 200."""
    rows = []
    for style in STYLES:
        (folder / "img" / style / "64").mkdir(parents=True)
    for number in range(60):
        code = f"{0x1F600 + number:X}"
        tones = {tone: {"image": f"{code}-{tone}.png".lower()} for tone in TONES} if number % 3 == 0 else {}
        row = {"unified": code, "image": f"{code}.png".lower(), "category": ("Flags", "Activities")[number % 2]}
        rows.append(row | ({"skin_variations": tones} if tones else {}))
        for name in (row["image"], *(tone["image"] for tone in tones.values())):
            for level, style in zip((0, 200), STYLES, strict=True):
                picture((level, 4 * number, 0)).save(folder / "img" / style / "64" / name)
    (folder / "emoji.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder
