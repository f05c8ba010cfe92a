import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data.test_tfds_images import image_and_label, image_feature, noise, prepared, write_dataset
from vae_jax.data import Batches, decoded, load_images, stream_images

GRAY = np.random.RandomState(0).randint(0, 256, (30, 5, 4, 1)).astype(np.uint8)


def check_equal(stream, images):
    """Asserts that a stream has the splits, labels and note of the loaded images."""
    assert stream.train.shape == images.train.shape
    np.testing.assert_array_equal(stream.train.read(range(len(images.train))), images.train)
    np.testing.assert_array_equal(stream.test, images.test)
    np.testing.assert_array_equal(stream.test_labels, images.test_labels)
    assert (stream.name, stream.note) == (images.name, images.note)


def write_folder(root, images, color=None):
    for index, image in enumerate(images):
        path = root / "ab"[index % 2] / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(image, 3, -1) if index == color else image[..., 0]).save(path)
    return str(root)


def array_file(root):
    np.save(root / "a.npy", GRAY)
    return str(root / "a.npy"), None


def folder(root):
    return write_folder(root / "folder", GRAY, color=3), None


def folder_of_splits(root):
    write_folder(root / "folder" / "train", GRAY[:20])
    write_folder(root / "folder" / "test", GRAY[20:], color=1)
    return str(root / "folder"), None


def tfds_with_test(root):
    splits = {"train": noise(30, (6, 5, 3)), "test": noise(7, (6, 5, 3))}
    return "handmade", write_dataset(root, "handmade", image_and_label((6, 5, 3)), splits, image_feature)


def tfds_without_test(root):
    train = {"train": noise(30, (6, 5, 1), 2)}  # and binary
    return "handmade", write_dataset(root, "handmade", image_and_label((6, 5, 1)), train, image_feature)


def tfds_of_bool_tensors(root):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.proto import tf_feature_pb2

    features = tfds.features.FeaturesDict({"image": tfds.features.Tensor(shape=(4, 3, 1), dtype=np.bool_)})
    train = noise(20, (4, 3, 1), 2)

    def encode(image):
        return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=image.ravel().tolist()))

    return "handmade", write_dataset(root, "handmade", features, {"train": train, "test": train[:3]}, encode)


def digits(root):
    return "digits", None


