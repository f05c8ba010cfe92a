"""Page of a conditional model: its payload, and the label picker in Chromium, against the numbers of Python."""

import jax
import numpy as np
import pytest

from vae_jax.distributions import mean_of
from vae_jax.evaluation import posterior_means
from vae_jax.explorer import payload_of
from vae_jax.models import Example
from vae_jax.models._model import given


def decoded(explored, code, label):
    decode = jax.jit(lambda z, label: mean_of(given(explored.model, label).decode(explored.params, z)))
    return np.asarray(decode(np.asarray(code, np.float32), label)).ravel()


def encoded(explored, image, label):
    encode = jax.jit(lambda x, label: given(explored.model, label).encode(explored.params, x).mean)
    return np.asarray(encode(np.asarray(image, np.float32) / 255, label))


def test_the_payload_has_the_number_of_labels_and_the_codes_of_images_with_their_own(labeled, plane):
    payload = labeled.payload
    assert (payload.as_json()["classes"], plane.payload.as_json()["classes"]) == (4, None)
    examples = Example(payload.images / np.float32(255), payload.labels.astype(np.int32))
    expected = posterior_means(labeled.model, labeled.params, examples)
    np.testing.assert_allclose(payload.space.means, expected, rtol=1e-5, atol=1e-6)
    other = posterior_means(labeled.model, labeled.params, examples._replace(context=np.zeros(40, np.int32)))
    assert np.abs(payload.space.means - other).max() > 0.01


def test_a_model_of_labels_needs_them_and_another_takes_none(labeled, plane):
    options = {"title": "VAE", "data": "digits", "key": jax.random.key(0)}
    xs = labeled.payload.images / np.float32(255)
    with pytest.raises(ValueError, match="labels must be given with num_classes"):
        payload_of(labeled.model, labeled.params, xs, num_classes=4, **options)
    with pytest.raises(TypeError, match="model is a Conditional and needs a context"):
        payload_of(labeled.model, labeled.params, xs, labels=labeled.payload.labels, **options)
    with pytest.raises(TypeError, match="model takes no context"):
        payload_of(
            plane.model,
            plane.params,
            plane.payload.images / 255,
            labels=plane.payload.labels,
            num_classes=10,
            **options,
        )


@pytest.mark.slow
def test_every_picture_is_decoded_with_the_picked_label(visit, labeled):
    visit = visit("labeled")
    picker = visit.page.get_by_role("combobox", name="Label for the model")
    assert picker.input_value() == "0" and picker.locator("option").all_inner_texts() == ["a", "b", "c", "d"]
    strips = lambda: [
        np.array(each)
        for each in visit.evaluate("Array.from(explorer.app.strips.traversal, (picture) => Array.from(picture))")
    ]
    code, before = visit.code(), strips()
    picker.select_option("2")
    visit.settle()
    visit.page.wait_for_timeout(200)
    np.testing.assert_array_equal(visit.code(), code)  # the same z
    np.testing.assert_allclose(visit.picture(), decoded(labeled, code, 2), atol=1e-4)
    assert np.abs(decoded(labeled, code, 2) - decoded(labeled, code, 0)).max() > 0.01
    assert max(np.abs(now - then).max() for now, then in zip(strips(), before, strict=True)) > 0.01

    # A test image sets its own label; the permalink has the label that is picked afterwards.
    visit.choose(7)
    assert picker.input_value() == "3"
    own = encoded(labeled, labeled.payload.images[7], 3)
    np.testing.assert_allclose(visit.code(), own, atol=1e-4)
    picker.select_option("1")
    visit.settle()
    fragment = visit.fragment()
    visit.choose(0)
    assert visit.fragment() != fragment
    visit.evaluate("fragment => { location.hash = fragment; }", fragment)
    visit.page.wait_for_timeout(300)
    visit.settle()
    assert picker.input_value() == "1"
    np.testing.assert_allclose(visit.code(), own, atol=1e-4)
    np.testing.assert_allclose(visit.picture(), decoded(labeled, own, 1), atol=1e-4)


@pytest.mark.slow
def test_the_visitors_image_is_encoded_with_the_picked_label(visit, labeled):
    visit = visit("labeled")
    image = labeled.payload.images[5]
    picker = visit.page.locator("#given-label")
    choose = "([pixels, name]) => explorer.app.chooseOwn(Uint8Array.from(pixels), name)"
    picker.select_option("2")
    visit.evaluate(choose, [image.ravel().tolist(), "mine"])
    visit.settle()
    code = visit.code()
    np.testing.assert_allclose(code, encoded(labeled, image, 2), atol=1e-4)
    picker.select_option("3")
    visit.page.wait_for_timeout(200)
    found = visit.evaluate("Array.from(explorer.state.get('posterior').code)")
    np.testing.assert_allclose(found, encoded(labeled, image, 3), atol=1e-4)
    np.testing.assert_array_equal(visit.code(), code)


@pytest.mark.slow
def test_a_page_of_a_model_without_labels_shows_no_picker(visit):
    assert not visit("plane").page.locator("#given").is_visible()
