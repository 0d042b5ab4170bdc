"""Tables: the numbers of real CSV files and of frames, in the order that was asked for, and what is refused."""

import numpy as np
import pytest
from pyarrow import parquet

from keras_vae import data
from keras_vae.data import readers, row_files, tables
from keras_vae.errors import UserError
from keras_vae.models import VAE
from tests.toys import PLAIN, mlp

TEXT = 'mass,"size, cm",name\n1.5,-2,a\n\n3e2,0.25,b\n'


class Frame:
    """What a frame of pandas has of this."""

    columns = ("b", "a")

    def to_numpy(self):
        return np.array([[1, 2.5], [3, 4.5]])


def written(path, text=TEXT, encoding="utf-8-sig"):
    path.write_text(text, encoding=encoding)
    return path


def test_columns_come_in_the_order_that_is_asked_for(tmp_path):
    path = written(tmp_path / "a.csv")
    rows = data.table(path, ["size, cm", "mass"])
    assert rows.columns == ("size, cm", "mass") and rows.x.dtype == np.float32
    np.testing.assert_array_equal(rows.x, [[-2, 1.5], [0.25, 300]])
    again = data.table(str(path), rows.columns)
    np.testing.assert_array_equal(again.x, rows.x)
    np.testing.assert_array_equal(data.table(Frame()).x, [[1, 2.5], [3, 4.5]])
    assert data.table(Frame()).columns == ("b", "a")
    np.testing.assert_array_equal(data.table(Frame(), ["a"]).x, [[2.5], [4.5]])


