"""Transformers over sequences of discrete codes: all positions at once, or one position with a cache.

The blocks are those of GPT-2: layer normalization before the attention and before the perceptron (Xiong et al. 2020,
arXiv:2002.04745), GELU, learned positions. The first token represents the label, and the start of the sequence if there
are no classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.networks._code_network import CodeNetwork, check_at_least, in_full_precision, pure_method, rows_of

MLP_FACTOR = 4  # width of the perceptron's hidden layer, as a multiple of the width
EMBEDDING_INIT = nn.initializers.normal(0.02)

# For each layer, the keys and values `[T, heads, width / heads]` of the positions so far, followed by zeros.
Cache = tuple[tuple[jax.Array, jax.Array], ...]


class CausalTransformer(NamedTuple):
    """p(code_t | codes[:t], label) as pure functions on one example: `logits` for all t, `step` for one t.

    For every t, `step(params, cache, t, codes[t - 1], label)` with the cache of the previous steps gives
    `logits(params, codes, label)[t]`.
    """

    init: Callable[[jax.Array], Any]  # (key) -> params, a plain dict of arrays
    logits: Callable[[Any, jax.Array, jax.Array], jax.Array]  # (params, codes [T], label) -> [T, K]
    start: Callable[[Any], Cache]  # (params) -> the cache before position 0
    # (params, cache, position, previous code, label) -> logits [K], cache; position 0 reads only the label, the other
    # positions only the previous code.
    step: Callable[[Any, Cache, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Cache]]


def attention(queries: jax.Array, keys: jax.Array, values: jax.Array, visible: jax.Array) -> jax.Array:
    """softmax(queries keys^T / sqrt(D)) values for each head, over the visible keys; logits and softmax in float32.

    Args:
      queries: `[Q, heads, D]`.
      keys: `[S, heads, D]`.
      values: `[S, heads, D]`.
      visible: `[Q, S]`, True if a query attends to a key; every row has at least one True.

    Returns:
      `[Q, heads, D]`, in the type of values.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), eq. 1.
    """
    wide = jnp.promote_types(values.dtype, jnp.float32)
    logits = jnp.einsum("qhd,shd->hqs", queries, keys, preferred_element_type=wide) / jnp.sqrt(
        jnp.asarray(queries.shape[-1], wide)
    )
    weights = jax.nn.softmax(jnp.where(visible[None], logits, -jnp.inf), axis=-1)
    mixed = jnp.einsum("hqs,shd->qhd", weights.astype(values.dtype), values, preferred_element_type=wide)
    return mixed.astype(values.dtype)


class Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x)).

    The initial weights of the two layers that add to x are scaled by 1 / sqrt(2 layers), as in GPT-2, so that x does
    not grow with depth.
    """

    width: int
    heads: int
    layers: int

    def setup(self) -> None:
        added = nn.initializers.variance_scaling(1 / (2 * self.layers), "fan_in", "truncated_normal")
        self.attention_norm = nn.LayerNorm()
        self.query_key_value = nn.Dense(3 * self.width)
        self.attention_output = nn.Dense(self.width, kernel_init=added)
        self.mlp_norm = nn.LayerNorm()
        self.mlp_hidden = nn.Dense(MLP_FACTOR * self.width)
        self.mlp_output = nn.Dense(self.width, kernel_init=added)

    def __call__(self, x: jax.Array, visible: jax.Array) -> jax.Array:
        queries, keys, values = self._projections(x)
        return self._add(x, attention(queries, keys, values, visible))

    def step(
        self, x: jax.Array, cache: tuple[jax.Array, jax.Array], position: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Output for a single row x `[1, width]` at the given position, and the updated cache."""
        queries, key, value = self._projections(x)
        keys = jax.lax.dynamic_update_slice_in_dim(cache[0], key, position, axis=0)
        values = jax.lax.dynamic_update_slice_in_dim(cache[1], value, position, axis=0)
        visible = (jnp.arange(keys.shape[0]) <= position)[None]
        return self._add(x, attention(queries, keys, values, visible)), (keys, values)

    def _projections(self, x: jax.Array) -> list[jax.Array]:
        heads = self.query_key_value(self.attention_norm(x)).reshape(len(x), 3, self.heads, self.width // self.heads)
        return [heads[:, i] for i in range(3)]

    def _add(self, x: jax.Array, attended: jax.Array) -> jax.Array:
        x = x + self.attention_output(attended.reshape(len(x), self.width))
        return x + self.mlp_output(nn.gelu(self.mlp_hidden(self.mlp_norm(x))))


class Transformer(nn.Module):
    """Embeddings `token`, `label` and `position`, blocks `blocks_0`, ..., then `norm` and `output`."""

    num_tokens: int  # size of the input vocabulary
    num_codes: int  # K, size of the output vocabulary
    length: int  # length of the sequence in the blocks, with the label
    num_classes: int
    layers: int
    width: int
    heads: int

    def setup(self) -> None:
        self.token = self.param("token", EMBEDDING_INIT, (self.num_tokens, self.width))
        self.label = self.param("label", EMBEDDING_INIT, (self.num_classes + 1, self.width))
        self.position = self.param("position", EMBEDDING_INIT, (self.length, self.width))
        self.blocks = [Block(self.width, self.heads, self.layers) for _ in range(self.layers)]
        self.norm = nn.LayerNorm()
        # Small weights, so that training starts near the uniform distribution.
        self.output = nn.Dense(self.num_codes, kernel_init=EMBEDDING_INIT)

    def causal(self, codes: jax.Array, label: jax.Array) -> jax.Array:
        """Logits `[T, K]`; row t depends on the label and codes[:t]."""
        visible = jnp.tril(jnp.ones((self.length, self.length), bool))
        return self._logits(self._inputs(codes[:-1], label), visible)

    def bidirectional(self, tokens: jax.Array, label: jax.Array) -> jax.Array:
        """Logits `[T, K]`; every row depends on the label and all tokens."""
        visible = jnp.ones((self.length, self.length), bool)
        return self._logits(self._inputs(tokens, label), visible)[1:]

    def step(self, cache: Cache, position: jax.Array, previous: jax.Array, label: jax.Array) -> tuple[jax.Array, Cache]:
        """Row `position` of `causal`, and the updated cache."""
        first = rows_of(self.label, label)
        x = jnp.where(position == 0, first, rows_of(self.token, previous)) + self.position[position]
        x, after = x[None], []
        for block, layer_cache in zip(self.blocks, cache, strict=True):
            x, layer_cache = block.step(x, layer_cache, position)
            after.append(layer_cache)
        return in_full_precision(self.output(self.norm(x)))[0], tuple(after)

    def _inputs(self, tokens: jax.Array, label: jax.Array) -> jax.Array:
        first = rows_of(self.label, label)[None]
        return jnp.concatenate([first, rows_of(self.token, tokens)]) + self.position

    def _logits(self, x: jax.Array, visible: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x, visible)
        return in_full_precision(self.output(self.norm(x)))


def causal_transformer(
    num_codes: int, length: int, num_classes: int = 0, layers: int = 4, width: int = 256, heads: int = 4
) -> CausalTransformer:
    """Causal transformer: codes `[T]` in [0, K) and a label -> logits `[T, K]`.

    Row t of the logits depends on the label and codes[:t] only.

    Args:
      num_codes: K, at least 1.
      length: T, at least 1.
      num_classes: number of labels; the label num_classes means "no label".
      layers: number of blocks, at least 1.
      width: length of the vector of every position, a multiple of heads.
      heads: number of attention heads, at least 1.

    Raises:
      ValueError: if a number is too small, or heads does not divide width.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), the decoder, with normalization before each part as in GPT-2
    (Radford et al. 2019 [radford2019language]).
    """
    _check(num_codes, length, num_classes, layers, width, heads)
    module = Transformer(num_codes, num_codes, length, num_classes, layers, width, heads)

    def init(key: jax.Array) -> Any:
        codes = jnp.zeros(length, jnp.int32)
        return module.init(key, codes, jnp.int32(0), method=Transformer.causal)["params"]

    def start(params: Any) -> Cache:
        empty = jnp.zeros((length, heads, width // heads), params["position"].dtype)
        return ((empty, empty),) * layers

    return CausalTransformer(
        init=init,
        logits=pure_method(module, Transformer.causal),
        start=start,
        step=pure_method(module, Transformer.step),
    )


def bidirectional_transformer(
    num_codes: int, length: int, num_classes: int = 0, layers: int = 4, width: int = 256, heads: int = 4
) -> CodeNetwork:
    """Bidirectional transformer: tokens `[T]` in [0, K], where K is the mask, and a label -> logits `[T, K]`.

    Every row of the logits depends on the label and all tokens. Arguments and errors are those of `causal_transformer`.

    Source: Devlin et al. 2019 (arXiv:1810.04805), with the blocks of `causal_transformer`.
    """
    _check(num_codes, length, num_classes, layers, width, heads)
    module = Transformer(num_codes + 1, num_codes, length + 1, num_classes, layers, width, heads)

    def init(key: jax.Array) -> Any:
        tokens = jnp.zeros(length, jnp.int32)
        return module.init(key, tokens, jnp.int32(0), method=Transformer.bidirectional)["params"]

    return CodeNetwork(
        init=init,
        logits=pure_method(module, Transformer.bidirectional),
    )


def _check(num_codes: int, length: int, num_classes: int, layers: int, width: int, heads: int) -> None:
    check_at_least("num_codes", num_codes, 1)
    check_at_least("length", length, 1)
    check_at_least("num_classes", num_classes, 0)
    check_at_least("layers", layers, 1)
    check_at_least("heads", heads, 1)
    check_at_least("width", width, 1)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads = {heads}, got {width}")
