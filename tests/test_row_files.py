"""Files of rows: content in each format, and atomic writing."""

import csv

import numpy as np
import pytest
from pyarrow import parquet

from vae_jax import row_files
from vae_jax.row_files import check_row_file, row_file

RNG = np.random.default_rng(0)
NAMES = ["a", "b,\nc", 'd"', "\u00e9", "\udce9"]  # the last is Python's form of a file name that is not UTF-8
COLUMNS = {
    "name": NAMES,
    "label": np.arange(5, dtype=np.int32),
    "mean": RNG.normal(size=(5, 3)).astype(np.float32),
    "codes": RNG.integers(0, 9, (5, 2)).astype(np.int32),
    "kl": np.array([0.1, -1e-30, 3e30, np.nan, np.inf], np.float32),
}


def write(path):
    with row_file(path) as file:
        for start, stop in ((0, 2), (2, 4), (4, 5)):
            file.add({name: values[start:stop] for name, values in COLUMNS.items()})


def check(read, exact_text):
    assert list(read["name"])[:4] == NAMES[:4] and (read["name"][4] == (NAMES[4] if exact_text else "\\udce9"))
    for name in ("label", "mean", "codes", "kl"):
        np.testing.assert_array_equal(np.asarray(read[name], COLUMNS[name].dtype), COLUMNS[name], err_msg=name)


def test_csv_gives_back_every_float32(tmp_path):
    write(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["name", "label", "mean_0", "mean_1", "mean_2", "code_0", "code_1", "kl"]
    columns = list(zip(*lines, strict=True))
    number = lambda part: np.array(columns[part], np.float32).T
    read = {"name": columns[0], "label": number(1), "mean": number(slice(2, 5)), "codes": number(slice(5, 7))}
    check(read | {"kl": number(7)}, exact_text=False)


def test_npz_holds_arrays_and_no_objects(tmp_path):
    write(tmp_path / "rows.NPZ")
    with np.load(tmp_path / "rows.NPZ", allow_pickle=False) as archive:
        read = dict(archive)
    assert {name: values.dtype for name, values in read.items() if name != "name"} == {
        name: values.dtype for name, values in COLUMNS.items() if name != "name"
    }
    check(read, exact_text=True)


def test_parquet_is_written_by_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(row_files, "_ROW_GROUP", 3)
    write(tmp_path / "rows.parquet")
    table = parquet.read_table(tmp_path / "rows.parquet")
    check({name: table[name].to_pylist() for name in table.column_names}, exact_text=False)
    assert str(table.schema.field("mean").type) == "fixed_size_list<element: float>[3]"
    groups = parquet.ParquetFile(tmp_path / "rows.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [4, 1]


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_what_stops_the_rows_leaves_nothing(tmp_path, suffix):
    def stop():
        with row_file(tmp_path / f"rows{suffix}") as file:
            file.add(COLUMNS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_are_refused(tmp_path):
    (tmp_path / "there.csv").touch()
    for name, words in {
        "rows.txt": r"--output must end in \.csv, \.npz, \.parquet, got .*rows\.txt",
        "rows": r"--output must end in",
        "there.csv": "there.csv exists already: give another path, or remove it first",
    }.items():
        with pytest.raises(ValueError, match=words):
            check_row_file(tmp_path / name, "--output")
    check_row_file(tmp_path / "new.npz", "--output")
