"""Time of the parts of a training step: the MLP VAE's step without each of its parts, and XLA's own convolutions.

    python -m experiments.step_parts

The full step and its variants take turns, in rounds of 40 steps as one program: without binarization, with SGD instead
of Adam, with a hand-written backward pass of the Bernoulli likelihood, and the matrix products alone. Then the
convolutional VAE is compared with the same network on XLA's own convolutions. Three minutes on two idle cores.
"""

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from experiments.lib.benchmark import models
from experiments.lib.benchmark.floor import make_floor
from experiments.lib.benchmark.measure import take_turns, timed
from experiments.lib.records import Claim, Record, write_record
from vae_jax import VAE, Bernoulli, data, init_train_state, make_train_step
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.networks import _convolution_primitives as primitives
from vae_jax.networks import _native_convolutions as native_convolutions
from vae_jax.objectives import negative_elbo, with_preprocessing
from vae_jax.runs import device_name, versions
from vae_jax.training import make_train_epoch

STEPS, BATCH, CONV_BATCH = 40, 128, 64


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    rounds: int = 9
    """number of timings of each variant of the MLP's step"""
    native_steps: int = 2
    """steps of the convolutional network per timing; XLA's convolutions take seconds per step on a CPU"""
    record: Path = Path("docs/results/step_parts.json")
    """path of the JSON record to write"""


def make_round(
    model: VAE,
    images: np.ndarray,
    batch: int,
    prepare: Callable[[jax.Array, Any], jax.Array] = data.binarize,
    optimizer: optax.GradientTransformation | None = None,
) -> Callable[[], float]:
    """Returns a function that trains one more epoch on the images, as one program, and returns the loss."""
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    epoch = make_train_epoch(make_train_step(model, with_preprocessing(negative_elbo, prepare), optimizer), batch)
    state, examples = init_train_state(model, optimizer, jax.random.key(0)), jnp.asarray(images)

    def round() -> float:
        nonlocal state
        state, metrics = epoch(state, jax.random.key(1), examples)
        return float(metrics["loss"])

    return round


@jax.custom_vjp
def hand_written_log_prob(x: jax.Array, logits: jax.Array) -> jax.Array:
    return jnp.sum(x * logits - jnp.maximum(logits, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(logits))))


forward = lambda x, logits: (hand_written_log_prob(x, logits), (x, logits))
hand_written_log_prob.defvjp(forward, lambda saved, g: (None, g * (saved[0] - jax.nn.sigmoid(saved[1]))))


@partial(jax.tree_util.register_dataclass, data_fields=["logits"], meta_fields=[])
class HandWrittenBernoulli(Bernoulli):
    def log_prob(self, value: Any) -> jax.Array:
        return hand_written_log_prob(jnp.ravel(value), jnp.ravel(self.logits))


def lower_to_native_convolutions() -> None:
    """Makes this process compile convolutions on the CPU to XLA's own, as on other devices."""
    on_images, on_models = primitives.map_over_images, primitives.map_over_models
    native = native_convolutions.output, native_convolutions.image, native_convolutions.kernel
    primitives.register(primitives.output_p, primitives.output_aval, on_images, native[0], native[0])
    primitives.register(primitives.image_p, primitives.image_aval, on_images, native[1], native[1])
    primitives.register(primitives.kernel_p, primitives.kernel_aval, on_models, native[2], native[2])


def main(options: Options) -> None:
    start = time.monotonic()
    with exit_on_bad_input():
        if options.rounds < 1 or options.native_steps < 2:
            raise ValueError(f"--rounds must be at least 1 and --native-steps at least 2, got {options}")
    say = partial(print, file=sys.stderr, flush=True)
    mlp = models.mlp(jnp.dtype("float32"))
    bernoulli = lambda params, z: HandWrittenBernoulli(cast(Bernoulli, mlp.decode(params, z)).logits)
    images, make = models.digits(BATCH * STEPS), partial(make_round, mlp, models.digits(BATCH * STEPS), BATCH)
    variants = {
        "full step": make(),
        "without binarization": make(prepare=data.scale),
        "SGD instead of Adam": make(optimizer=optax.sgd(1e-4)),
        "hand-written backward pass of Bernoulli": make_round(mlp._replace(decode=bernoulli), images, BATCH),
        "matrix products alone": make_floor(models.mlp_products(BATCH), STEPS),
    }
    turns = take_turns({name: timed(run) for name, run in variants.items()}, options.rounds, say)
    network, ms = f"784-400-20-400-784, batch {BATCH}", {name: 1e3 * t.seconds / STEPS for name, t in turns.items()}
    claims = [Claim(f"{network}: {name}", "ms per step", [value]) for name, value in ms.items()]
    claims += conv_claims(options.native_steps, say)
    record = Record(
        title=f"Parts of a training step, {device_name()}",
        protocol=f"variants take turns in one run, {STEPS} steps as one program, medians of {options.rounds} rounds; "
        f"64 x 64 x 1 network of experiments.benchmark's conv_vae, batch {CONV_BATCH}, in lax.scan: median of 3 rounds "
        f"of {options.native_steps} steps, one round for XLA's convolutions.",
        command=shlex.join(["python", "-m", "experiments.step_parts", *sys.argv[1:]]),
        claims=claims,
        seeds=[],
        wall_seconds=[round(time.monotonic() - start, 1)],
        device=device_name(),
        versions=versions(),
    )
    write_record(options.record, record)
    print(json.dumps(dataclasses.asdict(record)))


def conv_claims(steps: int, say: Callable[[str], None]) -> list[Claim]:
    """Claims on the network by matrix products and by XLA's convolutions, with the same parameters and batches."""
    images, model = models.sprites(CONV_BATCH * steps), models.conv(jnp.dtype("float32"))
    turns = take_turns({"ours": timed(make_round(model, images, CONV_BATCH))}, 3, say)
    lower_to_native_convolutions()
    slow = take_turns({"XLA's": timed(make_round(model, images, CONV_BATCH))}, 1, say)["XLA's"]
    if not np.isclose(*(losses := (turns["ours"].first.loss, slow.first.loss)), rtol=1e-4):
        raise AssertionError(f"both must compute the same network, but the losses are {losses}")
    seconds = turns["ours"].seconds / steps, slow.seconds / steps
    return [
        Claim("conv_vae in lax.scan, convolutions as matrix products", "ms per step", [1e3 * seconds[0]]),
        Claim("conv_vae in lax.scan, XLA's convolutions", "ms per step", [1e3 * seconds[1]]),
        Claim("conv_vae in lax.scan: time relative to XLA's convolutions", "", [seconds[0] / seconds[1]], at_most=0.04),
    ]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.step_parts"))
