"""Log-likelihood by annealed importance sampling, and bounds from both sides for data drawn from the model.

Importance sampling needs a posterior close to the true one. Annealing does not: it moves from any q0(z) to p(x, z)
through T intermediate densities, with HMC steps at each, and more temperatures compensate for a poor q0. If the
posterior is far too narrow, very many temperatures are needed, because chains at its scale hardly move: start from the
prior instead. The gap between the two bounds (`bidirectional`) shows this error; the standard error does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from vae_jax.distributions import Distribution
from vae_jax.evaluation._annealing import (
    Chains,
    Path,
    adapted_step_sizes,
    anneal,
    anneal_back,
    first_points,
    path_between,
)
from vae_jax.evaluation._batches import in_batches
from vae_jax.evaluation._examples import checked_contexts, checked_examples, rows_at
from vae_jax.evaluation._hmc import point_at
from vae_jax.evaluation._require import require_at_least_one, require_density
from vae_jax.evaluation._temperatures import checked_temperatures, sigmoid_temperatures
from vae_jax.models._model import VAE, Conditional, Example, Model, bind, given
from vae_jax.params import Params

# (vae, params, x) -> q0(z), the first density of the path
Start = Callable[[VAE, Params, Any], Distribution]

DEFAULT_STEPS = 1000


def from_posterior(model: VAE, params: Params, x: Any) -> Distribution:
    """Start of the path at the posterior, q0 = q(z | x)."""
    return model.encode(params, x)


def from_prior(model: VAE, params: Params, x: Any) -> Distribution:
    """Start of the path at the prior, q0 = p(z), which needs no encoder."""
    del x
    return model.prior(params)


class Annealed(NamedTuple):
    """Estimates for each of N examples from C annealed chains with weights w."""

    log_likelihood: jax.Array  # [N] nats: log mean w; for reverse chains -log mean(1 / w)
    standard_error: jax.Array  # [N] nats, from the spread of the weights; infinite if C = 1
    effective_sample_size: jax.Array  # [N] of the averaged weights, between 1 and C
    acceptance_rate: jax.Array  # [N] of the HMC proposals


class Sandwich(NamedTuple):
    """Bounds of log p(x), each in expectation, for N examples drawn from the model."""

    xs: Any  # [N, ...] the drawn examples; an Example with their contexts for a Conditional
    forward: Annealed
    reverse: Annealed

    @property
    def lower(self) -> jax.Array:
        """Lower bounds `[N]` in nats, from chains from q0 to p(x, z)."""
        return self.forward.log_likelihood

    @property
    def upper(self) -> jax.Array:
        """Upper bounds `[N]` in nats, from chains from the exact z of x back to q0."""
        return self.reverse.log_likelihood

    @property
    def gap(self) -> jax.Array:
        """Gaps upper - lower, `[N]` in nats: in expectation, at least the error of either bound."""
        return self.upper - self.lower


def annealed_importance_sampling(
    model: Model,
    params: Params,
    key: jax.Array,
    xs: Any,
    *,
    start: Start = from_posterior,
    temperatures: ArrayLike | None = None,
    num_chains: int = 16,
    num_leapfrog: int = 5,
    batch_size: int = 50,
    on_batch: Callable[[Annealed], None] | None = None,
) -> Annealed:
    """Estimates log p(x) of every example by log 1/C sum_c w_c, from C chains annealed from q0(z) to p(x, z).

    E w = p(x) for any temperatures and any step sizes that are fixed in advance: the expectation of the estimate is a
    lower bound of log p(x). The step sizes of each example and temperature are fixed by a first pass, whose chains are
    discarded.

    Args:
      model: a VAE, or a `Conditional`; z is a pytree of floating-point arrays.
      params: the model's parameters.
      key: PRNG key, consumed; example i has the key `fold_in(key, i)`.
      xs: `[N, ...]` examples after preprocessing; `Example(xs, contexts)` for a `Conditional`.
      start: q0: `from_posterior`; `from_prior`, which does not use the encoder and needs several times the temperatures
        of a good posterior; or a function (vae, params, x) -> Distribution of your own.
      temperatures: `[T + 1]` from 0 to 1, not decreasing; None: `sigmoid_temperatures(1000)`.
      num_chains: C, at least 1.
      num_leapfrog: gradient evaluations per HMC step, at least 1.
      batch_size: examples per call of the compiled program, with num_chains chains each, at least 1.
      on_batch: called with the estimates of each batch as soon as they are computed.

    Returns:
      `Annealed`, each field `[N]`.

    Raises:
      ValueError: if a size is below 1, temperatures do not run from 0 to 1, or xs does not suit the model.
      TypeError: if q0 has no density, or z has leaves that are not floating-point; if xs have contexts and the model
        takes none, or have none and the model takes them.

    Source: Neal 2001 (arXiv:physics/9803008); for decoders: Wu et al. 2017 (arXiv:1611.04273).
    """
    require_at_least_one(num_chains=num_chains, num_leapfrog=num_leapfrog, batch_size=batch_size)
    schedule = checked_temperatures(sigmoid_temperatures(DEFAULT_STEPS) if temperatures is None else temperatures)
    xs, count = checked_examples(model, xs)
    _require_annealable(model, params, start, rows_at(xs, 0))
    program = lambda indices: _forward(
        model, params, key, indices, rows_at(xs, indices), schedule, start, num_chains, num_leapfrog
    )
    return in_batches(program, count, batch_size, on_batch)


def bidirectional(
    model: Model,
    params: Params,
    key: jax.Array,
    num_examples: int,
    *,
    contexts: Any = None,
    start: Start = from_posterior,
    temperatures: ArrayLike | None = None,
    num_chains: int = 16,
    num_leapfrog: int = 5,
    batch_size: int = 50,
    on_batch: Callable[[Sandwich], None] | None = None,
) -> Sandwich:
    """Bounds log p(x) from both sides (bidirectional Monte Carlo), for x drawn from the model: z ~ p(z), x ~ p(x|z).

    This z is an exact draw of p(z | x). Chains from it back to q0 have E 1/w = 1/p(x): the expectation of
    -log 1/C sum_c 1/w_c is an upper bound. The reverse chains of an example share their z, whose contribution their
    standard error omits; a standard error over examples includes it.

    Args:
      model: a VAE, or a `Conditional`; z is a pytree of floating-point arrays. Use the model whose estimates on real
        data are to be checked: the gap shows the error of these settings on similar data.
      params: the model's parameters.
      key: PRNG key, consumed; example i has the key `fold_in(key, i)`.
      num_examples: N, the number of x to draw, at least 1.
      contexts: contexts of a `Conditional`, with a leading axis `[N]`: one x is drawn for each; None for a VAE.
      start: q0, as in `annealed_importance_sampling`.
      temperatures: `[T + 1]`, as in `annealed_importance_sampling`.
      num_chains: C, in each direction.
      num_leapfrog: gradient evaluations per HMC step.
      batch_size: examples per call of the compiled program.
      on_batch: called with the bounds of each batch as soon as they are computed.

    Returns:
      `Sandwich` with `lower`, `upper` and `gap`, each `[N]` in nats.

    Raises:
      ValueError: as in `annealed_importance_sampling`; if there are not N contexts.
      TypeError: as in `annealed_importance_sampling`.

    Source: Grosse et al. 2015 (arXiv:1511.02543); for decoders: Wu et al. 2017 (arXiv:1611.04273).
    """
    require_at_least_one(num_chains=num_chains, num_leapfrog=num_leapfrog, batch_size=batch_size)
    schedule = checked_temperatures(sigmoid_temperatures(DEFAULT_STEPS) if temperatures is None else temperatures)
    require_at_least_one(num_examples=num_examples)
    contexts = checked_contexts(model, contexts, num_examples)
    _require_annealable(model, params, start, _example_like(model, params, key, rows_at(contexts, 0)))
    program = lambda indices: _both_ways(
        model, params, key, indices, rows_at(contexts, indices), schedule, start, num_chains, num_leapfrog
    )
    return in_batches(program, num_examples, batch_size, on_batch)


@partial(jax.jit, static_argnames=("model", "start", "num_chains", "num_leapfrog"))
def _forward(
    model: Model,
    params: Params,
    key: jax.Array,
    indices: jax.Array,
    xs: Any,
    temperatures: jax.Array,
    start: Start,
    num_chains: int,
    num_leapfrog: int,
) -> Annealed:
    def one(index: jax.Array, example: Any) -> Annealed:
        vae, x = bind(model, example, "xs")
        adapt_key, first_key, chain_key = jax.random.split(jax.random.fold_in(key, index), 3)
        path = _path(vae, params, start, x)
        step_sizes = adapted_step_sizes(adapt_key, path, temperatures, num_leapfrog)
        points = first_points(first_key, path, num_chains)
        return _lower(anneal(chain_key, path, points, temperatures, step_sizes, num_leapfrog))

    # Under vmap, a prior that does not depend on the example is computed once.
    return jax.vmap(one)(indices, xs)


@partial(jax.jit, static_argnames=("model", "start", "num_chains", "num_leapfrog"))
def _both_ways(
    model: Model,
    params: Params,
    key: jax.Array,
    indices: jax.Array,
    contexts: Any,
    temperatures: jax.Array,
    start: Start,
    num_chains: int,
    num_leapfrog: int,
) -> Sandwich:
    def one(index: jax.Array, context: Any) -> Sandwich:
        vae = given(model, context)
        draw_key, adapt_key, first_key, chain_key, back_key = jax.random.split(jax.random.fold_in(key, index), 5)
        z, x = _simulate(vae, params, draw_key)
        path = _path(vae, params, start, x)
        step_sizes = adapted_step_sizes(adapt_key, path, temperatures, num_leapfrog)
        first = first_points(first_key, path, num_chains)
        forward = anneal(chain_key, path, first, temperatures, step_sizes, num_leapfrog)
        exact = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (num_chains, *leaf.shape)), point_at(path.densities, path.flatten(z))
        )
        reverse = anneal_back(back_key, path, exact, temperatures, step_sizes, num_leapfrog)
        return Sandwich(_example(model, x, context), _lower(forward), _upper(reverse))

    return jax.vmap(one)(indices, contexts)


def _simulate(vae: VAE, params: Params, key: jax.Array) -> tuple[Any, Any]:
    """Draws z ~ p(z) and x ~ p(x | z)."""
    z_key, x_key = jax.random.split(key)
    z = vae.prior(params).sample(z_key)
    return z, vae.decode(params, z).sample(x_key)


def _example(model: Model, x: Any, context: Any) -> Any:
    return Example(x, context) if isinstance(model, Conditional) else x


def _example_like(model: Model, params: Params, key: jax.Array, context: Any) -> Any:
    """An example of zeros with the structure, shapes and dtypes of the model's draws."""
    x = jax.eval_shape(lambda: _simulate(given(model, context), params, key)[1])
    return _example(model, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), x), context)


