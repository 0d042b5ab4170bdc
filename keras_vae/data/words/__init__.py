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


def to_tokens(words: Iterable[str], length: int = LENGTH, alphabet: str = ALPHABET) -> np.ndarray:
    """Return words as int32 token ids `(words, length)`, padded with 0 after their letters.

    Args:
      words: of letters of the alphabet, `length - 1` at most.
      length: of a row, the end of a word counted.
      alphabet: different letters, of which the first is token 1.

    Raises:
      UserError: a word with other characters, or with more of them.
    """
    if isinstance(words, str):
        raise UserError(f"words is a list of words. Given: one string. Write [{words!r}].")
    words, codes = list(words), {letter: code for code, letter in enumerate(alphabet, 1)}
    tokens = np.zeros((len(words), length), "int32")
    for row, word in zip(tokens, words, strict=True):
        if not isinstance(word, str) or len(word) >= length or not codes.keys() >= set(word):
            letters = "from a to z" if alphabet == ALPHABET else f"of the alphabet {alphabet!r}"
            raise UserError(f"A word is at most {length - 1} letters {letters}. Given: {word!r}.")
        row[: len(word)] = [codes[letter] for letter in word]
    return tokens


def to_text(tokens: np.ndarray, alphabet: str = ALPHABET) -> list[str]:
    """Return the words of token ids `(words, length)`, which end at their first 0.

    Raises:
      UserError: not whole numbers from 0 to the number of letters, or not of two axes.
    """
    array = np.asarray(tokens)
    if array.dtype.kind not in "iu" or array.ndim != 2 or not np.isin(array, np.arange(len(alphabet) + 1)).all():
        raise UserError(
            f"tokens are whole numbers from 0 to {len(alphabet)} of shape (words, length). Given: {array.dtype} "
            f"of shape {array.shape}."
        )
    ends = [np.append(row, 0).tolist().index(0) for row in array]
    return ["".join(alphabet[token - 1] for token in row[:end]) for row, end in zip(array.tolist(), ends, strict=True)]


def splits() -> dict[str, list[str]]:
    """The words of "train", "validation" and "test": a fixed shuffle, in the order of their SHA-256."""
    listed = gzip.decompress((_FOLDER / "words.txt.gz").read_bytes()).decode("ascii").split()
    shuffled = sorted(listed, key=lambda word: hashlib.sha256(f"keras_vae/{word}".encode()).digest())
    size = len(listed) // _HELD_OUT
    return {"train": shuffled[2 * size :], "validation": shuffled[size : 2 * size], "test": shuffled[:size]}
