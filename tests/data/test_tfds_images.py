import hashlib
import io
import json
import os
import socket
import struct
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import load_digits, load_images, load_tfds

# MD5 of the raw idx files, as distributed by LeCun et al.
TRAIN_IMAGES_MD5 = "6bbc9ace898e44ae57da46a324031adb"
TEST_IMAGES_MD5 = "2646ac647ad5339dbf082846283269ea"


def prepared(name):
    """Returns the data dir that TFDS_DATA_DIR names; skips the test if it does not hold `name`."""
    data_dir = os.environ.get("TFDS_DATA_DIR", "")
    if not os.path.isdir(os.path.join(data_dir, name)):
        pytest.skip(f"set TFDS_DATA_DIR to a TFDS data dir that holds {name!r} prepared as array_record")
    return data_dir


@pytest.fixture(scope="module")
def mnist():
    prepared("mnist")
    return load_images("mnist")  # by the environment's TFDS_DATA_DIR


def in_original_order(images, split):
    """TFDS stores examples sorted by md5(split + key), with the example's original number for MNIST's key."""
    order = sorted(range(len(images)), key=lambda i: int(hashlib.md5(f"{split}{i}".encode()).hexdigest(), 16))
    restored = np.empty_like(images)
    restored[order] = images
    return restored


@pytest.mark.slow
@pytest.mark.parametrize(("split", "md5"), [("train", TRAIN_IMAGES_MD5), ("test", TEST_IMAGES_MD5)])
def test_mnist_is_bit_for_bit_the_original_file(mnist, split, md5):
    images = in_original_order(getattr(mnist, split), split)
    content = struct.pack(">iiii", 2051, len(images), 28, 28) + images.tobytes()
    assert hashlib.md5(content).hexdigest() == md5


@pytest.mark.slow
def test_mnist_labels_are_those_of_the_original_file(mnist):
    # The first and last labels of the idx files, and LeCun's class counts.
    train, test = in_original_order(mnist.train_labels, "train"), in_original_order(mnist.test_labels, "test")
    assert train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert train[-3:].tolist() == [5, 6, 8]
    assert test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert test[-3:].tolist() == [4, 5, 6]
    assert np.bincount(train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.note == "mnist/3.0.1 by TFDS: 60,000 train, 10,000 test images; test is TFDS's test split"


def test_every_embedded_digit_is_an_mnist_training_image_of_the_same_label(mnist):
    digits = load_digits()
    label_of = {x.tobytes(): int(y) for x, y in zip(mnist.train, mnist.train_labels, strict=True)}
    for images, labels in ((digits.train, digits.train_labels), (digits.test, digits.test_labels)):
        assert [label_of[x.tobytes()] for x in images] == labels.tolist()
    test = {x.tobytes() for x in mnist.test}
    assert not any(x.tobytes() in test for x in [*digits.train, *digits.test])


@pytest.mark.slow  # 8 s, most of it reading the 50,000 training images
def test_cifar10_is_what_tfds_itself_decodes():
    import tensorflow_datasets as tfds

    data_dir = prepared("cifar10")
    images = load_images("cifar10", data_dir)
    assert np.bincount(images.train_labels).tolist() == [5000] * 10
    reference = tfds.data_source("cifar10", split="train", data_dir=data_dir)
    for index in range(0, 50_000, 997):
        np.testing.assert_array_equal(images.train[index], reference[index]["image"])
        assert images.train_labels[index] == reference[index]["label"]
    if len(images.test) < 10_000:
        assert f"only {len(images.test):,} of the published 10,000 test images" in images.note


def numbered(index):
    return {"label": index}


def write_dataset(root, name, features, splits, encode, integers=numbered, version="1.0.0", **info):
    """A prepared TFDS data set, as `download_and_prepare` leaves it.

    `encode`: image -> tf.train.Feature; `integers`: place in the split -> the features that are one integer each.
    """
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    folder = root / name / version
    folder.mkdir(parents=True)
    features.save_config(str(folder))
    template, rows = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", []
    for split, images in splits.items():
        writer = ArrayRecordWriter(str(folder / f"{name}-{split}.array_record-00000-of-00001"), "group_size:1")
        for index, image in enumerate(images):
            lists = {name: tf_feature_pb2.Int64List(value=[value]) for name, value in integers(index).items()}
            labels = {name: tf_feature_pb2.Feature(int64_list=values) for name, values in lists.items()}
            record = tf_feature_pb2.Features(feature={"image": encode(image), **labels})
            writer.write(tf_example_pb2.Example(features=record).SerializeToString())
        writer.close()
        rows.append(
            {"filepathTemplate": template, "name": split, "numBytes": "1000", "shardLengths": [str(len(images))]}
        )
    content = {"name": name, "version": version, "fileFormat": "array_record", "splits": rows, **info}
    (folder / "dataset_info.json").write_text(json.dumps(content))
    return str(root)


def image_feature(image, file_format="png"):
    from tensorflow_datasets.proto import tf_feature_pb2

    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, file_format, **({"quality": 95} if file_format == "jpeg" else {}))
    return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[file.getvalue()]))


