"""Accessibility, small screens, performance and security of the page."""

import pytest

pytestmark = pytest.mark.slow

KINDS = ["plane", "color", "codes"]

# Every element that can have focus, with the name that a screen reader reads, as the browser computes it.
NAMES = """() => [...document.querySelectorAll('button, input, select, summary, [tabindex], [role=img]')]
    .filter((e) => e.checkVisibility() && !e.closest('[aria-hidden=true]'))
    .map((e) => {
        const ids = (e.getAttribute('aria-labelledby') ?? '').split(' ');
        const labeled = ids.map((id) => document.getElementById(id)?.textContent ?? '');
        const own = e.matches('button, summary') ? e.textContent : '';
        const labels = [...(e.labels ?? [])].map((l) => l.textContent);
        const name = [e.getAttribute('aria-label') ?? '', ...labeled, own, ...labels].join('').trim();
        return [e.outerHTML.slice(0, 80), name];
    })"""

# Contrast ratio of every text with its background (WCAG 2.1).
CONTRAST = """() => {
    const channels = (text) => text.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const found = channels(getComputedStyle(e).backgroundColor);
            if (found.length === 3 || found[3] === 1) return found;
        }
        return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        const words = walker.currentNode.textContent.trim().slice(0, 40);
        if (!words || !e.checkVisibility() || e.matches('script, style, :disabled, #toast')) continue;
        const [a, b] = [luminance(channels(getComputedStyle(e).color)), luminance(ground(e))];
        found.push([words, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
    }
    return found;
}"""


@pytest.mark.parametrize("name", KINDS)
def test_every_control_has_a_name(visit, name):
    named = visit(name).evaluate(NAMES)
    assert len(named) > 40
    assert [element for element, words in named if not words] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(visit, scheme):
    visit = visit("plane", color_scheme=scheme)
    texts = visit.evaluate(CONTRAST)
    assert len(texts) > 60
    assert [text for text in texts if text[1] < 4.5] == []


@pytest.mark.parametrize("name", KINDS)
def test_a_phone_shows_it_without_sideways_scrolling_and_large_enough_to_touch(visit, name):
    visit = visit(name, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert visit.evaluate("document.documentElement.scrollWidth") == 360
    script = """() => [...document.querySelectorAll(
            'button, select, summary, .button, .slider input, .check, .segments label')]
        .filter((e) => e.checkVisibility() && !e.closest('#code-grid'))
        .map((e) => [e.outerHTML.slice(0, 70), e.getBoundingClientRect().height])"""
    assert [element for element, height in visit.evaluate(script) if height < 44] == []


def test_touch_moves_in_the_plane(visit):
    visit = visit("plane", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    before = visit.code()
    visit.page.locator("#pad").scroll_into_view_if_needed()
    box = visit.page.locator("#pad").bounding_box()
    visit.page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.1 * box["height"])
    visit.settle()
    half = float(visit.page.locator("#pad").get_attribute("aria-valuemax"))
    assert abs(visit.code() - [0.8 * half, 0.8 * half]).max() < 0.05 * half
    assert (visit.code() != before).all()


def test_the_first_screen_holds_picture_plane_and_sliders(visit):
    visit = visit("color")
    for part in ("#picture", "#pad", "#z0", "#set-a", "#to-prior", "#beside"):
        box = visit.page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 800, part


def test_with_reduced_motion_the_player_moves_step_by_step(visit):
    visit = visit("plane", reduced_motion="reduce")
    visit.page.locator("#play").click()
    seen = set()
    for _ in range(12):
        visit.page.wait_for_timeout(60)
        seen.add(visit.evaluate("explorer.state.get('t')"))
    visit.page.locator("#play").click()
    assert len(seen) >= 2
    assert all((8 * t) % 1 == 0 for t in seen)


def test_the_page_itself_forbids_every_connection(visit):
    visit = visit("plane")
    script = """async () => {
        const blocked = [];
        document.addEventListener('securitypolicyviolation', (event) => blocked.push(event.effectiveDirective));
        await fetch('http://127.0.0.1:9/').catch(() => {});
        new Image().src = 'http://127.0.0.1:9/a.png';
        const script = document.createElement('script');
        script.textContent = 'window.intruder = true';
        document.head.append(script);
        await new Promise((resolve) => setTimeout(resolve, 100));
        return [blocked.sort(), window.intruder === undefined];
    }"""
    blocked, kept_out = visit.evaluate(script)
    assert blocked == ["connect-src", "img-src", "script-src-elem"]
    assert kept_out
    # The browser reports a request for the image, which the policy ended before it was made.
    assert all("Content Security Policy" in words for words in visit.complaints)
    assert visit.failed == {"http://127.0.0.1:9/a.png": "csp"}
    visit.complaints.clear()
    visit.requests.remove("http://127.0.0.1:9/a.png")


def test_an_old_browser_shows_a_message(browser, places):
    context = browser.new_context()
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto(places["plane"])
    assert page.locator("#status.failed").inner_text().startswith("This browser is too old")
    assert "DecompressionStream" in page.locator("#status").inner_text()
    context.close()


def test_a_model_that_cannot_be_started_shows_a_message(browser, places, plane, tmp_path):
    broken = plane.page.replace(plane.payload.as_json()["decoder"], "H4sIAAAAAAAC/wMAAAAAAAAAAAA=")
    (tmp_path / "broken.html").write_text(broken, encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "broken.html").as_uri())
    page.locator("#status.failed").wait_for()
    assert page.locator("#status").inner_text().startswith("The model could not be started")
    context.close()
