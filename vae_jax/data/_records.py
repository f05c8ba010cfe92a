"""The records of one split of a prepared TFDS data set, read from array_record without TensorFlow."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vae_jax.data._arrays import as_labels, as_pixels


class Records:
    """A split's images, decoded when they are asked for; any number of threads may read at once.

    Args:
      builder: TFDS's, of a data set that is prepared as array_record.
      split: one of the data set's.
      shape: (H, W, C) of its images.

    Attributes:
      shape: (N, H, W, C).
    """

    def __init__(self, builder: Any, split: str, shape: tuple[int, int, int]):
        import tensorflow_datasets as tfds

        feature = builder.info.features["image"]
        self._where = f"TFDS data set {builder.info.full_name}, split {split!r}"
        self._label_key = _label_key(builder)
        # Encoded images are parsed and decoded here: TFDS's own way takes twice as long. Rare features (float or
        # bool arrays) are left to it.
        self._encoded = (
            isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8 and shape[-1] in (1, 3)
        )
        method = tfds.decode.DeserializeMethod
        with quiet_absl():
            self._source = builder.as_data_source(
                split,
                file_format="array_record",
                deserialize_method=method.RAW_BYTES if self._encoded else method.DESERIALIZE_AND_DECODE,
            )
        self.shape = (len(self._source), *shape)
        self.identity = ["tfds", builder.info.full_name, split]

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places, uint8 `[n, H, W, C]`.

        Raises:
          ValueError: for an image that cannot be decoded; it names the data set, the split and the place.
        """
        return self.read_labeled(indices)[0]

    def read_labeled(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The images at these places and their labels, int32 `[n]` or None where the data set has none."""
        if self._label_key is None:
            return self.read_with(indices, ())[0], None
        pixels, labels = self.read_with(indices, (self._label_key,))
        return pixels, as_labels(labels[:, 0], len(pixels), self._where)

    def read_with(self, indices: Sequence[int] | np.ndarray, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The images at these places, and `[n, len(features)]` features of them that are one integer each."""
        places = [int(index) for index in indices]
        examples = self._source.__getitems__(places)
        if self._encoded:
            from tensorflow_datasets.proto import tf_example_pb2

            examples = [tf_example_pb2.Example.FromString(example).features.feature for example in examples]
            pixels = self._decode([example["image"].bytes_list.value[0] for example in examples], places)
            rows = [[example[name].int64_list.value[0] for name in features] for example in examples]
        else:
            pixels = as_pixels(np.stack([example["image"] for example in examples]), self._where)
            rows = [[example[name] for name in features] for example in examples]
        return pixels, np.array(rows)

    def _decode(self, encoded: Sequence[bytes], places: Sequence[int]) -> np.ndarray:
        """Encoded images (PNG, JPEG, ...) as uint8 `[n, H, W, C]`."""
        from PIL import Image

        shape = self.shape[1:]
        mode = "L" if shape[-1] == 1 else "RGB"
        pixels = np.empty((len(encoded), *shape), np.uint8)
        for row, content, place in zip(pixels, encoded, places, strict=True):
            try:
                with Image.open(io.BytesIO(content)) as image:
                    row[...] = np.asarray(image if image.mode == mode else image.convert(mode)).reshape(shape)
            except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for some broken files
                raise ValueError(f"{self._where}: image {place} cannot be decoded as {shape}: {error}.") from error
        return pixels


def _label_key(builder: Any) -> str | None:
    features, supervised = builder.info.features, builder.info.supervised_keys
    key = supervised[1] if supervised and isinstance(supervised[1], str) else "label"
    one_integer = key in features and features[key].shape == () and np.issubdtype(features[key].np_dtype, np.integer)
    return key if one_integer else None


@contextlib.contextmanager
def quiet_absl() -> Iterator[None]:
    """Silences TFDS's warnings about folders it looked into and about OpenCV, which it can do without."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
