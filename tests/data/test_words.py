"""The bundled words: what they are, that splits never overlap and never change, letters to tokens and back."""

import gzip
import hashlib
import re
from collections import Counter

import numpy as np
import pytest

from keras_vae import data
from keras_vae.data import words
from keras_vae.errors import UserError

SPLITS = ("train", "validation", "test")
TEST, TRAIN = ["fresh", "billfold", "typesetting"], ["inheritors", "staff", "adumbrate"]
DIGEST = "c1f329c132fec9bd4647b99b1810b3923b2aaad66476943ea83049e9b25e6e27"


@pytest.fixture(scope="module")
def splits():
    return words.splits()


def test_the_list_is_the_one_that_its_notice_describes():
    packed = (words._FOLDER / "words.txt.gz").read_bytes()
    listed = gzip.decompress(packed).decode().split()
    assert len(listed) == len(set(listed)) == 63_612 and listed == sorted(listed)
    assert all(re.fullmatch("[a-z]{2,15}", word) for word in listed)
    notice = (words._FOLDER / "PROVENANCE.md").read_text("utf-8")
    assert "63,612 words" in notice and "wamerican 2020.12.07-2" in notice and "COPYRIGHT" in notice
    licence = (words._FOLDER / "COPYRIGHT").read_text("utf-8")
    assert "Copyright 2000-2011 by Kevin Atkinson" in licence and "Copyright 1993, Geoff Kuenning" in licence


def test_splits_never_overlap_and_hold_every_word(splits):
    sizes = {name: len(each) for name, each in splits.items()}
    assert sizes == {"train": 50_890, "validation": 6_361, "test": 6_361}
    assert len(set().union(*splits.values())) == sum(sizes.values()) == 63_612


def test_splits_never_change(splits):
    """Numbers of a zoo are measured on them."""
    assert splits["test"][:3] == TEST and splits["train"][:3] == TRAIN
    digest = hashlib.sha256(" ".join(splits["test"]).encode()).hexdigest()
    assert digest == DIGEST


def test_splits_are_alike(splits):
    """A shuffle: no letter is more frequent at the start of one split than chance says, 5 standard errors."""
    first = {name: Counter(word[0] for word in each) for name, each in splits.items()}
    for letter in words.ALPHABET:
        share = first["train"][letter] / len(splits["train"])
        for name in ("validation", "test"):
            count = len(splits[name])
            assert abs(first[name][letter] / count - share) < 5 * np.sqrt(share / count) + 1e-3, (letter, name)


def test_words_become_tokens_and_come_back():
    tokens = words.to_tokens(["az", "", "abcdefghijklmno"])
    assert tokens.dtype == "int32" and tokens.shape == (3, 16)
    assert tokens[0, :3].tolist() == [1, 26, 0] and not tokens[1].any() and tokens[2, -2:].tolist() == [15, 0]
    assert words.to_text(tokens) == ["az", "", "abcdefghijklmno"]
    assert words.to_text(np.array([[3, 1, 20, 0, 5]])) == ["cat"], "nothing after the end is read"
    assert words.to_tokens(["ab"], length=3).tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["Cat"], "letters from a to z. Given: 'Cat'"),
        (["a" * 16], "at most 15 letters"),
        ("cat", r"Write \['cat'\]"),
        ([3], "Given: 3"),
    ],
)
def test_what_is_no_word_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        words.to_tokens(given)


def test_letters_of_another_alphabet():
    tokens = words.to_tokens(["é b", ""], length=4, alphabet=" bé")
    assert tokens.tolist() == [[3, 1, 2, 0], [0, 0, 0, 0]]
    assert words.to_text(tokens, " bé") == ["é b", ""]
    with pytest.raises(UserError, match=r"at most 3 letters of the alphabet ' bé'\. Given: 'c'"):
        words.to_tokens(["c"], length=4, alphabet=" bé")
    with pytest.raises(UserError, match="whole numbers from 0 to 3 "):
        words.to_text(np.array([[4, 0]]), " bé")


@pytest.mark.parametrize("given", [np.zeros((2, 3)), np.array([1, 2]), np.array([[27]]), np.array([[-1]])])
def test_what_are_no_tokens_is_refused(given):
    with pytest.raises(UserError, match="whole numbers from 0 to 26"):
        words.to_text(given)


def test_batches_are_tokens(splits):
    for name in SPLITS:
        batch = next(data.load("words", f"{name}[:10]", batch_size=8).as_numpy_iterator())
        assert set(batch) == {"x"} and batch["x"].dtype == "int32" and batch["x"].shape == (8, 16)
        assert set(words.to_text(batch["x"])) <= set(splits[name][:10])
    assert words.to_text(data.load_arrays("words", "test[5:8]")) == splits["test"][5:8]
    both = data.load_arrays("words", "train+validation[50889:50892]")
    assert words.to_text(both) == [splits["train"][-1], *splits["validation"][:2]]


def test_an_epoch_of_training_is_a_permutation_by_seed_and_epoch():
    dataset = data.load("words", "train[:64]", batch_size=16, seed=1)
    epochs = [np.concatenate([batch["x"] for batch in dataset.as_numpy_iterator()]) for _ in range(2)]
    texts = [words.to_text(each) for each in epochs]
    assert sorted(texts[0]) == sorted(texts[1]) and texts[0] != texts[1] and len(set(texts[0])) == 64
    again = data.load("words", "train[:64]", batch_size=16, seed=1, first_epoch=1)
    assert words.to_text(np.concatenate([batch["x"] for batch in again.as_numpy_iterator()])) == texts[1]


@pytest.mark.parametrize("options", [{"binarize": "dynamic"}, {"binarize": "static"}, {"dequantize": True}])
def test_tokens_have_no_grey_levels(options):
    with pytest.raises(UserError, match=r"are for grey levels\. Given: tokens"):
        data.load("words", **options)


def test_names_and_splits_that_are_not_there():
    with pytest.raises(UserError, match=r"Did you mean .*'words'"):
        data.load("wordz")
    with pytest.raises(UserError, match="split is one of train"):
        data.load("words", "dev")
    with pytest.raises(UserError, match="holds no examples"):
        data.load("words", "test[7000:]")
