"""Measurements that take minutes, with progress bars."""

from __future__ import annotations

from typing import Any

import jax

from vae_jax.evaluation import Start, from_posterior, measure_annealing, measure_nll
from vae_jax.models._model import Model, num_examples
from vae_jax.params import Params
from vae_jax.runs.progress import CountDisplay


def nll_with_progress(
    model: Model, params: Params, key: jax.Array, xs: Any, num_samples: int, example: str = "image"
) -> dict[str, Any]:
    """Calls `measure_nll` with a progress bar; `example` is the word for an example."""
    with CountDisplay("importance sampling", num_examples("xs", xs), example) as display:
        return measure_nll(model, params, key, xs, num_samples, lambda batch: display.add(len(batch.log_likelihood)))


def annealing_with_progress(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    num_chains: int,
    num_temperatures: int,
    nll_key: jax.Array,
    nll_samples: int,
    start: Start = from_posterior,
    example: str = "image",
) -> dict[str, Any]:
    """Calls `measure_annealing` with a progress bar, and estimates the same likelihoods by importance sampling.

    Args:
      model, params, key, xs, num_chains, num_temperatures, start: as for `measure_annealing`.
      nll_key: key of the importance samples; with the key of `nll_with_progress`, of which xs are the first images, the
        draws are the same.
      nll_samples: number of importance samples for each image; 0: no importance sampling.
      example: word for an example.

    Returns:
      The numbers of `measure_annealing`, and with importance sampling "ais_images_nll" in nats and
      "ais_images_nll_samples".
    """
    compared: dict[str, Any] = {}
    if nll_samples:
        nll = measure_nll(model, params, nll_key, xs, nll_samples)["nll"]
        compared = {"ais_images_nll": nll, "ais_images_nll_samples": nll_samples}
    with CountDisplay("annealing", 2 * num_examples("xs", xs), example) as display:
        on_batch = lambda batch: display.add(len(jax.tree.leaves(batch)[0]))
        numbers = measure_annealing(model, params, key, xs, num_chains, num_temperatures, on_batch, start)
    return numbers | compared
