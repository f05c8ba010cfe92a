"""Tests of the encoding of tables, against statistics by numpy and scipy, and of its inverse."""

import json

import numpy as np
import pyarrow
import pytest
import scipy.stats
from pyarrow import parquet

from vae_jax.data import Encoding, fingerprint, fit_encoding, load_table, load_table_like, table_of, write_table

ROWS = 60
RNG = np.random.default_rng(0)
COLUMNS = {
    "id": [f"row {i}" for i in range(ROWS)],
    "age": RNG.integers(0, 90, ROWS),
    "height": np.round(RNG.normal(0, 10, ROWS), 2),
    "income": np.round(np.exp(RNG.normal(7, 1, ROWS)), 2),
    "smoker": RNG.choice(["no", "yes"], ROWS).tolist(),
    "town": RNG.choice(["Bern", "Rome", "Oslo"], ROWS).tolist(),
    "size": RNG.choice(["small", "medium", "large"], ROWS).tolist(),
    "grade": RNG.choice([2, 5, 10], ROWS),
    "flag": RNG.choice([False, True], ROWS),
}
KINDS = {"size": "ordinal:small<medium<large", "grade": "ordinal"}
TRAINING = np.arange(40)


def with_gaps():
    """The columns, a tenth of whose cells are missing."""
    columns = {}
    for name, values in COLUMNS.items():
        missing = np.zeros(ROWS, bool) if name == "id" else RNG.random(ROWS) < 0.1
        listed = values if isinstance(values, list) else values.tolist()
        columns[name] = [None if gap else value for value, gap in zip(listed, missing, strict=True)]
    return columns


GAPS = with_gaps()


def test_kinds_are_inferred_by_the_stated_rules():
    table = table_of(GAPS, KINDS)
    assert {column.name: column.kind for column in table.columns} == {
        "id": "name", "age": "count", "height": "continuous", "income": "positive", "smoker": "binary",
        "town": "category", "size": "ordinal", "grade": "ordinal", "flag": "binary",
    }  # fmt: skip
    years = table_of({"year": np.arange(1990, 2020), "kelvin": 300 + np.linspace(-1, 1, 30) ** 3, "none": [None] * 30})
    assert [column.kind for column in years.columns] == ["continuous", "continuous", "continuous"]


