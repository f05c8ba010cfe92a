import io
import zipfile

import numpy as np
import pytest

from vae_jax.data import load_array_file, load_images, stream_images

GRAY = np.arange(12 * 4, dtype=np.uint8).reshape(12, 2, 2)


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def test_splits_and_labels_under_their_keys_are_taken_as_they_are(tmp_path):
    path = save(tmp_path / "a.npz", x_train=GRAY[:8], y_train=np.arange(8), x_test=GRAY[8:], y_test=np.arange(4) + 5)
    images = load_array_file(path)
    np.testing.assert_array_equal(images.train, GRAY[:8, ..., None])
    np.testing.assert_array_equal(images.test, GRAY[8:, ..., None])
    assert images.train_labels.tolist() == list(range(8))
    assert images.test_labels.tolist() == [5, 6, 7, 8]
    assert images.note == "a.npz: 8 train and 4 test images, the source's own splits"


def test_the_only_image_shaped_array_is_the_images_and_a_tenth_is_held_out(tmp_path):
    path = save(tmp_path / "a.npz", pictures=GRAY, labels=np.arange(12) * 4, names=np.array(["a", None], object))
    images = load_array_file(path)
    assert len(images.train) == 11
    assert len(images.test) == 1
    np.testing.assert_array_equal(images.train[:, 0, 0, 0], images.train_labels)  # labels went with their images
    assert images.test[0, 0, 0, 0] == images.test_labels[0]
    assert "a random tenth held out as test (seed 0)" in images.note


def test_npy_in_color_and_in_floats(tmp_path):
    color = np.random.RandomState(0).randint(0, 256, (10, 4, 5, 3)).astype(np.uint8)
    np.save(tmp_path / "a.npy", (color / 255).astype(np.float32))
    images = load_array_file(str(tmp_path / "a.npy"))
    assert images.train.shape == (9, 4, 5, 3)
    assert images.train_labels is None
    assert {x.tobytes() for x in color} == {x.tobytes() for x in [*images.train, *images.test]}


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (
            {"weights": np.zeros((3, 4))},
            ValueError,
            r"keys train, x_train, images, x, .* got the arrays 'weights' float64 \[3, 4\]",
        ),
        ({"a": GRAY, "b": GRAY}, ValueError, "a single array of 3 or 4 axes, got the arrays 'a' uint8"),
        ({}, ValueError, "got an empty file"),
        ({"images": np.array([GRAY[0], None], object)}, ValueError, "key 'images'.*got dtype object.*unpickled"),
        ({"train": GRAY * np.nan}, ValueError, "key 'train': expected finite pixels"),
        ({"train": GRAY * 1.0}, ValueError, r"key 'train': expected floats in \[0, 1\], got values from 0 to 47"),
        ({"train": GRAY.astype(int)}, TypeError, "key 'train': expected pixels of dtype uint8"),
        ({"train": GRAY[:0]}, ValueError, "key 'train': expected at least one image"),
        ({"train": GRAY[:1]}, ValueError, "at least 2 images"),
        ({"train": GRAY, "y": np.arange(5)}, ValueError, "key 'y': expected one label for each of the 12 images"),
        ({"train": GRAY, "test": GRAY[:, :1]}, ValueError, r"key 'test'.*\(2, 2, 1\), got \(1, 2, 1\)"),
        (
            {"train": GRAY, "y_test": np.arange(12)},
            ValueError,
            "key 'y_test': expected test images under the key test or x_test",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_file_key_and_remedy(tmp_path, arrays, error, message):
    path = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(error, match=message) as caught:
        load_array_file(path)
    assert "a.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_foreign_truncated_and_pickled_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none.npz: expected an .npz or .npy file, got a path with no file there"):
        load_array_file(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "objects.npy", np.array([GRAY, None], object), allow_pickle=True)
    np.save(tmp_path / "cut.npy", GRAY)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-5])
    save(tmp_path / "flipped.npz", images=GRAY)
    content = bytearray((tmp_path / "flipped.npz").read_bytes())
    content[content.index(GRAY.tobytes())] ^= 255  # the archive's checksum notices
    (tmp_path / "flipped.npz").write_bytes(bytes(content))
    for name in ("text.npz", "empty.npy", "flipped.npz", "cut.npy"):
        with pytest.raises(ValueError, match=f"{name}: expected a file written by numpy.savez or numpy.save"):
            load_array_file(str(tmp_path / name))
    with pytest.raises(ValueError, match=r"objects\.npy: expected an array of numbers, got dtype object"):
        load_array_file(str(tmp_path / "objects.npy"))


