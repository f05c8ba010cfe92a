"""`load_images`, which chooses the source that a `--data` argument names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vae_jax.data._arrays import Images as Images
from vae_jax.data._digits import load_digits
from vae_jax.data._factor_sets import RENDERED
from vae_jax.data._files import load_array_file
from vae_jax.data._folder import load_folder
from vae_jax.data._kinds import image_kind_of
from vae_jax.data._tfds_images import load_tfds


def load_images(data: str | Path, data_dir: str | Path | None = None, *, size: Sequence[int] | None = None) -> Images:
    """Loads the images that `data` names.

    Args:
      data: One of
        `digits`, the embedded digits (`load_digits`);
        a path ending in `.npz` or `.npy` (`load_array_file`);
        an existing directory, or any path ending in `/` (`load_folder`);
        a TFDS name such as `mnist`, `cifar10` or `cmaterdb/bangla` (`load_tfds`).
        A `pathlib.Path` is always a file or a folder.
      data_dir: The TFDS data directory. Default: the environment variable TFDS_DATA_DIR, else TFDS's default. The other
        sources do not use it.
      size: (height, width) to which the pictures of a folder are resized. Default: not resized.

    Returns:
      `Images`.

    Raises:
      ValueError: If the name is unknown (the message has the closest TFDS names), the data set is missing and cannot be
        downloaded, the contents are not images of one shape, or a size is given for a source other than a folder.
      TypeError: If pixels or labels have an unsupported dtype.
    """
    kind = image_kind_of(data, size)
    if kind == "folder":
        return load_folder(data, size=size)
    if kind == "array file":
        return load_array_file(data)
    if kind == "digits":
        return load_digits()
    if kind == "rendered":
        raise ValueError(
            f"data {data!r} has {RENDERED[str(data)].num_images:,} images, which are rendered on demand and not stored "
            "in memory: read it as a stream (--stream, or vae_jax.data.stream_images), or train on it with "
            "vae-jax train disentangle"
        )
    return load_tfds(str(data), None if data_dir is None else os.fspath(data_dir))