def test_numbers_are_standardized_by_training_rows_alone():
    encoding = fit_encoding(table_of(COLUMNS, KINDS), TRAINING)
    values, observed = encoding.encode(table_of(COLUMNS, KINDS))
    assert encoding.shapes == {name: array.shape[1:] for name, array in values.items()} and all(
        array.all() for array in observed.values()
    )
    height, income = COLUMNS["height"], COLUMNS["income"]
    expected = (height - height[:40].mean()) / height[:40].std()
    np.testing.assert_allclose(values["continuous"][:, 0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values["positive"][:, 0], income / scipy.stats.gmean(income[:40]), rtol=1e-5)
    np.testing.assert_array_equal(values["count"][:, 0], COLUMNS["age"])
    np.testing.assert_array_equal(
        values["category_3"][:, 0], [["Bern", "Oslo", "Rome"].index(t) for t in COLUMNS["town"]]
    )
    sizes = [["small", "medium", "large"].index(size) for size in COLUMNS["size"]]
    np.testing.assert_array_equal(
        values["ordinal_3"], np.stack([sizes, np.searchsorted([2, 5, 10], COLUMNS["grade"])], 1)
    )
    np.testing.assert_array_equal(values["binary"][:, 0], np.array(COLUMNS["smoker"]) == "yes")
    age = COLUMNS["age"][:40]
    np.testing.assert_allclose(np.ravel(encoding.statistics["count"]), [age.mean(), age.std()], rtol=1e-6)
    np.testing.assert_allclose(encoding.statistics["positive"][1], np.log(income[:40]).std(), rtol=1e-5)
    np.testing.assert_allclose(encoding.statistics["category_3"][0][0], np.bincount(values["category_3"][:40, 0]) / 40)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_that_is_encoded_decoded_and_written_is_the_same_file(tmp_path, suffix):
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_table(first, table_of(GAPS, KINDS))
    table = load_table(first, KINDS)
    for name, cells in GAPS.items():
        shown = [None if x is None else str(x) for x in cells] if (name, suffix) == ("flag", ".csv") else cells
        assert table[name].cells() == shown, name
    encoding = Encoding.from_json(json.loads(json.dumps(fit_encoding(table, TRAINING).to_json())))
    assert encoding == fit_encoding(table, TRAINING)
    again = load_table_like(first, encoding)
    assert fingerprint(again) == fingerprint(table) and again.row_names()[:2] == ["row 0", "row 1"]
    values, observed = encoding.encode(again)
    decoded, seen = encoding.decode(values), encoding.by_column(observed)
    filled = {
        "id": table["id"].cells(),
        **{
            name: [x if o else None for x, o in zip(cells, seen[name], strict=True)] if isinstance(cells, list)
            else np.ma.masked_array(cells, ~seen[name])
            for name, cells in decoded.items()
        },
    }  # fmt: skip
    write_table(second, filled)
    assert load_table(second, KINDS).note == "" and fingerprint(load_table(second, KINDS)) == fingerprint(table)
    if suffix == ".csv":
        assert second.read_text() == first.read_text()
    types = {name: str(cells.dtype) for name, cells in decoded.items() if isinstance(cells, np.ndarray)}
    assert types["age"] == types["grade"] == "int64" and types["height"] == "float64"


def test_rows_blocks_and_shares_of_categories(monkeypatch):
    table = table_of(GAPS, KINDS)
    encoding = fit_encoding(table)
    values, observed = encoding.encode(table)
    monkeypatch.setattr("vae_jax.data.tables._encoding._BLOCK", 7)
    chosen = np.array([59, 3, 3, 40])
    some, seen = encoding.encode(table, chosen)
    other, _ = encoding.encode(table.rows(chosen))
    for group in values:
        np.testing.assert_array_equal(some[group], values[group][chosen])
        np.testing.assert_array_equal(other[group], values[group][chosen])
        np.testing.assert_array_equal(seen[group], observed[group][chosen])
    shares = dict(values, category_3=np.eye(3)[values["category_3"]])
    assert encoding.decode(shares)["town"] == encoding.decode(values)["town"]
    terms = {group: array[0] for group, array in values.items()}
    assert encoding.by_column(terms)["grade"] == values["ordinal_3"][0, 1]
    assert table.row_names([2, 5]) == ["row 2", "row 5"] and table_of(COLUMNS["age"][:, None]).row_names()[-1] == "59"


def test_digits_after_leading_zeros_are_texts_wherever_they_are(tmp_path):
    path = tmp_path / "places.csv"
    many = "".join(f"{10000 + i % 9},{i % 7},{i + 0.5}\n" for i in range(3000))
    for text, codes in (
        ("place,n,x\n" + many + "02134,0,0.5\n", {"place"}),
        ('"place"\n"007"\n"010"\n"007"\n', {"place"}),
    ):
        path.write_text(text)
        table = load_table(path)
        assert {column.name for column in table.columns if column.texts is not None} == codes
        assert table["place"].cells()[-1] == text.splitlines()[-1].split(",")[0].strip('"')
        assert "numbers with leading zeros are read as texts in place" in table.note
    path.write_text("place,n,x\n" + many)
    assert load_table(path).note == "" and load_table(path)["place"].texts is None
    assert table_of({"zip": ["02134", "00501", "02134"]})["zip"].kind == "binary"


def test_numbers_at_the_limits_of_their_types(tmp_path):
    # Whole numbers that float64 does not tell apart are different categories.
    large = np.array([2**53, 2**53 + 1, 2**53, 5, 2**53 + 1], np.int64)
    table = table_of({"id": large, "x": large}, {"id": "category", "x": "continuous"})
    encoding = fit_encoding(table)
    values, _ = encoding.encode(table)
    np.testing.assert_array_equal(values["category_3"][:, 0], [1, 2, 1, 0, 2])
    np.testing.assert_array_equal(encoding.decode(values)["id"], large)
    # A draw far outside the type of its column is its nearest number.
    decoded = encoding.decode({"category_3": [[0], [0]], "continuous": [[1e6], [-1e6]]})["x"]
    assert decoded.tolist() == [2**63 - 1024, -(2**63)]
    low = fit_encoding(table_of({"level": np.array([1, 2, 250], np.uint8)}, {"level": "continuous"}))
    assert low.decode({"continuous": [[-9.0], [9.0]]})["level"].tolist() == [0, 255]
    for columns, kind, message in (
        ({"x": [1e-60, 1.0, 1e20]}, "positive", "must be within a factor of 10^37 of its geometric mean"),
        ({"x": [1, 2, 1]}, "ordinal:low<high", "holds numbers, which its order low<high does not: give numbers, or "),
    ):
        with pytest.raises(ValueError, match="column 'x'") as raised:
            fit_encoding(table_of(columns, {"x": kind}))
        assert message in str(raised.value)
    dates = pyarrow.table({"x": [1.0, 2.0], "day": pyarrow.array([None, None], pyarrow.date32())})
    parquet.write_table(dates, tmp_path / "dates.parquet")
    with pytest.raises(ValueError, match="column 'day' holds dates or times"):
        load_table(tmp_path / "dates.parquet")
