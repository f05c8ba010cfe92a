"""Pages of small models, and one browser for all tests of a process."""

import os
import shutil
import threading
from typing import NamedTuple

import jax
import numpy as np
import pytest

from fresh import some_params
from vae_jax import data
from vae_jax.explorer import explorer_page, payload_of
from vae_jax.explorer._payload import Payload
from vae_jax.explorer._serve import server_of
from vae_jax.models import conditional, contexts, gaussian_vae, likelihoods, mlp_vae, vq_vae
from vae_jax.models._model import Model
from vae_jax.networks import mlp_decoder, mlp_encoder, residual_decoder, residual_encoder
from vae_jax.quantizers import product_quantizer, vector_quantizer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Explored(NamedTuple):
    """A model with its page."""

    model: Model
    params: dict
    payload: Payload
    page: str


def explored(model, params, images, **fields):
    xs = np.asarray(images, np.float32) / 255
    payload = payload_of(model, params, xs, title="VAE", data="digits", key=jax.random.key(1), **fields)
    return Explored(model, params, payload, explorer_page(payload))


@pytest.fixture(scope="session")
def plane():
    """Page of a two-dimensional latent space of digits."""
    digits = data.load_images("digits")
    model = mlp_vae((28, 28, 1), 2, hidden=(32,))
    params = some_params(model)
    # Larger weights, so that dimensions and images can be distinguished.
    params["decoder"]["hidden_0"]["kernel"] *= 2.0
    facts = [("negative ELBO", "160.25", "nats per image"), ("active units", "2", "latent dimensions")]
    return explored(model, params, digits.test[:60], labels=digits.test_labels[:60], facts=facts)


@pytest.fixture(scope="session")
def color():
    """Page of a latent space of ten dimensions, two of them unused, of color images that are wider than high."""
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 12, 3), np.uint8)
    model = mlp_vae((8, 12, 3), 10, hidden=(32,), likelihood=likelihoods.logistic)
    params = some_params(model)
    kernel = np.array(params["encoder"]["output"]["kernel"])
    kernel[:, [3, 7, 13, 17]] = 0.0  # means and log variances of z4 and z8
    params["encoder"]["output"]["kernel"] = kernel
    return explored(model, params, images)


@pytest.fixture(scope="session")
def codes():
    """Page of a 3 x 4 grid with two codes per position, from two codebooks of 6 codes."""
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 8, 1), np.uint8)
    quantizer = product_quantizer(vector_quantizer(6, 2), 2)
    outputs = likelihoods.bernoulli.output_shape((6, 8, 1))
    model = vq_vae(mlp_encoder((6, 8, 1), 48, (32,)), mlp_decoder(48, outputs, (32,)), quantizer, (3, 4))
    return explored(model, some_params(model), images, labels=np.arange(40) % 3, label_names=("a", "b", "c"))


@pytest.fixture(scope="session")
def odd_codes():
    """Page of a 2 x 3 grid of codes, of images whose sides are not divisible by 4."""
    images = np.random.default_rng(0).integers(0, 256, (10, 5, 10, 1), np.uint8)
    options = {"residual_hidden": 2, "residual_layers": 1}
    networks = (
        residual_encoder((5, 10, 1), 2, (3, 3), num_outputs=1, **options),
        residual_decoder(2, (5, 10, 1, 1), (3, 3), **options),
    )
    model = vq_vae(*networks, vector_quantizer(4, 2), (2, 3))
    return explored(model, some_params(model), images)


@pytest.fixture(scope="session")
def labeled():
    """Page of a conditional model with three latent dimensions and four labels; images of 6 x 8."""
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 8, 1), np.uint8)
    networks = mlp_encoder((6, 8, 1), 6, (16,), context_size=4), mlp_decoder(3, (6, 8, 1, 1), (16,), context_size=4)
    model = conditional(gaussian_vae(*networks, 3), contexts.labels(4))
    labels = np.arange(40, dtype=np.int32) % 4
    return explored(model, some_params(model), images, labels=labels, num_classes=4, label_names=("a", "b", "c", "d"))


@pytest.fixture(scope="session")
def browser():
    from playwright import sync_api

    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        missing = f"needs one of {', '.join(BROWSERS)}; on Debian: apt-get install chromium"
        # With this variable the tests must not be skipped.
        (pytest.fail if os.environ.get("VAE_JAX_REQUIRE_BROWSER") == "1" else pytest.skip)(missing)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page in the browser, with its requests and console messages."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        self.page, self.url = self.context.new_page(), url
        self.complaints, self.requests, self.failed = [], [], {}
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("requestfailed", lambda request: self.failed.update({request.url: request.failure}))
        self.page.goto(url)
        self.page.locator("#status").wait_for(state="hidden", timeout=30_000)
        self.page.locator("#prior-grid button").first.wait_for()
        self.start = self.evaluate("location.hash")

    def start_anew(self):
        """Restores the initial state of the page by its permalink."""
        script = """start => {
            scrollTo(0, 0);
            document.activeElement.blur();
            history.replaceState(null, "", start);
            dispatchEvent(new PopStateEvent("popstate"));
        }"""
        self.evaluate(script, self.start)
        self.settle()

    def evaluate(self, script, argument=None):
        return self.page.evaluate(script, argument)

    def settle(self):
        """Waits until the picture and the strips are those of the current code."""
        self.page.wait_for_timeout(120)
        self.evaluate("explorer.shown()")

    def fragment(self):
        """Permalink of the current state."""
        self.page.wait_for_timeout(350)
        return self.evaluate("location.hash")

    def code(self):
        return np.array(self.evaluate("Array.from(explorer.state.get('code'))"))

    def picture(self):
        self.evaluate("explorer.shown()")
        return np.array(self.evaluate("Array.from(explorer.app.pixels)"))

    def choose(self, index):
        self.evaluate("i => explorer.app.chooseTest(i)", index)
        self.settle()

    def check(self):
        """Asserts that there were no console messages and no requests but for the page itself."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith((self.url.split("#")[0], "blob:", "data:"))] == []


@pytest.fixture(scope="session")
def places(tmp_path_factory, plane, color, codes, odd_codes, labeled):
    """Addresses of the pages as files, and of the first one from a server."""
    folder = tmp_path_factory.mktemp("pages")
    urls = {}
    pages = {"plane": plane, "color": color, "codes": codes, "odd_codes": odd_codes, "labeled": labeled}
    for name, each in pages.items():
        (folder / f"{name}.html").write_text(each.page, encoding="utf-8")
        urls[name] = (folder / f"{name}.html").as_uri()
    server = server_of(plane.page, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    urls["served"] = f"http://127.0.0.1:{server.server_port}/"
    yield urls
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def shared_visits():
    visits = {}
    yield visits
    for each in visits.values():
        each.context.close()


@pytest.fixture
def visit(browser, places, shared_visits):
    """Function `visit(name)` that opens a page: a new one if a fragment or options are given, else a shared one.

    A shared page is reset to its initial state. At the end of the test every page is checked for messages.
    """
    visits, own = [], []

    def open_page(name, fragment="", **options):
        if fragment or options:
            own.append(Visit(browser, places[name] + fragment, **{k: v for k, v in options.items() if k != "own"}))
            visits.append(own[-1])
        else:
            if name not in shared_visits:
                shared_visits[name] = Visit(browser, places[name])
            visits.append(shared_visits[name])
            visits[-1].start_anew()
        return visits[-1]

    yield open_page
    for each in own:
        each.context.close()
    for each in visits:
        each.check()
