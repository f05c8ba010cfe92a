"""A VAE whose networks take a context, as a family of VAEs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from vae_jax.models._model import VAE, Conditional
from vae_jax.models.contexts import ContextKind
from vae_jax.params import Params

# Folded into the key of `init` for the contexts' own parameters: `split` folds in 0, 1, ..., and never comes this far.
_CONTEXT_KEY = 2**32 - 1


def conditional(model: VAE, contexts: ContextKind, to: Sequence[str] = ("encoder", "decoder")) -> Conditional:
    """The family of VAEs of a model whose networks take a context: q(z|x,c), p(z|c), p(x|z,c).

    The context's vector is put under `params[name]["context"]` of each network named in `to`, as an array of the
    program: so it reaches the networks wherever the model calls them, in the later layers of a hierarchy too. The
    parameters are those of the model, and those of the contexts (an embedding) under "context".

    A `Network` written by hand that is named in `to` must read `params["context"]` itself, or the context is lost
    without an error: write it with `networks.with_context`, which checks the vector's length too.

    Args:
      model: any builder's, such as `gaussian_vae(mlp_encoder(..., context_size=contexts.size), ...)`.
      contexts: one of `vae_jax.models.contexts`, or your own.
      to: the names in params of the networks that take the context.

    Raises:
      ValueError: by `init` and by the functions of `given(context)`, if params have no network of a name in `to`, if
        one of this library's takes no context or one of another length, or if a network takes one and is not named; if
        params have a "context" of their own; if a label is out of range, or a context has the wrong shape.
      TypeError: if model is a Conditional already; by `given`'s functions, if a context has the wrong dtype.

    Source: Sohn et al. 2015 [sohn2015learning], section 4.
    """
    if isinstance(model, Conditional):
        raise TypeError("model must be a VAE, got a Conditional, which has a context already")
    names = tuple(to)

    def init(key: jax.Array) -> Params:
        params = model.init(key)
        _check_names(params, names)
        if "context" in params:
            raise ValueError(
                'model must not have params under "context", which is for those of the contexts: rename them'
            )
        own = contexts.init(jax.random.fold_in(key, _CONTEXT_KEY))
        return {**params, "context": own} if own else params

    def given(context: Any) -> VAE:
        def with_context_vector(params: Params) -> Params:
            _check_names(params, names)
            vector = contexts.embed(params.get("context", {}), context)
            return {**params, **{name: {**params[name], "context": vector} for name in names}}

        return VAE(
            init=init,
            encode=lambda params, x: model.encode(with_context_vector(params), x),
            prior=lambda params: model.prior(with_context_vector(params)),
            decode=lambda params, z: model.decode(with_context_vector(params), z),
        )

    return Conditional(init, given, contexts.check)


def _check_names(params: Params, names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(params.get(name), dict):
            networks = sorted(key for key, value in params.items() if isinstance(value, dict) and key != "context")
            raise ValueError(f"to must name networks of the model, which are {networks}, got {name!r}")
