"""Classification by Bayes' rule with a conditional model: p(y | x) from log p(x | y) of every candidate y."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._examples import checked_contexts, checked_examples, rows_at
from vae_jax.evaluation._importance_sampling import (
    SAMPLES_PER_BATCH,
    ImportanceSampled,
    default_chunk_size,
    estimates_at,
    require_weights,
)
from vae_jax.evaluation._require import require_at_least_one
from vae_jax.models._model import Conditional, Example, model_input, num_examples
from vae_jax.params import Params

MAX_SUM_ERROR = 1e-5  # largest deviation from 1 of the sum of a log_prior's probabilities


class ClassPosteriors(NamedTuple):
    """Posteriors over C classes for each of N examples, and the diagnostics of the importance weights of each pair."""

    log_posterior: jax.Array  # [N, C] log p(y | x), nats; NaN if x has a density of 0 under every class
    log_likelihood: jax.Array  # [N, C] log p(x | y), nats; in expectation a lower bound
    log_marginal: jax.Array  # [N] log p(x) = log sum_y p(y) p(x | y), nats
    effective_sample_size: jax.Array  # [N, C] between 1 and K
    pareto_k: jax.Array  # [N, C], never NaN

    def of_class(self, index: int) -> ImportanceSampled:
        """Estimates of log p(x | y) for one class, each field `[N]`, for example for `importance_warning`."""
        return ImportanceSampled(
            self.log_likelihood[:, index], self.effective_sample_size[:, index], self.pareto_k[:, index]
        )


def class_posteriors(
    model: Conditional,
    params: Params,
    key: jax.Array,
    xs: Any,
    contexts: Any,
    log_prior: ArrayLike | None,
    num_samples: int,
    *,
    chunk_size: int | None = None,
    batch_size: int | None = None,
    on_batch: Callable[[ClassPosteriors], None] | None = None,
) -> ClassPosteriors:
    """Log-posterior log p(y | x) = log p(y) + log p(x | y) - log sum_y' p(y') p(x | y') of every class and example.

    p(x | y) is estimated by `importance_sampling`. All classes of an example share their random numbers: column c of
    the likelihoods equals `importance_sampling` with this key and context c for all examples, whatever the other
    candidates are.

    Args:
      model: a `Conditional`; its posterior must have a density.
      params: the model's parameters.
      key: PRNG key, consumed.
      xs: `[N, ...]` examples after preprocessing, without contexts.
      contexts: the candidates, with a leading axis `[C]`; for labels, `jnp.arange(C)`.
      log_prior: log p(y) `[C]`, nats; None: all classes are equally likely.
      num_samples: K, the number of samples for each example and class, at least 1.
      chunk_size: number of samples of z computed at once, as in `importance_sampling`.
      batch_size: examples per call of the compiled program, each with all C classes; None: as many as need half a
        million samples of z.
      on_batch: called with the results of each batch as soon as they are computed.

    Returns:
      `ClassPosteriors`. The most likely class of each example is `jnp.argmax(log_posterior, axis=1)`. The importance
      weights of a wrong class may be poor; `importance_warning(results.of_class(c), num_samples)` checks class c.

    Raises:
      ValueError: if a size is below 1, an example or a context does not suit the model, or log_prior is not `[C]` or
        its probabilities do not sum to 1 (to 1e-5).
      TypeError: if the model takes no context, xs have contexts, or the posterior has no density.

    Source: importance sampling as in Burda et al. 2016 (arXiv:1509.00519), section 5.
    """
    if not isinstance(model, Conditional):
        raise TypeError("model must be a Conditional: a model without a context has no classes to choose from")
    if isinstance(xs, Example):
        raise TypeError("xs must be examples without contexts: pass the candidates as the argument contexts")
    xs, num_classes = model_input("xs", xs), num_examples("contexts", contexts)
    require_at_least_one(**{"num_samples": num_samples, "the number of contexts": num_classes})
    contexts = checked_contexts(model, contexts, num_classes)
    log_prior = _checked_log_prior(log_prior, num_classes)
    zeros = jnp.zeros(num_examples("xs", xs), jnp.int32)
    examples, count = checked_examples(model, Example(xs, rows_at(contexts, zeros)))
    if chunk_size is None:
        chunk_size = default_chunk_size(examples, count)
    if batch_size is None:
        batch_size = max(1, SAMPLES_PER_BATCH // (num_samples * num_classes))
    require_at_least_one(chunk_size=chunk_size, batch_size=batch_size)
    require_weights(model, params, examples)

    def program(indices: jax.Array) -> ClassPosteriors:
        indices, pairs = _pairs(indices, xs, contexts)
        return _by_bayes_rule(estimates_at(model, params, key, indices, pairs, num_samples, chunk_size), log_prior)

    return in_batches(program, count, batch_size, on_batch)


@jax.jit
def _pairs(indices: jax.Array, xs: Any, contexts: Any) -> tuple[jax.Array, Example]:
    """All pairs of an example at `indices` and a context, contexts fastest, and the index of each pair's example."""
    num_classes = num_examples("contexts", contexts)
    examples = jnp.repeat(indices, num_classes)
    classes = jnp.tile(jnp.arange(num_classes), indices.shape[0])
    return examples, Example(rows_at(xs, examples), rows_at(contexts, classes))


@jax.jit
def _by_bayes_rule(estimates: ImportanceSampled, log_prior: jax.Array) -> ClassPosteriors:
    by_class = ImportanceSampled(*(field.reshape(-1, log_prior.shape[0]) for field in estimates))
    log_joint = by_class.log_likelihood + log_prior[None]
    log_marginal = jax.nn.logsumexp(log_joint, axis=1)
    log_posterior = log_joint - log_marginal[:, None]
    return ClassPosteriors(
        log_posterior, by_class.log_likelihood, log_marginal, by_class.effective_sample_size, by_class.pareto_k
    )


def _checked_log_prior(log_prior: ArrayLike | None, num_classes: int) -> jax.Array:
    if log_prior is None:
        return jnp.full(num_classes, -np.log(num_classes), jnp.float32)
    values = np.asarray(log_prior, np.float64)
    if values.shape != (num_classes,):
        raise ValueError(f"log_prior must have one entry for each of the {num_classes} contexts, got {values.shape}")
    total = np.sum(np.exp(values))
    if not abs(total - 1.0) <= MAX_SUM_ERROR:
        raise ValueError(
            f"log_prior must hold the logarithms of probabilities that sum to 1, got a sum of {total:.6g}; subtract "
            "its logsumexp, or pass None for equally likely classes"
        )
    return jnp.asarray(values, jnp.float32)
