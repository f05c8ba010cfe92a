"""The record that every image source returns, and the checks that every source shares."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

HOLD_OUT_SEED = 0
HOLD_OUT_NOTE = f"a random tenth held out as test (seed {HOLD_OUT_SEED})"


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """8-bit images of one shape in two or three splits, in host memory.

    Attributes:
      name: Name of the data set, e.g. `digits`, `cifar10`, `my_images.npz`.
      train: uint8 `[N, H, W, C]`, N >= 1, C = 1 or 3.
      train_labels: int32 `[N]`, or None if the source has no labels.
      test: uint8 `[M, H, W, C]`, M >= 1.
      test_labels: int32 `[M]`, or None.
      note: Provenance and protocol in a sentence, to be printed beside any number measured on the images.
      validation: uint8 `[K, H, W, C]`, K >= 1, or None if the source has no validation split (`hold_out` can then take
        one from train).
      validation_labels: int32 `[K]`, or None.
      train_mask: bool `[N, H, W, C]`, False for missing pixels, or None if all are observed.
      test_mask: bool `[M, H, W, C]`, or None.
      validation_mask: bool `[K, H, W, C]`, or None.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray | None
    test: np.ndarray
    test_labels: np.ndarray | None
    note: str
    validation: np.ndarray | None = None
    validation_labels: np.ndarray | None = None
    train_mask: np.ndarray | None = None
    test_mask: np.ndarray | None = None
    validation_mask: np.ndarray | None = None


