"""Page of a latent space of vectors in Chromium, served and as a file, against the numbers of Python."""

import base64
import io
import re

import jax
import numpy as np
import pytest
from PIL import Image

from vae_jax.distributions import mean_of
from vae_jax.models import great_circle, straight_line

pytestmark = pytest.mark.slow


def decoded(explored, code):
    mean = jax.jit(lambda z: mean_of(explored.model.decode(explored.params, z)))
    return np.asarray(mean(np.asarray(code, np.float32))).ravel()


def encoded(explored, image):
    encode = jax.jit(lambda x: explored.model.encode(explored.params, x))
    return encode(np.asarray(image, np.float32) / 255)


def center(visit, selector):
    box = visit.page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"]


def dropped(visit, image, name="mine.png"):
    """Drops an array of pixels on the page as a PNG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    script = """([text, name]) => {
        const carried = new DataTransfer();
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        carried.items.add(new File([bytes], name, { type: "image/png" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
    }"""
    visit.evaluate(script, [base64.b64encode(file.getvalue()).decode(), name])


@pytest.mark.parametrize("how", ["plane", "served"])
def test_a_drag_moves_the_picture_to_what_python_decodes_there(visit, plane, how):
    visit = visit(how)
    before = visit.picture()
    x, y, width = center(visit, "#pad")
    visit.page.mouse.move(x + 0.45 * width, y + 0.45 * width)  # far from any point
    visit.page.mouse.down()
    for step in range(20):
        visit.page.mouse.move(x + width * (0.45 - 0.035 * step), y + width * (0.45 - 0.005 * step))
    visit.page.mouse.up()
    visit.settle()
    code, picture = visit.code(), visit.picture()
    half = visit.evaluate("Number(document.getElementById('pad').getAttribute('aria-valuemax'))")
    np.testing.assert_allclose(code, np.array([0.45 - 0.665, -(0.45 - 0.095)]) * 2 * half, atol=0.02 * half)
    assert np.abs(picture - before).max() > 0.1
    np.testing.assert_allclose(picture, decoded(plane, code), atol=1e-4)
    shown = visit.evaluate(
        "Array.from(document.getElementById('picture').getContext('2d').getImageData(0, 0, 28, 28).data)"
    )
    np.testing.assert_allclose(np.array(shown).reshape(-1, 4)[:, 0], np.round(255 * picture), atol=1)
    assert len(visit.evaluate("explorer.frameTimes")) > 3


@pytest.mark.parametrize(("how", "name"), [("plane", "plane"), ("served", "plane"), ("color", "color")])
def test_an_image_is_encoded_as_in_python_and_every_control_goes_there(visit, request, how, name):
    explored, visit = request.getfixturevalue(name), visit(how)
    visit.page.locator("#test-images button").nth(7).click()
    visit.settle()
    expected = encoded(explored, explored.payload.images[7])
    np.testing.assert_allclose(visit.code(), expected.mean, atol=1e-4)
    deviations = visit.evaluate("Array.from(explorer.state.get('posterior').deviation)")
    np.testing.assert_allclose(deviations, np.exp(0.5 * np.asarray(expected.log_variance)), rtol=1e-4)
    np.testing.assert_allclose(visit.picture(), decoded(explored, expected.mean), atol=1e-4)
    for d, z in enumerate(np.asarray(expected.mean)):
        assert abs(float(visit.page.locator(f"#z{d}").input_value()) - z) < 1e-4
    assert visit.page.locator("#source-name").inner_text().startswith("test image 7")
    first, size = visit.page.locator("#source"), explored.payload.images[7]
    pixels = first.evaluate("c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
    np.testing.assert_array_equal(
        np.array(pixels).reshape(*size.shape[:2], 4)[..., :3], np.broadcast_to(size, (*size.shape[:2], 3))
    )


def test_the_points_are_the_posterior_means_and_a_click_goes_to_one(visit, plane):
    visit = visit("plane")
    z = plane.payload.space.means
    # The point that is farthest from all others, so that no other is selected.
    gaps = np.linalg.norm(z[:, None] - z[None], axis=-1) + 1e9 * np.eye(len(z))
    lonely = int(np.argmax(gaps.min(axis=1)))
    x, y, width = center(visit, "#pad")
    half = visit.evaluate("Number(document.getElementById('pad').getAttribute('aria-valuemax'))")
    at = [float(p) for p in (x + z[lonely, 0] / half * width / 2, y - z[lonely, 1] / half * width / 2)]
    visit.page.mouse.move(*at)
    assert visit.page.locator("#pad-tip").is_visible()
    label = plane.payload.labels[lonely]
    assert visit.page.locator("#pad-tip span").inner_text() == f"test image {lonely}, label {label}"
    visit.page.mouse.down()
    visit.page.mouse.up()
    visit.settle()
    np.testing.assert_allclose(visit.code(), z[lonely], atol=1e-4)


def test_the_ways_from_a_to_b_are_those_of_python_and_can_be_played(visit, color):
    visit = visit("color")
    a, b = color.payload.space.means[2], color.payload.space.means[5]
    visit.choose(2)
    visit.page.locator("#set-a").click()
    visit.choose(5)
    visit.page.locator("#set-b").click()
    for name, path in {"line": straight_line, "circle": great_circle}.items():
        visit.page.locator(f"#paths input[value={name}]").check()
        visit.settle()
        expected = [path(a, b, np.float32(t)) for t in np.linspace(0, 1, 9)]
        pictures = np.array(visit.evaluate("explorer.app.strips.path.map((p) => Array.from(p))"))
        np.testing.assert_allclose(pictures, [decoded(color, z) for z in expected], atol=1e-4)
        visit.page.locator("#path-strip button").nth(3).click()
        visit.settle()
        np.testing.assert_allclose(visit.code(), expected[3], atol=1e-4)
    visit.page.locator("#play").click()
    seen = set()
    for _ in range(8):
        visit.page.wait_for_timeout(100)
        seen.add(visit.evaluate("explorer.state.get('t')"))
    assert len(seen) >= 4
    assert all(0 <= t <= 1 for t in seen)
    visit.page.locator("#play").click()
    visit.settle()
    t = visit.evaluate("explorer.state.get('t')")
    visit.page.wait_for_timeout(200)
    assert visit.evaluate("explorer.state.get('t')") == t
    np.testing.assert_allclose(visit.code(), great_circle(a, b, np.float32(t)), atol=1e-4)


def test_a_traversal_is_decoded_with_the_other_dimensions_as_they_are(visit, color):
    visit = visit("color")
    visit.choose(4)
    visit.page.locator("button[aria-label='Traverse z 6']").click()
    visit.settle()
    codes = np.tile(color.payload.space.means[4], (9, 1))
    codes[:, 5] = np.linspace(-3, 3, 9)
    pictures = np.array(visit.evaluate("explorer.app.strips.traversal.map((p) => Array.from(p))"))
    np.testing.assert_allclose(pictures, [decoded(color, z) for z in codes], atol=1e-4)
    visit.page.locator("#traversal-strip button").nth(8).click()
    visit.settle()
    np.testing.assert_allclose(visit.code(), codes[8], atol=1e-4)


def test_sliders_are_by_kl_the_unused_folded_away(visit, color):
    visit = visit("color")
    kl = color.payload.space.kl
    order = np.argsort(-kl, kind="stable")
    ids = visit.evaluate("[...document.querySelectorAll('#sliders input')].map((e) => e.id)")
    assert ids == [f"z{d}" for d in order[:8]]
    assert visit.page.locator("#idle-count").inner_text() == "2 unused dimensions"
    assert not visit.page.locator("#z3").is_visible()
    visit.page.locator("#idle-count").click()
    assert visit.page.locator("#z3").is_visible()
    assert visit.evaluate("explorer.state.get('axes')") == sorted(int(d) for d in order[:2])
    visit.choose(1)
    mean = color.payload.space.means[1]
    visit.page.locator(f"#z{order[0]}").focus()
    visit.page.keyboard.press("ArrowRight")
    visit.settle()
    expected = mean.copy()
    expected[order[0]] += 4 / 50
    np.testing.assert_allclose(visit.code(), expected, atol=1e-3)
    visit.page.locator("#to-image").click()
    np.testing.assert_allclose(visit.code(), mean, atol=1e-4)
    visit.page.locator("#to-prior").click()
    np.testing.assert_array_equal(visit.code(), np.zeros(10))


@pytest.mark.parametrize("how", ["plane", "served"])
def test_a_file_of_the_right_size_is_encoded_and_another_is_not_resized_unasked(visit, plane, how):
    visit = visit(how)
    image = plane.payload.images[11][..., 0]
    dropped(visit, image)
    visit.page.locator("#source-name", has_text="mine.png").wait_for()
    visit.settle()
    np.testing.assert_allclose(visit.code(), encoded(plane, image[..., None]).mean, atol=1e-4)

    before = visit.code()
    dropped(visit, np.kron(image, np.ones((2, 3), np.uint8)), "large.png")
    note = visit.page.locator("#file-note")
    visit.page.locator("#file-resize").wait_for()
    assert "large.png is 84 \u00d7 56 pixels; the model requires 28 \u00d7 28" in note.inner_text()
    assert "proportions" in note.inner_text()
    np.testing.assert_array_equal(visit.code(), before)
    assert visit.page.locator("#file-resize").inner_text() == "Resize to 28 \u00d7 28"
    visit.page.locator("#file-resize").click()
    visit.page.locator("#source-name", has_text="resized").wait_for()
    visit.settle()
    # Pixels were repeated, so that shrinking restores them, up to the canvas's filter.
    np.testing.assert_allclose(visit.code(), before, atol=0.1)

    visit.page.locator("#file").set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"no image"})
    visit.page.locator("#file-note.failed").wait_for()
    assert "no.png is not an image" in note.inner_text()


def test_a_drawing_is_what_the_pointer_drew_and_is_encoded(visit, plane):
    visit = visit("plane")
    x, y, width = center(visit, "#drawing")
    visit.page.locator("#drawing-center").uncheck()
    visit.page.locator("#drawing-clear").click()
    visit.page.mouse.move(x, y - width / 4)
    visit.page.mouse.down()
    visit.page.mouse.move(x, y + width / 4, steps=5)
    visit.page.mouse.up()
    visit.page.locator("#source-name", has_text="your drawing").wait_for()
    visit.settle()
    drawn = np.array(visit.evaluate("Array.from(explorer.state.get('source').pixels)"), np.uint8).reshape(28, 28)
    # A bar of 2.5 pixels by half the height, with round ends, and soft edges.
    assert abs(drawn.sum() / 255 - (2.5 * 14 + np.pi * 1.25**2)) < 2
    assert drawn[14, 13] == 255
    assert 0 < drawn[14, 12] < 255
    np.testing.assert_allclose(visit.code(), encoded(plane, drawn[..., None]).mean, atol=1e-4)

    visit.page.locator("#drawing-clear").click()
    visit.page.locator("#drawing").focus()
    visit.page.keyboard.press("Space")
    for _ in range(6):
        visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Space")
    visit.settle()
    keyed = np.array(visit.evaluate("Array.from(explorer.state.get('source').pixels)")).reshape(28, 28)
    assert keyed[14].argmax() >= 14
    assert abs(keyed.sum() / 255 - (2.5 * 6 + np.pi * 1.25**2)) < 2


@pytest.mark.parametrize("how", ["plane", "served"])
def test_a_permalink_brings_everything_back(visit, plane, how):
    first = visit(how)
    first.choose(3)
    first.page.locator("#set-a").click()
    first.choose(9)
    first.page.locator("#set-b").click()
    first.page.locator("#paths input[value=circle]").check()
    first.page.locator("#t").fill("0.3125")
    first.page.locator("#axis-across").select_option("1")
    first.settle()
    script = """() => {
        const [code, source, { a, b }] = ["code", "source", "ends"].map(explorer.state.get);
        const others = ["path", "t", "axes", "traversed"].map(explorer.state.get);
        return [Array.from(code), source.name, ...others, Array.from(a), Array.from(b)];
    }"""
    expected, picture = first.evaluate(script), first.picture()
    assert expected[2:5] == ["circle", 0.3125, [1, 0]]
    fragment = first.fragment()
    assert re.fullmatch(r"#[\w=&.%+-]+", fragment)
    assert len(fragment) < 200
    second = visit(how, fragment)
    assert second.evaluate(script) == expected
    np.testing.assert_array_equal(second.picture(), picture)
    second.choose(1)
    second.fragment()
    second.page.go_back()
    second.settle()
    assert second.evaluate(script) == expected


def test_a_drawing_is_in_the_permalink_and_a_broken_one_is_passed_over(visit, color):
    first = visit("color")
    image = np.random.default_rng(5).integers(0, 256, (8, 12, 3), np.uint8)
    dropped(first, image)
    first.page.locator("#source-name", has_text="mine.png").wait_for()
    first.settle()
    second = visit("color", first.fragment())
    np.testing.assert_array_equal(second.evaluate("Array.from(explorer.state.get('source').pixels)"), image.ravel())
    np.testing.assert_array_equal(second.code(), first.code())
    third = visit("color", "#z=AAAA&d=0.99&p=none&t=7&i=-1")
    np.testing.assert_allclose(third.code(), color.payload.space.means[0], atol=1e-4)


def test_keys_move_in_the_plane_and_enter_goes_to_the_nearest_image(visit, plane):
    visit = visit("plane")
    visit.page.locator("#to-prior").click()
    visit.page.locator("#pad").focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Shift+ArrowUp")
    step = visit.evaluate("Number(document.getElementById('pad').getAttribute('aria-valuemax'))") / 50
    np.testing.assert_allclose(visit.code(), [step, 5 * step], atol=1e-3)
    assert "z 1: " in visit.page.locator("#pad").get_attribute("aria-valuetext")
    visit.page.keyboard.press("Enter")
    visit.settle()
    z = plane.payload.space.means
    nearest = np.argmin(np.linalg.norm(z - np.array([step, 5 * step]), axis=1))
    np.testing.assert_allclose(visit.code(), z[nearest], atol=1e-4)
    visit.page.locator("#test-images button[aria-current]").focus()
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Enter")
    visit.settle()
    np.testing.assert_allclose(visit.code(), z[1], atol=1e-4)
    visit.page.keyboard.press("?")
    assert visit.page.locator("#help").is_visible()
    visit.page.keyboard.press("Escape")
    assert not visit.page.locator("#help").is_visible()


def test_pictures_are_saved_as_png_and_gif(visit, color, tmp_path):
    visit = visit("color")
    saved = {}
    for name in ("picture", "path", "traversal", "gif"):
        visit.settle()
        with visit.page.expect_download() as download:
            visit.page.locator(f"#save-{name}").click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    assert [path.name for path in saved.values()] == [
        f"vae-digits-{name}" for name in ("picture.png", "interpolation.png", "traversal.png", "interpolation.gif")
    ]
    with Image.open(saved["picture"]) as image:
        assert (image.format, image.size) == ("PNG", (12 * 70, 8 * 70))
        picture = np.rint(255 * visit.picture().reshape(8, 12, 3))
        np.testing.assert_allclose(np.asarray(image.convert("RGB"))[::70, ::70], picture, atol=1)
    with Image.open(saved["path"]) as image:
        assert image.size == (9 * 12 * 14 + 8 * 4, 8 * 14)
    with Image.open(saved["gif"]) as image:
        assert (image.format, image.size, image.n_frames) == ("GIF", (12 * 35, 8 * 35), 46)
        assert image.info["duration"] == 60
        assert image.info["loop"] == 0
        ends = visit.evaluate("[explorer.app.strips.path[0], explorer.app.strips.path[8]].map((p) => Array.from(p))")
        for frame, expected in zip((0, 23), ends, strict=True):
            image.seek(frame)
            shown = np.asarray(image.convert("RGB"))[::35, ::35].astype(float)
            np.testing.assert_allclose(shown, 255 * np.array(expected).reshape(8, 12, 3), atol=12)


def test_a_gray_gif_keeps_every_gray(visit, plane, tmp_path):
    visit = visit("plane")
    with visit.page.expect_download() as download:
        visit.page.locator("#save-gif").click()
    download.value.save_as(tmp_path / "gray.gif")
    with Image.open(tmp_path / "gray.gif") as image:
        start = np.array(visit.evaluate("Array.from(explorer.app.strips.path[0])")).reshape(28, 28)
        np.testing.assert_allclose(np.asarray(image.convert("L"))[::10, ::10], np.rint(255 * start), atol=1)


def test_samples_of_the_prior_have_its_moments_and_can_be_visited(visit, color):
    visit = visit("color")
    draws = visit.evaluate("Array.from({ length: 2000 }, () => Array.from(explorer.space.sample().code))")
    # 20,000 standard normal numbers: mean within 5 / sqrt(20000), variance within 5 sqrt(2 / 20000).
    assert abs(np.mean(draws)) < 0.036
    assert abs(np.var(draws) - 1) < 0.05
    visit.page.locator("#sample-many").click()
    visit.page.wait_for_timeout(300)
    assert visit.page.locator("#prior-grid button").count() == 16
    visit.page.locator("#prior-grid button").nth(2).click()
    visit.settle()
    shown = visit.page.locator("#prior-grid canvas").nth(2)
    pixels = shown.evaluate("c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
    expected = np.rint(255 * decoded(color, visit.code())).reshape(-1, 3)
    np.testing.assert_allclose(np.array(pixels).reshape(-1, 4)[:, :3], expected, atol=1)
