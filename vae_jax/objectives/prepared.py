"""Raw examples made what a model sees, inside the jitted step."""

from __future__ import annotations

from collections.abc import Callable

import jax

from vae_jax.models.vae import VAE, Params
from vae_jax.objectives.batch import Aux, Objective
from vae_jax.objectives.scheduled import Scheduled


def on_prepared(objective: Objective, prepare: Callable[[jax.Array, jax.Array], jax.Array]) -> Objective:
    """The objective on `prepare(key, batch)`: scaling, binarisation or noise inside the jitted step.

    Of a `Scheduled` objective it is one again, with the same warm-up.

    Args:
      objective: takes the batch as the model sees it.
      prepare: (key, raw batch) -> batch, for example `vae_jax.data.binarize`.
    """
    if isinstance(objective, Scheduled):
        scheduled = objective
        return Scheduled(lambda step: on_prepared(scheduled.at(step), prepare), scheduled.warm_up_steps)

    def prepared(model: VAE, params: Params, key: jax.Array, batch: jax.Array) -> tuple[jax.Array, Aux]:
        prepare_key, objective_key = jax.random.split(key)
        return objective(model, params, objective_key, prepare(prepare_key, batch))

    return prepared
