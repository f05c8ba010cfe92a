"""`vae-jax impute`, and `vae-jax sample` for a run on a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax

from vae_jax.atomic import check_writable
from vae_jax.cli.inputs import is_of_table, load, read_table
from vae_jax.cli.options import Impute, Sample
from vae_jax.data import write_table
from vae_jax.runs.loading import Loaded
from vae_jax.runs.progress import say, working
from vae_jax.runs.tables.imputing import effective_note, impute_table, write_imputed
from vae_jax.runs.tables.rows import draw_rows
from vae_jax.text import printable


def prepare_sample_rows(options: Sample, loaded: Loaded) -> Callable[[], None]:
    for flag, value in (("--label", options.label), ("--files", options.files)):
        if value is not None:
            raise ValueError(
                f"{flag} {value} is for images, and RUN {options.run} was trained on a table: leave it out"
            )
    output = _new_table(options.output, "sample.csv", (".csv", ".parquet"))
    encoding, key = loaded.problem.encoding, jax.random.key(options.random_seed)

    def work() -> None:
        with working("drawing"):
            rows = draw_rows(loaded.model, loaded.params, key, encoding, options.count)
            write_table(output, encoding.decode(rows))
        print(f"rows: {printable(output)}, {options.count:,} rows")

    return work


def prepare_impute(options: Impute) -> Callable[[], None]:
    loaded = load(options)
    if not is_of_table(loaded):
        raise ValueError(f"RUN {options.run} was trained on images: `vae-jax impute` takes a run on a table")
    table = read_table(str(options.table), loaded, "TABLE")
    output = _new_table(options.output, f"imputed{options.table.suffix.lower()}", (".csv", ".tsv", ".parquet"))
    kept = [column.name for column in table.columns if column.kind == "keep"]
    if kept:
        say(f"columns that the model does not know, which stay as they are: {', '.join(map(printable, kept))}")
    try:
        loaded.problem.encoding.encode(table)
    except ValueError as error:
        raise ValueError(f"TABLE {error}") from error

    def work() -> None:
        with working("imputing"):
            imputation = impute_table(loaded, table, options.samples, options.draws, options.random_seed)
            write_imputed(options.table, table, imputation, output, options.draws)
        say(effective_note(imputation, options.samples))
        of_draws = f"{options.draws} draws of " if options.draws else ""
        print(f"table: {printable(output)}, {of_draws}{table.num_rows:,} rows")

    return work


def _new_table(output: Path | None, default: str, suffixes: tuple[str, ...]) -> Path:
    """File to write: `output`, or a free name after `default`, such as sample-2.csv.

    Raises:
      ValueError: if the file exists, cannot be written, or has another ending than the suffixes.
    """
    if output is None:
        name = Path(default)
        free = (Path(f"{name.stem}{end}{name.suffix}") for end in ("", *(f"-{i}" for i in range(2, 10_000))))
        output = next(path for path in free if not path.exists())
    if output.suffix.lower() not in suffixes:
        raise ValueError(f"--output must end in {', '.join(suffixes)}, got {output}")
    if output.exists():
        raise ValueError(f"--output {output} exists already: give another path, or remove it first")
    check_writable(output, "--output")
    return output
