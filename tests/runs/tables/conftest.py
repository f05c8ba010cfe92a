"""A mixed table with missing cells, and a run on it that tests share."""

import csv
import io
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest

from runs.finished_runs import call
from vae_jax import cli

ROWS = 300
SMALL = "--hidden 16 --latent-dim 2 --epochs 3 --batch-size 32 --elbo-samples 2 --learning-rate 0.01"
COLUMNS = ("--columns", "size=ordinal:small<medium<large", "note=keep")


def cells_of(seed=0):
    """Columns as texts: names, continuous, positive, count, binary, category, ordinal, and one that is not modeled."""
    rng = np.random.default_rng(seed)
    g = rng.normal(size=ROWS)
    kids = rng.poisson(np.exp(0.3 + 0.5 * g))
    columns = {
        "id": [f"p{i:03d}" for i in range(ROWS)],
        "age": [f"{40 + 12 * each:.1f}0" for each in g],
        "income": [f"{np.exp(10 + each):.2f}" for each in g + 0.2 * rng.normal(size=ROWS)],
        "kids": [str(each) for each in kids],
        "smoker": np.where(g + rng.normal(size=ROWS) > 0, "yes", "no").tolist(),
        "city": np.array(["Bern", "Basel", "Zug"])[rng.integers(0, 3, ROWS)].tolist(),
        "size": np.array(["small", "medium", "large"])[np.digitize(g, [-0.5, 0.7])].tolist(),
        "note": [f"n {i}, 1" for i in range(ROWS)],
    }
    hidden = rng.random((ROWS, len(columns))) < 0.1
    for place, name in enumerate(columns):
        if name not in ("id", "note"):
            columns[name] = ["" if hide else cell for cell, hide in zip(columns[name], hidden[:, place], strict=True)]
    return columns


def write(path, columns, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read(path, delimiter=","):
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file, delimiter=delimiter)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a finished run, of its table, and what the training printed."""
    folder = tmp_path_factory.mktemp("tables")
    write(folder / "table.csv", cells_of())
    words = ["train", "vae", "--data", folder / "table.csv", *SMALL.split(), "--run-dir", folder / "run", *COLUMNS]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        assert call(cli.main, *map(str, words)) == 0, err.getvalue()
    return SimpleNamespace(path=folder / "run", table=folder / "table.csv", out=out.getvalue(), err=err.getvalue())


@pytest.fixture
def command(capsys):
    """Function that runs a command in this process, and returns its exit code, stdout and stderr."""

    def run_command(*words):
        code = call(cli.main, *map(str, words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command