def as_pixels(images: np.ndarray, where: str) -> np.ndarray:
    """Converts images of any accepted dtype to uint8 `[N, H, W, C]`.

    uint8 is unchanged; bool becomes 0 and 255; floats x in [0, 1] become round(255 x).

    Args:
      images: `[N, H, W]` or `[N, H, W, C]` with C = 1 or 3.
      where: Name of the source in error messages, e.g. "x.npz, key 'train'".

    Returns:
      uint8 `[N, H, W, C]`; `[N, H, W]` becomes `[N, H, W, 1]`.

    Raises:
      TypeError: If the dtype is not uint8, bool or floating.
      ValueError: If there are no images, the shape is another, or a float is not finite or outside [0, 1].
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise ValueError(f"{where}: expected images of shape [N, H, W] or [N, H, W, C], got shape {images.shape}.")
    if images.size == 0:
        raise ValueError(f"{where}: expected at least one image of at least one pixel, got shape {images.shape}.")
    if images.shape[-1] not in (1, 3):
        hint = ""
        if images.shape[-1] == 4:
            hint = "; drop the alpha channel first, images[..., :3]"
        elif images.shape[1] in (1, 3):
            hint = "; channels come last, so transpose with np.moveaxis(images, 1, -1)"
        raise ValueError(f"{where}: expected 1 or 3 channels on the last axis, got shape {images.shape}{hint}.")
    if images.dtype == np.uint8:
        return images
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(images.dtype, np.floating):
        if not np.isfinite(images).all():
            raise ValueError(f"{where}: expected finite pixels, got NaN or infinity.")
        low, high = float(images.min()), float(images.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"{where}: expected floats in [0, 1], got values from {low:g} to {high:g}; "
                "divide by the range, or give uint8 from 0 to 255."
            )
        # In float64, so that k/255 stored as float16 or float32 becomes k again.
        return np.rint(255 * images.astype(np.float64)).astype(np.uint8)
    raise TypeError(
        f"{where}: expected pixels of dtype uint8, bool or floating in [0, 1], got {images.dtype}; "
        "if the values are 0 to 255, use .astype(np.uint8)."
    )


def as_labels(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    """Class labels as int32 `[count]`; accepts any integer or bool dtype, `[count]` or `[count, 1]`.

    Raises:
      TypeError: If labels are not integers.
      ValueError: If there is not one label per image.
    """
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise ValueError(f"{where}: expected one label for each of the {count} images, got shape {labels.shape}.")
    if not (np.issubdtype(labels.dtype, np.integer) or labels.dtype == np.bool_):
        raise TypeError(f"{where}: expected integer labels, got dtype {labels.dtype}.")
    return labels.astype(np.int32)


def expand_binary(*splits: np.ndarray) -> list[np.ndarray]:
    """Maps 0 and 1 to 0 and 255 if the uint8 splits hold no other values; returns other splits unchanged.

    Binary data sets are stored as 0 and 1 or as 0 and 255. As 8-bit intensities, 0 and 1 would both look black.
    """
    if all(split.max() <= 1 for split in splits):
        return [split * np.uint8(255) for split in splits]
    return list(splits)


def held_out(total: int, count: int, seed: int) -> np.ndarray:
    """Positions, in ascending order, of `count` random examples of `total`: the first of a seeded permutation."""
    # RandomState, not default_rng: numpy promises that its stream never changes (NEP 19), so neither does the split.
    return np.sort(np.random.RandomState(seed).permutation(total)[:count])


def held_out_tenth(total: int, where: str) -> np.ndarray:
    """Positions, in ascending order, of the fixed tenth (at least one) of `total` images held out as the test split.

    Raises:
      ValueError: If there are fewer than two images; `where` names their source.
    """
    if total < 2:
        raise ValueError(f"{where}: expected at least 2 images, one of them to hold out as test, got {total}.")
    return held_out(total, max(1, total // 10), HOLD_OUT_SEED)


def hold_out_tenth(
    images: np.ndarray, labels: np.ndarray | None, where: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]:
    """Holds out a fixed tenth (at least one image) as the test split; both parts keep their order.

    Args:
      images: `[N, ...]`, N >= 2.
      labels: `[N]` or None.
      where: Name of the source in the error message.

    Returns:
      train, train_labels, test, test_labels.

    Raises:
      ValueError: If there are fewer than two images.
    """
    test = np.zeros(len(images), bool)
    test[held_out_tenth(len(images), where)] = True
    if labels is None:
        return images[~test], None, images[test], None
    return images[~test], labels[~test], images[test], labels[test]


def from_splits(
    name: str,
    train: np.ndarray,
    train_labels: np.ndarray | None,
    test: np.ndarray | None,
    test_labels: np.ndarray | None,
    extra: str = "",
    validation: np.ndarray | None = None,
    validation_labels: np.ndarray | None = None,
) -> Images:
    """Makes `Images` of splits: holds out a tenth if `test` is None, maps binary 0/1 to 0/255, writes the note."""
    protocol = "the source's own splits"
    if test is None:
        train, train_labels, test, test_labels = hold_out_tenth(train, train_labels, name)
        protocol = HOLD_OUT_NOTE if validation is None else f"{HOLD_OUT_NOTE}; validation is the source's own"
    if validation is None:
        train, test = expand_binary(train, test)
    else:
        train, test, validation = expand_binary(train, test, validation)
    sizes = split_sizes(len(train), len(test), None if validation is None else len(validation))
    note = f"{name}: {sizes}, {protocol}"
    return Images(name, train, train_labels, test, test_labels, note + extra, validation, validation_labels)


def split_sizes(train: int, test: int, validation: int | None = None) -> str:
    """Numbers of images of the splits, as text."""
    between = "" if validation is None else f", {validation:,} validation"
    return f"{train:,} train{between} and {test:,} test images"


def hide_labels(labels: ArrayLike, per_class: int, seed: int) -> np.ndarray:
    """Returns the labels with -1, which means none, in place of all but a few of each class.

    Args:
      labels: integer labels `[N]` from 0 to the number of classes less 1.
      per_class: number of examples of each class that keep their label, at least 1.
      seed: seed of their choice, at random without replacement.

    Returns:
      int32 `[N]`.

    Raises:
      ValueError: if a class, from 0 to the largest label, has fewer than per_class examples, or a label is below 0.
      TypeError: if labels are not integers.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must hold integers [N], got an array of shape {labels.shape} and dtype {labels.dtype}")
    if labels.min() < 0:
        raise ValueError(f"labels must be at least 0, got {labels.min()}")
    counts = np.bincount(labels)
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, got {per_class}")
    if counts.min() < per_class:
        raise ValueError(
            f"per_class must be at most the number of examples of each class, got {per_class}, but class "
            f"{counts.argmin()} has {counts.min()}"
        )
    rng, shown = np.random.default_rng(seed), np.full(len(labels), -1, np.int32)
    for label in range(len(counts)):
        shown[rng.choice(np.flatnonzero(labels == label), per_class, replace=False)] = label
    return shown
