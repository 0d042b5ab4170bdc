"""English words as sequences of letters: bundled, so that models of sequences need no network.

A token is 0, the end of a word and all that follows it, or 1 to 26, a letter from a to z.
"""

import gzip
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from keras_vae.errors import UserError

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
LENGTH = 16  # tokens of an example: the longest words have 15 letters, and each has an end
VOCABULARY_SIZE = 1 + len(ALPHABET)
_FOLDER = Path(__file__).parent
_HELD_OUT = 10  # a tenth of the words is "test", and a tenth "validation"


def to_tokens(words: Iterable[str], length: int = LENGTH) -> np.ndarray:
    """Return words as int32 token ids `(words, length)`, padded with 0 after their letters.

    Raises:
      UserError: a word with other characters than a to z, or with more than `length - 1` letters.
    """
    if isinstance(words, str):
        raise UserError(f"words is a list of words. Given: one string. Write [{words!r}].")
    words = list(words)
    tokens = np.zeros((len(words), length), "int32")
    for row, word in zip(tokens, words, strict=True):
        if not isinstance(word, str) or len(word) >= length or set(word) - set(ALPHABET):
            raise UserError(f"A word is at most {length - 1} letters from a to z. Given: {word!r}.")
        row[: len(word)] = [1 + ALPHABET.index(letter) for letter in word]
    return tokens


def to_text(tokens: np.ndarray) -> list[str]:
    """Return the words of token ids `(words, length)`, which end at their first 0.

    Raises:
      UserError: not whole numbers from 0 to 26, or not of two axes.
    """
    array = np.asarray(tokens)
    if array.dtype.kind not in "iu" or array.ndim != 2 or not np.isin(array, np.arange(VOCABULARY_SIZE)).all():
        raise UserError(
            f"tokens are whole numbers from 0 to {VOCABULARY_SIZE - 1} of shape (words, length). Given: {array.dtype} "
            f"of shape {array.shape}."
        )
    rows = ("".join(ALPHABET[token - 1] if token else " " for token in row) for row in array.tolist())
    return [row.partition(" ")[0] for row in rows]


def splits() -> dict[str, list[str]]:
    """The words of "train", "validation" and "test": a fixed shuffle, in the order of their SHA-256."""
    listed = gzip.decompress((_FOLDER / "words.txt.gz").read_bytes()).decode("ascii").split()
    shuffled = sorted(listed, key=lambda word: hashlib.sha256(f"keras_vae/{word}".encode()).digest())
    size = len(listed) // _HELD_OUT
    return {"train": shuffled[2 * size :], "validation": shuffled[size : 2 * size], "test": shuffled[:size]}
