"""`vae-jax doctor`: a check of this machine, with a short training."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path

import jax
import optax

from vae_jax.cli.options import Doctor
from vae_jax.data import binarize, load_images
from vae_jax.models import mlp_vae
from vae_jax.objectives import negative_elbo, with_preprocessing
from vae_jax.runs.machine import device_name, versions
from vae_jax.training import init_train_state, make_train_step

# Package that each optional extra installs.
EXTRAS = {
    "tensorflow": "tensorflow",
    "hub": "huggingface_hub",
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "mlflow": "mlflow",
}
_BATCH = 128


def prepare_doctor(options: Doctor) -> Callable[[], None]:
    return lambda: _report(options.seconds)


def _report(seconds: float) -> None:
    """Prints devices, versions, extras, data folders and the result of a short training.

    Raises:
      SystemExit: with code 1 if the training check fails.
    """
    print(f"device       {device_name()}, JAX backend {jax.default_backend()}")
    for device in jax.devices():
        print(f"             {device}")
    print("versions     " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    extras = [
        f"{extra}{'' if importlib.util.find_spec(module) else ' (not installed)'}" for extra, module in EXTRAS.items()
    ]
    print("extras       " + ", ".join(extras))
    folder = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
    sets = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else None
    print(f"TFDS data    {folder}: " + (", ".join(sets) or "empty" if sets is not None else "no such folder"))
    cache = jax.config.values["jax_compilation_cache_dir"]
    print(f"compiled     programs are cached in {cache}" if cache else "compiled     programs are not cached")
    print(f"training     on batches of {_BATCH} digits, for {seconds:g} s ...", flush=True)
    first, last, steps, rate = train_for(seconds)
    verdict = "works" if last < first else "DOES NOT WORK: the loss did not fall"
    print(f"             loss {first:.1f} -> {last:.1f} nats in {steps} steps, {rate:,.0f} images/s: {verdict}")
    if not last < first:
        raise SystemExit(1)


def train_for(seconds: float) -> tuple[float, float, int, float]:
    """Trains on the digits; returns the losses of the first and the last step, the number of steps, and images/s."""
    digits = load_images("digits").train
    model, optimizer, key = mlp_vae(digits.shape[1:]), optax.adam(1e-3), jax.random.key(0)
    step = jax.jit(make_train_step(model, with_preprocessing(negative_elbo, binarize), optimizer))
    state, first = step(init_train_state(model, optimizer, key), key, digits[:_BATCH])
    jax.block_until_ready(first)  # compiled
    started, count, metrics = time.monotonic(), 0, first
    while count < 2 or time.monotonic() - started < seconds:
        begin = _BATCH * (count % (len(digits) // _BATCH))
        state, metrics = step(state, key, digits[begin : begin + _BATCH])
        jax.block_until_ready(metrics)
        count += 1
    taken = time.monotonic() - started
    return float(first["loss"]), float(metrics["loss"]), count, _BATCH * count / taken
