"""A VAE whose networks take a context, as a family of VAEs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from vae_jax.models._model import VAE, Conditional
from vae_jax.models.contexts import ContextKind
from vae_jax.params import Params


def conditional(model: VAE, contexts: ContextKind, to: Sequence[str] = ("encoder", "decoder")) -> Conditional:
    """The family of VAEs of a model whose networks take a context: q(z|x,c), p(z|c), p(x|z,c).

    The context's vector is put under `params[name]["context"]` of each network named in `to`, as an array of the
    program: so it reaches the networks wherever the model calls them, in the later layers of a hierarchy too. The
    parameters are those of the model, and those of the contexts (an embedding) under "context".

    Args:
      model: any builder's, such as `gaussian_vae(mlp_encoder(..., context_size=contexts.size), ...)`.
      contexts: one of `vae_jax.models.contexts`, or your own.
      to: the names in params of the networks that take the context.

    Raises:
      ValueError: by `init` and by the functions of `given(context)`, if params have no network of a name in `to`, if
        one of them takes no context or one of another length, or if a network takes one and is not named; if a
        label is out of range, or a context has the wrong shape.
      TypeError: if model is a Conditional already; by `given`'s functions, if a context has the wrong dtype.

    Source: Sohn et al. 2015 [sohn2015learning], section 4.
    """
    if isinstance(model, Conditional):
        raise TypeError("model must be a VAE, got a Conditional, which has a context already")
    names = tuple(to)

    def init(key: jax.Array) -> Params:
        params = model.init(key)
        _check_names(params, names)
        own = contexts.init(jax.random.fold_in(key, 3))
        return {**params, "context": own} if own else params

    def given(context: Any) -> VAE:
        def told(params: Params) -> Params:
            _check_names(params, names)
            vector = contexts.embed(params.get("context", {}), context)
            return {**params, **{name: {**params[name], "context": vector} for name in names}}

        return VAE(
            init=init,
            encode=lambda params, x: model.encode(told(params), x),
            prior=lambda params: model.prior(told(params)),
            decode=lambda params, z: model.decode(told(params), z),
        )

    return Conditional(init, given, contexts.check)


def _check_names(params: Params, names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(params.get(name), dict):
            networks = sorted(key for key, value in params.items() if isinstance(value, dict) and key != "context")
            raise ValueError(f"to must name networks of the model, which are {networks}, got {name!r}")
