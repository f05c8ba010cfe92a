import hashlib

import numpy as np

from vae_jax.data import load_digits


def test_split_is_stratified_400_train_and_100_test_of_every_class():
    digits = load_digits()
    assert digits.train.shape == (4000, 28, 28, 1)
    assert digits.test.shape == (1000, 28, 28, 1)
    assert digits.train.dtype == digits.test.dtype == np.uint8
    assert np.bincount(digits.train_labels).tolist() == [400] * 10
    assert np.bincount(digits.test_labels).tolist() == [100] * 10


def test_no_test_digit_is_among_train_and_no_digit_is_twice():
    digits = load_digits()
    train, test = {x.tobytes() for x in digits.train}, {x.tobytes() for x in digits.test}
    assert len(train) == 4000
    assert len(test) == 1000
    assert not train & test


def test_classes_are_mixed_in_both_splits():
    digits = load_digits()
    for labels in (digits.train_labels, digits.test_labels):
        # 100 digits without one of the classes: 10 * 0.9**100 = 3e-4 for a random order; the order here is fixed.
        assert all(len(set(labels[start : start + 100].tolist())) == 10 for start in range(0, len(labels), 100))


def test_split_and_order_never_change():
    # Numbers measured on the digits are comparable across versions only while these bytes are the same.
    digits = load_digits()
    assert (
        hashlib.md5(digits.train.tobytes() + digits.train_labels.tobytes()).hexdigest()
        == "67f08e081e40f1caff3386ccc7a92372"
    )
    assert (
        hashlib.md5(digits.test.tobytes() + digits.test_labels.tobytes()).hexdigest()
        == "8df8dfc3e5008937488e0f5ddcf727e6"
    )
