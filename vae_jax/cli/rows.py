"""Shared parts of the commands that write a row for each example: model, data, the loop over batches, the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.atomic import check_writable
from vae_jax.cli.exits import exit_in_a_line, exit_on_bad_input
from vae_jax.cli.of_run import load
from vae_jax.cli.options import OfExamples
from vae_jax.cli.output import new_file
from vae_jax.data import NamedImages, every_example
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.row_files import Rows, check_row_file, row_file
from vae_jax.runs.fitting.signals import terminated_as_interrupted
from vae_jax.runs.images.problem import with_labels
from vae_jax.runs.loading import Loaded, data_of, preprocessing
from vae_jax.runs.processes import ending_together, join_processes
from vae_jax.runs.progress import CountDisplay, say
from vae_jax.text import printable

# The draws of an example follow from this key and the number of the example in its data set.
KEY_SEED = 0
# (model, params, key, indices [B], examples [B] as the model sees them) -> numbers, each [B, ...]
Compute = Callable[[Model, Params, jax.Array, jax.Array, Any], Any]


class Work(NamedTuple):
    """Everything that the rows of this process are made of."""

    loaded: Loaded
    images: NamedImages
    part: range  # places of the examples of this process
    output: Path
    batch_size: int


def prepare_rows(options: OfExamples, output: Path | None, default: str, check: Callable[[Loaded], None]) -> Work:
    """The model, the data and the file that the options name; nothing is written.

    Args:
      output: file to write.
      default: its name if it is None.
      check: raises ValueError if the model does not suit the options.

    Raises:
      SystemExit: with code 2 and a line on stderr, for what is not as it must be.
    """
    with ending_together(), exit_on_bad_input():
        if output is not None:
            check_row_file(output, "--output")
        join_processes(options)
        own = _own_file(new_file(None, default) if output is None else output)
        loaded = load(options)
        check(loaded)
        images = _images(options, loaded)
        count, processes = images.shape[0], jax.process_count()
        if count < processes:
            raise ValueError(f"--num-processes {processes}: DATA has {count} examples, fewer than one for each process")
        start, stop = (count * index // processes for index in (jax.process_index(), jax.process_index() + 1))
        return Work(loaded, images, range(start, stop), own, min(options.batch_size, stop - start))


def _own_file(path: Path) -> Path:
    """The file that this process writes: of several processes each has its own."""
    if jax.process_count() > 1:
        path = path.with_stem(f"{path.stem}-{jax.process_index()}-of-{jax.process_count()}")
    check_row_file(path, "--output")
    check_writable(path, "--output")
    return path


def _images(options: OfExamples, loaded: Loaded) -> NamedImages:
    own = options.data is None
    data: str = loaded.settings.data if options.data is None else options.data
    if own:
        data_of(loaded, options.data_dir)  # which has not changed since
    # The run's own pictures were resized if it was trained with --size.
    resize = options.resize or (own and getattr(loaded.settings, "size", None) is not None)
    try:
        images = every_example(data, options.data_dir, shape=loaded.image_shape, resize=resize)
    except ValueError as error:
        raise ValueError(f"DATA {error}") from error
    if loaded.num_classes is not None and not images.labelled:
        raise ValueError(f"DATA {data} has no labels, which the model of {loaded.folder} is given (--condition labels)")
    say(f"{data}: {images.shape[0]:,} examples{images.note and '; '}{images.note}")
    return images


def rows_of(work: Work, compute: Compute, what: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Computes the examples of this process, a batch at a time by one program: their names and labels, and numbers.

    The image and the draws of example i have keys of their own, so that its numbers do not depend on the batch.

    Raises:
      SystemExit: with code 2 and a line on stderr, for an image that cannot be read or a label that the model lacks.
    """
    loaded, images, size = work.loaded, work.images, work.batch_size
    prepare, key = preprocessing(loaded), jax.random.key(KEY_SEED)
    pixels_key, computing_key = jax.random.split(key)

    @jax.jit
    def program(params: Params, indices: jax.Array, pixels: jax.Array, labels: Any) -> Any:
        keys = jax.vmap(lambda index: jax.random.fold_in(pixels_key, index))(indices)
        xs = with_labels(jax.vmap(prepare)(keys, pixels), labels, loaded.num_classes)
        return compute(loaded.model, params, computing_key, indices, xs)

    def begin(places: np.ndarray) -> tuple[dict[str, Any], Any]:
        with exit_on_bad_input():
            pixels, labels = images.read(places)
            _check_labels(loaded, images, places, labels)
        fill = np.minimum(np.arange(size), len(places) - 1)  # one shape for all batches
        given = None if labels is None or loaded.num_classes is None else labels[fill]
        about: dict[str, Any] = {"name": [images.name(int(place)) for place in places]}
        if labels is not None:
            about["label"] = labels
        return about, program(loaded.params, places[fill].astype(np.int32), pixels[fill], given)

    def end(about: dict[str, Any], numbers: Any) -> tuple[dict[str, Any], Any]:
        count = len(about["name"])
        display.add(count)
        return about, jax.tree.map(lambda leaf: np.asarray(leaf)[:count], numbers)

    with CountDisplay(what, len(work.part)) as display:
        begun = None
        for start in range(work.part.start, work.part.stop, size):
            following = begin(np.arange(start, min(start + size, work.part.stop)))
            if begun is not None:  # computed while this batch was read
                yield end(*begun)
            begun = following
        assert begun is not None
        yield end(*begun)


def write_rows(work: Work, batches: Iterable[Rows], what: str) -> None:
    """Writes the rows as they come, and prints their file and their number."""
    work.output.parent.mkdir(parents=True, exist_ok=True)
    with ending_together(), exit_in_a_line(), terminated_as_interrupted(), row_file(work.output) as file:
        for rows in batches:
            file.add(rows)
    print(f"{what}: {printable(work.output)}, {len(work.part):,} rows")


def _check_labels(loaded: Loaded, images: NamedImages, places: np.ndarray, labels: np.ndarray | None) -> None:
    if loaded.num_classes is None or labels is None:
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= loaded.num_classes))
    if len(wrong):
        raise ValueError(
            f"DATA: {images.name(int(places[wrong[0]]))} has label {labels[wrong[0]]}, and the model of "
            f"{loaded.folder} knows the labels 0 to {loaded.num_classes - 1}"
        )
