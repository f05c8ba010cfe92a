"""Computation for each example of a data set with the model of a run, in batches by one program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.data import NamedImages, Table
from vae_jax.models._model import Example, Model
from vae_jax.params import Params
from vae_jax.runs.loading import Loaded, preprocessing
from vae_jax.runs.progress import CountDisplay

# The random draws of an example depend on this key and on the index of the example in its data set.
KEY_SEED = 0
# (model, params, key, indices [B], preprocessed examples [B]) -> numbers, each [B, ...]
Compute = Callable[[Model, Params, jax.Array, jax.Array, Any], Any]


class BadExample(ValueError):
    """Error about an example that the model cannot take."""


class Source(NamedTuple):
    """Examples of a data set that are read on demand."""

    size: int  # number of examples
    name: Callable[[int], str]  # (index) -> name of the example
    # (indices) -> raw examples, a pytree of arrays with a leading axis, and columns about them, such as their labels
    read: Callable[[np.ndarray], tuple[Any, dict[str, Any]]]
    prepare: Callable[[jax.Array, Any], Any]  # (keys [B], raw examples [B, ...]) -> examples of the model; is traced


class Part(NamedTuple):
    """Part of a data set that one process computes."""

    loaded: Loaded
    source: Source
    places: range
    batch_size: int


def computed(part: Part, compute: Compute, what: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Computes the examples of a part batch by batch, with a progress bar; yields names and labels, and numbers.

    Preprocessing and draws of each example have their own keys, so that its numbers do not depend on the batch.

    Raises:
      BadExample: an example cannot be read, or has a label that the model does not take.
    """
    loaded, source, size = part.loaded, part.source, part.batch_size
    preparing_key, computing_key = jax.random.split(jax.random.key(KEY_SEED))

    @jax.jit
    def program(params: Params, indices: jax.Array, raw: Any) -> Any:
        keys = jax.vmap(lambda index: jax.random.fold_in(preparing_key, index))(indices)
        return compute(loaded.model, params, computing_key, indices, source.prepare(keys, raw))

    def begin(places: np.ndarray) -> tuple[dict[str, Any], Any]:
        try:
            raw, columns = source.read(places)
        except ValueError as error:
            raise BadExample(str(error)) from error
        fill = np.minimum(np.arange(size), len(places) - 1)  # one shape for all batches
        about = {"name": [source.name(int(place)) for place in places], **columns}
        return about, program(loaded.params, places[fill].astype(np.int32), jax.tree.map(lambda leaf: leaf[fill], raw))

    def end(about: dict[str, Any], numbers: Any) -> tuple[dict[str, Any], Any]:
        count = len(about["name"])
        display.add(count)
        return about, jax.tree.map(lambda leaf: np.asarray(leaf)[:count], numbers)

    with CountDisplay(what, len(part.places), loaded.recipe.kind.example) as display:
        begun = None
        for start in range(part.places.start, part.places.stop, size):
            following = begin(np.arange(start, min(start + size, part.places.stop)))
            if begun is not None:  # computed while this batch was read
                yield end(*begun)
            begun = following
        assert begun is not None
        yield end(*begun)


def source_of_images(loaded: Loaded, images: NamedImages) -> Source:
    """Images for the model of a run, with their labels."""
    prepare = preprocessing(loaded)

    def read(places: np.ndarray) -> tuple[Any, dict[str, Any]]:
        pixels, labels = images.read(places)
        _check_labels(loaded, images, places, labels)
        given = None if labels is None or loaded.num_classes is None else labels
        return (pixels, given), {} if labels is None else {"label": labels}

    def prepared(keys: jax.Array, raw: Any) -> Any:
        pixels, labels = raw
        return loaded.contexts.examples(jax.vmap(prepare)(keys, pixels), labels)

    return Source(images.shape[0], images.name, read, prepared)


def source_of_table(loaded: Loaded, table: Table) -> Source:
    """Rows of a table for the model of a run.

    Raises:
      ValueError: the table does not suit the model; the message names row, column and value.
    """
    values, observed = loaded.problem.encoding.encode(table)
    name = lambda index: table.row_names([index])[0]

    def read(places: np.ndarray) -> tuple[Any, dict[str, Any]]:
        return jax.tree.map(lambda leaf: leaf[places], Example(values, observed)), {}

    return Source(table.num_rows, name, read, lambda keys, raw: raw)


def _check_labels(loaded: Loaded, images: NamedImages, places: np.ndarray, labels: np.ndarray | None) -> None:
    if loaded.num_classes is None or labels is None:
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= loaded.num_classes))
    if len(wrong):
        raise BadExample(
            f"DATA: {images.name(int(places[wrong[0]]))} has label {labels[wrong[0]]}, and the model of "
            f"{loaded.folder} takes the labels 0 to {loaded.num_classes - 1}"
        )
