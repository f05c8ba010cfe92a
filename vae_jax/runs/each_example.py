"""Computation for each example of a data set with the model of a run, in batches by one program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.data import NamedImages
from vae_jax.models._model import Model
from vae_jax.params import Params
from vae_jax.runs.loading import Loaded, preprocessing
from vae_jax.runs.progress import CountDisplay

# The random draws of an example depend on this key and on the index of the example in its data set.
KEY_SEED = 0
# (model, params, key, indices [B], preprocessed examples [B]) -> numbers, each [B, ...]
Compute = Callable[[Model, Params, jax.Array, jax.Array, Any], Any]


class BadExample(ValueError):
    """Error about an example that the model cannot take."""


class Part(NamedTuple):
    """Part of a data set that one process computes."""

    loaded: Loaded
    images: NamedImages
    places: range
    batch_size: int


def computed(part: Part, compute: Compute, what: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Computes the examples of a part batch by batch, with a progress bar; yields names and labels, and numbers.

    Preprocessing and draws of each example have their own keys, so that its numbers do not depend on the batch.

    Raises:
      BadExample: an image cannot be read, or has a label that the model does not take.
    """
    loaded, images, size = part.loaded, part.images, part.batch_size
    prepare, key = preprocessing(loaded), jax.random.key(KEY_SEED)
    pixels_key, computing_key = jax.random.split(key)

    @jax.jit
    def program(params: Params, indices: jax.Array, pixels: jax.Array, labels: Any) -> Any:
        keys = jax.vmap(lambda index: jax.random.fold_in(pixels_key, index))(indices)
        xs = loaded.contexts.examples(jax.vmap(prepare)(keys, pixels), labels)
        return compute(loaded.model, params, computing_key, indices, xs)

    def begin(places: np.ndarray) -> tuple[dict[str, Any], Any]:
        try:
            pixels, labels = images.read(places)
        except ValueError as error:
            raise BadExample(str(error)) from error
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

    with CountDisplay(what, len(part.places)) as display:
        begun = None
        for start in range(part.places.start, part.places.stop, size):
            following = begin(np.arange(start, min(start + size, part.places.stop)))
            if begun is not None:  # computed while this batch was read
                yield end(*begun)
            begun = following
        assert begun is not None
        yield end(*begun)


def _check_labels(loaded: Loaded, images: NamedImages, places: np.ndarray, labels: np.ndarray | None) -> None:
    if loaded.num_classes is None or labels is None:
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= loaded.num_classes))
    if len(wrong):
        raise BadExample(
            f"DATA: {images.name(int(places[wrong[0]]))} has label {labels[wrong[0]]}, and the model of "
            f"{loaded.folder} takes the labels 0 to {loaded.num_classes - 1}"
        )
