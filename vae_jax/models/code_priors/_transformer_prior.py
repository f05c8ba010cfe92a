"""Causal transformer prior over codes, as in VQGAN (Esser et al. 2021, arXiv:2012.09841)."""

from __future__ import annotations

from collections.abc import Sequence

from vae_jax.models.code_priors._autoregressive import autoregressive_prior, uncached
from vae_jax.models.code_priors._code_prior import CodePrior, sizes_per_place
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
    """Causal transformer prior: p(codes | label) = prod_t softmax(logits_t(label, codes[:t]))[codes[t]].

    The likelihood is exact. A sample needs T steps of one position, with the keys and values of the previous positions
    in a cache. The network computes in the type of the parameters: cast them to bfloat16 for mixed precision (logits
    and softmax of the attention, and the densities, remain float32).

    Args:
      num_codes: K, at least 1; or K at each of the T places, if levels have different codebooks.
      length: T, at least 1.
      num_classes: number of labels; 0 for an unconditional prior.
      layers: number of blocks, at least 1.
      width: length of the vector of every position, a multiple of heads.
      heads: number of attention heads, at least 1.
      label_dropout: probability in [0, 1) with which the loss replaces the label by "no label".

    Raises:
      ValueError: if a number is out of its range, or heads does not divide width.

    Source: Vaswani et al. 2017 (arXiv:1706.03762); Esser et al. 2021 (arXiv:2012.09841), eq. 9 and 10, for codes.
    """
    network = causal_transformer(max(sizes_per_place(num_codes, length)), length, num_classes, layers, width, heads)
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
    """`transformer_prior` without a cache: every step of a sample computes all positions.

    It serves to test the cache and to measure its benefit. In float32 it draws the codes of `transformer_prior`; in
    bfloat16 some codes differ by rounding. Arguments and errors are those of `transformer_prior`.
    """
    network = causal_transformer(max(sizes_per_place(num_codes, length)), length, num_classes, layers, width, heads)
    start, step = uncached(network.logits, length)
    return autoregressive_prior(
        network.init, network.logits, start, step, num_codes, length, num_classes, label_dropout
    )
