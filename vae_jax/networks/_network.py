"""Interface between models and network libraries: a network is two pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx

from vae_jax.distributions._checks import LARGEST_SIZE, check_count, wrong_shape


class Network(NamedTuple):
    """A network as two pure functions on one example (no batch axis)."""

    init: Callable[[jax.Array], Any]  # (key) -> params, a plain dict of arrays
    apply: Callable[[Any, jax.Array], jax.Array]  # (params, x) -> outputs
    context_size: int = 0  # C, if apply reads a context [C] from params["context"]; 0 without a context


def with_context(
    init: Callable[[jax.Array], Any], apply: Callable[[Any, Any, jax.Array], Any], context_size: int
) -> Network:
    """Makes a `Network` of a function that takes a context beside its input.

    The context is not a parameter, and `init` does not create it: `models.conditional` puts it under
    `params["context"]`.

    Args:
      init: (key) -> params, a dict without the key "context".
      apply: (params, x, context `[context_size]`) -> outputs.
      context_size: length of the context, at least 1.

    Raises:
      ValueError: if context_size is below 1; by `init`, if params have the key "context"; by `apply`, if
        `params["context"]` is missing or has another shape.
    """
    check_count("context_size", context_size, most=LARGEST_SIZE)

    def checked_init(key: jax.Array) -> Any:
        return _without_context_parameter(init(key))

    def apply_with_context(params: Any, x: Any) -> Any:
        if "context" not in params:
            raise ValueError(
                f"this network takes a context of {context_size} numbers, and params have none: make the model "
                "conditional by models.conditional(model, contexts, to=...), with this network's name in `to`"
            )
        parameters, context = {name: leaf for name, leaf in params.items() if name != "context"}, params["context"]
        if jnp.shape(context) != (context_size,):
            raise ValueError(wrong_shape("context", (context_size,), jnp.shape(context)))
        return apply(parameters, x, context)

    return Network(checked_init, apply_with_context, context_size)


def from_linen(module: linen.Module, input_shape: Sequence[int], context_size: int = 0) -> Network:
    """Makes a `Network` of a flax Linen module.

    Args:
      module: called with one array, and with the context `[context_size]` if context_size is not 0; may own parameters
        only (no batch statistics, no dropout).
      input_shape: shape of one example, without a batch axis.
      context_size: length of the context, as in `with_context`; 0 for a module without a context.

    Raises:
      ValueError: by `init`, if the module owns collections other than "params"; by `apply`, if the shape of the input
        is not input_shape, if the context is missing or has another length, or if there is a context and context_size
        is 0.
    """
    check_count("context_size", context_size, 0, LARGEST_SIZE)
    shape = tuple(input_shape)

    def init(key: jax.Array) -> Any:
        context = (jnp.zeros(context_size),) if context_size else ()
        variables = module.init(key, jnp.zeros(shape), *context)
        others = sorted(set(variables) - {"params"})
        if others:
            raise ValueError(
                f"module {type(module).__name__} owns collections other than params: {', '.join(others)}; a Network is "
                "a pure function of its parameters, so use layers without state (LayerNorm or GroupNorm instead of "
                "BatchNorm)"
            )
        return variables["params"]

    def apply(params: Any, x: jax.Array, *context: jax.Array) -> jax.Array:
        if jnp.shape(x) != shape:
            raise ValueError(wrong_shape("input", shape, jnp.shape(x)))
        outputs = module.apply({"params": params}, x, *context)
        if not isinstance(outputs, jax.Array):
            raise TypeError(
                f"module {type(module).__name__} must return one array, got {type(outputs).__name__}; concatenate its "
                "outputs (gaussian_vae takes one vector, the mean followed by the log-variance)"
            )
        return outputs

    return with_context(init, apply, context_size) if context_size else _without_context(init, apply)


def from_nnx(make_module: Callable[[nnx.Rngs], nnx.Module], context_size: int = 0) -> Network:
    """Makes a `Network` of a flax NNX module.

    Args:
      make_module: builds the module from its random streams, `lambda rngs: MyModule(rngs=rngs)`; the module is called
        with one array, and with the context `[context_size]` if context_size is not 0, and may own `nnx.Param`s only
        (no batch statistics, no dropout).
      context_size: length of the context, as in `with_context`; 0 for a module without a context.

    Raises:
      ValueError: if the module owns variables other than `nnx.Param`; by `apply`, if the context is missing or has
        another length, or if there is a context and context_size is 0.
    """
    check_count("context_size", context_size, 0, LARGEST_SIZE)
    # The structure of the module; eval_shape allocates no arrays.
    graph, state = nnx.split(nnx.eval_shape(lambda: make_module(nnx.Rngs(0))))
    others = sorted({type(v).__name__ for _, v in nnx.to_flat_state(state) if not isinstance(v, nnx.Param)})
    if others:
        raise ValueError(
            f"make_module makes a module with variables other than nnx.Param: {', '.join(others)}; a Network is a pure "
            "function of its parameters, so use layers without state (LayerNorm or GroupNorm instead of BatchNorm, no "
            "Dropout)"
        )

    def init(key: jax.Array) -> Any:
        return nnx.to_pure_dict(nnx.state(make_module(nnx.Rngs(key))))

    def apply(params: Any, x: jax.Array, *context: jax.Array) -> jax.Array:
        return nnx.merge(graph, params)(x, *context)

    return with_context(init, apply, context_size) if context_size else _without_context(init, apply)


def _without_context(init: Callable[[jax.Array], Any], apply: Callable[..., jax.Array]) -> Network:
    """Makes a `Network` without a context, whose `apply` raises ValueError if params hold a context."""

    def apply_without_context(params: Any, x: jax.Array) -> jax.Array:
        if isinstance(params, dict) and "context" in params and not isinstance(params["context"], dict):
            raise ValueError(
                "this network takes no context, and params have one: build it with context_size, or leave its name out "
                "of `to` in models.conditional"
            )
        return apply(params, x)

    return Network(lambda key: _without_context_parameter(init(key)), apply_without_context)


def _without_context_parameter(params: Any) -> Any:
    """Returns params; raises ValueError if one of them has the name "context"."""
    if isinstance(params, dict) and "context" in params and not isinstance(params["context"], dict):
        raise ValueError('a parameter of this network has the name "context", which is reserved; rename it')
    return params
