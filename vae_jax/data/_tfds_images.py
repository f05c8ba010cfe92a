"""Image data sets of TensorFlow Datasets (TFDS) by name, read without TensorFlow.

TFDS is imported inside the functions: the import takes about a second, and most runs do not need it.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import io
import os
import re
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from vae_jax.data._arrays import HOLD_OUT_SEED, Images, expand_binary, hold_out_tenth
from vae_jax.data._network import unreachable_hosts
from vae_jax.data._records import Records, quiet_absl

# Published numbers of (train, test) images, of data sets whose prepared copy may hold fewer.
PUBLISHED_SIZES = {
    "binarized_mnist": (50_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "kmnist": (60_000, 10_000),
    "mnist": (60_000, 10_000),
    "svhn_cropped": (73_257, 26_032),
}
INSTALL = "pip install tensorflow, or this project with its extra [tensorflow]"


def load_tfds(name: str, data_dir: str | None = None) -> Images:
    """Loads a TFDS image data set, which is downloaded and prepared first if necessary.

    Reading does not need TensorFlow; downloading and preparing does (the extra `tensorflow`).

    The test split is TFDS's `test`, else its `validation`, else a fixed tenth of `train`, held out. Pixels whose only
    values are 0 and 1 become 0 and 255. Labels are the feature that TFDS names as the supervised target, else `label`,
    if that is one integer per image.

    Args:
      name: A TFDS name, optionally with a config or version: `mnist`, `cmaterdb/bangla`, `mnist:3.0.1`.
      data_dir: The TFDS data directory. Default: the environment variable TFDS_DATA_DIR, else TFDS's default.

    Returns:
      `Images`, in the order in which TFDS stores them, which is a fixed shuffle.

    Raises:
      ValueError: If the name is unknown (the message has the closest ones), the data set is neither prepared nor can be
        downloaded (reported within seconds, not after minutes of retries by TFDS), it is prepared in a format that only
        TensorFlow reads, or its images are not of one shape.
    """
    opened = open_tfds(name, data_dir)
    train, train_labels = opened.train.read_labeled(range(opened.train.shape[0]))
    if opened.test is not None:
        test, test_labels = opened.test.read_labeled(range(opened.test.shape[0]))
    else:
        train, train_labels, test, test_labels = hold_out_tenth(train, train_labels, f"TFDS data set {name!r}")
    train, test = expand_binary(train, test)
    return Images(name, train, train_labels, test, test_labels, opened.note(len(train), len(test)))


class TfdsSplits(NamedTuple):
    """Training and test split of a prepared TFDS data set."""

    train: Records
    test: Records | None  # None if the data set has no split for it
    note: Callable[[int, int], str]  # (number of training images, number of test images) -> note


def open_tfds(name: str, data_dir: str | None = None) -> TfdsSplits:
    """Opens a TFDS data set by the rules of `load_tfds`, prepared first if necessary, without reading images."""
    builder, shape = _open(name, data_dir)
    with quiet_absl():
        splits = [split for split in ("train", "test", "validation") if split in builder.info.splits]
        if "train" not in splits:
            found = ", ".join(sorted(builder.info.splits)) or "none"
            raise ValueError(f"TFDS data set {name!r}: expected a split called 'train', got {found}.")
        train = Records(builder, "train", shape)
        test = Records(builder, splits[1], shape) if len(splits) > 1 else None

    def note(num_train: int, num_test: int) -> str:
        sizes = f"{num_train:,} train, {num_test:,} test"
        if "test" in splits:
            sizes = _sizes(builder.name, num_train, num_test)
        protocol = f"TFDS's {splits[1]} split" if test else f"a random tenth of train held out (seed {HOLD_OUT_SEED})"
        unused = sorted(set(builder.info.splits) - set(splits[:2]))
        not_used = f"; not used: {', '.join(unused)}" if unused else ""
        return f"{builder.info.full_name} by TFDS: {sizes} images; test is {protocol}{not_used}"

    return TfdsSplits(train, test, note)


def open_splits(name: str, data_dir: str | None = None) -> dict[str, Records]:
    """Opens all splits of a TFDS data set, by name, in the order of the data set; raises as `open_tfds`."""
    builder, shape = _open(name, data_dir)
    with quiet_absl():
        splits = [split for split, info in builder.info.splits.items() if info.num_examples]
        return {split: Records(builder, split, shape) for split in splits}


def _open(name: str, data_dir: str | None) -> tuple[Any, tuple[int, int, int]]:
    """TFDS builder of a data set, prepared first if necessary, and the shape of its images."""
    with quiet_absl():
        builder = _builder(name, data_dir)
        shape = _image_shape(name, builder)
        if not builder.is_prepared():
            _prepare(name, builder)
            builder = _builder(name, data_dir)  # a builder caches the state from before the preparation
        _require_array_record(name, builder)
    return builder, shape


def _sizes(name: str, train: int, test: int) -> str:
    published = PUBLISHED_SIZES.get(name, (train, test))
    return ", ".join(
        f"only {have:,} of the published {full:,} {split}" if have < full else f"{have:,} {split}"
        for split, have, full in zip(("train", "test"), (train, test), published, strict=True)
    )


def _builder(name: str, data_dir: str | None) -> Any:
    """TFDS builder of that name; names of other registries are rejected, so that the lookup needs no network."""
    try:
        import tensorflow_datasets as tfds
        from tensorflow_datasets import builder as make_builder  # fails if TFDS has swallowed a failed import
    except ImportError as error:
        raise ValueError(
            f"{name!r} is not a file or folder, and cannot be looked up among the TFDS data sets, because importing "
            f"tensorflow-datasets failed: {error}."
        ) from error
    # Names such as 'huggingface:x' would access the network at once.
    well_formed = re.fullmatch(r"[A-Za-z]\w*(/[\w.+-]+)?(:[\d.*]+)?", name)
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    if well_formed:
        try:
            # If a builder's code needs a missing package, TFDS prints a banner on stdout, which is for results only.
            with contextlib.redirect_stdout(io.StringIO()):
                return make_builder(name, data_dir=data_dir)
        except tfds.core.registered.DatasetNotFoundError:
            pass  # reported below, in one line and with suggestions
        except Exception as error:  # AssertionError, ValueError, ... for a config or version that does not exist
            raise ValueError(f"TFDS data set {name!r} cannot be set up: {_reason(error)}") from error
    known = tfds.list_builders(with_community_datasets=False)
    close = difflib.get_close_matches(re.split("[/:]", name)[0], known, n=3, cutoff=0.6)
    hint = f" (close: {', '.join(close)})" if close else ""
    raise ValueError(
        f"unknown data {name!r}: expected 'digits', a TFDS name{hint}, a path ending in .npz or .npy, or a folder of "
        "images (an existing path, or one ending in '/')."
    )


def _reason(error: BaseException) -> str:
    """Message of the first cause in one line of bounded length; TFDS wraps errors in others, with pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    message = textwrap.shorten(str(error) or type(error).__name__, 240)
    return f"{message} ({INSTALL})" if isinstance(error, ImportError) and error.name == "tensorflow" else message


