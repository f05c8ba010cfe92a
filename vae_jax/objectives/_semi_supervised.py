"""Semi-supervised objective of Kingma et al. 2014, which sums over missing labels and trains a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax.distributions._checks import check_number
from vae_jax.models._model import Conditional, bind
from vae_jax.models._with_classifier import CLASSIFIER, NO_LABEL
from vae_jax.objectives._batch import Metrics, Objective, mean_over_batch
from vae_jax.objectives._elbo import ElboTerms, elbo_from_terms, elbo_terms
from vae_jax.params import Params

Classify = Callable[[Params, Any], jax.Array]  # (params of the classifier, x) -> logits [K] of q(y | x)


class LabelWeights(NamedTuple):
    """Weights of the examples with and without a label, for batches that hold more labels than the data."""

    labeled: ArrayLike = 1.0
    unlabeled: ArrayLike = 1.0


AS_IN_THE_DATA = LabelWeights()


def label_weights(num_labeled: int, num_unlabeled: int, labeled: int, unlabeled: int) -> LabelWeights:
    """Weights with which a mean over oversampled batches is, in expectation, the mean over the data.

    Each is the share of its examples in the data divided by their share in a batch, so that
    E[mean over a batch of weight(x) f(x)] = mean over the data of f(x).

    Args:
      num_labeled, num_unlabeled: numbers of examples in the data, at least 1.
      labeled, unlabeled: numbers of examples in each batch, as in `training.grouped`, at least 1.

    Raises:
      ValueError: if a number is below 1.
    """
    counts = {"num_labeled": num_labeled, "num_unlabeled": num_unlabeled}
    for name, number in (counts | {"labeled": labeled, "unlabeled": unlabeled}).items():
        check_number(name, number, 1)
    scale = (labeled + unlabeled) / (num_labeled + num_unlabeled)
    return LabelWeights(num_labeled / labeled * scale, num_unlabeled / unlabeled * scale)


def semi_supervised_from_terms(
    log_joints: ArrayLike, log_posterior: ArrayLike, label: ArrayLike, alpha: ArrayLike
) -> jax.Array:
    """Loss of one example, in nats, from a bound on log p(x, y) for every class y.

      with the label y:  -log_joints[y] - alpha log q(y | x)
      without a label:   -sum_y q(y | x) (log_joints[y] - log q(y | x))

    Args:
      log_joints: `[K]`, the ELBO of x given each y plus log p(y).
      log_posterior: `[K]`, log q(y | x).
      label: y, or -1 for none. Any other number outside 0 to K - 1 gives NaN.
      alpha: weight of the classifier's cross-entropy.

    Source: Kingma et al. 2014 (arXiv:1406.5298), eq. 6, 7 and 9.
    """
    log_joints, log_posterior = jnp.asarray(log_joints), jnp.asarray(log_posterior)
    chex.assert_rank([log_joints, log_posterior], 1)
    chex.assert_equal_shape([log_joints, log_posterior])
    num_classes, label = log_joints.shape[0], jnp.asarray(label)
    index = jnp.clip(label, 0, num_classes - 1)
    with_label = -log_joints[index] - jnp.asarray(alpha) * log_posterior[index]
    # NaN, because a label out of range must not be taken for another label.
    with_label = jnp.where(label < num_classes, with_label, jnp.nan)
    without = -jnp.sum(jnp.exp(log_posterior) * (log_joints - log_posterior))
    return jnp.where(label == NO_LABEL, without, jnp.where(label >= 0, with_label, jnp.nan))


def semi_supervised_loss(
    classify: Classify,
    alpha: ArrayLike,
    weights: LabelWeights = AS_IN_THE_DATA,
    log_prior: ArrayLike | None = None,
) -> Objective:
    """Objective of `Example(x, label)` with label -1 for none: a mean over the batch, in nats per example.

    With L(x, y) = ELBO of x given y + log p(y), a bound on log p(x, y) from one z for each y, all from one draw:

      with the label y:  -L(x, y) - alpha log q(y | x)
      without a label:   U(x) = -sum_y q(y | x) L(x, y) - H(q(y | x)), a bound on -log p(x)

    alpha weighs the cross-entropy of each example that has a label. In the paper alpha multiplies the mean over these
    examples beside a sum over the data. With N examples, N_l of which have a label, the paper's alpha of 0.1 N is
    `alpha = 0.1 * N / N_l` here, and the loss is the paper's objective divided by N, up to the prior of the weights.

    If labels are few, batches should hold more of them than the data (`training.grouped`); the weights
    `label_weights(...)` then keep the expectation, so that alpha and the loss do not depend on the batches.

    Metrics: `elbo` (the bound -U(x), for examples with and without a label), and its parts `distortion` (the mean over
    y and z of -log p(x | y, z)) and `rate` (the mean over y of KL(q(z | x, y) || p(z)), plus KL(q(y | x) || p(y)));
    `labeled`, the share of examples that have a label, and `correct`, the share that have a label which is the most
    likely one of q(y | x): the classifier's accuracy is correct / labeled. They are means over the batch, not weighted.

    Args:
      classify: (params of the classifier, x) -> logits `[K]`; `models.with_classifier(conditional, network)` adds the
        parameters of `network.apply`.
      alpha: weight of the cross-entropy, at least 0.
      weights: weights of the examples with and without a label.
      log_prior: log p(y) `[K]`, nats; None: all labels are equally likely.

    Raises:
      ValueError: if alpha or a weight is below 0; by the objective, if the model has no classifier, the classifier does
        not return a vector, log_prior has another length, a class is none of the model's contexts, or a known label is
        out of range; a traced label that is out of range makes the loss NaN.
      TypeError: by the objective, if the model takes no context, or a label is no integer.
      UndefinedError: by the objective, if KL(q(z | x, y) || p(z)) has no closed form.

    Source: Kingma et al. 2014 (arXiv:1406.5298), eq. 6 to 9.
    """
    check_number("alpha", alpha, 0)
    for name, weight in weights._asdict().items():
        check_number(f"weights.{name}", weight, 0)

    def example(bound: tuple[Conditional, Any], params: Params, key: jax.Array, x: Any) -> tuple[jax.Array, Metrics]:
        model, label = bound
        if CLASSIFIER not in params:
            raise ValueError(
                "model: objectives.semi_supervised_loss needs a model with a classifier among its params; "
                "models.with_classifier(conditional, network) adds it"
            )
        log_posterior = jax.nn.log_softmax(_logits(classify(params[CLASSIFIER], x)))
        classes = np.arange(log_posterior.shape[0], dtype=np.int32)
        model.check("the classes of classify", classes)
        prior = _log_prior(log_prior, len(classes))
        # All classes share one draw: differences between them have less noise, and what a network computes from x
        # alone is computed once.
        terms_of = lambda label: elbo_terms(model.given(label), params, key, x)
        terms: ElboTerms = jax.vmap(terms_of)(jnp.asarray(classes))
        log_joints = elbo_from_terms(*terms) + prior
        loss = semi_supervised_from_terms(log_joints, log_posterior, label, alpha)
        has_label, q = label != NO_LABEL, jnp.exp(log_posterior)
        distortion = -jnp.sum(q * terms.log_likelihood)
        rate = jnp.sum(q * (terms.kl + log_posterior - prior))
        metrics = {
            "elbo": -distortion - rate,
            "rate": rate,
            "distortion": distortion,
            "labeled": has_label.astype(jnp.float32),
            "correct": (jnp.argmax(log_posterior) == label).astype(jnp.float32),
        }
        return jnp.where(has_label, weights.labeled, weights.unlabeled) * loss, metrics

    return mean_over_batch(example, _with_label)


def _with_label(model: Any, example: Any, name: str) -> tuple[tuple[Conditional, jax.Array], Any]:
    """The model and the label of one example, and its x, in place of `bind`, which needs a label that is known."""
    _, x = bind(model, example, name)  # raises unless the model and the example have a context
    label = jnp.asarray(example.context)
    if label.ndim or not jnp.issubdtype(label.dtype, jnp.integer):
        raise TypeError(
            f"{name}.context must hold one integer label for each example, -1 for none, got an array of shape "
            f"{label.shape} and dtype {label.dtype} for each"
        )
    return (model, label.astype(jnp.int32)), x


def _logits(logits: ArrayLike) -> jax.Array:
    logits = jnp.asarray(logits)
    if logits.ndim != 1:
        raise ValueError(f"classify must return a vector of logits, one for each class, got shape {logits.shape}")
    return logits.astype(jnp.float32)


def _log_prior(log_prior: ArrayLike | None, num_classes: int) -> jax.Array:
    if log_prior is None:
        return jnp.full(num_classes, -np.log(num_classes), jnp.float32)
    log_prior = jnp.asarray(log_prior, jnp.float32)
    if log_prior.shape != (num_classes,):
        raise ValueError(f"log_prior must have an entry for each of {num_classes} classes, got shape {log_prior.shape}")
    return log_prior
