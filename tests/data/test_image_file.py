import os
import re
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vae_jax.data import load_folder, load_images, read_image, stream_images

UPRIGHT = np.zeros((24, 16, 3), np.uint8)
UPRIGHT[:6] = 255  # white on top
UPRIGHT[:, :3] = (255, 0, 0)  # red on the left
# Orientation tag -> how a camera stores the picture UPRIGHT under that tag.
STORED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}


def turned(path, orientation, **options):
    tag = Image.Exif()
    tag[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT))).save(path, exif=tag, **options)
    return str(path)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth=8, color=0, pixels=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_picture_is_taken_upright_as_viewers_show_it(tmp_path, suffix):
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    for orientation in STORED:
        path = turned(tmp_path / f"{orientation}.{suffix}", orientation, **options)
        with Image.open(path) as image:
            shown = np.asarray(ImageOps.exif_transpose(image))
        pixels = read_image(path, (24, 16, 3))
        np.testing.assert_array_equal(pixels, shown)
        np.testing.assert_allclose(pixels.astype(int), UPRIGHT, atol=60 if suffix == "jpg" else 0)
    images = load_folder(tmp_path)
    assert images.train.shape == (7, 24, 16, 3)
    assert "; 7 images rotated as their EXIF tag says" in images.note
    np.testing.assert_array_equal(
        stream_images(tmp_path).train.read(range(7)), images.train, err_msg="a stream turns them too"
    )


def test_an_exif_tag_behind_the_pixels_is_applied_or_reported(tmp_path):
    content = Path(turned(tmp_path / "a.png", 6)).read_bytes()
    at = content.index(b"eXIf") - 4
    size = 12 + struct.unpack(">I", content[at : at + 4])[0]
    exif, end = content[at : at + size], content.index(b"IEND") - 4
    (tmp_path / "late.png").write_bytes(content[:at] + content[at + size : end] + exif + content[end:])
    with pytest.raises(ValueError, match=r"late\.png: .* expected 24 x 16 pixels as in its header, got 16 x 24\."):
        read_image(tmp_path / "late.png", (16, 24, 3))
    assert read_image(tmp_path / "late.png", (24, 16, 3), resize=True).tolist() == UPRIGHT.tolist()


def test_nothing_is_cut_to_8_bits_or_taken_out_of_another_color_space_in_silence(tmp_path):
    gray = np.arange(20, dtype=np.uint8).reshape(5, 4)
    deep = png(4, 5, 16, 2, b"".join(b"\0" + bytes(range(24)) for _ in range(5)))  # Pillow would cut it to 8 bits
    (tmp_path / "rgb16.png").write_bytes(deep)
    (tmp_path / "rgb16.ppm").write_bytes(b"P6 4 5 65535\n" + bytes(120))
    Image.fromarray(gray.astype(np.uint16)).save(tmp_path / "gray16.png")
    Image.fromarray(gray.astype(np.int32)).save(tmp_path / "gray32.tif")
    Image.fromarray(gray.astype(np.float32)).save(tmp_path / "floats.tif")
    Image.fromarray(gray).convert("RGB").convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(gray).convert("RGB").convert("LAB").save(tmp_path / "lab.tif")
    Image.fromarray(gray).save(tmp_path / "two.tif", save_all=True, append_images=[Image.fromarray(gray)])
    wanted = {
        "rgb16.png": "expected 8 bits a channel, got mode RGB of 16 bits a channel; convert it to 8 bits first",
        "rgb16.ppm": "expected 8 bits a channel, got mode RGB of 16 bits a channel; convert it to 8 bits first",
        "gray16.png": "expected 8 bits a channel, got mode I;16; convert it to 8 bits first",
        "gray32.tif": "expected 8 bits a channel, got mode I; convert",
        "floats.tif": "expected 8 bits a channel, got mode F; convert",
        "cmyk.jpg": "expected a gray or RGB image, got mode CMYK; convert it to RGB first",
        "lab.tif": "expected a gray or RGB image, got mode LAB; convert it to RGB first",
        "two.tif": "expected a still image, got 2 frames",
    }
    for name, message in wanted.items():
        with pytest.raises(ValueError, match=f"{name}: {re.escape(message)}"):
            read_image(tmp_path / name, (5, 4, 3))
    exact = {"L": gray, "1": gray > 9, "LA": np.dstack([gray, np.full_like(gray, 255)])}
    for mode, pixels in exact.items():
        Image.fromarray(pixels).save(tmp_path / f"{mode}.tif")
        expected = 255 * (gray > 9) if mode == "1" else gray
        np.testing.assert_array_equal(read_image(tmp_path / f"{mode}.tif", (5, 4, 1))[..., 0], expected)


