"""Scheduled objectives, at each training step and when called without a step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.linear_gaussian import draws, elbo_parts, examples, linear_gaussian, standard_error, wrong_params
from vae_jax.objectives import (
    Scheduled,
    at_step,
    beta_vae_loss,
    capacity_loss,
    cyclical,
    elbo_terms,
    linear,
    negative_ciwae,
    negative_elbo,
    negative_iwae,
    sampled_beta_vae_loss,
    sampled_elbo_terms,
    scheduled,
    warm_up_steps_of,
    with_preprocessing,
)

MODEL, PARAMS, XS, KEY = linear_gaussian(), wrong_params(), examples(4), jax.random.key(0)
kl_warm_up = partial(scheduled, beta_vae_loss)


@partial(jax.jit, static_argnums=0)
def _terms(terms_of, key, xs):
    return jax.vmap(lambda k, x: terms_of(MODEL, PARAMS, k, x))(jax.random.split(key, len(xs)), xs)


def terms(terms_of, key=KEY, xs=XS):
    """ELBO terms of each example at the draws that an objective makes: `[N]` each, in numpy float64."""
    return tuple(np.asarray(part, np.float64) for part in _terms(terms_of, key, xs))


def losses(objective, steps):
    """Losses at each step, and last the loss of a call without a step."""

    @jax.jit
    def at_each(steps):
        called = objective(MODEL, PARAMS, KEY, XS)[0]
        return jax.vmap(lambda step: objective.at(step)(MODEL, PARAMS, KEY, XS)[0])(steps), called

    at, called = at_each(jnp.asarray(steps))
    return np.array([*at, called])


def beta_loss(value, log_likelihood, kl):
    return np.mean(-log_likelihood + value * kl)


def loss_of_capacity(value, log_likelihood, kl):
    return np.mean(-log_likelihood + 3 * np.abs(kl - value))


@pytest.mark.parametrize(
    ("objective", "loss_of", "terms_of", "schedule"),
    [
        (kl_warm_up(linear(10)), beta_loss, elbo_terms, linear(10)),
        pytest.param(
            kl_warm_up(cyclical(2, 8, 0.5, 0.25, 4.0)),
            beta_loss,
            elbo_terms,
            cyclical(2, 8, 0.5, 0.25, 4.0),
            marks=pytest.mark.slow,
        ),
        (scheduled(sampled_beta_vae_loss, linear(10)), beta_loss, sampled_elbo_terms, linear(10)),
        (
            scheduled(partial(capacity_loss, 3.0), linear(10, 0.0, 5.0)),
            loss_of_capacity,
            elbo_terms,
            linear(10, 0.0, 5.0),
        ),
    ],
    ids=["kl", "kl-cyclical", "sampled_kl", "capacity"],
)
def test_at_every_step_it_is_the_objective_of_the_schedules_value(objective, loss_of, terms_of, schedule):
    steps = [0, 3, 9, 10, 12, 1000]
    expected = [loss_of(float(schedule.at(step)), *terms(terms_of)) for step in steps]
    # Called without a step, it is the objective after the warm-up, the last.
    np.testing.assert_allclose(losses(objective, steps), [*expected, expected[-1]], rtol=1e-5)
    assert len({round(value, 3) for value in expected[:4]}) >= 3
    assert objective.warm_up_steps == schedule.num_steps


def test_the_kl_warm_up_goes_from_the_distortion_alone_to_the_elbo():
    _, aux = jax.jit(lambda: negative_elbo(MODEL, PARAMS, KEY, XS))()
    distortion, rate = (float(aux.metrics[name]) for name in ("distortion", "rate"))
    expected = [distortion, distortion + rate / 2, distortion + rate, distortion + rate]
    np.testing.assert_allclose(losses(kl_warm_up(linear(100)), [0, 50, 100]), expected, rtol=1e-6)


def test_the_metrics_are_the_true_elbo_at_every_step():
    metrics = jax.jit(jax.vmap(lambda s: kl_warm_up(linear(10)).at(s)(MODEL, PARAMS, KEY, XS)[1].metrics))(
        jnp.asarray([0, 5, 20])
    )
    _, usual = jax.jit(lambda: negative_elbo(MODEL, PARAMS, KEY, XS))()
    for name, value in usual.metrics.items():
        np.testing.assert_allclose(metrics[name], np.full(3, value), rtol=1e-6)


def test_sampled_beta_weighs_the_sampled_rate_whose_mean_is_the_closed_form():
    xs = XS.astype(np.float64)
    values = draws(lambda key: sampled_beta_vae_loss(3.0)(MODEL, PARAMS, key, XS)[0], 10_000)
    parts = np.array([elbo_parts(PARAMS, x) for x in xs])
    expected = np.mean(-parts[:, 0] + 3 * parts[:, 1])
    assert abs(values.mean() - expected) < 5 * standard_error(values)  # fails once in 1.7 million seeds
    with pytest.raises(ValueError, match="beta must be at least 0, got -1"):
        sampled_beta_vae_loss(-1)


def test_any_maker_of_objectives_can_be_scheduled():
    objective = scheduled(lambda b: negative_ciwae(3, b), linear(4, 1.0, 0.0))
    _, aux = jax.jit(lambda: negative_iwae(3)(MODEL, PARAMS, KEY, XS))()
    elbo, iwae = (float(aux.metrics[name]) for name in ("elbo", "iwae"))
    expected = [-elbo, -(elbo + iwae) / 2, -iwae, -iwae]
    np.testing.assert_allclose(losses(objective, [0, 2, 9]), expected, rtol=1e-5)
    assert iwae > elbo + 0.02


def test_a_schedule_that_begins_or_ends_at_a_value_that_is_refused_is_refused_at_once():
    with pytest.raises(ValueError, match=r"beta must be at least 0, got -0\.5"):
        kl_warm_up(linear(10, -0.5, 1.0))
    with pytest.raises(ValueError, match=r"beta must be at least 0, got -1\.0"):
        scheduled(sampled_beta_vae_loss, linear(10, 0.0, -1.0))
    with pytest.raises(ValueError, match=r"nats must be at least 0, got -3\.0"):
        scheduled(partial(capacity_loss, 10.0), linear(10, -3.0, 25.0))
    with pytest.raises(ValueError, match="gamma must be at least 0, got -1"):
        scheduled(partial(capacity_loss, -1), linear(10, 0.0, 25.0))
    # Also where the objective is made inside a traced function.
    with pytest.raises(ValueError, match=r"beta must be at least 0, got -0\.5"):
        jax.jit(lambda: kl_warm_up(linear(10, -0.5, 1.0))(MODEL, PARAMS, KEY, jnp.asarray(XS))[0])()


def test_every_other_objective_is_the_same_at_every_step_and_has_no_warm_up():
    assert at_step(negative_elbo, 3) is negative_elbo
    assert (warm_up_steps_of(negative_elbo), warm_up_steps_of(kl_warm_up(linear(7)))) == (0, 7)
    with pytest.raises(ValueError, match="warm_up_steps must be at least 0, got -1"):
        Scheduled(lambda step: negative_elbo, -1)


def test_prepared_it_is_scheduled_still_and_prepares_at_every_step():
    shift = lambda key, xs: xs.astype(jnp.float32) + jax.random.normal(key, xs.shape)
    objective = with_preprocessing(kl_warm_up(linear(10)), shift)
    assert isinstance(objective, Scheduled) and objective.warm_up_steps == 10
    prepare_key, objective_key = jax.random.split(KEY)
    log_likelihood, kl = terms(elbo_terms, objective_key, shift(prepare_key, XS))
    expected = [np.mean(-log_likelihood + weight * kl) for weight in (0.0, 0.5, 1.0, 1.0, 1.0)]
    np.testing.assert_allclose(losses(objective, [0, 5, 10, 99]), expected, rtol=1e-5)