def image_and_label(shape, **options):
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=shape, **options), "label": tfds.features.ClassLabel(num_classes=100)}
    )


def noise(count, shape, high=256):
    return np.random.RandomState(0).randint(0, high, (count, *shape)).astype(np.uint8)


def test_validation_is_the_test_split_where_there_is_none_and_0_1_pixels_become_0_255(tmp_path):
    shape = (6, 5, 1)
    splits = {"train": noise(30, shape, 2), "validation": 1 - noise(4, shape, 2)}
    data_dir = write_dataset(tmp_path, "handmade", image_and_label(shape), splits, image_feature)
    images = load_tfds("handmade", data_dir)
    np.testing.assert_array_equal(images.train, 255 * splits["train"])
    np.testing.assert_array_equal(images.test, 255 * splits["validation"])
    assert images.train_labels.tolist() == list(range(30))
    assert images.test_labels.tolist() == [0, 1, 2, 3]
    assert images.note == "handmade/1.0.0 by TFDS: 30 train, 4 test images; test is TFDS's validation split"


def test_a_tenth_of_train_is_held_out_where_there_is_no_other_split(tmp_path):
    shape = (6, 5, 3)
    train = noise(30, shape)
    data_dir = write_dataset(tmp_path, "handmade", image_and_label(shape), {"train": train}, image_feature)
    images = load_tfds("handmade", data_dir)
    assert len(images.train) == 27
    assert len(images.test) == 3
    np.testing.assert_array_equal(images.train, train[images.train_labels])
    np.testing.assert_array_equal(images.test, train[images.test_labels])
    assert images.note.endswith("test is a random tenth of train held out (seed 0)")


def test_large_jpegs_are_decoded_as_pillow_decodes_them(tmp_path):
    shape = (64, 60, 3)
    splits = {"train": noise(3, shape), "test": noise(2, shape)}
    features = image_and_label(shape, encoding_format="jpeg")
    data_dir = write_dataset(tmp_path, "handmade", features, splits, lambda image: image_feature(image, "jpeg"))
    encoded = image_feature(splits["train"][1], "jpeg").bytes_list.value[0]
    np.testing.assert_array_equal(load_tfds("handmade", data_dir).train[1], np.asarray(Image.open(io.BytesIO(encoded))))


def test_an_image_that_is_a_bool_tensor_becomes_0_and_255(tmp_path):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.proto import tf_feature_pb2

    shape = (4, 3, 1)
    features = tfds.features.FeaturesDict({"image": tfds.features.Tensor(shape=shape, dtype=np.bool_)})
    train = noise(20, shape, 2)

    def encode(image):
        return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=image.ravel().tolist()))

    images = load_tfds(
        "handmade", write_dataset(tmp_path, "handmade", features, {"train": train, "test": train}, encode)
    )
    np.testing.assert_array_equal(images.train, 255 * train)
    assert images.train_labels is None


