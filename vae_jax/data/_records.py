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
    """Images of a split, decoded on demand; any number of threads may read at once.

    Args:
      builder: TFDS builder of a data set that is prepared as array_record.
      split: Name of a split.
      shape: (H, W, C) of the images.

    Attributes:
      shape: (N, H, W, C).
    """

    def __init__(self, builder: Any, split: str, shape: tuple[int, int, int]):
        import tensorflow_datasets as tfds

        feature = builder.info.features["image"]
        self._where = f"TFDS data set {builder.info.full_name}, split {split!r}"
        self._label_key = _label_key(builder)
        # Encoded images are parsed and decoded here, because TFDS takes twice as long. Rare features (float or bool
        # arrays) are decoded by TFDS.
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
        """Images at these indices, uint8 `[n, H, W, C]`.

        Raises:
          ValueError: If an image cannot be decoded; the message names the data set, the split and the index.
        """
        return self.read_labeled(indices)[0]

    def read_labeled(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Images at these indices and their labels, int32 `[n]`, or None if the data set has no labels."""
        if self._label_key is None:
            return self.read_with(indices, ())[0], None
        pixels, labels = self.read_with(indices, (self._label_key,))
        return pixels, as_labels(labels[:, 0], len(pixels), self._where)

    def read_with(self, indices: Sequence[int] | np.ndarray, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Images at these indices, and their values of the given features `[n, len(features)]`, one integer each."""
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
        """Decodes images (PNG, JPEG, ...) to uint8 `[n, H, W, C]`."""
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
    """Silences TFDS's warnings about searched folders and about OpenCV, which is optional."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
