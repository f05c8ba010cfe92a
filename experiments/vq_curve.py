"""Training curve of the VQ-VAE on CIFAR-10 that DeepMind published with Sonnet (`vqvae_example_cifar.ipynb`).

    python -m experiments.vq_curve --seeds 0 1

Published recipe: 40,000 training images, batch 32, 128 channels, 2 residual layers of 32, K = 512 codes of D = 64,
moving averages with decay 0.99, beta 0.25, Adam 3e-4, x in [-0.5, 0.5]; loss = MSE / variance + the quantizer's loss,
a mean over components. In nats, summed, that is a Normal of this variance with beta * 3072 / (2 * 4096): the same loss
times 3072 / 2, a factor that Adam cancels. Published are the normalized MSE and the perplexity of a batch, as means
over 100 steps. The codebook's initialization differs from the published one: it is fitted by k-means to the first
images, and codes that are hardly used are moved (`--k-means-images 0 --revival 0`: neither). Ten minutes per new seed.
"""

import dataclasses
import json
import math
import shlex
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax import data
from vae_jax.atomic import write_atomically
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.models import likelihoods, vq_vae, with_codes_fitted
from vae_jax.networks import Network, residual_decoder, residual_encoder
from vae_jax.objectives import vq_vae_loss, with_preprocessing
from vae_jax.objectives._batch import Metrics
from vae_jax.params import Params
from vae_jax.quantizers import ema_vector_quantizer
from vae_jax.runs import device_name, versions
from vae_jax.runs.progress import say
from vae_jax.training import TrainState, init_train_state, make_train_step

IMAGE, GRID, DIM, VARIANCE, WINDOW = (32, 32, 3), (8, 8), 64, 0.06327, 100
PIXELS, COMPONENTS = math.prod(IMAGE), math.prod(GRID) * DIM
COMMITMENT = 0.25 * PIXELS / (2 * COMPONENTS)
PUBLISHED = {500: (0.147, 34), 1000: (0.105, 72), 2000: (0.081, 154), 5000: (0.061, 327), 10_000: (0.056, 326)}


@dataclasses.dataclass(frozen=True)
class Options:
    seeds: tuple[int, ...] = (0, 1)  # random seeds; one model is trained for each
    steps: int = 10_000  # training steps of each model
    k_means_images: int = 256  # number of training images whose encodings the codes are fitted to; 0: random codes
    revival: float = 0.01  # codes used less than this share of the average code's use are moved; 0: never
    data_dir: str | None = None  # folder of TFDS datasets; default: the environment's TFDS_DATA_DIR
    runs: Path = Path("runs/vq_curve")  # folder of a JSON file for each seed
    record: Path = Path("docs/results/vq_curve.json")  # path of the JSON record to write


def initialized_as_published(decoder: Network) -> Network:
    """Halves the initial standard deviation: Sonnet divides by all 4 x 4 C inputs, vae_jax by 2 x 2 C per pixel."""

    def init(key: jax.Array) -> Params:
        params = decoder.init(key)
        halved = {name: {**params[name], "kernel": params[name]["kernel"] / 2} for name in ("conv_0", "output")}
        return {**params, **halved}

    return decoder._replace(init=init)


