"""Tables that cannot be read, encoded or written as they are: each gives one line that says what to do."""

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from vae_jax.data import Encoding, fit_encoding, load_images, load_table, load_table_like, table_of, write_table
from vae_jax.data._kinds import kind_of
from vae_jax.data.tables import _csv

GOOD = "a,b\n1.5,x\n2.25,y\n-3,x\n"
MANY = "a,b\n" + "".join(f"{i / 7},t{i // 2}\n" for i in range(4_000))

# (content, columns, words of the message)
BAD = {
    "an empty file": ("", {}, "expected a table with a header, got an empty file"),
    "a header alone": ("a,b\n", {}, "expected at least one row, got none"),
    "no header": ("5.1,3.5,setosa\n4.9,3.0,setosa\n", {}, "expected a header, .*, got numbers there, such as 5.1: add"),
    "no header, whole numbers": ("17,3\n4,9\n", {}, "expected a header"),
    "ragged rows": ("a,b\n1,2\n3\n4,5\n", {}, "expected 2 cells in every line, as in the header, got 1 in line 3"),
    "an unquoted comma": ("a,b\n1,2\n3,4,5\n", {}, "got 3 in line 3: .* cells with commas need quotes"),
    "two columns of a name": ("a,a\n1,2\n", {}, "expected different names of columns, got 'a' twice: rename one"),
    "a column without a name": ("a,\n1,2\n", {}, "expected a name for every column, got none for column 2: add it"),
    "dates": ("a,b\n1,2020-01-31\n2,2021-02-28\n", {}, "'b' holds dates or times, such as '2020-01-31': replace"),
    "other dates": ("a,b\n1,31/01/2020\n2,28/02/2021\n", {}, "'b' holds dates or times, such as '31/01/2020'"),
    "times": ("a,b\n1,12:30\n2,12:31\n", {}, "'b' holds dates or times"),
    "a text among numbers": ("a,b\n1,2\nx,3\n5,6\n7,1\n", {}, "'a' holds numbers and the text 'x' in row 1: correct"),
    "decimal commas in quotes": ('a,b\n"1,5",2\n"2,25",3\n7,1\n', {}, "'a' holds numbers and the text '1,5' in"),
    "texts as counts": (GOOD, {"b": "count"}, "row 0, column 'b': a column of kind count must hold numbers, got 'x'"),
    "a negative count": ("a,b\n1,2\n-1,3\n", {"a": "count"}, "row 1, column 'a': .* numbers from 0 to .*, got -1"),
    "a broken count": ("a,b\n1,2\n1.5,3\n", {"a": "count"}, "row 1, column 'a': .* got 1.5: correct it, leave"),
    "a positive zero": ("n,a\np,1\nq,0\n", {"a": "positive", "n": "name"}, "row 1, .* numbers above 0, got 0"),
    "infinity": ("a,b\n1,2\ninf,3\n", {}, "'a' must hold finite numbers, got inf in row 1: leave the cell empty"),
    "a hundred thousand categories": (MANY, {"a": "drop"}, "'b' has 2,000 different texts, too many"),
    "an unknown column": (GOOD, {"c": "count"}, "columns: .*has no column 'c'; its columns are a, b"),
    "an unknown kind": (GOOD, {"a": "integer"}, "columns: column 'a' must be continuous, .*, got 'integer'"),
    "an order of one": (GOOD, {"b": "ordinal:x"}, "the order of 'b' must be two or more different levels, .*'x'"),
    "an order of others": (GOOD, {"b": "count:x<y"}, "columns: column 'b' must be"),
    "two columns of names": (GOOD, {"a": "name", "b": "name"}, "to model, got only names"),
    "nothing to model": (GOOD, {"a": "drop", "b": "keep"}, "expected a column to model, got only names"),
    "Latin-1": ("a,b\n1,\u00e9\n".encode("latin-1"), {}, "expected text in utf-8, got other bytes: save it as UTF-8"),
}  # fmt: skip


