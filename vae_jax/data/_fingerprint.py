"""A short fingerprint of a data set, with which a run recognizes the data that it was started with."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax
import numpy as np

from vae_jax.data._arrays import Images
from vae_jax.data._factors import FactorData
from vae_jax.data._sources import ImageSource, evenly_spaced
from vae_jax.data._streaming import ImageStream
from vae_jax.data.tables import Column, Table

_SAMPLED = 1_000  # training images of a stream whose pixels are read
_BLOCK = 100  # images read at once
_RENDERED = 8  # images of a rendered data set


def fingerprint(source: Images | ImageStream | FactorData | Table) -> str:
    """Fingerprint of a data set: 16 hexadecimal digits of a SHA-256.

    The fingerprint is equal in every process, Python and machine. It does not depend on where the data are stored, on
    the name of their folder or file, or on times. It covers

    * for `Images`: every pixel and label of every split, and their masks;
    * for an `ImageStream`: the shapes, every test and validation image, the test labels, 1,000 evenly spaced training
      images, and the source's identity: relative path and size of every picture file, the size of an `.npy` file, the
      name and version of a TFDS data set. A change of any other training image is not noticed if its file keeps its
      name and size;
    * for `FactorData` (and a stream that renders it): its name, factors and image shape, and 8 rendered images;
    * for a `Table`: name, type and every cell of every column, but not the kinds of the columns, nor dropped columns.

    Args:
      source: The data set.

    Returns:
      16 hexadecimal digits.

    Raises:
      TypeError: If source is not `Images`, an `ImageStream`, `FactorData` or a `Table`.
      ValueError: If an image of a stream cannot be read.
    """
    digest = _Digest()
    if isinstance(source, Images):
        digest.add("images")
        for pixels, labels in (
            (source.train, source.train_labels),
            (source.test, source.test_labels),
            (source.validation, source.validation_labels),
        ):
            digest.pixels(pixels)
            digest.labels(labels)
        masks = (source.train_mask, source.test_mask, source.validation_mask)
        for mask in masks if source.train_mask is not None else ():
            digest.pixels(mask)
    elif isinstance(source, ImageStream):
        digest.add(["stream", source.train.shape, source.test.shape])
        digest.labels(source.test_labels)
        data = _factor_data(source.train)
        if data is not None:  # devices may render an edge differently: few images, always rendered by the CPU
            _add_factor_data(digest, data)
        else:
            digest.pixels(source.test)
            digest.pixels(source.validation)
            _add_source(digest, source.train)
    elif isinstance(source, FactorData):
        digest.add("factors")
        _add_factor_data(digest, source)
    elif isinstance(source, Table):
        digest.add(["table", source.num_rows])
        for column in source.columns:
            _add_column(digest, column)
    else:
        raise TypeError(f"source must be Images, an ImageStream, FactorData or a Table, got {type(source).__name__}")
    return digest.hexadecimal()


class _Digest:
    """SHA-256 of a sequence of parts; kind and length of each are hashed too, so that the input is unambiguous."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"vae_jax data 1")

    def add(self, part: Any) -> None:
        """Adds a JSON-like value."""
        content = json.dumps(part, sort_keys=True).encode()
        self._hash.update(b"json %d " % len(content) + content)

    def pixels(self, images: np.ndarray | None) -> None:
        """Adds an array of pixels, block by block."""
        self.add(None if images is None else [str(images.dtype), images.shape])
        if images is None:
            return
        for start in range(0, len(images), 4096):
            self._hash.update(np.ascontiguousarray(images[start : start + 4096]).data)

    def labels(self, labels: np.ndarray | None) -> None:
        """Adds labels."""
        self.add(None if labels is None else labels.shape)
        if labels is not None:
            self._hash.update(np.ascontiguousarray(labels, dtype="<i8").data)

    def bytes(self, array: np.ndarray) -> None:
        """Adds the type, the length and the contents of an array."""
        self.add([array.dtype.str, len(array)])
        self._hash.update(np.ascontiguousarray(array).data)

    def hexadecimal(self) -> str:
        return self._hash.hexdigest()[:16]


def _add_column(digest: _Digest, column: Column) -> None:
    """Adds a column; missing cells are hashed as zeros, so that the values behind them do not matter."""
    digest.add([column.name, column.dtype])
    values = column.values
    if column.texts is not None:  # places are numbered by the sorted texts, which do not depend on the reader
        order = np.argsort(np.array(column.texts, object), kind="stable")
        digest.add([column.texts[i] for i in order.tolist()])
        values = np.argsort(order)[values]
    if column.observed is not None:
        digest.bytes(column.observed)
        values = np.where(column.observed, values, np.zeros((), values.dtype))
    digest.bytes(values.astype(values.dtype.newbyteorder("<"), copy=False))


def _add_source(digest: _Digest, source: ImageSource) -> None:
    digest.add(getattr(source, "identity", None))
    places = evenly_spaced(source.shape[0], _SAMPLED)
    for start in range(0, len(places), _BLOCK):
        digest.pixels(source.read(places[start : start + _BLOCK]))


def _factor_data(source: Any) -> FactorData | None:
    """Data set that a source renders, or None if it renders none."""
    while hasattr(source, "source"):
        source = source.source
    return getattr(source, "data", None)


def _add_factor_data(digest: _Digest, data: FactorData) -> None:
    digest.add([data.name, data.factor_names, data.factor_sizes, data.image_shape])
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU
        device = jax.local_devices()[0]
    with jax.default_device(device):
        for index in evenly_spaced(data.num_images, _RENDERED):
            image = data.render(data.table, jax.random.key(0, impl="threefry2x32"), jax.numpy.int32(index))
            digest.pixels(np.rint(255 * np.asarray(image)).astype(np.uint8))
