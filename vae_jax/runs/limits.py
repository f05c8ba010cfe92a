"""Limits of every number in settings and options, in one table. Nothing here imports JAX."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

_TINY = 1e-30  # smaller numbers above 0 may be 0 in float32


class Limit(NamedTuple):
    """Closed interval of the values that a number may have."""

    least: float
    most: float = 1e30  # far from where float32 ends


class Above(NamedTuple):
    """Numbers above 0."""

    most: float = 1e30


MOST_STEPS = 2**31 - 1  # step numbers are int32
MOST_ROWS = 500_000  # of metrics.jsonl: the history in a checkpoint is read up to a maximum size
_SEED = Limit(0, 2**32 - 1)
_COUNT = Limit(1, 1_000_000)
# Limits by the name of the field that holds the number, or a tuple of numbers.
LIMITS: dict[str, Limit | Above] = {
    "latent_dim": _COUNT,
    "hidden": _COUNT,
    "channels": Limit(1, 100_000),
    "size": Limit(1, 65_536),
    "epochs": Limit(1, MOST_ROWS),
    "batch_size": Limit(1, 10_000_000),
    "microbatches": Limit(1, 10_000_000),
    "hide_cells": Limit(0, 1),
    "missing": Limit(0, 1),
    "learning_rate": Above(),
    "patience": Limit(1, MOST_STEPS),
    "validation_size": Limit(1, MOST_STEPS),
    "elbo_samples": Limit(1, 1_000_000),
    "nll_samples": Limit(0, 10_000_000),
    "seed": _SEED,
    "seeds": Limit(1, 10_000),
    "devices": Limit(1, 1_000_000),
    "num_processes": Limit(1, 1_000_000),
    "process_id": Limit(0, 999_999),
    # objectives and priors
    "samples": Limit(1, 1_000_000),
    "bounds": Limit(1, 1_000_000),
    "share": Limit(0, 1),
    "alpha": Limit(-1e30),
    "beta": Limit(0),
    "gamma": Limit(0),
    "lambda_": Limit(0),
    "free_bits": Limit(0),
    "tolerance": Limit(-1e30),
    "kl_warm_up": Limit(0, MOST_ROWS),
    "components": Limit(1, 1_000_000),
    "pseudo_inputs": Limit(1, 1_000_000),
    # semi_supervised
    "labels_per_class": _COUNT,
    "labels_seed": _SEED,
    "labels_per_batch": _COUNT,
    "classifier_hidden": _COUNT,
    # optimizers
    "weight_decay": Limit(0),
    "momentum": Limit(0, 1),
    "clip_norm": Above(),
    "ema": Limit(0, 0.9999999),
    # vq_vae
    "num_codes": Limit(1, 1_048_576),
    "commitment": Limit(0),
    "revival": Limit(0, 1),
    "k_means_images": Limit(0, 10_000_000),
    "residual_hidden": Limit(1, 100_000),
    "residual_layers": Limit(0, 1_000),
    "prior_epochs": Limit(1, 10_000),
    "prior_batch_size": Limit(1, 10_000_000),
    "prior_learning_rate": Above(),
    "prior_layers": Limit(1, 1_000),
    "prior_width": Limit(1, 100_000),
    "prior_heads": Limit(1, 100_000),
    # disentangle
    "betas": Limit(0),
    "gammas": Limit(0),
    "lambdas": Limit(0),
    "steps": Limit(1, MOST_STEPS),
    "score_every": Limit(1, MOST_STEPS),
    "changed_factors": Limit(1, 1_000),
    "max_capacity": Limit(0),
    "points": Limit(100, 10_000_000),
    "dci_points": Limit(100, 10_000_000),
    # evaluate
    "surgery_points": Limit(1, 10_000_000),
    "ais_images": Limit(0, 10_000_000),
    "ais_chains": Limit(1, 10_000),
    "ais_temperatures": Limit(1, 10_000_000),
    # pictures, explore, doctor; the weight chooses a model of a run with a grid of them
    "weight": Limit(0),
    "count": Limit(1, 10_000_000),
    "draws": Limit(0, 1_000),
    "label": Limit(0, 99_999),
    "random_seed": _SEED,
    "span": Above(),
    "port": Limit(0, 65_535),
    "seconds": Above(3_600),
}


def flag_of(setting: str) -> str:
    """Name of a setting on the command line, without the dashes."""
    return setting.rstrip("_").replace("_", "-")


def check_numbers(settings: Any, file: str | None = None) -> None:
    """Checks each number that a dataclass of settings or options holds against its limits.

    Args:
      settings: the dataclass; fields that hold no number, or None, pass.
      file: the file that the settings were read from, for the message; None: they are flags.

    Raises:
      ValueError: a number is not finite or beyond a limit.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        for number in value if isinstance(value, (tuple, list)) else (value,):
            if not isinstance(number, (int, float)) or isinstance(number, bool):
                continue
            if wanted := _wanted(number, LIMITS.get(field.name, Limit(-1e30))):
                name = f"--{flag_of(field.name)}" if file is None else f"{file}: {field.name}"
                each = " each" if isinstance(value, (tuple, list)) else ""
                raise ValueError(f"{name} must be {wanted}{each}, got {_shown(value)}")


def _wanted(number: float, limit: Limit | Above) -> str | None:
    """Text of what the number must be; None if the number is within its limit."""
    least = _TINY if isinstance(limit, Above) else limit.least
    if isinstance(number, float) and not math.isfinite(number):
        return "a finite number"
    if number < least:
        return "a number above 0" if isinstance(limit, Above) else f"at least {least:g}"
    return f"at most {limit.most:,}" if number > limit.most else None


def _shown(value: Any) -> str:
    """Text of a number or of several numbers, as on the command line; hundreds of digits are cut."""
    text = " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
