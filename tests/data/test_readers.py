"""Sources of a user's own: what each reads of real files, splits that never change, and what is refused by name."""

import itertools

import numpy as np
import pytest
from PIL import Image
from pyarrow import csv, parquet

from keras_vae import data
from keras_vae.data import readers, words
from keras_vae.data.splits import members
from keras_vae.errors import UserError
from tests.data.test_tables import written

PARTS = ("train", "validation", "test")


def table_of(path, count=60, kinds=("b", "a")):
    generator = np.random.default_rng(0)
    rows = [f"{i},{generator.normal():.4f},{kinds[i % len(kinds)]}\n" for i in range(count)]
    return written(path, "number,size,kind\n" + "".join(rows))


def test_splits_are_disjoint_together_everything_and_stay_when_rows_are_added(tmp_path):
    few = {part: readers.table(table_of(tmp_path / "a.csv"), part, ["number"]).images[:, 0] for part in PARTS}
    many = {part: readers.table(table_of(tmp_path / "b.csv", 90), part, ["number"]).images[:, 0] for part in PARTS}
    assert sorted(np.concatenate(list(few.values()))) == list(range(60))
    for part in PARTS:
        assert list(few[part]) == [number for number in many[part] if number < 60]
    both = readers.table(tmp_path / "a.csv", "train+validation", ["number"]).images[:, 0]
    assert sorted(both) == sorted([*few["train"], *few["validation"]])
    assert list(readers.table(tmp_path / "a.csv", None, ["number"]).images[:, 0]) == list(range(60))


def test_shares_of_the_splits():
    shares = np.random.default_rng(0).random(20_000)
    counts = [len(members(shares, part, (0.5, 0.3, 0.2))) for part in PARTS]
    np.testing.assert_allclose(counts, [10_000, 6_000, 4_000], rtol=0.05)
    for fractions in ((0.5, 0.5), (0.0, 0.5, 0.5), (0.5, 0.4, 0.3), "abc", (1.5, -0.5, 0.0)):
        with pytest.raises(UserError, match=r"fractions are the shares of train, validation and test"):
            members(shares, "train", fractions)
    with pytest.raises(UserError, match=r"'test' holds no examples: there are 20000 in all.*change fractions"):
        members(shares, "test", (0.5, 0.5, 0.0))


def test_a_label_may_be_words_numbers_or_missing(tmp_path):
    read = readers.table(table_of(tmp_path / "a.csv"), label="kind")
    assert read.columns == ("number", "size") and read.classes == ("a", "b") and list(read.labels[:3]) == [1, 0, 1]
    numbered = readers.table(table_of(tmp_path / "b.csv", kinds=("10", "9", "")), label="kind")
    assert numbered.classes == ("9", "10") and list(numbered.labels[:3]) == [1, 0, -1]


def test_parquet_is_read_as_csv_is(tmp_path):
    parquet.write_table(csv.read_csv(table_of(tmp_path / "a.csv")), tmp_path / "a.parquet")
    of_csv, of_parquet = (readers.table(tmp_path / f"a.{kind}", "train", label="kind") for kind in ("csv", "parquet"))
    np.testing.assert_array_equal(of_csv.images, of_parquet.images)
    np.testing.assert_array_equal(of_csv.labels, of_parquet.labels)
    (tmp_path / "bad.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"bad\.parquet is no table: .*Save it as Parquet"):
        data.table(tmp_path / "bad.parquet")


def test_arrays_of_any_rank(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3, 2)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", series=x, kind=np.arange(40) % 3)
    alone, named = readers.array(tmp_path / "x.npy"), readers.array(tmp_path / "x.npz", x="series", label="kind")
    np.testing.assert_array_equal(alone.images, x)
    np.testing.assert_array_equal(named.images, x)
    assert alone.labels is None and list(named.labels[:4]) == [0, 1, 2, 0]
    assert len(readers.array(tmp_path / "x.npy", "test").images) < 10


def test_a_folder_is_split_by_the_fractions(tmp_path):
    for number in range(40):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (5, 4), (number, 0, 0)).save(tmp_path / "ab"[number % 2] / f"{number}.png")
    read = {part: readers.folder(tmp_path, part, fractions=(0.5, 0.25, 0.25)) for part in PARTS}
    assert sorted(np.concatenate([part.images[:, 0, 0, 0] for part in read.values()])) == list(range(40))
    assert read["train"].classes == ("a", "b") and len(readers.folder(tmp_path).images) == 40


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda path: readers.table(path / "a.csv", label="knid"), r"name of a column\. Given: 'knid'.*mean 'kind'"),
        (lambda path: readers.table(path / "a.csv", columns="size"), r"columns is a list of names\. Given: 'size'"),
        (lambda path: readers.table(path / "a.csv", columns=["kind"], label="kind"), r"without the label"),
        (lambda path: readers.table(path / "a.csv"), r"finite numbers\. Given: 'b' in row 1 of 'kind'"),
        (lambda path: readers.table(path / "none.csv"), r"none\.csv does not exist"),
        (lambda path: readers.array(path / "a.csv"), r"Cannot read an array of numbers"),
        (lambda path: readers.array(path / "x.npz"), r"has no array 'x'\. It has: rows, words"),
        (lambda path: readers.array(path / "x.npz", x="words"), r"x is an array of numbers.*Given: <U1"),
        (lambda path: readers.array(path / "x.npz", x="rows", label="rows"), r"one for each of 3 examples"),
        (lambda path: readers.array(path / "none.npz"), r"none\.npz does not exist"),
        (lambda path: readers.array(path / "x.npy", label="y"), r"label is the name of an array in a \.npz"),
    ],
)
def test_what_is_refused(tmp_path, read, message):
    table_of(tmp_path / "a.csv")
    np.savez(tmp_path / "x.npz", rows=np.ones((3, 2)), words=np.array([["a"], ["b"]]))
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_lines_of_a_text_become_tokens_and_equal_lines_stay_together(tmp_path):
    lines = [f"line {number % 40}" for number in range(120)]
    (tmp_path / "a.txt").write_text("\ufeff" + "\r\n".join(lines) + "\n\n  \n")
    alphabet, length = " 0123456789eiln", 9
    parts = {part: readers.text(tmp_path / "a.txt", alphabet, length, part).images for part in PARTS}
    texts = {part: words.to_text(tokens, alphabet) for part, tokens in parts.items()}
    assert sorted(itertools.chain(*texts.values())) == sorted(lines)
    assert all(parts[part].shape[1] == 9 and parts[part].dtype == "int32" for part in PARTS)
    assert not set(texts["train"]) & {*texts["validation"], *texts["test"]}
    assert words.to_text(readers.text(tmp_path / "a.txt", alphabet, length).images, alphabet) == lines


@pytest.mark.parametrize(
    ("content", "alphabet", "length", "message"),
    [
        (b"abc\n", "abc", 3, "at most 2 letters of the alphabet 'abc'. Given: 'abc'"),
        (b"abd\n", "abc", 5, "Given: 'abd'"),
        (b"\n \n", "abc", 5, "of empty lines. Add some"),
        (b"\xff\xfe", "abc", 5, "Save it in UTF-8"),
        (b"a\n", "aa", 5, "a string of different letters. Given: 'aa'"),
        (b"a\n", "a", 1, "length"),
    ],
)
def test_texts_that_are_refused(tmp_path, content, alphabet, length, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        readers.text(tmp_path / "a.txt", alphabet, length)