def test_only_the_first_picture_of_an_mpo_photo_is_read_and_the_note_says_so(tmp_path):
    photo, depth = (Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (200, 10))
    for i in range(3):
        photo.save(tmp_path / f"{i}.jpg", format="MPO", save_all=True, append_images=[depth])
    images = load_images(tmp_path)
    assert images.train.min() > 190
    assert images.note.endswith("; 3 images read without the further pictures in their files")


def test_what_is_no_file_is_named_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.png"))
    server.close()
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    wanted = {"pipe": "a named pipe", "socket": "a socket", "zero": "a device", "folder": "a folder",
              "gone": "a link that leads nowhere", "none": "No such file or directory"}  # fmt: skip
    for name, what in wanted.items():
        with pytest.raises(ValueError, match=rf"{name}\.png: expected an image file.*, got {what}\.$"):
            read_image(tmp_path / f"{name}.png", (5, 4, 1))
    with pytest.raises(ValueError, match=r"gone\.png: expected an image file that can be read, got a link that leads"):
        load_images(tmp_path)


def test_a_file_that_claims_too_much_or_is_damaged_is_refused_in_one_line(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png(10**5, 10**5))
    (tmp_path / "large.png").write_bytes(png(13_000, 13_000))  # Pillow warns of it; its pixels are not there
    (tmp_path / "cut.png").write_bytes(png(4, 5)[:40])
    with pytest.raises(ValueError, match=r"bomb\.png: expected at most 178,956,970 pixels, got more; resize it first"):
        load_images(tmp_path)
    with pytest.raises(ValueError, match=r"large\.png must be of 4 x 5 pixels, got 13000 x 13000"):
        read_image(tmp_path / "large.png", (5, 4, 1))
    content = Path(turned(tmp_path / "a.jpg", 6)).read_bytes()
    rng, messages = np.random.RandomState(0), []
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.randint(0, len(content), 3):
            damaged[place] = rng.randint(256)
        (tmp_path / "damaged.jpg").write_bytes(bytes(damaged))
        try:
            assert read_image(tmp_path / "damaged.jpg", (24, 16, 3), resize=True).shape == (24, 16, 3)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert all("damaged.jpg: " in message and "\n" not in message for message in messages)
    with pytest.raises(ValueError, match=r"cut\.png: "):
        read_image(tmp_path / "cut.png", (5, 4, 1))


def test_another_size_is_reached_by_the_shorter_side_and_the_middle(tmp_path):
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 12:20] = (0, 200, 0)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    with pytest.raises(ValueError, match=r"wide\.png must be of 4 x 4 pixels, got 32 x 8: give --resize"):
        read_image(tmp_path / "wide.png", (4, 4, 3))
    np.testing.assert_array_equal(read_image(tmp_path / "wide.png", (8, 8, 3), resize=True), wide[:, 12:20])
    smaller = read_image(tmp_path / "wide.png", (4, 4, 3), resize=True)
    np.testing.assert_allclose(smaller.astype(int), wide[:4, 12:16], atol=12)  # Lanczos sees across the edge
    np.testing.assert_array_equal(smaller, smaller[:, ::-1])
