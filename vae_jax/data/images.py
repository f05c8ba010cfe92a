"""One name in, images out: `load_images` picks the source that a `--data` argument means."""

from __future__ import annotations

import os

from vae_jax.data.arrays import Images as Images
from vae_jax.data.digits import load_digits
from vae_jax.data.factor_sets import RENDERED
from vae_jax.data.files import load_array_file
from vae_jax.data.folder import load_folder
from vae_jax.data.tfds_images import load_tfds


def load_images(data: str, data_dir: str | None = None) -> Images:
    """Loads the images that `data` names.

    Args:
      data: One of
        `digits`, the embedded digits (`load_digits`);
        a path ending in `.npz` or `.npy` (`load_array_file`);
        an existing directory, or any path ending in `/` (`load_folder`);
        a TFDS name such as `mnist`, `cifar10` or `cmaterdb/bangla` (`load_tfds`).
      data_dir: The TFDS data directory; without it the environment's TFDS_DATA_DIR, else TFDS's own default.
        The other sources do not use it.

    Returns:
      `Images`.

    Raises:
      ValueError: for a name that is none of these (with the closest TFDS names), for a data set that is not there and
        cannot be fetched, and for contents that are not images of one shape.
      TypeError: for pixels or labels of a dtype that cannot be taken.
    """
    if data == "digits":
        return load_digits()
    if data in RENDERED:
        raise ValueError(
            f"data {data!r} is {RENDERED[data].num_images:,} images, rendered as they are needed and not held: "
            "read it as a stream (--stream, or vae_jax.data.stream_images), or train on it with "
            "vae-jax train disentangle"
        )
    if data.lower().endswith((".npz", ".npy")):
        return load_array_file(data)
    if data.endswith(("/", os.sep)) or os.path.isdir(data):
        return load_folder(data)
    return load_tfds(data, data_dir)
