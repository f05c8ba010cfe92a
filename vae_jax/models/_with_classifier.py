"""Conditional models of labels with the parameters of a classifier, q(y | x), for examples few of which have labels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.models._model import Conditional
from vae_jax.networks import Network
from vae_jax.params import Params

CLASSIFIER = "classifier"  # key in params
NO_LABEL = -1  # label of an example that has none

# Folded into the key of `init` for the classifier; `split` folds in 0, 1, ..., and never this number.
_CLASSIFIER_KEY = 2**32 - 4


def with_classifier(conditional: Conditional, network: Network) -> Conditional:
    """Returns the conditional model of labels with the parameters of q(y | x) under "classifier".

    It is the model M2 of Kingma et al.: p(y) p(z) p(x | y, z) with the posterior q(y | x) q(z | x, y), trained by
    `objectives.semi_supervised_loss(network.apply)`.

    Args:
      conditional: a model of `Example(x, label)`, such as `conditional_vae(shape, contexts.labels(10))`; encode, prior
        and decode do not use the classifier.
      network: x -> logits `[K]` of the labels 0 to K - 1; `network.apply(params["classifier"], x)`.

    Returns:
      A `Conditional` whose examples may have the label -1, which means none. Only `semi_supervised_loss` takes such
      examples: given the label -1, the densities of the model are NaN.

    Raises:
      TypeError: if conditional is no `Conditional`.
      ValueError: by `init`, if conditional has parameters under "classifier".

    Source: Kingma et al. 2014 (arXiv:1406.5298), section 3.2.
    """
    if not isinstance(conditional, Conditional):
        raise TypeError("conditional must be a Conditional of labels, such as models.conditional_vae makes, got a VAE")

    def init(key: jax.Array) -> Params:
        params = conditional.init(key)
        if CLASSIFIER in params:
            raise ValueError(f'conditional must not have params under "{CLASSIFIER}", which is reserved: rename them')
        return {**params, CLASSIFIER: network.init(jax.random.fold_in(key, _CLASSIFIER_KEY))}

    return Conditional(
        init,
        lambda label: conditional.given(label)._replace(init=init),
        lambda name, labels: conditional.check(name, _known(labels)),
    )


def _known(labels: Any) -> Any:
    """Labels with 0 in place of -1, if their values are known; anything but an array is returned unchanged."""
    if isinstance(labels, jax.core.Tracer) or not jax.tree_util.all_leaves([labels]):
        return labels
    labels = np.asarray(labels)
    return np.where(labels == NO_LABEL, 0, labels) if jnp.issubdtype(labels.dtype, jnp.integer) else labels
