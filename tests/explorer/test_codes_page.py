"""Page of a latent space of codes in Chromium, against the numbers of Python."""

import jax
import numpy as np
import pytest

from vae_jax.distributions import mean_of

pytestmark = pytest.mark.slow


def decoded(codes, sequence):
    def picture(indices):
        return mean_of(codes.model.decode(codes.params, codes.model.prior(codes.params).lookup(indices)))

    return np.asarray(jax.jit(picture)(np.asarray(sequence, np.int32))).ravel()


def test_an_image_becomes_the_codes_that_python_gives_it(visit, codes):
    visit = visit("codes")
    for i in (0, 13):
        visit.choose(i)
        np.testing.assert_array_equal(visit.code(), codes.payload.space.indices[i])
        np.testing.assert_allclose(visit.picture(), decoded(codes, visit.code()), atol=1e-4)
    # Two indices per position; the first part is shown first.
    shown = visit.evaluate("[...document.querySelectorAll('#code-grid span')].map((e) => Number(e.textContent))")
    np.testing.assert_array_equal(shown, codes.payload.space.indices[13][0::2])
    visit.page.locator("#code-layers input").nth(1).check()
    visit.settle()
    shown = visit.evaluate("[...document.querySelectorAll('#code-grid span')].map((e) => Number(e.textContent))")
    np.testing.assert_array_equal(shown, codes.payload.space.indices[13][1::2])
    assert visit.page.locator("#source-name").inner_text() == "test image 13, label b"


def test_of_a_picture_of_odd_sides_the_cells_lie_where_their_pixels_do(visit, odd_codes):
    visit = visit("odd_codes")
    visit.choose(3)
    np.testing.assert_array_equal(visit.code(), odd_codes.payload.space.indices[3])
    np.testing.assert_allclose(visit.picture(), decoded(odd_codes, visit.code()), atol=1e-4)
    script = """() => {
        const box = (e) => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
        document.querySelector("#code-overlay").hidden = false;
        return [...document.querySelectorAll("#code-overlay, #code-overlay div")].map(box);
    }"""
    whole, *cells = np.array(visit.evaluate(script))
    pixel = (whole[2] - whole[0]) / 10
    edges = (cells - np.tile(whole[:2], 2)) / pixel  # edges of a cell, in pixels of the picture
    expected = [[4 * c, 4 * r, min(4 * c + 4, 10), min(4 * r + 4, 5)] for r in range(2) for c in range(3)]
    np.testing.assert_allclose(edges, expected, atol=0.05)


def test_a_code_is_changed_by_click_and_by_keys(visit, codes):
    visit = visit("codes")
    visit.choose(0)
    expected = codes.payload.space.indices[0].copy()
    visit.page.locator("#code-grid button").nth(6).click()
    other = (expected[12] + 1) % 6
    visit.page.locator(f"#codebook button[data-code='{other}']").click()
    visit.settle()
    expected[12] = other
    np.testing.assert_array_equal(visit.code(), expected)
    np.testing.assert_allclose(visit.picture(), decoded(codes, expected), atol=1e-4)
    # Focus is back in the grid: one place down, to the codebook, its last code.
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("End")
    visit.page.keyboard.press("Enter")
    visit.settle()
    last = visit.page.locator("#codebook button").last.get_attribute("data-code")
    expected[2 * 10] = int(last)
    np.testing.assert_array_equal(visit.code(), expected)
    visit.page.locator("#code-overlay div").first.click()
    visit.settle()
    assert visit.page.locator("#cell-name").inner_text().startswith("Row 1, column 1, code")
    visit.page.locator("#to-image-codes").click()
    np.testing.assert_array_equal(visit.code(), codes.payload.space.indices[0])


def test_the_codebook_is_by_use_with_what_python_decodes(visit, codes):
    visit = visit("codes")
    usage = codes.payload.space.usage[0]
    order = visit.evaluate("[...document.querySelectorAll('#codebook button')].map((e) => Number(e.dataset.code))")
    np.testing.assert_array_equal(order, np.argsort(-usage, kind="stable"))
    unused = visit.evaluate("[...document.querySelectorAll('#codebook .unused')].map((e) => Number(e.dataset.code))")
    assert sorted(unused) == [k for k in range(6) if usage[k] == 0]
    pixels = visit.page.locator("#codebook canvas").first.evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    swatch = codes.payload.space.swatches[order[0]]
    np.testing.assert_array_equal(np.array(pixels).reshape(*swatch.shape[:2], 4)[..., :1], swatch)


def test_codes_switch_in_the_middle_or_place_by_place(visit, codes):
    visit = visit("codes")
    a, b = codes.payload.space.indices[[2, 7]]
    visit.choose(2)
    visit.page.locator("#set-a").click()
    visit.choose(7)
    visit.page.locator("#set-b").click()
    differing = np.flatnonzero(a != b)
    for name in ("middle", "places"):
        visit.page.locator(f"#paths input[value={name}]").check()
        visit.settle()
        expected = []
        for t in np.linspace(0, 1, 9):
            mixed = a.copy()
            count = len(differing) * (t >= 0.5) if name == "middle" else np.floor(t * len(differing) + 0.5)
            mixed[differing[: int(count)]] = b[differing[: int(count)]]
            expected.append(decoded(codes, mixed))
        pictures = visit.evaluate("explorer.app.strips.path.map((p) => Array.from(p))")
        np.testing.assert_allclose(pictures, expected, atol=1e-4)


def test_draws_of_the_prior_are_those_of_python_one_after_another(visit, codes):
    visit = visit("codes", own=True)
    draws = codes.payload.space.draws
    shown = visit.evaluate(
        "[...document.querySelectorAll('#prior-grid button')].map((e) => e.getAttribute('aria-label'))"
    )
    assert shown[0] == "Go to sample 1, sample 1 of 128 in this page"
    visit.page.locator("#prior-grid button").nth(4).click()
    np.testing.assert_array_equal(visit.code(), draws[4])
    visit.page.locator("#sample-one").click()
    np.testing.assert_array_equal(visit.code(), draws[16])
    assert "sample 17 of 128" in visit.page.locator("#toast").inner_text()


def test_a_permalink_brings_codes_and_place_back_and_refuses_codes_that_are_none(visit, codes):
    first = visit("codes")
    first.choose(5)
    first.page.locator("#code-layers input").nth(1).check()
    first.page.locator("#code-grid button").nth(9).click()
    first.page.locator("#codebook button").nth(3).click()
    first.settle()
    script = """() => { const s = explorer.state; return [Array.from(s.get("code")), s.get("layer"), s.get("cell"),
        s.get("source").index]; }"""
    expected = first.evaluate(script)
    assert expected[1:] == [1, 9, 5]
    second = visit("codes", first.fragment())
    assert second.evaluate(script) == expected
    beyond = second.evaluate("explorer.space.toText(Int32Array.from({ length: 24 }, () => 6))")
    third = visit("codes", f"#z={beyond}")
    np.testing.assert_array_equal(third.code(), codes.payload.space.indices[0])