def _image_shape(name: str, builder: Any) -> tuple[int, int, int]:
    features = builder.info.features
    if features is None or "image" not in features:
        got = ", ".join(sorted(features)) if features else "none"
        raise ValueError(f"TFDS data set {name!r}: expected a feature called 'image', got {got}.")
    shape = features["image"].shape
    if len(shape) != 3 or None in shape:
        raise ValueError(
            f"TFDS data set {name!r}: expected images of one shape (H, W, C), got {shape} (None: varying size); "
            "resize the images first, into a folder or an .npz file."
        )
    height, width, channels = shape
    return int(height), int(width), int(channels)


def _prepare(name: str, builder: Any) -> None:
    """Downloads a data set and prepares it as array_record, after a check that all requirements are met."""
    reasons, remedies = [], []
    if importlib.util.find_spec("tensorflow") is None:
        reasons.append("preparing it needs TensorFlow, which is not installed")
        remedies.append(f"install it ({INSTALL})")
    if hosts := unreachable_hosts(list(builder.url_infos or ())):
        reasons.append(f"it cannot be downloaded, because {' and '.join(hosts)} cannot be reached")
        remedies.append("connect to the network")
    where = f"in the data dir {builder.data_dir}"
    use = "use --data digits, which needs neither, or --data-dir with a TFDS data dir that holds it as array_record"
    if reasons:
        raise ValueError(
            f"TFDS data set {name!r} is not {where}; {', and '.join(reasons)}: {' and '.join(remedies)}, or {use}."
        )
    import tensorflow_datasets as tfds

    try:
        builder.download_and_prepare(file_format=tfds.core.FileFormat.ARRAY_RECORD)
    except Exception as error:  # a builder runs its own code, which may raise anything
        raise ValueError(
            f"TFDS data set {name!r} is not {where}, and preparing it failed: {_reason(error)}; {use}."
        ) from error


def _require_array_record(name: str, builder: Any) -> None:
    formats = sorted(file_format.value for file_format in builder.info.available_file_formats())
    if "array_record" not in formats:
        raise ValueError(
            f"TFDS data set {name!r} is prepared in {builder.data_dir} as {' and '.join(formats)}, which cannot be "
            f"read without TensorFlow: prepare it again into another data dir with "
            f"tfds.builder({name!r}, data_dir=...).download_and_prepare(file_format='array_record') "
            f"(this needs TensorFlow once: {INSTALL}), and pass that data dir as --data-dir."
        )
