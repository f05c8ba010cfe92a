"""A run on a table from the command line: what it prints, keeps, scores, draws, fills in and refuses."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from pyarrow import parquet

import vae_jax
from runs.tables.conftest import COLUMNS, ROWS, SMALL, cells_of, read, write
from vae_jax.checksums import write_recorded
from vae_jax.data import Encoding, load_table_like
from vae_jax.models import Example
from vae_jax.objectives import elbo_from_terms, elbo_terms
from vae_jax.runs import VAE, RunFolder, Settings
from vae_jax.runs.config import run_config, settings_of_run
from vae_jax.runs.recipe import recipe_for
from vae_jax.runs.tables.problem import HidingCells, kinds_of, split_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_an_empty_folder")]
MODELED = ("age", "income", "kids", "smoker", "city", "size")


def test_the_columns_are_printed_before_training_and_the_rows_held_out_are_counted(run):
    lines = run.err.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("column"))
    kinds = {line.split()[0]: line.split()[1] for line in lines[start + 1 : start + 9]}
    assert kinds == {
        "id": "name", "age": "continuous", "income": "positive", "kids": "count", "smoker": "binary",
        "city": "category", "size": "ordinal", "note": "keep",
    }  # fmt: skip
    assert "small < medium < large" in run.err and " %" in run.err
    assert "243 training, 27 validation, 30 test rows" in run.err
    summary = json.loads(run.out)
    assert summary["test_rows"] == 30 and "test_images" not in summary
    observed = {name: [cell for cell in cells_of()[name] if cell] for name in MODELED}
    assert set(summary["distortion_per_column"]) == set(observed)


def test_the_distortion_of_the_columns_sums_to_the_distortion(run):
    summary = json.loads(run.out)
    encoding = Encoding.from_json(vae_jax.load(run.path)[2]["table"])
    table = load_table_like(run.table, encoding)
    _, seen = encoding.encode(table, split_of(table, 27).test)
    counts = {name: each.sum() for name, each in encoding.by_column(seen).items()}
    total = sum(summary["distortion_per_column"][name] * counts[name] for name in counts) / 30
    assert total == pytest.approx(summary["distortion"], abs=0.35)  # other draws of z


def test_the_encoding_is_fitted_to_the_training_rows_alone(run):
    config = json.loads((run.path / "config.json").read_text())
    encoding = Encoding.from_json(config["table"])
    table = load_table_like(run.table, encoding)
    train = split_of(table, 27).train
    ages = np.array([float(cell) for i, cell in enumerate(cells_of()["age"]) if cell and i in set(train)])
    age = next(column for column in encoding.columns if column.name == "age")
    np.testing.assert_allclose((age.location, age.scale), (ages.mean(), ages.std()), rtol=1e-6)
    assert sorted(np.concatenate(split_of(table, 27)).tolist()) == list(range(ROWS))


def test_a_run_is_resumed_to_the_same_bits_and_restores_its_encoding(run, command):
    words = ["train", "vae", "--data", run.table, *SMALL.split(), "--run-dir", "part", *COLUMNS]
    code, _, err = command(*words, "--epochs", "2")
    assert code == 0, err
    config = json.loads((run.path / "config.json").read_text())
    Path("part/config.json").write_text("{}")  # damaged
    code, out, err = command("train", "vae", "--run-dir", "part", "--resume", "--epochs", "3")
    assert code == 0 and "config.json" in err, err
    assert json.loads(Path("part/config.json").read_text()) == config
    whole, part = (vae_jax.load(path)[1] for path in (run.path, "part"))
    jax.tree.map(np.testing.assert_array_equal, whole, part)
    assert json.loads(out)["negative_elbo"] == json.loads(run.out)["negative_elbo"]
    other = cells_of()
    other["age"][0] = "41.00"
    write("other.csv", other)
    code, _, err = command("train", "vae", "--data", "other.csv", "--run-dir", "part", "--resume")
    assert code == 2 and "data" in err


def test_a_folder_without_the_settings_of_tables_is_read():
    """Folders of version 0.1.0 (format 4) have no settings of tables."""
    config = run_config(VAE, VAE.defaults) | {"seed": 3}
    del config["columns"], config["hide_cells"]
    folder = RunFolder(Path("images"), "RUN")
    folder.create(config, image_shape=(4, 4, 1))
    folder.unlock()
    stored = json.loads(Path("images/config.json").read_text())
    write_recorded(folder.path, "config.json", json.dumps(stored | {"format": 4}))
    settings = settings_of_run(VAE, VAE.defaults, folder)
    assert (settings.seed, settings.columns, settings.hide_cells) == (3, (), None)


def test_imputed_tables_keep_every_other_cell_to_the_letter(run, command):
    code, out, err = command("impute", run.path, run.table, "--output", "filled.csv", "--samples", "200")
    assert code == 0 and "table: filled.csv, 300 rows" in out and "effective sample size: median" in err, err
    before, after = read(run.table), read("filled.csv")
    assert list(after) == list(before) and "note" in err  # the column that the model does not know
    for name, cells in before.items():
        for old, new in zip(cells, after[name], strict=True):
            assert new and (not old or new == old), (name, old, new)
    assert all(cell.isdecimal() for cell in after["kids"]) and set(after["city"]) == {"Bern", "Basel", "Zug"}
    assert all(float(cell) > 0 for cell in after["income"])
    # The missing ages follow the incomes of their rows, which the model has seen.
    places = [i for i, cell in enumerate(before["age"]) if not cell and before["income"][i]]
    logs = np.log([float(before["income"][i]) for i in places])
    assert np.corrcoef(logs, [float(after["age"][i]) for i in places])[0, 1] > 0.3
    code, _, err = command("impute", run.path, run.table, "--output", "filled.csv")
    assert code == 2 and "exists already" in err


def test_draws_repeat_the_table_and_vary_in_missing_cells_alone(run, command):
    cells = cells_of()
    write("semicolons.csv", {n: [c.replace(".", ",") for c in v] if n == "age" else v for n, v in cells.items()}, ";")
    words = ["--draws", "4", "--samples", "50", "--output", "draws.csv"]
    code, out, err = command("impute", run.path, "semicolons.csv", *words)
    assert code == 2 and "column 'age'" in err  # decimal commas and points are mixed: nothing is guessed
    comma = lambda texts: [text.replace(".", ",") for text in texts]
    write("semicolons.csv", {n: comma(v) if n in ("age", "income") else v for n, v in cells.items()}, ";")
    assert command("impute", run.path, "semicolons.csv", *words[:-1], "commas.csv")[0] == 0
    code, out, err = command("impute", run.path, run.table, *words)
    assert code == 0 and "4 draws of 300 rows" in out, err
    assert read("commas.csv", ";")["income"] == comma(read("draws.csv")["income"])
    drawn = read("draws.csv")
    assert drawn["draw"] == [str(d) for d in range(1, 5) for _ in range(ROWS)]
    for name, before in cells.items():
        each = [drawn[name][d * ROWS : (d + 1) * ROWS] for d in range(4)]
        assert all(len({part[i] for part in each}) == 1 for i, cell in enumerate(before) if cell)
    missing = [i for i, cell in enumerate(cells["age"]) if not cell]
    assert all(len({drawn["age"][d * ROWS + i] for d in range(4)}) == 4 for i in missing)


def test_drawn_rows_have_the_columns_types_and_levels_of_the_table(run, command):
    assert command("sample", run.path, "--count", "1500", "--output", "new.csv")[0] == 0
    assert command("sample", run.path, "--count", "7", "--output", "new.parquet")[0] == 0
    rows, few = read("new.csv"), parquet.read_table("new.parquet")
    assert list(rows) == list(MODELED) == few.column_names and len(rows["age"]) == 1500
    assert rows["kids"][:7] == [str(each) for each in few["kids"].to_pylist()]  # row i depends on seed and i alone
    assert set(rows["size"]) <= {"small", "medium", "large"} and set(rows["smoker"]) == {"no", "yes"}
    table = read(run.table)
    known = np.array([float(cell) for cell in table["age"] if cell])
    drawn = np.array([float(cell) for cell in rows["age"]])
    assert abs(drawn.mean() - known.mean()) < known.std() / 2 and 0.5 < drawn.std() / known.std() < 2
    share = np.mean([cell == "yes" for cell in table["smoker"] if cell])
    assert abs(np.mean([cell == "yes" for cell in rows["smoker"]]) - share) < 0.15


def test_scores_are_the_elbo_of_each_row_by_name_and_show_an_outlier(run, command):
    odd = cells_of()
    odd["income"][17], odd["age"][17] = "900000000.00", "-300.00"
    write("odd.csv", odd)
    assert command("score", run.path, "odd.csv", "--sort", "--output", "scores.csv", "--elbo-samples", "400")[0] == 0
    scores = read("scores.csv")
    assert list(scores) == ["name", "elbo", "distortion"] and scores["name"][0] == "p017"
    assert sorted(scores["name"]) == odd["id"]
    model, params, config = vae_jax.load(run.path)
    encoding = Encoding.from_json(config["table"])
    values, seen = encoding.encode(load_table_like("odd.csv", encoding))
    one = jax.tree.map(lambda leaf: leaf[5], Example(values, seen))
    vae = model.given(one.context)
    terms = jax.jit(jax.vmap(lambda k: elbo_from_terms(*elbo_terms(vae, params, k, one.x))))
    expected = float(jax.numpy.mean(terms(jax.random.split(jax.random.key(1), 2000))))
    assert float(scores["elbo"][scores["name"].index("p005")]) == pytest.approx(expected, abs=0.3)
    assert command("encode", run.path, "--output", "codes.npz")[0] == 0
    codes = np.load("codes.npz")
    assert codes["name"].tolist() == odd["id"] and codes["mean"].shape == (ROWS, 2)


def test_pages_and_a_saved_model_speak_of_rows(run, command):
    report, card = ((run.path / name).read_text() for name in ("report.html", "MODEL.md"))
    assert "nats per row" in report and "per image" not in report + card and "30 test rows" in card
    figures = {path.stem for path in (run.path / "figures").iterdir()}
    assert figures >= {"training_curves", "columns", "associations", "columns_elbo", "codes", "kl_per_dimension"}
    shutil.copytree(run.path, "again")
    assert command("report", "again", "--color-by", "age")[0] == 0
    assert "colored by the column age" in Path("again/report.html").read_text()
    _, params, config = vae_jax.load(run.path)
    vae_jax.save("saved", jax.tree.map(lambda leaf: leaf * 0, params), config)
    assert command("sample", "saved", "--count", "2", "--output", "zero.csv")[0] == 0
    assert command("export", run.path, "--format", "safetensors", "--output", "exported")[0] == 0
    loaded = vae_jax.load("exported")
    jax.tree.map(np.testing.assert_array_equal, loaded[1], params)
    assert loaded[2] == config
    code, out, err = command("evaluate", "again", "--nll-samples", "50", "--ais-images", "0")
    assert code == 0 and "30 test rows" in err, err
    summary = json.loads(out)
    assert summary["nll"] < summary["negative_elbo"] + 0.3 and summary["mutual_information"] > 0


def test_what_does_not_suit_a_table_is_refused_in_one_line(run, command):
    unseen, table = cells_of(), run.table
    unseen["city"][3] = "Paris"
    write("unseen.csv", unseen)
    write("less.csv", {name: cells for name, cells in cells_of().items() if name != "city"})
    train = ("train", "vae", "--data", table)
    for words, message in (
        (("impute", run.path, "unseen.csv"), "row p003, column 'city': 'Paris' is not among the categories"),
        (("impute", run.path, "less.csv"), "no column 'city'"),
        (("score", run.path, "unseen.csv"), "'Paris' is not among"),
        (("impute", run.path, table, "--output", "a.npz"), "--output must end in .csv, .tsv, .parquet"),
        (("sample", run.path, "--output", "a.png"), "--output must end in .csv, .parquet"),
        (("sample", run.path, "--label", "1"), "--label 1 is for images"),
        (("explore", run.path), "`vae-jax explore` is for images"),
        (("reconstruct", run.path, "0"), "`vae-jax reconstruct` is for images"),
        (("traverse", run.path), "`vae-jax traverse` is for images"),
        (("interpolate", run.path, "0", "1"), "`vae-jax interpolate` is for images"),
        (("export", run.path), "give --format safetensors"),
        (("report", run.path, "--color-by", "shoe"), "--color-by must be a column that the model sees"),
        ((*train, "--network", "conv"), "--network conv is for images"),
        ((*train, "--size", "8", "8"), "--size 8 8 is for images"),
        ((*train, "--stream"), "--stream is for images"),
        ((*train, "--binarization", "none"), "--binarization none is for images"),
        ((*train, "--condition", "labels"), "--condition labels is for images"),
        ((*train, "--data-dir", "x"), "--data-dir is for TFDS"),
        ((*train, "--prior", "vamp"), "--prior vamp is for images"),
        ((*train, "--likelihood", "bernoulli"), "--likelihood must be normal or student_t"),
        ((*train, "--columns", "age"), "--columns must be NAME=KIND"),
        ((*train, "--columns", "shoe=count"), "has no column 'shoe'"),
        ((*train, "--columns", "age=count", "age=drop"), "--columns gives age twice"),
        ((*train, "--hide-cells", "2"), "--hide-cells must be at most 1"),
        (("train", "vae", "--hide-cells", "0.1"), "--hide-cells 0.1 is for tables"),
        (("train", "vae", "--data", "none.csv"), "none.csv"),
        (("train", "vq_vae", "--data", table), "which vq_vae does not take"),
    ):
        code, out, err = command(*words)
        assert code == 2 and message in err and out == "" and len(err.strip().splitlines()) <= 2, (words, err)


def test_hidden_cells_follow_a_uniform_rate_of_each_row_and_columns_are_parsed():
    observed = {"a": np.ones((4, 50), bool), "b": np.zeros((4, 3), bool)}
    data = Example(jax.tree.map(np.float32, observed), observed)
    at = jax.jit(lambda key: HidingCells(0.6)(data, key, np.arange(4)).context)
    masks = jax.vmap(at)(jax.random.split(jax.random.key(0), 500))
    shares = 1 - np.asarray(masks["a"], float).mean(-1).ravel()  # uniform on [0, 0.6], and a binomial of 50
    assert shares.mean() == pytest.approx(0.3, abs=0.02)
    assert shares.var() == pytest.approx(0.6**2 / 12 + (0.3 - 0.12) / 50, rel=0.1)
    assert not masks["b"].any() and np.asarray(at(jax.random.key(1))["a"]).std() > 0
    settings = Settings(columns=("a=b=count", "size=ordinal:x=1<y", "age=positive"))
    assert kinds_of(settings) == {"a=b": "count", "size": "ordinal:x=1<y", "age": "positive"}
    assert recipe_for(VAE, "a.csv") is VAE.on_tables is recipe_for(VAE.on_tables, "a.csv")
    assert recipe_for(VAE, "mnist") is VAE
