"""Starting time and frame rate of the explorer's page for models of several kinds.

    python -m experiments.explorer_speed

Requires `pip install "vae_jax[test]"` and Chromium (Debian: apt-get install chromium). About two minutes on two cores.
"""

import dataclasses
import json
import math
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from playwright.sync_api import sync_playwright

from experiments.lib.records import Claim, Record, write_record
from vae_jax import explorer
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.models import VAE, conv_vae, likelihoods, mlp_vae, vq_vae
from vae_jax.networks import residual_decoder, residual_encoder
from vae_jax.quantizers import ema_vector_quantizer
from vae_jax.runs import device_name, versions

FRAME = 1000 / 30  # ms: the bar for models of 28 x 28 digits
LOADS, GRAY, COLOR = 3, (28, 28, 1), (32, 32, 3)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    seconds: float = 4.0
    """seconds of dragging or playing for each model"""
    images: int = 1000
    """number of images inside each page"""
    record: Path = Path("docs/results/explorer_speed.json")
    """path of the JSON record to write"""


def quantized(shape: tuple[int, int, int], num_codes: int, likelihood: likelihoods.Likelihood) -> VAE:
    """VQ-VAE of experiments.vq_vae: channels 32 and 64, two residual layers, a code grid of a quarter of each side."""
    encoder = residual_encoder(shape, 32, (32, 64), num_outputs=1)
    decoder = residual_decoder(32, likelihood.output_shape(shape), (32, 64))
    return vq_vae(encoder, decoder, ema_vector_quantizer(num_codes, 32), (shape[0] // 4, shape[1] // 4), likelihood)


MODELS = {
    "MLP, z of 2": (GRAY, lambda: mlp_vae(GRAY, 2)),
    "MLP, z of 20": (GRAY, lambda: mlp_vae(GRAY, 20)),
    "convolutions, z of 20": (GRAY, lambda: conv_vae(GRAY, 20)),
    "convolutions, z of 128, color": (COLOR, lambda: conv_vae(COLOR, 128, likelihood=likelihoods.logistic)),
    "VQ-VAE, 7 x 7 codes of 32": (GRAY, lambda: quantized(GRAY, 32, likelihoods.bernoulli)),
    "VQ-VAE, 8 x 8 codes of 512, color": (COLOR, lambda: quantized(COLOR, 512, likelihoods.logistic)),
}


def write(path: Path, shape: tuple[int, int, int], model: VAE, count: int) -> float:
    """Writes the page of the untrained model, and returns its size in MB."""
    params = jax.jit(model.init)(jax.random.key(0))
    xs = np.random.default_rng(0).random((count, *shape), np.float32)
    payload = explorer.payload_of(model, params, xs, title="Model", data="noise", key=jax.random.key(1))
    return explorer.write_page(payload, path).stat().st_size / 1e6


def measure(browser: Any, path: Path, seconds: float) -> dict[str, Any]:
    """Measures the seconds until the page can be used, and the milliseconds between frames during an interaction."""
    loads = []
    for _ in range(LOADS):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        begun = time.perf_counter()
        page.goto(path.as_uri())
        page.locator("#status").wait_for(state="hidden", timeout=60_000)
        loads.append(time.perf_counter() - begun)
        if len(loads) < LOADS:
            page.close()
    page.wait_for_timeout(1500)  # the samples of the prior are decoded last
    page.evaluate("explorer.frameTimes.length = explorer.decodeTimes.length = 0")
    if (pad := page.locator("#pad")).count():
        drag(page, pad.bounding_box(), seconds)
    else:
        page.locator("#paths input[value=places]").check()
        page.locator("#play").click()
        page.wait_for_timeout(1000 * seconds)
    frames, decodes = page.evaluate("[explorer.frameTimes, explorer.decodeTimes]")
    page.close()
    return {"load": loads, "frames": frames, "decodes": decodes}


def drag(page: Any, box: dict[str, float], seconds: float) -> None:
    """Drags the pointer in circles around the middle of the pad, two turns per second."""
    half = box["width"] / 2
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    begun = time.perf_counter()
    while (now := time.perf_counter() - begun) < seconds:
        angle = 4 * math.pi * now
        page.mouse.move(box["x"] + half * (1 + 0.8 * math.cos(angle)), box["y"] + half * (1 + 0.8 * math.sin(angle)))
    page.mouse.up()


def main(options: Options) -> None:
    start = time.monotonic()
    with exit_on_bad_input():
        if options.seconds <= 0 or options.images < 2:
            raise ValueError(f"--seconds must be > 0 and --images at least 2, got {options.seconds}, {options.images}")
        if (chromium := shutil.which("chromium")) is None:
            raise ValueError("chromium is missing (Debian: apt-get install chromium)")
    claims, details, loads = [], {}, []  # type: list[Claim], dict[str, Any], list[Claim]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (shape, make) in MODELS.items():
            path = Path(folder) / "page.html"
            size = write(path, shape, make(), options.images)
            found = measure(browser, path, options.seconds)
            frame, load = statistics.median(found["frames"]), statistics.median(found["load"])
            print(f"{name}: frame {frame:.1f} ms, {size:.1f} MB, load {load:.2f} s", file=sys.stderr)
            claims.append(Claim(f"time per frame: {name}", "ms", [frame], at_most=FRAME if shape == GRAY else None))
            loads += [Claim(f"page size: {name}", "MB", [size]), Claim(f"time until usable: {name}", "s", [load])]
            decode, slowest = statistics.median(found["decodes"]), float(np.percentile(found["frames"], 95))
            details[name] = {"frames": len(found["frames"]), "frame_95_percent": slowest, "decode": decode}
        chromium_version = browser.version
    record = Record(
        title=f"The explorer's page, {device_name()}",
        protocol=f"pages with {options.images:,} images of noise, which compress less than digits do, opened from disk "
        "in headless Chromium without a GPU; time per frame: from one picture to the next (16.7 ms at best), median "
        f"over {options.seconds:g} s of dragging in the plane, for codes of playing from A to B, one position after "
        f"another; time until usable: median of {LOADS} fresh loads; the models are untrained, which changes no time.",
        command=shlex.join(["python", "-m", "experiments.explorer_speed", *sys.argv[1:]]),
        claims=[*claims, *loads],
        seeds=[],
        wall_seconds=[round(time.monotonic() - start, 1)],
        device=device_name(),
        versions=versions() | {"chromium": chromium_version, "onnxruntime-web": "1.30.0"},
        details=details,
    )
    write_record(options.record, record)
    print(json.dumps(dataclasses.asdict(record)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.explorer_speed"))
