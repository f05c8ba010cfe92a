"""The seam between models and network libraries: a network is two pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx

from vae_jax.distributions._checks import wrong_shape


class Network(NamedTuple):
    """A network as two pure functions on one example (no batch axis)."""

    init: Callable[[jax.Array], Any]  # (key) -> params, a plain dict of arrays
    apply: Callable[[Any, jax.Array], jax.Array]  # (params, x) -> outputs


def from_linen(module: linen.Module, input_shape: Sequence[int]) -> Network:
    """A flax Linen module as a `Network`.

    Args:
      module: called with one array; may own parameters only (no batch statistics, no dropout).
      input_shape: the shape of one example, without a batch axis.

    Raises:
      ValueError: at `init`, where the module owns collections other than "params"; by `apply`, for an input of another
        shape than input_shape.
    """

    def init(key: jax.Array) -> Any:
        variables = module.init(key, jnp.zeros(tuple(input_shape)))
        others = sorted(set(variables) - {"params"})
        if others:
            raise ValueError(
                f"module {type(module).__name__} owns the collections {others}; a Network is a pure function of its "
                "parameters, so use layers without state (LayerNorm or GroupNorm for BatchNorm)"
            )
        return variables["params"]

    shape = tuple(input_shape)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        if jnp.shape(x) != shape:
            raise ValueError(wrong_shape("input", shape, jnp.shape(x)))
        outputs = module.apply({"params": params}, x)
        if not isinstance(outputs, jax.Array):
            raise TypeError(
                f"module {type(module).__name__} must return one array, got {type(outputs).__name__}; concatenate what "
                "it returns (gaussian_vae takes the mean and then the log-variance, in one vector)"
            )
        return outputs

    return Network(init, apply)


def from_nnx(make_module: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """A flax NNX module as a `Network`.

    Args:
      make_module: builds the module from its random streams, `lambda rngs: MyModule(rngs=rngs)`; the module is called
        with one array and may own `nnx.Param`s only (no batch statistics, no dropout).

    Raises:
      ValueError: where the module owns variables other than `nnx.Param`.
    """
    # The structure without the arrays; eval_shape allocates nothing.
    graph, state = nnx.split(nnx.eval_shape(lambda: make_module(nnx.Rngs(0))))
    others = sorted({type(v).__name__ for _, v in nnx.to_flat_state(state) if not isinstance(v, nnx.Param)})
    if others:
        raise ValueError(
            f"make_module makes a module that owns {others}; a Network is a pure function of its nnx.Param variables, "
            "so use layers without state (LayerNorm or GroupNorm for BatchNorm, no Dropout)"
        )

    def init(key: jax.Array) -> Any:
        return nnx.to_pure_dict(nnx.state(make_module(nnx.Rngs(key))))

    return Network(init, lambda params, x: nnx.merge(graph, params)(x))
