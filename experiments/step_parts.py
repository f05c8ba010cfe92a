"""Where the time of a training step goes: the step of the MLP VAE without each of its parts, and native convolutions.

    python -m experiments.step_parts

The whole step and its variants take turns, in rounds of 40 steps as one program: pixels as they are (no binarization),
SGD for Adam, a backward pass of the Bernoulli likelihood written by hand; and the matrix products alone. Then the
convolutional VAE against the same network by XLA's own convolutions. About three minutes on two quiet cores.
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
    """What the experiment can be told."""

    rounds: int = 9
    """timings of each variant of the MLP's step"""
    native_steps: int = 2
    """of the convolutional network; XLA's convolutions take seconds a step on a CPU"""
    record: Path = Path("docs/results/step_parts.json")
    """where the numbers go"""


def rounds_of(
    model: VAE,
    images: np.ndarray,
    batch: int,
    prepare: Callable[[jax.Array, Any], jax.Array] = data.binarize,
    optimizer: optax.GradientTransformation | None = None,
) -> Callable[[], float]:
    """A round: an epoch of the images as one program, its state carried on; gives the loss."""
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    epoch = make_train_epoch(make_train_step(model, with_preprocessing(negative_elbo, prepare), optimizer), batch)
    state, examples = init_train_state(model, optimizer, jax.random.key(0)), jnp.asarray(images)

    def round() -> float:
        nonlocal state
        state, metrics = epoch(state, jax.random.key(1), examples)
        return float(metrics["loss"])

    return round


@jax.custom_vjp
def log_prob_by_hand(x: jax.Array, logits: jax.Array) -> jax.Array:
    return jnp.sum(x * logits - jnp.maximum(logits, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(logits))))


forward = lambda x, logits: (log_prob_by_hand(x, logits), (x, logits))
log_prob_by_hand.defvjp(forward, lambda saved, g: (None, g * (saved[0] - jax.nn.sigmoid(saved[1]))))


@partial(jax.tree_util.register_dataclass, data_fields=["logits"], meta_fields=[])
class ByHand(Bernoulli):
    def log_prob(self, value: Any) -> jax.Array:
        return log_prob_by_hand(jnp.ravel(value), jnp.ravel(self.logits))


def lower_to_native_convolutions() -> None:
    """From here on this process compiles convolutions for the CPU as for other devices: to XLA's own."""
    on_images, on_models = primitives.map_over_images, primitives.map_over_models
    native = native_convolutions.output, native_convolutions.image, native_convolutions.kernel
    primitives.complete(primitives.output_p, primitives.output_aval, on_images, native[0], native[0])
    primitives.complete(primitives.image_p, primitives.image_aval, on_images, native[1], native[1])
    primitives.complete(primitives.kernel_p, primitives.kernel_aval, on_models, native[2], native[2])


def main(options: Options) -> None:
    start = time.monotonic()
    with exit_on_bad_input():
        if options.rounds < 1 or options.native_steps < 2:
            raise ValueError(f"--rounds must be at least 1 and --native-steps, of a loop, 2, got {options}")
    say = partial(print, file=sys.stderr, flush=True)
    mlp = models.mlp(jnp.dtype("float32"))
    by_hand = mlp._replace(decode=lambda params, z: ByHand(cast(Bernoulli, mlp.decode(params, z)).logits))
    images, of = models.digits(BATCH * STEPS), partial(rounds_of, mlp, models.digits(BATCH * STEPS), BATCH)
    variants = {
        "the whole step": of(),
        "no binarization": of(prepare=data.scale),
        "SGD for Adam": of(optimizer=optax.sgd(1e-4)),
        "Bernoulli backward by hand": rounds_of(by_hand, images, BATCH),
        "matrix products alone": make_floor(models.mlp_products(BATCH), STEPS),
    }
    turns = take_turns({name: timed(run) for name, run in variants.items()}, options.rounds, say)
    of_mlp, ms = f"784-400-20-400-784, batch {BATCH}", {name: 1e3 * t.seconds / STEPS for name, t in turns.items()}
    claims = [Claim(f"{of_mlp}: {name}", "ms a step", [value]) for name, value in ms.items()]
    claims += conv_claims(options.native_steps, say)
    record = Record(
        title=f"The parts of a training step, {device_name()}",
        protocol=f"variants in turns in one run, {STEPS} steps as one program, medians of {options.rounds} rounds; "
        f"64 x 64 x 1 network of experiments.benchmark's conv_vae, batch {CONV_BATCH}, in lax.scan: median round of 3, "
        f"XLA's convolutions once, {options.native_steps} steps.",
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
    """The network by matrix products and by XLA's convolutions, from the same parameters on the same batches."""
    images, model = models.sprites(CONV_BATCH * steps), models.conv(jnp.dtype("float32"))
    turns = take_turns({"ours": timed(rounds_of(model, images, CONV_BATCH))}, 3, say)
    lower_to_native_convolutions()
    slow = take_turns({"XLA's": timed(rounds_of(model, images, CONV_BATCH))}, 1, say)["XLA's"]
    if not np.isclose(*(losses := (turns["ours"].first.loss, slow.first.loss)), rtol=1e-4):
        raise AssertionError(f"the two must be one network: losses {losses}")
    seconds = turns["ours"].seconds / steps, slow.seconds / steps
    return [
        Claim("conv_vae in scan, as matrix products", "ms a step", [1e3 * seconds[0]]),
        Claim("conv_vae in scan, XLA's convolutions", "ms a step", [1e3 * seconds[1]]),
        Claim("the first by the second", "", [seconds[0] / seconds[1]], at_most=1 / 25),
    ]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.step_parts"))
