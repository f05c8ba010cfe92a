"""Encoder of the observed entries of an example: a sum over them, which does not depend on their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.distributions._checks import LARGEST_SIZE, check_counts, check_sizes, wrong_shape
from vae_jax.networks._mlp import Activation
from vae_jax.networks._network import Network


class ObservedSum(nn.Module):
    """f(sum over observed i of h(x_i, e_i)), with an embedding e_i of each place and dense networks h and f."""

    num_entries: int
    num_outputs: int
    embedding_dim: int
    features: int
    hidden: Sequence[int]
    activation: Activation

    @nn.compact
    def __call__(self, values: jax.Array, observed: jax.Array) -> jax.Array:
        embedding = self.param("embedding", nn.initializers.normal(1.0), (self.num_entries, self.embedding_dim))
        # A product with the mask would keep a NaN of a hidden entry.
        values = jnp.where(observed, values, 0.0)[:, None]
        entries = jnp.concatenate([values, values * embedding, embedding], axis=1)
        entries = self.activation(nn.Dense(self.features, name="entry")(entries))
        total = jnp.sum(jnp.where(observed[:, None], entries, 0.0), axis=0)
        for i, width in enumerate(self.hidden):
            total = self.activation(nn.Dense(width, name=f"hidden_{i}")(total))
        return nn.Dense(self.num_outputs, name="output")(total)


def observed_sum_encoder(
    num_entries: int,
    num_outputs: int,
    hidden: Sequence[int] = (128,),
    *,
    embedding_dim: int = 20,
    features: int = 128,
    activation: Activation = nn.relu,
) -> Network:
    """Permutation-invariant encoder of the observed entries: f(sum over observed i of h(x_i, x_i e_i, e_i)).

    Its input is a pair (values `[num_entries]`, observed `[num_entries]` as booleans), as `models.observed_entries`
    makes it of an example and its mask: `models.with_missing(vae, models.observed_entries)`. Hidden entries have no
    influence, and a place is known by its trained embedding e_i alone.

    Args:
      num_entries: number of entries of an example.
      num_outputs: length of the output.
      hidden: widths of the hidden layers of f, after the sum.
      embedding_dim: length of e_i.
      features: length of h, one dense layer with an activation.
      activation: activation of all layers but the last.

    Raises:
      ValueError: if a size is below 1; by `apply`, if values or observed have another shape.

    Source: Ma et al. 2019 (arXiv:1809.11142), section 3.2, a PointNet (Qi et al. 2017, arXiv:1612.00593) of entries.
    """
    sizes = {"num_entries": num_entries, "num_outputs": num_outputs}
    check_counts(LARGEST_SIZE, **sizes, embedding_dim=embedding_dim, features=features)
    check_sizes("hidden", hidden)
    module = ObservedSum(num_entries, num_outputs, embedding_dim, features, tuple(hidden), activation)

    def init(key: jax.Array) -> Any:
        return module.init(key, jnp.zeros(num_entries), jnp.ones(num_entries, bool))["params"]

    def apply(params: Any, inputs: Any) -> jax.Array:
        for name, array in zip(("values", "observed"), inputs, strict=True):
            if jnp.shape(array) != (num_entries,):
                raise ValueError(wrong_shape(name, (num_entries,), jnp.shape(array)))
        outputs: Any = module.apply({"params": params}, *inputs)
        return outputs

    return Network(init, apply)
