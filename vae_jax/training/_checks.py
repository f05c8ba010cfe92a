"""Checks of data before anything is trained on them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.models._checks import WrongShape, check_examples
from vae_jax.models._model import VAE
from vae_jax.objectives import Objective, at_step
from vae_jax.objectives._prepared import Prepared, preprocessed


def check_finite(name: str, examples: jax.Array | np.ndarray) -> None:
    """Refuses `[N, ...]` examples with a value that is not finite, saying where the first is.

    Raises:
      ValueError: if there is one.
    """
    if not jnp.issubdtype(examples.dtype, jnp.inexact):
        return
    # Where the array lies: data on the device are not copied back for it.
    if bool(np.isfinite(examples).all() if isinstance(examples, np.ndarray) else _all_finite(examples)):
        return
    wrong = ~np.isfinite(np.asarray(examples, np.float32 if examples.dtype.itemsize <= 4 else None))
    count, (example, *position) = int(wrong.sum()), np.argwhere(wrong)[0].tolist()
    values = "1 value that is" if count == 1 else f"{count} values that are"
    place = f", position {tuple(position)}" if position else ""
    raise ValueError(f"{name} holds {values} not finite (first at example {example}{place})")


@jax.jit  # as one program, which makes no array of as many booleans
def _all_finite(examples: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(examples))


def check_first_batch(model: VAE, objective: Objective, key: jax.Array, name: str, batch: jax.Array) -> None:
    """Refuses a batch that is, after the objective's preprocessing, outside the support of the model's likelihood.

    An objective of the user's own may preprocess by itself, where nobody sees it: its batch is not checked.

    Args:
      model, objective: of the fit. Integers that no preprocessing has changed are not checked: the model refuses them.
      key: of the training.
      name: of the argument that holds the batch, for the message.
      batch: the first examples.

    Raises:
      ValueError: if a value is outside, or its examples are neither of the model's shape nor of one that the objective
        takes: it may take a label beside the image.
    """
    innermost = at_step(objective, 0)
    while isinstance(innermost, Prepared):
        innermost = innermost.objective
    if not (getattr(innermost, "__module__", None) or "").startswith("vae_jax.objectives"):
        return
    step_key = jax.random.fold_in(key, 0)
    seen = jax.jit(lambda key, batch: preprocessed(at_step(objective, 0), key, batch)[2])(step_key, batch)
    if not jnp.issubdtype(seen.dtype, jnp.floating):
        return
    try:
        check_examples(model, seen, name)
    except WrongShape as error:
        try:
            jax.eval_shape(lambda key, batch: at_step(objective, 0)(model, model.init(key), key, batch), key, batch)
        except Exception:  # whatever it makes of a shape that does not suit it
            raise error from None