def test_a_compression_that_zipfile_does_not_know_is_named(tmp_path):
    save(tmp_path / "odd.npz", images=GRAY)
    content = bytearray((tmp_path / "odd.npz").read_bytes())
    # The method is two bytes of the file's own header, and two of its entry in the directory.
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.rindex(signature) + offset
        content[at : at + 2] = (99).to_bytes(2, "little")
    (tmp_path / "odd.npz").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"odd\.npz: expected a file .*: That compression method is not supported"):
        load_array_file(str(tmp_path / "odd.npz"))


def test_validation_images_are_a_split_of_their_own_and_arrays_that_are_not_used_are_named(tmp_path):
    labels = {"y_train": np.arange(6), "y_val": np.arange(2) + 3, "y_test": np.arange(4)}
    more = {"weights": np.zeros(3), "names": np.array(["a", None], object)}
    path = save(tmp_path / "a.npz", x_train=GRAY[:6], x_val=GRAY[6:8], x_test=GRAY[8:], **labels, **more)
    images = load_array_file(tmp_path / "a.npz")
    np.testing.assert_array_equal(images.validation, GRAY[6:8, ..., None])
    assert images.validation_labels.tolist() == [3, 4]
    assert images.note == (
        "a.npz: 6 train, 2 validation and 4 test images, the source's own splits; not used: weights, names"
    )
    assert load_images(path).note == images.note
    binary = load_array_file(save(tmp_path / "b.npz", train=GRAY[:6] % 2, val=GRAY[6:] % 2))
    assert {*np.unique(binary.train), *np.unique(binary.validation)} == {0, 255}
    assert binary.note.endswith("a random tenth held out as test (seed 0); validation is the source's own")
    with pytest.raises(ValueError, match="key 'y_val': expected validation images under the key validation or valid"):
        load_array_file(save(tmp_path / "c.npz", train=GRAY, y_val=np.arange(3)))


def header(shape, dtype="|u1"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_files_that_lie_about_their_size_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    claims = {"large": (10**6, 1000, 1000), "negative": (-4, 2, 2), "beyond": (2**40, 2**40, 2**40)}
    for name, shape in claims.items():
        (tmp_path / f"{name}.npy").write_bytes(header(shape) + bytes(100))
        with pytest.raises(
            ValueError, match=rf"{name}\.npy: .*header claims an array of shape \(.*but the file holds 100: "
        ):
            load_array_file(tmp_path / f"{name}.npy")
        with pytest.raises(ValueError, match=rf"{name}\.npy: expected an array of shape .*cut short"):
            stream_images(tmp_path / f"{name}.npy")
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.writestr("train.npy", header(shape) + bytes(100))
        with pytest.raises(ValueError, match=rf"{name}\.npz, key 'train': .*header claims .* but the file holds 100"):
            load_array_file(tmp_path / f"{name}.npz")
    # An archive's own directory claims as much as the header does.
    with zipfile.ZipFile(tmp_path / "liar.npz", "w") as archive:
        archive.writestr("train.npy", header((2000, 1000, 1000)) + bytes(100))
    content = bytearray((tmp_path / "liar.npz").read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "liar.npz").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"liar\.npz, key 'train': .*claims to expand 228 bytes to 2,147,483,520"):
        load_array_file(tmp_path / "liar.npz")
    # A true one that is larger than the memory.
    np.savez_compressed(tmp_path / "true.npz", train=np.zeros((1000, 10, 10), np.uint8))
    monkeypatch.setattr("vae_jax.data._checks._free_memory", lambda: 99_999)
    with pytest.raises(
        ValueError, match=r"key 'train': an array .* takes 100,000 bytes, but only 99,999 bytes of memory ar"
    ):
        load_array_file(tmp_path / "true.npz")


def test_damaged_files_are_one_line(tmp_path):
    save(tmp_path / "a.npz", images=GRAY, labels=np.arange(12))
    np.savez_compressed(tmp_path / "b.npz", images=GRAY, labels=np.arange(12))
    np.save(tmp_path / "c.npy", GRAY)
    rng, messages = np.random.RandomState(0), []
    for name in ("a.npz", "b.npz", "c.npy"):
        content = (tmp_path / name).read_bytes()
        for _ in range(100):
            damaged = bytearray(content)
            for place in rng.randint(0, len(content), 3):
                damaged[place] = rng.randint(256)
            (tmp_path / f"damaged_{name}").write_bytes(bytes(damaged))
            try:
                load_array_file(tmp_path / f"damaged_{name}")
            except (ValueError, TypeError) as error:
                messages.append(str(error))
    assert len(messages) > 100
    assert all("damaged_" in message and "\n" not in message for message in messages)
