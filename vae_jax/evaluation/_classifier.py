"""Classification by the classifier q(y | x) of a semi-supervised model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._examples import rows_at
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._model import model_input, num_examples
from vae_jax.params import Params


def classifier_posteriors(
    classify: Callable[[Params, Any], jax.Array], params: Params, xs: Any, *, batch_size: int = 1_000
) -> jax.Array:
    """Log-posterior log q(y | x) of every class by a classifier, `[N, K]`, in nats.

    The most likely class of each example is `jnp.argmax(..., axis=1)`. `class_posteriors` gives p(y | x) of a
    conditional model by Bayes' rule instead, at the cost of importance sampling for each class.

    Args:
      classify: (params of the classifier, x) -> logits `[K]`, as `objectives.semi_supervised_loss` takes it.
      params: parameters of the classifier: `params["classifier"]` of a model with one.
      xs: `[N, ...]` examples after preprocessing, without contexts.
      batch_size: examples per call of the compiled program.

    Raises:
      ValueError: if batch_size is below 1, or there is no example.
      TypeError: if xs are raw uint8 pixels.
    """
    xs = model_input("xs", xs)
    require_at_least_one(batch_size=batch_size, **{"the number of examples": (count := num_examples("xs", xs))})

    @jax.jit
    def program(indices: jax.Array, params: Params, xs: Any) -> jax.Array:
        return jax.vmap(lambda x: jax.nn.log_softmax(classify(params, x)))(rows_at(xs, indices))

    posteriors: jax.Array = in_batches(lambda indices: program(indices, params, xs), count, batch_size)
    return posteriors
