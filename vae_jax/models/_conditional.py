"""Conditional models: a family of VAEs from one model whose networks take a context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from vae_jax.models._model import VAE, Conditional
from vae_jax.models.contexts import ContextKind
from vae_jax.params import Params

# Folded into the key of `init` for the parameters of the contexts; `split` folds in 0, 1, ..., and never this number.
_CONTEXT_KEY = 2**32 - 1


def conditional(model: VAE, contexts: ContextKind, to: Sequence[str] = ("encoder", "decoder")) -> Conditional:
    """Makes a conditional model, q(z|x,c), p(z|c), p(x|z,c), from a model whose networks take a context.

    The vector of the context is stored in `params[name]["context"]` of each network named in `to`, as an array of the
    program. It reaches the networks wherever the model calls them, also in the later layers of a hierarchy. The
    parameters are the parameters of the model and, under "context", the parameters of the contexts (an embedding).

    A hand-written `Network` named in `to` must read `params["context"]`, or the context is ignored without an error.
    Make it with `networks.with_context`, which also checks the length of the vector.

    Args:
      model: a VAE, such as `gaussian_vae(mlp_encoder(..., context_size=contexts.size), ...)`.
      contexts: one of `vae_jax.models.contexts`, or your own.
      to: names in params of the networks that take the context.

    Raises:
      ValueError: by `init` and the functions of `given(context)`, if params have no network of a name in `to`, if a
        network of this library in `to` takes no context or a context of another length, if a network that takes a
        context is not in `to`, if the model has parameters under "context", if a label is out of range, or if a context
        has the wrong shape.
      TypeError: if model is a Conditional; by the functions of `given(context)`, if a context has the wrong dtype.

    Source: Sohn et al. 2015 [sohn2015learning], section 4.
    """
    if isinstance(model, Conditional):
        raise TypeError("model must be a VAE, got a Conditional, which already has a context")
    names = tuple(to)

    def init(key: jax.Array) -> Params:
        params = model.init(key)
        _check_names(params, names)
        if "context" in params:
            raise ValueError(
                'model must not have params under "context", which is reserved for the parameters of the contexts: '
                "rename them"
            )
        context_params = contexts.init(jax.random.fold_in(key, _CONTEXT_KEY))
        return {**params, "context": context_params} if context_params else params

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
            raise ValueError(f"to must hold names of networks of the model ({', '.join(networks)}), got {name!r}")
