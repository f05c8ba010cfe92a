"""Cost of known factors: rendering and encoding every sprite, the scores, and rendering a training batch.

    python -m experiments.factors_speed

The whole data set, 737,280 images, is rendered, and then rendered and encoded by disentanglement_lib's network into a
table of codes. All scores are measured on the table, except those that scikit-learn fits to each factor. The training
step is the beta-VAE's with a batch of 64, on images that it renders and, in turns, on images in memory.
"""

import dataclasses
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.data import FactorData, load_factor_data
from vae_jax.evaluation.disentanglement import encode_table, measure_disentanglement
from vae_jax.objectives import beta_vae_loss, with_preprocessing
from vae_jax.runs import FactorSettings, device_name, versions
from vae_jax.runs.factors.problem import make_model, make_problem
from vae_jax.runs.progress import say
from vae_jax.training import init_train_state, make_train_epoch, make_train_step


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the measurement."""

    images: int | None = None
    """number of images to render and encode, of the first shapes; default: all 737,280"""
    rounds: int = 7
    """number of timings of the training step on rendered images and on images in memory"""
    steps: int = 20
    """training steps per timing"""
    record: Path = Path("docs/results/factors_speed.json")
    """path of the JSON record to write"""


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    result = jax.block_until_ready(work())
    return result, time.monotonic() - started


def step_seconds(options: Options) -> dict[str, list[float]]:
    """Mean seconds in each round: of a training step, "rendered" and "in memory", and of rendering a "batch" alone."""
    data, settings = load_factor_data("sprites"), FactorSettings(betas=(4.0,))
    problem = make_problem(settings, data)
    model, optimizer = make_model(settings, problem), optax.adam(5e-4)
    examples, loss, key = problem.train_examples, beta_vae_loss(4.0), jax.random.key(1)
    images = jax.jit(FactorData.draw, static_argnums=2)(data, jax.random.key(0), 64 * options.steps).astype(jnp.uint8)
    state = jax.jit(lambda key: init_train_state(model, optimizer, key))(key)
    work: dict[str, Callable[[], Any]] = {}
    for name, objective, train in (
        ("rendered", loss, examples),
        ("in memory", with_preprocessing(loss, lambda key, batch: batch.astype(jnp.float32)), images),
    ):
        epoch = make_train_epoch(make_train_step(model, objective, optimizer), 64, num_steps=options.steps)
        program = jax.jit(lambda state, train, epoch=epoch: epoch(state, key, train)[0])  # does not advance the state
        work[name] = partial(program, state, train)
    draw = jax.jit(lambda key: jax.lax.map(lambda k: data.draw(k, 64), jax.random.split(key, options.steps)))
    work["batch"] = partial(draw, key)
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(options.rounds + 1):
        for name, run in work.items():
            seconds[name].append(timed(run)[1] / options.steps)
    return {name: values[1:] for name, values in seconds.items()}  # the first round compiles


def main(options: Options) -> None:
    data = load_factor_data("sprites")
    with exit_on_bad_input():
        if options.rounds < 1 or options.steps < 1:
            raise ValueError(f"--rounds and --steps must be at least 1, got {options.rounds} and {options.steps}")
        if options.images is not None and not 6144 <= options.images <= data.num_images:
            raise ValueError(f"--images must be between 6144 and {data.num_images}, got {options.images}")
    # Whole angles of the first shapes and scales: 1,024 images each.
    angles = (options.images or data.num_images) // 1024
    sizes = data.factor_sizes if options.images is None else (1, 1, angles, 32, 32)
    count = angles * 1024
    settings = FactorSettings(betas=(4.0,))
    model = make_model(settings, make_problem(settings, data))
    params = jax.jit(model.init)(jax.random.key(0))
    render = lambda table, index: data.render(table, jax.random.key(0), index)
    area = jax.jit(lambda i: jnp.sum(jax.lax.map(lambda j: jnp.sum(render(data.table, j)), i, batch_size=64)))
    say("rendering")
    _, rendering = timed(lambda: area(jnp.arange(count)))
    say("rendering and encoding")
    table, encoding = timed(lambda: encode_table(model, params, render, sizes, source=data.table))
    say("scoring")
    scores, scoring = timed(lambda: measure_disentanglement(table, jax.random.key(0), fast=True))
    say("training")
    seconds = step_seconds(options)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    minutes = (rendering + encoding + scoring) / 60
    record = Record(
        title=f"Rendering and scoring images with known factors, {device_name()}",
        protocol=f"{count:,} images of sprites; disentanglement_lib's convolutional network; compilation included; the "
        f"scores {', '.join(scores)}. Training: batch 64, medians of {options.rounds} rounds of {options.steps} steps, "
        "which take turns.",
        command=shlex.join(["python", "-m", "experiments.factors_speed", *sys.argv[1:]]),
        claims=[
            Claim("rendering, encoding and scoring all images", "minutes", [minutes], at_most=5.0),
            Claim("rendering alone", "s", [rendering]),
            Claim("rendering and encoding", "s", [encoding]),
            Claim("all scores except SAP, explicitness and DCI", "s", [scoring]),
            Claim(
                "rendering a batch, relative to a training step on images in memory",
                "%",
                [100 * median["batch"] / median["in memory"]],
                at_most=5.0,
            ),
            Claim("training step on images in memory", "ms", [1e3 * median["in memory"]]),
            Claim(
                "training step that renders its images, relative to images in memory",
                "",
                [median["rendered"] / median["in memory"]],
            ),
        ],
        seeds=[0],
        wall_seconds=[round(rendering + encoding + scoring, 1)],
        device=device_name(),
        versions=versions(),
        details={"step_seconds": seconds},
    )
    write_record(options.record, record)
    print(json.dumps({claim.claim: claim.values[0] for claim in record.claims}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.factors_speed"))