def write(tmp_path, content, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_bad_files_are_refused_in_one_line(tmp_path):
    for name, (content, columns, words) in BAD.items():
        with pytest.raises(ValueError, match=words) as error:
            load_table(write(tmp_path, content), columns)
        assert "\n" not in str(error.value), name
    for path, words in (
        (tmp_path / "gone.csv", "expected a table, got a path with no file there"),
        (tmp_path / "table.xls", "path must end in .csv, .tsv or .parquet"),
        (write(tmp_path, "no parquet", "no.parquet"), "cannot be read as Parquet"),
    ):
        with pytest.raises(ValueError, match=words):
            load_table(path)
    with pytest.raises(ValueError, match="encoding must be the name of a text encoding"):
        load_table(write(tmp_path, GOOD), encoding="no such")
    lists = pyarrow.table({"a": [1.0, 2.0], "b": [[1], [2, 3]]})
    parquet.write_table(lists, tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match="'b' must hold numbers or texts, got list"):
        load_table(tmp_path / "lists.parquet")


def test_tables_that_are_merely_unusual_are_read(tmp_path):
    for content, cells, note in (
        ("a;b\n1,5;x\n2,25;y\n-3;x\n", [1.5, 2.25, -3], "columns separated by semicolons; decimal commas"),
        ("a\tb\n1.5\tx\n2.25\ty\n-3\tx\n", [1.5, 2.25, -3], "columns separated by tabs"),
        ("\ufeff" + GOOD, [1.5, 2.25, -3], ""),
        (GOOD.encode("utf-16"), [1.5, 2.25, -3], "UTF-16"),
        ("a,b\n1.5,x\r\n2.25,y\r\n-3,x", [1.5, 2.25, -3], ""),
        ("a,b\n 1.5,x\n?,y\n NA,x\n", [1.5, None, None], ""),
        ("a,b\n1.5,x\n<NA>,y\nnull,x\n", [1.5, None, None], ""),
        ("a,b\n007,x\n010,y\n007,x\n", ["007", "010", "007"], "numbers with leading zeros are read as texts in a"),
    ):
        table = load_table(write(tmp_path, content))
        assert table["a"].cells() == cells and table["b"].cells() == ["x", "y", "x"] and table.note == note, content
    quoted = load_table(write(tmp_path, 'a,b\n1,"two\nlines, a ""quote"""\n2,z\n'))
    assert quoted["b"].cells() == ['two\nlines, a "quote"', "z"]
    assert (
        load_table(write(tmp_path, "a,b\n1,\u00e9\n2,e\n".encode("latin-1")), encoding="latin-1")["b"].cells()[0]
        == "\u00e9"
    )
    one = load_table(write(tmp_path, "a\n1\n\n3\n"))
    assert one["a"].cells() == [1, None, 3]
    numbered = load_table(write(tmp_path, ",a\n0,2.5\n1,3.5\n2,9\n"))
    assert numbered.named_by.name == "" and numbered.row_names() == ["0", "1", "2"]


def test_types_are_those_of_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(_csv, "_BLOCK", 2**12)
    whole = "".join(f"{i},{i % 3},c{i % 5},\n" for i in range(900))
    table = load_table(write(tmp_path, "a,b,c,d\n" + whole + "0.5,1,d,2.5\n"), {"a": "continuous", "d": "keep"})
    assert table["a"].values.tolist() == [*range(900), 0.5] and table["b"].dtype == "int64"
    assert table["c"].cells() == [*(f"c{i % 5}" for i in range(900)), "d"] and table["d"].cells()[-2:] == [None, "2.5"]
    again = load_table(write(tmp_path, "a,b,c,d\n" + whole), {"a": "continuous", "d": "keep"})
    assert again["c"].cells() == table["c"].cells()[:-1] and again["a"].dtype == "int64"
    with pytest.raises(ValueError, match="got inf in row 900: leave"):
        load_table(
            write(tmp_path, "a,b,c,d\n" + whole.replace(",\n", ",1\n").replace("0,0,", "0.5,0,", 1) + "inf,1,d,2\n")
        )


def test_what_cannot_be_learned_or_encoded_is_told(tmp_path):
    table = table_of({"x": [1.5, 2.0, 7.0, 8.0], "t": ["a", "b", "a", "c"], "k": [3, 3, 3, 4], "e": [None] * 4})
    for rows, words in (
        (None, r"column 'e': only missing cells in the rows, .*columns=\{'e': 'drop'\} \(--columns e=drop\)"),
        ([0], "expected at least 2 training rows, got 1"),
        ([0, 1, 2], "column 'e': only missing cells in the training rows"),
    ):
        with pytest.raises(ValueError, match=words):
            fit_encoding(table, rows)
    usable = table_of({"x": [1.5, 2.0, 7.0, 8.0], "t": ["a", "b", "a", "c"], "k": [3, 3, 3, 4]}, {"t": "category"})
    with pytest.raises(ValueError, match="column 'k': a single value in the training rows"):
        fit_encoding(usable, slice(0, 3))
    for columns, words in (
        ({"t": "binary"}, "'t' is binary and must have two different values, got 3"),
        ({"t": "ordinal"}, "'t' holds texts, whose order is not known: give it, .*ordinal:a<b<c"),
        ({"t": "ordinal:a<b"}, "'t' holds 'c', which is not in its order a<b: add it"),
    ):
        with pytest.raises(ValueError, match=words):
            fit_encoding(table_of({"x": [1.5, 2.0, 7.0, 8.0], "t": ["a", "b", "a", "c"]}, columns))
    many = table_of({"x": np.arange(20_001.0), "t": [f"t{i}" for i in range(20_001)]}, {"t": "category"})
    with pytest.raises(ValueError, match="'t' of kind category must have at most 10,000 different values, got 20,001"):
        fit_encoding(many)

    encoding = fit_encoding(table_of({"n": ["p", "q", "r"], "x": [1.5, 2.0, 7.0], "t": ["a", "b", "a"]}))
    for content, words in (
        (
            "n,x,t\nfirst,1,a\nsecond,2,z\n",
            r"row second, column 't': 'z' is not among the categories .* \(a, b\): leave the",
        ),
        ("n,x,t\nfirst,one,a\n", "row 0, column 'x': a column of kind .* must hold numbers, got 'one'"),
        ("n,t\nfirst,a\n", "the model was trained on another table: .* has no column 'x'; its columns are n, t"),
    ):
        with pytest.raises(ValueError, match=words):
            encoding.encode(load_table_like(write(tmp_path, content), encoding))
    unseen = load_table_like(write(tmp_path, "n,x,t,new\nfirst,1,a,2020-01-01\nsecond,2,z,\n"), encoding)
    assert [tuple(cell) for cell in encoding.unseen(unseen)] == [("second", "t", "z")]
    assert not encoding.encode(unseen, unseen_as_missing=True)[1]["binary"][1, 0]
    assert unseen["new"].cells() == ["2020-01-01", None]
    empty = load_table_like(write(tmp_path, "n,x,t\nonly,,\n"), encoding)
    values, observed = encoding.encode(empty)
    assert not any(array.any() for array in observed.values()) and all(
        np.isfinite(array).all() for array in values.values()
    )


def test_a_stored_encoding_is_checked():
    good = fit_encoding(table_of({"x": [1.5, 2.0, 7.0], "t": ["a", "b", "a"]})).to_json()
    assert Encoding.from_json(good).to_json() == good
    x, t = good["columns"]
    for bad, words in (
        ([], "must be an object with columns"),
        ({"columns": [], "named_by": None}, "must be an object with columns"),
        ({"columns": [x, x], "named_by": None}, "columns of different names"),
        ({"columns": [x], "named_by": "x"}, "columns of different names"),
        ({"columns": [{**x, "more": 1}], "named_by": None}, "must have the fields"),
        ({"columns": [{**x, "scale": 0.0}], "named_by": None}, "scale above 0"),
        ({"columns": [{**x, "location": float("nan")}], "named_by": None}, "finite location"),
        ({"columns": [{**x, "kind": "name"}], "named_by": None}, "unknown kind"),
        ({"columns": [{**x, "dtype": "object"}], "named_by": None}, "type 'object'"),
        ({"columns": [{**t, "levels": ["a", 1]}], "named_by": None}, "levels of the column's type, got '1'"),
        ({"columns": [{**t, "levels": ["a", "a"]}], "named_by": None}, "different levels"),
        ({"columns": [{**t, "shares": [2.0, 0.1]}], "named_by": None}, "a share for each"),
        ({"columns": [{**x, "levels": [1.0, 2.0]}], "named_by": None}, "no levels"),
    ):
        with pytest.raises(ValueError, match=words):
            Encoding.from_json(bad)


def test_other_arguments(tmp_path):
    with pytest.raises(TypeError, match="data must be a dict of columns, a data frame or an array"):
        table_of(np.arange(3))
    for data, words in (
        ({"a": [1, "x"]}, "column 'a' must hold numbers or texts, and not both"),
        ({"a": [1, 2], "b": [1]}, "columns of one length, got a 2, b 1"),
        ({"a": np.zeros((2, 2))}, "must have one axis"),
    ):
        with pytest.raises(ValueError, match=words):
            table_of(data)
    with pytest.raises(ValueError, match=r"path must end in .csv or .parquet, got .*table.txt"):
        write_table(tmp_path / "table.txt", {"a": [1]})
    with pytest.raises(ValueError, match="columns of one length, at least 1"):
        write_table(tmp_path / "table.csv", {"a": np.zeros(2), "b": np.zeros(1)})
    assert [kind_of(name) for name in ("a.csv", "b.TSV", "c.parquet", "csv")] == ["table", "table", "table", "tfds"]
    with pytest.raises(ValueError, match="data must be images here, got the table"):
        load_images("a.csv")
    assert [path.name for path in tmp_path.iterdir()] == []
