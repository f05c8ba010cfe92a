"""Models of data with missing values: the context of an example is the mask of what is observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Masked
from vae_jax.models._model import VAE, Conditional, path_of

# (x with 0 at missing entries, mask as booleans) -> input of the encoder
Inputs = Callable[[Any, Any], Any]


def values_and_mask(x: Any, observed: Any) -> jax.Array:
    """Default encoder input: x and the mask, concatenated along the last axis: `[..., 2 C]` for x `[..., C]`.

    Source: Mattei & Frellsen 2019 (arXiv:1812.02633) give the encoder x with zeros; Collier et al. 2020
    (arXiv:2006.05301) the mask too.
    """
    return jnp.concatenate([x, observed.astype(x.dtype)], axis=-1)


def observed_entries(x: Any, observed: Any) -> tuple[jax.Array, jax.Array]:
    """Encoder input for `networks.observed_sum_encoder`: all entries of x, a tree or an array, and of its mask.

    Returns:
      The values as float32 `[num_entries]`, in the order of `jax.tree.leaves`, and booleans `[num_entries]`.

    Source: Ma et al. 2019 (arXiv:1809.11142), section 3.2.
    """
    joined = lambda tree, dtype: jnp.concatenate([jnp.ravel(leaf).astype(dtype) for leaf in jax.tree.leaves(tree)])
    return joined(x, jnp.float32), joined(observed, bool)


def with_missing(model: VAE, inputs: Inputs = values_and_mask) -> Conditional:
    """Model of examples with missing values, `Example(x, mask)`: the encoder sees the mask, the likelihood is masked.

      q(z | x_observed, mask),  p(z),  p(x_observed | z) = prod over observed i of p(x_i | z).

    Values that are missing at random are integrated out, so that every bound is one on log p(x_observed). The loss of
    Mattei & Frellsen 2019, which they call MIWAE, is `objectives.negative_iwae(K)` of this model.

    Args:
      model: a VAE whose encoder takes what `inputs` returns, such as an MLP for images `[H, W, 2 C]`, and whose
        likelihood has `log_prob_terms`.
      inputs: (x with 0 at missing entries, mask) -> the encoder's input.

    Returns:
      A `Conditional` whose context is the mask: booleans or numbers with the structure and shapes of x; 0 or False:
      missing. Missing entries of x may hold any value, NaN included.

    Raises:
      TypeError: if model is a Conditional.
      ValueError: by the functions of the result, if the mask does not have the shape of x.

    Source: Mattei & Frellsen 2019 (arXiv:1812.02633), eq. 4 and 5.
    """
    if isinstance(model, Conditional):
        raise TypeError("model must be a VAE, got a Conditional, which already has a context")

    def given(mask: Any) -> VAE:
        observed = jax.tree.map(lambda leaf: jnp.asarray(leaf) != 0, mask)

        def encode(params: Any, x: Any) -> Any:
            _check_mask(x, observed)
            zeros = jax.tree.map(lambda x, seen: jnp.where(seen, x, jnp.zeros((), x.dtype)), x, observed)
            return model.encode(params, inputs(zeros, observed))

        return model._replace(encode=encode, decode=lambda params, z: Masked(model.decode(params, z), observed))

    return Conditional(model.init, given, _check_masks)


def _check_mask(x: Any, mask: Any) -> None:
    given, wanted = jax.tree.map(jnp.shape, mask), jax.tree.map(jnp.shape, x)
    if given != wanted:
        raise ValueError(f"mask must have the shape of x, {wanted}, got {given}")


def _check_masks(name: str, masks: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(masks):
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.result_type(leaf)
        if not (jnp.issubdtype(dtype, jnp.bool_) or jnp.issubdtype(dtype, jnp.number)):
            raise TypeError(f"{name}{path_of(path)} must hold a mask of booleans or numbers, got dtype {dtype}")
