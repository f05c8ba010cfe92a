"""Known factors as models meet them: settings, objectives with their weights, and programs without constants."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from runs.factors.small import SIZES, SMALL
from vae_jax.evaluation.disentanglement._table import _encode_images
from vae_jax.runs import DISENTANGLE, FactorSettings, prepare
from vae_jax.runs.choices import OBJECTIVES
from vae_jax.runs.config import GRIDS
from vae_jax.runs.factors.problem import (
    grid_of,
    make_model,
    make_objective,
    make_problem,
    members_of,
    resolve,
    without_data,
)
from vae_jax.runs.factors.scoring import _renderer, draw_images
from vae_jax.training import init_train_state, make_train_epoch, make_train_step
from vae_jax.training._examples import batch_at

WEIGHTED = "--objective must be beta, capacity, beta_tc, factor, dip_i, dip_ii, info, wae or ada_gvae for disentangle"
# Weight that is used if none is given, one of the values in the paper of the objective.
DEFAULT_WEIGHTS = {
    "beta": 4.0,
    "beta_tc": 6.0,
    "factor": 30.0,
    "dip_i": 10.0,
    "dip_ii": 10.0,
    "info": 1000.0,
    "wae": 10.0,
    "capacity": 1000.0,
    "ada_gvae": 1.0,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 1009}, "--steps must have a divisor between 10 and 100 (a multiple of 100 has one), got 1009"),
        ({"steps": 20_000_000}, "--steps must give at most 500,000 rows of metrics, got 20000000 with 800,000: give"),
        ({"steps": 400, "score_every": 150}, "--score-every must divide --steps 400, got 150"),
        ({"betas": (1.0, 1.0)}, "--betas must be different numbers, got 1.0 1.0"),
        ({"betas": (-1.0,)}, "--betas must be at least 0 each, got -1.0"),
        ({"lambdas": (1.0,)}, "--lambdas requires --objective dip_i, dip_ii, info or wae, but --objective is beta"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"data": "mnist"}, "data must be a data set with known factors"),
        ({"points": 10}, "--points must be at least 100, got 10"),
        ({"objective": "gamma"}, f"{WEIGHTED}, got gamma"),
        ({"objective": "iwae"}, f"{WEIGHTED}, got iwae"),
        ({"objective": "ada_gvae", "changed_factors": 5}, "--changed-factors must be between 1 and 4, got 5"),
    ],
)
def test_settings_out_of_range_are_refused_and_nothing_is_written(changes, message, tmp_path):
    settings = dataclasses.replace(SMALL, **{"score_every": None, "run_dir": tmp_path / "run"} | changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        prepare(DISENTANGLE, settings)
    assert not (tmp_path / "run").exists()


def test_every_objective_that_has_a_weight_can_be_trained():
    assert set(DEFAULT_WEIGHTS) == {choice.name for choice in OBJECTIVES if choice.weight}


@pytest.mark.slow
@pytest.mark.parametrize("objective", DEFAULT_WEIGHTS)
def test_every_objective_has_a_weight_a_model_and_a_step(objective, few_sprites):
    settings = resolve(dataclasses.replace(SMALL, objective=objective, betas=()), few_sprites)
    weight = DEFAULT_WEIGHTS[objective]
    own = grid_of(settings)
    assert {grid: getattr(settings, grid) for grid in GRIDS.values()} == dict.fromkeys(GRIDS.values(), ()) | {
        own: (weight,)
    }
    assert [member.weight for member in members_of(settings)] == [weight] * SMALL.seeds
    problem = make_problem(settings, few_sprites)
    model, optimizer = make_model(settings, problem), DISENTANGLE.optimizer(settings, 4).transformation
    step = make_train_step(model, make_objective(settings, problem, model, 4, weight), optimizer)

    def moved(key):
        state = init_train_state(model, optimizer, key)
        after, metrics = step(state, key, batch_at(problem.train_examples, key, 0, jnp.arange(4)))
        return jax.tree.map(lambda a, b: abs(a - b).max(), state.params, after.params), metrics

    if objective != "factor":  # traced only: what it computes is tested with the objective
        _, metrics = jax.eval_shape(moved, jax.random.key(0))
        assert "loss" in metrics
        return
    changes, metrics = jax.jit(moved)(jax.random.key(0))
    assert all(np.isfinite(value) for value in metrics.values())
    assert min(map(float, jax.tree.leaves(changes))) > 0
    # Adam's first step is its rate: of the discriminator its own.
    rates = {part: max(map(float, jax.tree.leaves(changes[part]))) for part in changes}
    assert rates == pytest.approx({"encoder": 5e-4, "decoder": 5e-4, "discriminator": 1e-4}, rel=1e-3)


def test_the_table_that_images_are_rendered_from_is_an_argument_of_every_program(few_sprites):
    table = jnp.zeros((384, 16, 16))
    render = lambda table, key, index: table[index][..., None]
    data = dataclasses.replace(few_sprites, table=table, render=render)
    problem = make_problem(SMALL, data)
    model, key = make_model(SMALL, problem), jax.random.key(0)
    optimizer = DISENTANGLE.optimizer(SMALL, 4).transformation
    step = make_train_step(model, make_objective(SMALL, problem, model, 4, 4.0), optimizer)
    epoch = make_train_epoch(step, 4, num_steps=2)
    state = jax.eval_shape(lambda key: init_train_state(model, optimizer, key), key)
    render = _renderer(render, SIZES, (2,) * 5)
    programs = {
        "training": epoch.lower(state, key, problem.train_examples),
        "scoring": _encode_images.lower(model, render, state.params, table, jnp.arange(32)),
        "drawing": draw_images.lower(data, key, 8),
    }
    for name, program in programs.items():
        holding = [line for line in program.as_text().splitlines() if "tensor<384x16x16xf32>" in line]
        assert "func.func public @main(" in holding[0], name
        assert not any("constant" in line for line in holding), name


@pytest.mark.slow
def test_the_loss_of_a_member_has_the_weight_of_that_member():
    settings = FactorSettings(objective="beta", latent_dim=3)
    problem = without_data(settings, (16, 16, 1))
    model = make_model(settings, problem)
    params = jax.jit(model.init)(jax.random.key(0))
    batch = jax.random.uniform(jax.random.key(1), (4, 16, 16, 1))

    @jax.jit
    def loss(weight):
        objective = make_objective(settings, problem, model, 10, weight)
        value, aux = objective(model, params, jax.random.key(2), batch)
        return value, aux.metrics["rate"]

    (low, rate), (high, _) = loss(1.0), loss(8.0)
    assert rate > 1e-3
    np.testing.assert_allclose(high - low, 7 * rate, rtol=1e-3)
