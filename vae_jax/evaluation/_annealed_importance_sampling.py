"""log p(x) by annealed importance sampling, and between two bounds on data that the model itself drew.

Importance sampling needs a posterior close to the true one. Annealing does not: it moves from any q0(z) to p(x, z)
through T intermediate densities, with HMC steps at each, and more temperatures make up for a poor start. From a
posterior that is far too narrow that takes very many, since chains at its scale hardly move: start from the prior then.
The gap between the two bounds (`bidirectional`) shows it; the estimate's own standard error does not.
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
from vae_jax.evaluation._hmc import point_at
from vae_jax.evaluation._require import require_at_least_one, require_density
from vae_jax.evaluation._temperatures import checked_temperatures, sigmoid_temperatures
from vae_jax.models._checks import check_examples
from vae_jax.models._model import VAE, model_input
from vae_jax.params import Params

# (model, params, x) -> q0(z), where the path begins
Start = Callable[[VAE, Params, jax.Array], Distribution]

DEFAULT_STEPS = 1000


def from_posterior(model: VAE, params: Params, x: jax.Array) -> Distribution:
    """q0 = q(z | x)."""
    return model.encode(params, x)


def from_prior(model: VAE, params: Params, x: jax.Array) -> Distribution:
    """q0 = p(z), which needs no encoder."""
    del x
    return model.prior(params)


class Annealed(NamedTuple):
    """What C annealed chains with weights w say about each of N examples."""

    log_likelihood: jax.Array  # [N] nats: log mean w; of reverse chains -log mean(1 / w)
    standard_error: jax.Array  # [N] nats, by the spread of the weights; infinite where C = 1
    effective_sample_size: jax.Array  # [N] of the weights that are averaged, between 1 and C
    acceptance_rate: jax.Array  # [N] of the HMC proposals


class Sandwich(NamedTuple):
    """log p(x) of N examples that the model drew, between two bounds each of which holds in expectation."""

    xs: jax.Array  # [N, ...]
    forward: Annealed
    reverse: Annealed

    @property
    def lower(self) -> jax.Array:
        """`[N]` in nats, by chains from q0 to p(x, z)."""
        return self.forward.log_likelihood

    @property
    def upper(self) -> jax.Array:
        """`[N]` in nats, by chains from the exact z of x back to q0."""
        return self.reverse.log_likelihood

    @property
    def gap(self) -> jax.Array:
        """`[N]` upper - lower in nats: in expectation, at least what either of them is wrong by."""
        return self.upper - self.lower


def annealed_importance_sampling(
    model: VAE,
    params: Params,
    key: jax.Array,
    xs: ArrayLike,
    *,
    start: Start = from_posterior,
    temperatures: ArrayLike | None = None,
    num_chains: int = 16,
    num_leapfrog: int = 5,
    batch_size: int = 50,
    on_batch: Callable[[Annealed], None] | None = None,
) -> Annealed:
    """log 1/C sum_c w_c of every example, w the weights of C chains annealed from q0(z) to p(x, z).

    E w = p(x) for any temperatures and any step sizes fixed beforehand; so the estimate is, in expectation, a lower
    bound of log p(x). Step sizes are fixed, an own one for each example and temperature, by a first pass with chains
    that are thrown away.

    Args:
      model: the model; z a pytree of floating-point arrays.
      params: its parameters.
      key: PRNG key, consumed; example i has the key `fold_in(key, i)`.
      xs: `[N, ...]` examples as the model sees them.
      start: q0: `from_posterior`; `from_prior`, which asks nothing of the encoder and takes several times the
        temperatures of a good one; or a function (model, params, x) -> Distribution of your own.
      temperatures: `[T + 1]` from 0 to 1, not decreasing; `sigmoid_temperatures(1000)` where None.
      num_chains: C, at least 1.
      num_leapfrog: gradient evaluations an HMC step, at least 1.
      batch_size: examples a call of the compiled program, with num_chains chains each, at least 1.
      on_batch: called with the estimates of each batch as soon as they are there.

    Returns:
      `Annealed`, each field `[N]`.

    Raises:
      ValueError: where a size is below 1, or temperatures do not run from 0 to 1.
      TypeError: where q0 has no density, or z leaves that are not floating-point.

    Source: Neal 2001 (arXiv:physics/9803008); for decoders: Wu et al. 2017 (arXiv:1611.04273).
    """
    require_at_least_one(num_chains=num_chains, num_leapfrog=num_leapfrog, batch_size=batch_size)
    schedule = checked_temperatures(sigmoid_temperatures(DEFAULT_STEPS) if temperatures is None else temperatures)
    xs = model_input("xs", xs)
    check_examples(model, xs, "xs")
    require_at_least_one(**{"the number of examples in xs": xs.shape[0]})
    _require_annealable(model, params, start, xs[0])
    program = lambda indices: _forward(
        model, params, key, indices, xs[indices], schedule, start, num_chains, num_leapfrog
    )
    return in_batches(program, xs.shape[0], batch_size, on_batch)


def bidirectional(
    model: VAE,
    params: Params,
    key: jax.Array,
    num_examples: int,
    *,
    start: Start = from_posterior,
    temperatures: ArrayLike | None = None,
    num_chains: int = 16,
    num_leapfrog: int = 5,
    batch_size: int = 50,
    on_batch: Callable[[Sandwich], None] | None = None,
) -> Sandwich:
    """Bounds of log p(x) from both sides (bidirectional Monte Carlo), for x that the model draws: z ~ p(z), x ~ p(x|z).

    Such a z is an exact draw of p(z | x). Chains from it back to q0 have E 1/w = 1/p(x): -log 1/C sum_c 1/w_c is in
    expectation an upper bound. The reverse chains of an example share their z, so their standard error leaves out what
    it contributes; a standard error over examples does not.

    Args:
      model: the model; z a pytree of floating-point arrays. It should be the one whose estimates on real data are in
        question: the gap shows how far the same settings go on data much like it.
      params: its parameters.
      key: PRNG key, consumed; example i has the key `fold_in(key, i)`.
      num_examples: N, how many x are drawn, at least 1.
      start: as in `annealed_importance_sampling`, like all that follow.
      temperatures: `[T + 1]`.
      num_chains: C, in each direction.
      num_leapfrog: gradient evaluations an HMC step.
      batch_size: examples a call of the compiled program.
      on_batch: called with the bounds of each batch as soon as they are there.

    Returns:
      `Sandwich` with `lower`, `upper` and `gap`, each `[N]` in nats.

    Raises:
      ValueError, TypeError: as in `annealed_importance_sampling`.

    Source: Grosse et al. 2015 (arXiv:1511.02543); for decoders: Wu et al. 2017 (arXiv:1611.04273).
    """
    require_at_least_one(num_chains=num_chains, num_leapfrog=num_leapfrog, batch_size=batch_size)
    schedule = checked_temperatures(sigmoid_temperatures(DEFAULT_STEPS) if temperatures is None else temperatures)
    require_at_least_one(num_examples=num_examples)
    x = jax.eval_shape(lambda: _simulate(model, params, key)[1])
    _require_annealable(model, params, start, jnp.zeros(x.shape, x.dtype))
    program = lambda indices: _both_ways(model, params, key, indices, schedule, start, num_chains, num_leapfrog)
    return in_batches(program, num_examples, batch_size, on_batch)


@partial(jax.jit, static_argnames=("model", "start", "num_chains", "num_leapfrog"))
def _forward(
    model: VAE,
    params: Params,
    key: jax.Array,
    indices: jax.Array,
    xs: jax.Array,
    temperatures: jax.Array,
    start: Start,
    num_chains: int,
    num_leapfrog: int,
) -> Annealed:
    def example(index: jax.Array, x: jax.Array) -> Annealed:
        adapt_key, first_key, chain_key = jax.random.split(jax.random.fold_in(key, index), 3)
        path = _path(model, params, start, x)
        step_sizes = adapted_step_sizes(adapt_key, path, temperatures, num_leapfrog)
        points = first_points(first_key, path, num_chains)
        return _lower(anneal(chain_key, path, points, temperatures, step_sizes, num_leapfrog))

    return jax.vmap(example)(indices, xs)


@partial(jax.jit, static_argnames=("model", "start", "num_chains", "num_leapfrog"))
def _both_ways(
    model: VAE,
    params: Params,
    key: jax.Array,
    indices: jax.Array,
    temperatures: jax.Array,
    start: Start,
    num_chains: int,
    num_leapfrog: int,
) -> Sandwich:
    def example(index: jax.Array) -> Sandwich:
        draw_key, adapt_key, first_key, chain_key, back_key = jax.random.split(jax.random.fold_in(key, index), 5)
        z, x = _simulate(model, params, draw_key)
        path = _path(model, params, start, x)
        step_sizes = adapted_step_sizes(adapt_key, path, temperatures, num_leapfrog)
        first = first_points(first_key, path, num_chains)
        forward = anneal(chain_key, path, first, temperatures, step_sizes, num_leapfrog)
        exact = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (num_chains, *leaf.shape)), point_at(path.densities, path.flatten(z))
        )
        reverse = anneal_back(back_key, path, exact, temperatures, step_sizes, num_leapfrog)
        return Sandwich(x, _lower(forward), _upper(reverse))

    return jax.vmap(example)(indices)


def _simulate(model: VAE, params: Params, key: jax.Array) -> tuple[Any, jax.Array]:
    """z ~ p(z) and x ~ p(x | z)."""
    z_key, x_key = jax.random.split(key)
    z = model.prior(params).sample(z_key)
    return z, model.decode(params, z).sample(x_key)


def _path(model: VAE, params: Params, start: Start, x: jax.Array) -> Path:
    prior = model.prior(params)
    log_joint = lambda z: model.decode(params, z).log_prob(x) + prior.log_prob(z)
    return path_between(start(model, params, x), log_joint)


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


def _require_annealable(model: VAE, params: Params, start: Start, x: jax.Array) -> None:
    require_density("what start returns", lambda: start(model, params, x), "take start=from_prior")
    z = jax.eval_shape(lambda: start(model, params, x).sample(jax.random.key(0)))
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(z) if not jnp.issubdtype(leaf.dtype, jnp.floating)}
    if dtypes:
        raise TypeError(f"model must have a z of floating-point arrays, for HMC needs gradients; got {sorted(dtypes)}")