SOURCES = [
    array_file, folder, folder_of_splits, tfds_with_test, tfds_without_test, tfds_of_bool_tensors, digits
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_a_stream_has_the_splits_pixels_and_note_of_the_images_loaded_whole(tmp_path, source):
    data, data_dir = source(tmp_path)
    check_equal(stream_images(data, data_dir), load_images(data, data_dir))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_data_sets_are_streamed_as_they_are_loaded(name):
    data_dir = prepared(name)
    check_equal(stream_images(name, data_dir), load_images(name, data_dir))


@pytest.mark.parametrize(
    "source", [array_file, folder_of_splits, tfds_with_test, tfds_without_test], ids=lambda source: source.__name__
)
def test_a_large_test_split_is_subsampled_evenly_and_the_rest_is_not_trained_on(tmp_path, source):
    data, data_dir = source(tmp_path)
    whole, stream = load_images(data, data_dir), stream_images(data, data_dir, most_test=2)
    count = len(whole.test)
    np.testing.assert_array_equal(stream.test, whole.test[[0, count // 2]])
    if whole.test_labels is not None:
        np.testing.assert_array_equal(stream.test_labels, whole.test_labels[[0, count // 2]])
    np.testing.assert_array_equal(stream.train.read(range(len(whole.train))), whole.train)
    assert stream.note == whole.note + ", of which 2 are used"
    with pytest.raises(ValueError, match="most_test must be at least 1, got 0"):
        stream_images(data, data_dir, most_test=0)


def test_what_cannot_be_streamed_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", GRAY)
    with pytest.raises(ValueError, match=r"a\.npz: an \.npz file cannot be streamed; save its images with numpy\.save"):
        stream_images(str(tmp_path / "a.npz"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: expected at least one image file"):
        stream_images(str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="none/: expected a folder of images, got a path with no folder there"):
        stream_images(f"{tmp_path}/none/")
    np.save(tmp_path / "one.npy", GRAY[:1])
    with pytest.raises(ValueError, match="expected at least 2 images, one of them to hold out as test"):
        stream_images(str(tmp_path / "one.npy"))


def test_a_picture_file_that_is_damaged_after_a_run_began_stops_it_by_its_name(tmp_path):
    path = write_folder(tmp_path / "folder", GRAY)
    batches = Batches(stream_images(path).train, 9, 0)
    for damaged in (tmp_path / "folder").rglob("*4.png"):
        os.truncate(damaged, damaged.stat().st_size - 30)
    with pytest.raises(ValueError, match=r"4\.png: cannot be used as an image: image file is truncated") as error:
        list(zip(range(3), batches, strict=False))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_record_that_is_damaged_stops_a_run_by_its_place_in_the_split(tmp_path, seed):
    # Opening the stream inspects some of the 3,000 images, but not image 17.
    images = noise(3000, (6, 5, 1))
    features = iter(range(len(images)))

    def encode(image):
        feature = image_feature(image)
        if next(features, None) == 17:
            feature.bytes_list.value[0] = feature.bytes_list.value[0][:40]
        return feature

    splits = {"train": images, "test": images[:2]}
    data_dir = write_dataset(tmp_path, "handmade", image_and_label((6, 5, 1)), splits, encode)
    batches = Batches(stream_images("handmade", data_dir).train, 100, seed)
    message = r"^TFDS data set handmade/1\.0\.0, split 'train': image 17 cannot be decoded as \(6, 5, 1\): "
    with pytest.raises(ValueError, match=message):
        list(zip(range(30), batches, strict=False))
    assert batches.state()["batch"] < 30


def test_pixels_decoded_into_a_file_give_the_same_batches(tmp_path):
    data, data_dir = tfds_without_test(tmp_path)
    stream, path = stream_images(data, data_dir), str(tmp_path / "pixels.npy")
    fast = decoded(stream, path)
    np.testing.assert_array_equal(np.load(path), load_images(data, data_dir).train)
    assert [name for name in os.listdir(tmp_path) if "part" in name] == []
    for one, other, _ in zip(Batches(stream.train, 5, 0), Batches(fast.train, 5, 0), range(12), strict=False):
        np.testing.assert_array_equal(one, other)
    assert (fast.name, fast.note, fast.test is stream.test) == (stream.name, stream.note, True)
    # The file is not written again, and a file of other images is rejected.
    written = os.stat(path).st_mtime_ns
    decoded(stream, path)
    assert os.stat(path).st_mtime_ns == written
    np.save(path, np.load(path)[::-1])
    with pytest.raises(ValueError, match=r"pixels\.npy: expected the 27 training images of handmade, decoded, got oth"):
        decoded(stream, path)


def test_a_file_that_cannot_be_written_is_refused_and_half_a_file_is_not_left(tmp_path, monkeypatch):
    stream = stream_images(*array_file(tmp_path))
    with pytest.raises(ValueError, match=r"expected a path ending in \.npy"):
        decoded(stream, str(tmp_path / "pixels"))
    with pytest.raises(ValueError, match="expected a path in an existing folder"):
        decoded(stream, str(tmp_path / "none" / "pixels.npy"))
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("vae_jax.data._streaming.shutil.disk_usage", lambda folder: usage._replace(free=100))
        with pytest.raises(ValueError, match="the decoded images take 540 bytes, but the disk has 100 bytes free"):
            decoded(stream, str(tmp_path / "pixels.npy"))
    with monkeypatch.context() as patched:
        patched.setattr(stream.train, "read", lambda places: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            decoded(stream, str(tmp_path / "pixels.npy"))
    assert os.listdir(tmp_path) == ["a.npy"]


MEMORY = """
import json, sys
from itertools import islice
import jax, jax.numpy as jnp
from vae_jax.data import Batches, stream_images
from vae_jax.training import TrainState, make_train_stream_epoch

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))

def watched(batches):
    for batch in batches:
        seen.append(resident())
        yield batch

def step(state, key, batch):
    return state._replace(step=state.step + 1), {"loss": jnp.mean(batch.astype(jnp.float32))}

data, data_dir, epochs = sys.argv[1], sys.argv[2] or None, int(sys.argv[3])
stream = stream_images(data, data_dir, most_test=8)
batches, seen = Batches(stream.train, 8, 0, read_ahead=4), []
state = TrainState(jnp.int32(0), {}, ())
epoch = make_train_stream_epoch(step, batches.steps_per_epoch, chunk_steps=4)
state, _ = make_train_stream_epoch(step, 8, chunk_steps=4)(state, jax.random.key(0), batches)  # all libraries loaded
before = resident()
for _ in range(epochs):
    state, metrics = epoch(state, jax.random.key(0), watched(batches))
size = stream.train.shape[0] * stream.train.read([0]).nbytes
print(json.dumps({"data": size, "growth": max(seen) - before, "batches": len(seen), **metrics}))
"""


def large_array_file(root, images):
    np.save(root / "a.npy", images)
    return str(root / "a.npy"), ""


def large_folder(root, images):
    (root / "folder").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(root / "folder" / f"{index}.bmp")
    return f"{root}/folder/", ""


def large_array_record(root, images):
    from tensorflow_datasets.proto import tf_feature_pb2

    def encode(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png", compress_level=0)
        return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[file.getvalue()]))

    splits = {"train": images, "test": images[:8]}
    return "large", write_dataset(root, "large", image_and_label(images.shape[1:]), splits, encode)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="resident memory is read from Linux's /proc")
@pytest.mark.parametrize(
    "write", [large_array_file, large_folder, large_array_record], ids=lambda write: write.__name__
)
def test_resident_memory_does_not_grow_with_the_data(tmp_path, write):
    # 49 kB an image, 236 MB in all. In memory are 4 + 1 batches read ahead and 3 chunks of 4 batches, one of them also
    # as batches: 21 batches of 0.4 MB, 8 MB. The rest of the bound is for records in transit and the allocator.
    images = noise(4800, (128, 128, 3))
    data, data_dir = write(tmp_path, images)
    mean = images.mean()
    del images
    output = subprocess.run(
        [sys.executable, "-c", MEMORY, data, data_dir, "2"], capture_output=True, text=True, check=True
    )
    found = json.loads(output.stdout)
    assert found["data"] > 200e6
    assert found["batches"] >= 2 * 520
    np.testing.assert_allclose(found["loss"], mean, atol=0.1)  # all of it has been read
    assert found["growth"] < 40e6
