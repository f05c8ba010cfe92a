"""Models of data whose values are not missing at random: the mask is modeled too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Bernoulli, Chain, Distribution, Joint, Masked
from vae_jax.distributions._masked import WithMask
from vae_jax.models._model import VAE, Conditional
from vae_jax.models._with_missing import Inputs, values_and_mask, with_missing
from vae_jax.params import Params


class MissingProcess(NamedTuple):
    """Model p(mask | x) of which entries of a complete x are observed, with parameters of its own."""

    init: Callable[[jax.Array], Any]  # (key) -> params
    distribution: Callable[[Any, Any], Distribution]  # (params, complete x) -> p(mask | x), over numbers 0 and 1


def self_masking(shapes: Any) -> MissingProcess:
    """Each entry is missing by its own value: logit P(observed | x_i) = bias_i + weight_i x_i, initially 0.

    Args:
      shapes: shape of an example, or a tree of arrays with the structure and shapes of an example.

    Source: Ipsen et al. 2021 (arXiv:2006.12871), section 2.3 ("self-masking").
    """
    zeros = jnp.zeros(shapes) if isinstance(shapes, tuple) else jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)

    def distribution(params: Any, x: Any) -> Distribution:
        logits = jax.tree.map(lambda bias, weight, x: Bernoulli(bias + weight * x), params["bias"], params["weight"], x)
        return Joint(logits)

    copies = lambda: jax.tree.map(jnp.array, zeros)
    return MissingProcess(lambda key: {"bias": copies(), "weight": copies()}, distribution)


def with_missing_process(model: VAE, process: MissingProcess, inputs: Inputs = values_and_mask) -> Conditional:
    """Model of examples with values that are not missing at random, `Example(x, mask)`: it models the mask too.

      p(x_observed, mask, z, x_missing) = p(z) p(x_missing | z) p(x_observed | z) p(mask | x),
      q(z, x_missing | x_observed, mask) = q(z | x_observed, mask) p(x_missing | z).

    The latent code is (z, x_missing), so that every sampled bound is one on log p(x_observed, mask). The loss of Ipsen
    et al., not-MIWAE, is `objectives.negative_iwae(K)` of this model. Draws of p(x | z) must be differentiable in its
    parameters, as those of a Normal or a Student-t are. Data alone do not determine p(mask | x): its form, such as
    `self_masking`, is an assumption.

    Args:
      model: a VAE, as for `with_missing`.
      process: p(mask | x); its parameters are under "missing" in params.
      inputs: as for `with_missing`.

    Returns:
      A `Conditional` whose context is the mask. Its code is a pair: z, and a complete x of which the missing entries
      are used.

    Raises:
      TypeError: if model is a Conditional.
      ValueError: by `init`, if the model has parameters under "missing".

    Source: Ipsen et al. 2021 (arXiv:2006.12871), eq. 4 to 6.
    """
    at_random = with_missing(model, inputs)

    def init(key: jax.Array) -> Params:
        params = model.init(key)
        if "missing" in params:
            raise ValueError('model must not have params under "missing", which is reserved for the process: rename it')
        return {**params, "missing": process.init(jax.random.fold_in(key, 1))}

    def missing_values(params: Any, z: Any) -> Distribution:
        of_model, hidden = params
        return Masked(model.decode(of_model, z), hidden)

    def given(mask: Any) -> VAE:
        ordinary = at_random.given(mask)
        hidden = jax.tree.map(lambda leaf: jnp.asarray(leaf) == 0, mask)
        # The factor p(x_missing | z) is one of both chains: it cancels in every importance weight.
        chain = lambda first, params: Chain(first, ((params, hidden),), (missing_values,))

        def decode(params: Any, code: Any) -> Distribution:
            z, drawn = code
            return WithMask(model.decode(params, z), drawn, mask, params["missing"], process.distribution)

        return VAE(
            init,
            lambda params, x: chain(ordinary.encode(params, x), params),
            lambda params: chain(model.prior(params), params),
            decode,
        )

    return Conditional(init, given, at_random.check)
