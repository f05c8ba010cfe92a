"""A causal transformer as the prior over codes, as in VQGAN (Esser et al. 2021, arXiv:2012.09841)."""

from __future__ import annotations

from collections.abc import Sequence

from vae_jax.models.code_priors._autoregressive import autoregressive_prior, recomputed
from vae_jax.models.code_priors._code_prior import CodePrior, sizes_of
from vae_jax.networks._transformer import causal_transformer


def transformer_prior(
    num_codes: int | Sequence[int],
    length: int,
    num_classes: int = 0,
    layers: int = 4,
    width: int = 256,
    heads: int = 4,
    label_dropout: float = 0.1,
) -> CodePrior:
    """p(codes | label) = prod_t softmax(logits_t(label, codes[:t]))[codes[t]], exact; sampled with a cache.

    A sample costs T positions, for each of which attention reads the keys and values of those before from the cache.
    It computes in the type of the parameters: cast them to bfloat16 for mixed precision (attention's logits and
    softmax, and the densities, remain float32).

    Args:
      num_codes: K, at least 1; or one for each of the T places, as levels of other codebooks need.
      length: T, at least 1.
      num_classes: how many labels there are beside "no label"; 0 for an unconditional prior.
      layers: how many blocks, at least 1.
      width: of every position's vector, a multiple of heads.
      heads: of attention, at least 1.
      label_dropout: the probability, in [0, 1), with which the loss leaves the label out.

    Raises:
      ValueError: if a number is out of its range, or heads does not divide width.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), on codes as in Esser et al. 2021 (arXiv:2012.09841), eq. 9 and 10.
    """
    network = causal_transformer(max(sizes_of(num_codes, length)), length, num_classes, layers, width, heads)
    return autoregressive_prior(
        network.init, network.logits, network.start, network.step, num_codes, length, num_classes, label_dropout
    )


def uncached_transformer_prior(
    num_codes: int | Sequence[int],
    length: int,
    num_classes: int = 0,
    layers: int = 4,
    width: int = 256,
    heads: int = 4,
    label_dropout: float = 0.1,
) -> CodePrior:
    """`transformer_prior` whose sampler computes all positions anew for each: the same codes from the same keys in
    float32; in bfloat16 the two round differently, and some codes with them.

    For the test of the cache, and to measure what it saves; arguments and errors as there.
    """
    network = causal_transformer(max(sizes_of(num_codes, length)), length, num_classes, layers, width, heads)
    start, step = recomputed(network.logits, length)
    return autoregressive_prior(
        network.init, network.logits, start, step, num_codes, length, num_classes, label_dropout
    )
