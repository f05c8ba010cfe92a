"""What other parts of the library will hold, written here in its shortest form until they do: one function a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.models.vae import Params
from vae_jax.networks import Network
from vae_jax.networks.strided_convolutions import strided_convolution, transposed_strided_convolution
from vae_jax.training.step import TrainStep

CODE_CHANNELS, WIDTH, RESIDUAL = 64, 128, 32


# Swap for the library's precision option.
def in_precision(network: Network, dtype: Any) -> Network:
    """The network computed in dtype, from float32 parameters and to float32 outputs."""

    def apply(params: Any, x: jax.Array) -> jax.Array:
        cast = jax.tree.map(lambda leaf: leaf.astype(dtype), (params, x))
        return network.apply(*cast).astype(jnp.float32)

    return network if dtype == jnp.float32 else Network(network.init, apply)


# Swap for the library's sharded training.
def on_devices(step: TrainStep, batch_sharding: jax.sharding.Sharding | None) -> TrainStep:
    """The step with its batch sharded; what the state needs of the others, XLA's partitioner adds."""
    if batch_sharding is None:
        return step
    return lambda state, key, batch: step(state, key, jax.lax.with_sharding_constraint(batch, batch_sharding))


# Swap for vae_jax.training.ensembles.
def train_ensemble(epoch: Callable[..., Any]) -> Callable[..., Any]:
    """The epoch of M models, `(states, keys, examples) -> (states, metrics)`, leading axes `[M]`, as one program."""
    return jax.jit(jax.vmap(epoch, in_axes=(0, 0, None)), donate_argnums=0)


# Swap for networks.residual_encoder.
def residual_encoder() -> Network:
    """`[32, 32, 3]` -> `[8, 8, 128]`: 4x4 s2 64, 4x4 s2 128, 3x3 128, two residual layers of 32, 1x1 128."""
    shapes = {"conv_0": (4, 4, 3, 64), "conv_1": (4, 4, 64, WIDTH), "conv_2": (3, 3, WIDTH, WIDTH), **_RESIDUAL_SHAPES}
    shapes["output"] = (1, 1, WIDTH, 2 * CODE_CHANNELS)

    def apply(p: Params, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(_halve(p["conv_0"], x))
        x = jax.nn.relu(_halve(p["conv_1"], x))
        return _same(p["output"], _residual(p, _same(p["conv_2"], x)))

    return Network(lambda key: _init(key, shapes, ()), apply)


# Swap for networks.residual_decoder.
def residual_decoder() -> Network:
    """`[8, 8, 64]` -> `[32, 32, 3]`: the encoder mirrored, 3x3 128 first."""
    shapes = {"conv_0": (3, 3, CODE_CHANNELS, WIDTH), **_RESIDUAL_SHAPES}
    shapes |= {"conv_1": (4, 4, 64, WIDTH), "output": (4, 4, 3, 64)}

    def apply(p: Params, z: jax.Array) -> jax.Array:
        x = jax.nn.relu(_double(p["conv_1"], _residual(p, _same(p["conv_0"], z))))
        return _double(p["output"], x)

    return Network(lambda key: _init(key, shapes, ("conv_1", "output")), apply)


_RESIDUAL_SHAPES = {
    f"{name}_{i}": shape
    for i in range(2)
    for name, shape in (("residual", (3, 3, WIDTH, RESIDUAL)), ("expand", (1, 1, RESIDUAL, WIDTH)))
}


def _init(key: jax.Array, shapes: Mapping[str, tuple[int, ...]], doubling: tuple[str, ...]) -> Params:
    normal = jax.nn.initializers.lecun_normal()
    return {
        name: {"kernel": normal(used, shape), "bias": jnp.zeros(shape[2] if name in doubling else shape[3])}
        for used, (name, shape) in zip(jax.random.split(key, len(shapes)), shapes.items(), strict=True)
    }


def _residual(p: Params, x: jax.Array) -> jax.Array:
    for i in range(2):
        x = x + _same(p[f"expand_{i}"], jax.nn.relu(_same(p[f"residual_{i}"], jax.nn.relu(x))))
    return jax.nn.relu(x)


def _halve(p: Params, x: jax.Array) -> jax.Array:
    return strided_convolution(x, p["kernel"]) + p["bias"][None, None]


def _double(p: Params, x: jax.Array) -> jax.Array:
    return transposed_strided_convolution(x, p["kernel"]) + p["bias"][None, None]


def _same(p: Params, x: jax.Array) -> jax.Array:
    """Stride 1, the grid kept: kernel 3 as the nine shifted copies side by side, kernel 1 as it is."""
    size, height, width = p["kernel"].shape[0], *x.shape[:2]
    margin = size // 2
    padded = jnp.pad(x, ((margin, margin), (margin, margin), (0, 0)))
    shifted = [padded[i : i + height, j : j + width] for i in range(size) for j in range(size)]
    kernel = p["kernel"].reshape(-1, p["kernel"].shape[-1])
    return jnp.concatenate(shifted, axis=-1) @ kernel + p["bias"][None, None]
