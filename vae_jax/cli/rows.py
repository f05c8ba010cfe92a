"""Shared parts of the commands that write a row for each example: loading of model and data, writing of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import jax

from vae_jax.atomic import check_writable
from vae_jax.cli.exits import end, exit_in_a_line, exit_on_bad_input
from vae_jax.cli.inputs import is_of_table, load, read_table
from vae_jax.cli.options import OfExamples
from vae_jax.cli.output import new_file
from vae_jax.data import NamedImages, every_example
from vae_jax.row_files import Rows, check_row_file, row_file
from vae_jax.runs.checks import check_data_dir
from vae_jax.runs.each_example import BadExample, Part, Source, source_of_images, source_of_table
from vae_jax.runs.fitting.signals import terminated_as_interrupted
from vae_jax.runs.loading import Loaded, data_of
from vae_jax.runs.processes import ending_together, join_processes
from vae_jax.runs.progress import say
from vae_jax.text import printable


class Work(NamedTuple):
    """Examples of this process, and the file for their rows."""

    part: Part
    output: Path


def prepare_rows(options: OfExamples, output: Path | None, default: str, check: Callable[[Loaded], None]) -> Work:
    """Loads the model and opens the data that the options name; nothing is written.

    Args:
      output: file to write; None: a free name after `default`.
      default: name of the file if `output` is None.
      check: raises ValueError if the model does not suit the options.

    Raises:
      SystemExit: with code 2 and a line on stderr, for a bad option, run or data set.
    """
    with ending_together(), exit_on_bad_input():
        if output is not None:
            check_row_file(output, "--output")
        join_processes(options)
        own = _own_file(new_file(None, default) if output is None else output)
        loaded = load(options)
        check(loaded)
        source = _table(options, loaded) if is_of_table(loaded) else source_of_images(loaded, _images(options, loaded))
        count, processes = source.size, jax.process_count()
        if count < processes:
            raise ValueError(f"--num-processes {processes}: DATA has {count} examples, fewer than one for each process")
        start, stop = (count * index // processes for index in (jax.process_index(), jax.process_index() + 1))
        part = Part(loaded, source, range(start, stop), min(options.batch_size, stop - start))
        return Work(part, own)


def _own_file(path: Path) -> Path:
    """File that this process writes; each of several processes has its own."""
    if jax.process_count() > 1:
        path = path.with_stem(f"{path.stem}-{jax.process_index()}-of-{jax.process_count()}")
    check_row_file(path, "--output")
    check_writable(path, "--output")
    return path


def _images(options: OfExamples, loaded: Loaded) -> NamedImages:
    of_run = options.data is None
    data: str = loaded.settings.data if options.data is None else options.data
    if of_run:
        data_of(loaded, options.data_dir)  # raises ValueError if the data has changed since
    check_data_dir(data, options.data_dir)
    # The pictures of the run were resized if it was trained with --size.
    resize = options.resize or (of_run and getattr(loaded.settings, "size", None) is not None)
    try:
        images = every_example(data, options.data_dir, shape=loaded.image_shape, resize=resize)
    except ValueError as error:
        raise ValueError(f"DATA {error}") from error
    if loaded.num_classes is not None and not images.labeled:
        raise ValueError(f"DATA {data} has no labels, which the model of {loaded.folder} needs (--condition labels)")
    if loaded.contexts.masked:
        say(f"the model of {loaded.folder} is of images with missing pixels: here all pixels count as observed")
    say(f"{data}: {images.shape[0]:,} examples{images.note and '; '}{images.note}")
    return images


def _table(options: OfExamples, loaded: Loaded) -> Source:
    if options.resize:
        raise ValueError(f"--resize is for images, and RUN {options.run} was trained on a table: leave it out")
    if options.data is None:
        _, table = data_of(loaded, options.data_dir)  # raises ValueError if the data has changed since
    else:
        table = read_table(options.data, loaded, "DATA")
    try:
        source = source_of_table(loaded, table)
    except ValueError as error:
        raise ValueError(f"DATA {error}") from error
    say(f"{table.name}: {source.size:,} rows{table.note and '; '}{table.note}")
    return source


def write_rows(work: Work, batches: Iterable[Rows], what: str) -> None:
    """Writes the rows batch by batch, and prints the name of the file and the number of rows.

    Args:
      what: name of the rows, for the printed line.

    Raises:
      SystemExit: with code 2 and a line on stderr, for an example that the model cannot take.
    """
    work.output.parent.mkdir(parents=True, exist_ok=True)
    with ending_together(), exit_in_a_line(), terminated_as_interrupted():
        try:
            with row_file(work.output) as file:
                for rows in batches:
                    file.add(rows)
        except BadExample as error:
            end(str(error), 2)
    print(f"{what}: {printable(work.output)}, {len(work.part.places):,} rows")
