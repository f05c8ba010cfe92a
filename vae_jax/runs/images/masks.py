"""Masks of the observed pixels of images: drawn at random for an experiment, or read from a file."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.data import Images

_SPLITS = ("train", "validation", "test")
_SEED = 0  # the masks of an experiment are those of its data, and not of a training seed


def hide_at_random(images: Images, share: float) -> Images:
    """The images with masks that hide each value independently with probability `share`, always the same ones.

    Args:
      images: images of any source.
      share: between 0 and 1.

    Raises:
      ValueError: If share is not between 0 and 1.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"missing must be between 0 and 1, the share of hidden pixels, got {share}")
    masks: dict[str, Any] = {}
    for number, split in enumerate(_SPLITS):
        pixels = getattr(images, split)
        if pixels is not None:
            generator = np.random.Generator(np.random.PCG64([_SEED, number]))
            masks[f"{split}_mask"] = generator.random(pixels.shape, np.float32) >= share
    return dataclasses.replace(images, **masks)


def with_mask_file(images: Images, path: str | Path) -> Images:
    """The images with masks from an `.npz` file: an array for each split, under its name, of the shape of its images.

    Args:
      images: images of any source.
      path: The file. 0 or False: missing. Nothing is unpickled.

    Raises:
      ValueError: If the file cannot be read, or has no array for a split, or one of another shape or dtype, or one
        that hides all pixels.
    """
    path = os.fspath(path)
    masks: dict[str, Any] = {}
    for split in _SPLITS:
        pixels = getattr(images, split)
        if pixels is not None:
            masks[f"{split}_mask"] = _checked(_read(path, split), pixels.shape, f"{path}, key {split!r}")
    return dataclasses.replace(images, **masks)


def _read(path: str, split: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            if split in file.files:
                mask: np.ndarray = file[split]
                return mask
    except (OSError, EOFError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:  # .npy: TypeError
        raise ValueError(f"{path}: expected an .npz file of masks that can be read without unpickling.") from error
    raise ValueError(f"{path}, key {split!r}: expected a mask of the {split} images, got none.")


def _checked(mask: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    if mask.shape == shape[:-1] and shape[-1] == 1:
        mask = mask[..., None]
    if mask.shape != shape:
        raise ValueError(f"{where}: expected a mask of the shape of the images, {shape}, got {mask.shape}.")
    if not (mask.dtype == np.bool_ or np.issubdtype(mask.dtype, np.number)):
        raise ValueError(f"{where}: expected booleans or numbers (0: missing), got dtype {mask.dtype}.")
    if np.isnan(mask).any():
        raise ValueError(f"{where}: expected booleans or numbers (0: missing), got NaN.")
    if not mask.any():
        raise ValueError(f"{where}: expected a mask with observed pixels, got 0 (missing) everywhere.")
    return mask != 0