def train(seed: int, options: Options, images: np.ndarray) -> dict:
    """Trains one seed; returns its curve of normalized MSE and batch perplexity, means over 100 steps each."""
    steps, quantizer = options.steps, ema_vector_quantizer(512, DIM, COMMITMENT, revival=options.revival)
    encoder = residual_encoder(IMAGE, DIM, num_outputs=1)
    decoder = initialized_as_published(residual_decoder(DIM, (*IMAGE, 1)))
    model = vq_vae(encoder, decoder, quantizer, GRID, likelihoods.fixed_normal(VARIANCE))
    prepare = lambda key, pixels: data.scale(key, pixels) - 0.5
    if options.k_means_images:
        model = with_codes_fitted(model, prepare(jax.random.key(seed), jnp.asarray(images[: options.k_means_images])))
    optimizer = optax.adam(3e-4)
    step = make_train_step(model, with_preprocessing(vq_vae_loss, prepare), optimizer)
    init_key, key = jax.random.split(jax.random.key(seed))
    on_device, rng = jnp.asarray(images), np.random.default_rng(seed)

    @jax.jit
    def window(state: TrainState, batches: jax.Array) -> tuple[TrainState, Metrics]:
        state, metrics = jax.lax.scan(lambda state, batch: step(state, key, on_device[batch]), state, batches)
        return state, jax.tree.map(jnp.mean, metrics)

    state = jax.jit(lambda key: init_train_state(model, optimizer, key))(init_key)
    # Each epoch in a new order, all epochs as one long list of examples.
    orders = np.concatenate([rng.permutation(len(images)) for _ in range(steps * 32 // len(images) + 1)])
    curve, started = [], time.monotonic()
    constant = 0.5 * PIXELS * math.log(2 * math.pi * VARIANCE)
    for end in range(WINDOW, steps + 1, WINDOW):
        batches = orders[(end - WINDOW) * 32 : end * 32].reshape(WINDOW, 32)
        state, metrics = window(state, batches)
        mse = 2 * (float(metrics["distortion"]) - constant) / PIXELS
        curve.append({"step": end, "normalized_mse": mse, "perplexity": float(metrics["batch_perplexity"])})
        say(f"seed {seed}, step {end}: MSE / variance {mse:.4f}, perplexity {curve[-1]['perplexity']:.0f}")
    return {"seed": seed, "curve": curve, "wall_seconds": round(time.monotonic() - started, 1)}


def claims_of(results: list[dict]) -> list[Claim]:
    """Claims at the published steps; the bar on the perplexity is the published one."""
    claims = []
    for step, (mse, perplexity) in PUBLISHED.items():
        rows = [row for result in results for row in result["curve"] if row["step"] == step]
        if rows:
            percent, perplexities = [100 * row["normalized_mse"] for row in rows], [row["perplexity"] for row in rows]
            ratios = [perplexity / own for own in perplexities]
            claims += [
                Claim(f"MSE / variance after {step} steps", "%", percent, 100 * mse, 100 * mse),
                Claim(f"batch perplexity after {step} steps (published: {perplexity})", "", perplexities),
                Claim(f"published perplexity relative to ours, after {step} steps", "", ratios, at_most=1.0),
            ]
    return claims


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    with exit_on_bad_input():
        if options.steps < WINDOW or options.steps % WINDOW:
            raise ValueError(f"--steps must be a multiple of {WINDOW}, got {options.steps}")
        images = data.load_images("cifar10", options.data_dir).train[:40_000]
    options.runs.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in options.seeds:
        settings = {"seed": seed, "steps": options.steps, "k_means": options.k_means_images, "revival": options.revival}
        file = options.runs / ("_".join(f"{name}_{value:g}" for name, value in settings.items()) + ".json")
        if not file.exists():
            write_atomically(file, json.dumps(train(seed, options, images)))
        results.append(json.loads(file.read_text()))
    record = Record(
        title="VQ-VAE on CIFAR-10, training curve",
        protocol=f"CIFAR-10, {len(images):,} images, batch 32; 128 channels, K = 512, D = 64, moving averages of "
        "decay 0.99, beta 0.25, Adam 3e-4; means over 100 steps, as published. Our codebook is initialized by k-means "
        f"on {options.k_means_images} images, and codes used less than {options.revival:g} of the average are moved.",
        command=shlex.join(["python", "-m", "experiments.vq_curve", *sys.argv[1:]]),
        claims=claims_of(results),
        seeds=list(options.seeds),
        wall_seconds=[result["wall_seconds"] for result in results],
        device=device_name(),
        versions=versions(),
        details={"results": results},
    )
    write_record(options.record, record)
    print(json.dumps({claim.claim: claim.values for claim in record.claims}))


if __name__ == "__main__":
    main()