def test_a_dataset_without_train_or_with_damaged_images_is_refused(tmp_path):
    shape = (6, 5, 1)
    data_dir = write_dataset(
        tmp_path / "a", "handmade", image_and_label(shape), {"test": noise(2, shape)}, image_feature
    )
    with pytest.raises(ValueError, match="'handmade': expected a split called 'train', got test"):
        load_tfds("handmade", data_dir)

    def damaged(image):
        feature = image_feature(image)
        feature.bytes_list.value[0] = feature.bytes_list.value[0][:40]
        return feature

    data_dir = write_dataset(tmp_path / "b", "handmade", image_and_label(shape), {"train": noise(2, shape)}, damaged)
    with pytest.raises(ValueError, match=r"handmade/1.0.0, split 'train': image 0 cannot be decoded as \(6, 5, 1\)"):
        load_tfds("handmade", data_dir)


def test_a_dataset_prepared_as_tfrecord_is_refused_with_the_way_to_prepare_it_again(tmp_path):
    source = os.path.join(prepared("mnist"), "mnist", "3.0.1")
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    for name in ("dataset_info.json", "features.json"):
        with open(os.path.join(source, name)) as file:
            (folder / name).write_text(file.read().replace("array_record", "tfrecord"))
    with pytest.raises(ValueError, match="is prepared in") as error:
        load_images("mnist", str(tmp_path))
    message = str(error.value)
    assert f"'mnist' is prepared in {folder} as tfrecord, which cannot be read without TensorFlow" in message
    assert "download_and_prepare(file_format='array_record')" in message
    assert "--data-dir" in message
    assert "\n" not in message


def test_images_of_several_shapes_and_no_images_are_refused_before_any_download(tmp_path):
    with pytest.raises(ValueError, match=r"'downsampled_imagenet': expected images of one shape .* \(None, None, 3\)"):
        load_tfds("downsampled_imagenet", str(tmp_path))
    with pytest.raises(ValueError, match="'ag_news_subset': expected a feature called 'image', got "):
        load_tfds("ag_news_subset", str(tmp_path))
    assert not any(tmp_path.iterdir())


def test_errors_of_tfds_are_reported_in_one_line_and_nothing_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    refused = {
        "mnist:9.9.9": "Dataset mnist cannot be loaded at version 9.9.9, only: 3.0.1",
        "cmaterdb/bangl": "BuilderConfig bangl not found",
        "titanic": "pip install tensorflow",
    }
    for name, reason in refused.items():
        with pytest.raises(ValueError, match=f"^TFDS data set '{name}' cannot be set up: ") as error:
            load_tfds(name, str(tmp_path))
        assert reason in str(error.value)
        assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


@pytest.fixture
def silent_network(monkeypatch):
    """Sends all HTTP through a proxy that accepts connections and never answers: the slowest failure of a network."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield


def refusal(name, data_dir):
    start = time.monotonic()
    with pytest.raises(ValueError, match="is not in the data dir") as error:
        load_images(name, data_dir)
    assert time.monotonic() - start < 15  # TFDS itself gives up after 3 min 24 s
    message = str(error.value)
    assert "\n" not in message
    assert f"'{name}' is not in the data dir {data_dir}/{name}" in message
    assert "--data digits" in message
    assert "--data-dir" in message
    return message


@pytest.mark.slow
@pytest.mark.usefixtures("silent_network")
def test_no_network_and_no_tensorflow_are_one_line_within_15_seconds(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    message = refusal("fashion_mnist", str(tmp_path))
    assert "fashion-mnist.s3-website.eu-central-1.amazonaws.com cannot be reached" in message
    assert "pip install tensorflow" in message
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("silent_network")
def test_with_tensorflow_installed_only_the_network_is_named(tmp_path, monkeypatch):
    tensorflow = types.ModuleType("tensorflow")
    tensorflow.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    message = refusal("binarized_mnist", str(tmp_path))
    assert "cannot be reached" in message
    assert "pip install" not in message
    assert not any(tmp_path.iterdir())


def test_with_network_only_the_missing_tensorflow_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr("vae_jax.data._tfds_images.unreachable_hosts", lambda urls: [])
    message = refusal("mnist", str(tmp_path))
    assert "needs TensorFlow, which is not installed: install it" in message
    assert "reached" not in message