def _path(vae: VAE, params: Params, start: Start, x: Any) -> Path:
    prior = vae.prior(params)
    log_joint = lambda z: vae.decode(params, z).log_prob(x) + prior.log_prob(z)
    return path_between(start(vae, params, x), log_joint)


def _lower(chains: Chains) -> Annealed:
    return _log_mean(chains.log_weights, chains.acceptance_rate)


def _upper(chains: Chains) -> Annealed:
    inverse = _log_mean(-chains.log_weights, chains.acceptance_rate)
    return inverse._replace(log_likelihood=-inverse.log_likelihood)


def _log_mean(log_weights: jax.Array, acceptance_rate: jax.Array) -> Annealed:
    count = log_weights.shape[0]
    total = jax.nn.logsumexp(log_weights)
    shares = jnp.exp(log_weights - total)
    effective = jnp.clip(1.0 / jnp.sum(jnp.square(shares)), 1.0, count)
    # The relative standard error of the mean weight, s / (mean sqrt(C)) with C - 1 in the divisor of s.
    spread = jnp.sum(jnp.square(shares - 1.0 / count)) * count
    error = jnp.sqrt(spread / (count - 1)) if count > 1 else jnp.full((), jnp.inf)
    return Annealed(total - jnp.log(count), error, effective, acceptance_rate)


def _require_annealable(model: Model, params: Params, start: Start, example: Any) -> None:
    def first() -> Distribution:
        vae, x = bind(model, example, "xs")
        return start(vae, params, x)

    require_density("the distribution that start returns", first, "use start=from_prior")
    z = jax.eval_shape(lambda: first().sample(jax.random.key(0)))
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(z) if not jnp.issubdtype(leaf.dtype, jnp.floating)}
    if dtypes:
        found = ", ".join(sorted(dtypes))
        raise TypeError(f"model must have a z of floating-point arrays, because HMC needs gradients; got {found}")