def test_a_table_trains_a_model(tmp_path):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(32, 3))
    text = "a,b,c\n" + "".join(",".join(map(repr, map(float, row))) + "\n" for row in rows)
    x, columns = data.table(written(tmp_path / "a.csv", text))
    np.testing.assert_array_equal(x, rows.astype("float32"))
    model = VAE(x_shape=(len(columns),), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood="normal")
    model.compile(**PLAIN)
    history = model.fit(x, batch_size=8, verbose=0).history
    assert np.isfinite(history["elbo"]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT, r"finite numbers\. Given: 'a' in row 1 of 'name'\. Number its values, leave the column out, or"),
        ("a,b\n1,\n", r"Given: '' in row 1 of 'b'\. Fill the cell, remove the row, or read it as missing"),
        ("a,b\n1,2\n1,nan\n", r"Given: 'nan' in row 2 of 'b'\. Fill the cell"),
        ("a,b\n1,2\n1,-1e39\n", r"Given: '-1e39' in row 2 of 'b'\. Rescale the column, or leave it out"),
        ("a,b\n1,2,3\n", r"a cell for each column, 2\. Given: .*row 1 with 3"),
        ("1,2\n3,4\n", r"names its columns\. Given: .*begins with '1'\. Add a row of names"),
        ("a;b\n1;2\n", r"separated by commas\. Given: .*a\.csv, separated by ';'\? Save it with commas"),
        ("a,a\n1,2\n", r"different names\. Given: 'a' twice"),
        ("a,b\n", r"rows of numbers\. Given: .*of 1 rows"),
        ('a,b\n"1,2\n', r"is no table: .*Save it as CSV"),
    ],
)
def test_what_is_no_table(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        data.table(written(tmp_path / "a.csv", text))


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv does not exist\. Correct"):
        data.table(tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"is no table"):
        data.table(written(tmp_path / "a.csv", "a\nü", "utf-16"))
    with pytest.raises(UserError, match=r"must have the column 'c'\. Given: b, a"):
        data.table(Frame(), ["c"])
    with pytest.raises(UserError, match=r"Given: ndarray\. An array is given to fit as it is"):
        data.table(np.ones((2, 2)))


def test_empty_cells_are_missing_where_that_is_said(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("a,b\n1,\nnan,4\n", encoding="utf-8")

    class Holed(Frame):
        columns = ("a", "b")

        def to_numpy(self):
            return np.array([[1, None], [np.nan, 4.0]], object)

    frame = Holed()
    for source in (file, frame):
        with pytest.raises(UserError, match="missing=True"):
            data.table(source)
        np.testing.assert_array_equal(data.table(source, missing=True).x, [[1, np.nan], [np.nan, 4]])
    file.write_text("a,b\n1,NA\nN/A,4\nnull,NaN\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"'NA' in row 1 of 'b'\. Fill the cell"):
        data.table(file, ["b"])
    nan = np.nan
    np.testing.assert_array_equal(data.table(file, missing=True).x, [[1, nan], [nan, 4], [nan, nan]])
    assert data.kinds_of(written(tmp_path / "k.csv", "a,b\n1.5,x\nNA,null\n2.5,y\n")) == {
        "a": "real", "b": {"categorical": ["null", "x", "y"]},
    }  # fmt: skip
    numbers = data.table(tmp_path / "k.csv", ["a"], missing=True)
    np.testing.assert_array_equal(numbers.x, [[1.5], [nan], [2.5]], err_msg="and among numbers it is one")
    names = data.table(tmp_path / "k.csv", kinds={"b": {"categorical": ["x", "y", "null"]}})
    np.testing.assert_array_equal(names.x, [[0], [2], [1]], err_msg="a class that is named so is no hole")
    file.write_text("a,b\n1,inf\nx,4\n", encoding="utf-8")
    for column, text in (("a", "'x'"), ("b", "'inf'")):
        with pytest.raises(UserError, match=text):
            data.table(file, [column], missing=True)


def test_words_for_missing_numbers_are_classes_among_words(tmp_path):
    """None, mild, severe: a third is no hole. Numbers of classes stay what they were in earlier runs."""
    cells = np.array(["None", "mild", "severe", "NA"], object)
    assert data.kinds_of(written(tmp_path / "w.csv", "a,b\nNone,1\nmild,2\nnone,NA\nNone,4\n"))["a"] == {
        "categorical": ["None", "mild", "none"]
    }
    numbers, names = readers.numbered(cells)
    assert numbers.tolist() == [1, 2, 3, 0] and names == ("NA", "None", "mild", "severe")
    numbers, names = readers.numbered(np.array(["2", "NA", "1", ""], object))
    assert numbers.tolist() == [1, -1, 0, -1] and names == ("1", "2")
    rows = np.array([["None", "1", "01"], ["mild", "NA", ""], ["", 2.5, "NA"]], object)
    tables.write(tmp_path / "w.parquet", ["a", "b", "c"], rows, ["b"])
    columns = parquet.read_table(tmp_path / "w.parquet").to_pydict()
    assert columns == {"a": ["None", "mild", None], "b": [1.0, None, 2.5], "c": ["01", None, "NA"]}


def test_a_separator_is_told_apart_from_decimal_commas(tmp_path):
    with pytest.raises(UserError, match=r"separated by ';'\? Save it with commas"):
        data.table(written(tmp_path / "s.csv", "a;b\n1,5;2,5\n3,5;4\n"))


def test_words_that_only_python_takes_for_numbers_are_words(tmp_path):
    path = written(tmp_path / "a.csv", "a,b\n1_1,1\n11,2\n1_1,3\n11,4\n")
    assert data.kinds_of(path)["a"] == {"categorical": ["11", "1_1"]}
    with pytest.raises(UserError, match=r"finite numbers\. Given: '1_1' in row 1 of 'a'\. Number its values"):
        data.table(path)
    assert data.table(written(tmp_path / "b.csv", "1_1,b\n1,2\n")).columns == ("1_1", "b"), "a name, and no number"


def test_dates_that_are_missing_are_empty_cells():
    pandas = pytest.importorskip("pandas")
    days = pandas.to_datetime(["2024-01-01", None, "2024-01-02"])
    frame = pandas.DataFrame({"a": [1.5, 2.5, 3.5], "day": days})
    kinds = data.kinds_of(frame)
    assert kinds["day"] == {"categorical": ["2024-01-01 00:00:00", "2024-01-02 00:00:00"]}
    np.testing.assert_array_equal(data.table(frame, kinds=kinds, missing=True).x[:, 1], [0, np.nan, 1])
    assert tables.is_empty(np.datetime64("NaT")) and not tables.is_empty("NaT"), "a word may name a class"


def test_the_index_of_a_frame_is_no_column(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0, 3.0, 0.0], "b": [4.0, 5.0, 6.0, 0.0]})
    frame.iloc[[0, 2, 1]].to_parquet(tmp_path / "a.parquet")
    assert "__index_level_0__" in parquet.read_table(tmp_path / "a.parquet").column_names
    x, columns = data.table(tmp_path / "a.parquet")
    assert columns == ("a", "b") and x.tolist() == [[1, 4], [3, 6], [2, 5]]
    rows = row_files.ParquetRows(tmp_path / "a.parquet")
    assert rows.columns == ("a", "b") and rows[np.arange(3)].tolist() == x.tolist()


def test_numbers_beyond_float32_are_rescaled_or_left_out(tmp_path):
    path = written(tmp_path / "a.csv", "a,b\n1,1e39\n2,3\n")
    for missing in (False, True):
        with pytest.raises(UserError, match=r"Given: '1e39' in row 1 of 'b'\. Rescale the column, or leave it out\."):
            data.table(path, missing=missing)
        with pytest.raises(UserError, match=r"'inf' in row 1 of 'b'\. Change the cell, remove the row, or leave the"):
            data.table(written(tmp_path / "b.csv", "a,b\n1,inf\n2,3\n"), missing=missing)
