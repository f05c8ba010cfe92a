"""Objectives by name: the numbers of the settings and the warm-up are in the loss."""

import jax
import numpy as np
import pytest

from fresh import some_params
from vae_jax import mlp_vae
from vae_jax.models import conditional_vae, contexts
from vae_jax.objectives import at_step, warm_up_steps_of
from vae_jax.runs import FactorSettings, Settings
from vae_jax.runs.choices import OBJECTIVES, Facts, build_objective

MODEL = mlp_vae((2, 2, 1), 3, hidden=(4,))
PARAMS = some_params(MODEL)
BATCH = np.random.default_rng(0).integers(0, 2, (6, 2, 2, 1)).astype(np.float32)
FACTS = Facts(latent_dim=3, num_examples=60, num_steps=30, closed_form_kl=True)


def measured(settings, step=0, warm_up_steps=0, facts=FACTS):
    """Loss, distortion and rate at a step of the training."""
    objective = at_step(build_objective(settings, facts, warm_up_steps), step)
    loss, aux = jax.jit(objective, static_argnums=0)(MODEL, PARAMS, jax.random.key(1), BATCH)
    return float(loss), float(aux.metrics["distortion"]), float(aux.metrics["rate"])


@pytest.mark.parametrize(
    ("given", "step", "warm_up_steps", "weight"),
    [
        ({}, 0, 0, 1.0),
        ({}, 0, 8, 0.0),
        ({}, 2, 8, 0.25),
        ({}, 9, 8, 1.0),
        ({"objective": "beta"}, 0, 0, 4.0),
        ({"objective": "beta", "beta": 10.0}, 0, 0, 10.0),
        ({"objective": "beta", "beta": 10.0}, 2, 8, 2.5),
    ],
)
def test_the_rate_has_the_weight_of_beta_and_of_the_warm_up(given, step, warm_up_steps, weight):
    for closed_form in (True, False):
        facts = FACTS._replace(closed_form_kl=closed_form)
        loss, distortion, rate = measured(Settings(**given), step, warm_up_steps, facts)
        assert rate > 0.01
        np.testing.assert_allclose(loss, distortion + weight * rate, rtol=1e-5)


def test_a_capacity_rises_over_a_third_of_the_steps_to_the_nats_of_the_setting():
    settings = Settings(objective="capacity", gamma=3.0, max_capacity=8.0)
    for step, capacity in ((0, 0.0), (5, 4.0), (10, 8.0), (29, 8.0)):
        loss, distortion, rate = measured(settings, step)
        np.testing.assert_allclose(loss, distortion + 3.0 * abs(rate - capacity), rtol=1e-5)


def test_geco_has_the_tolerance_of_the_setting_and_its_last_epoch_is_the_best():
    for given, tolerance in (({}, 90.0), ({"tolerance": 1.5}, 1.5)):
        settings = Settings(objective="geco", **given)
        model = OBJECTIVES.of(settings).model(MODEL, 3)
        params = {**PARAMS, "buffers": model.init(jax.random.key(0))["buffers"]}
        objective = build_objective(settings, FACTS)
        loss, aux = objective(model, params, jax.random.key(1), BATCH)
        expected = aux.metrics["rate"] + aux.metrics["distortion"] - tolerance
        assert warm_up_steps_of(objective) == FACTS.num_steps  # so that the last epoch is the best
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_conditional_model_gets_an_optimal_variance_too():
    family = conditional_vae((2, 2, 1), contexts.labels(2), 3, (4,))
    with_variance = OBJECTIVES["optimal_variance"].model(family, 3)
    params = with_variance.init(jax.random.key(0))
    params["buffers"]["optimal_variance"]["variance"] = np.float32(0.25)
    decoded = with_variance.given(1).decode(params, np.zeros(3, np.float32))
    np.testing.assert_allclose(decoded.standard_deviation, 0.5, rtol=1e-6)


def test_a_traced_weight_of_a_grid_takes_the_place_of_that_of_the_settings():
    settings = FactorSettings(objective="beta")

    def loss(beta):
        return build_objective(settings, FACTS, beta=beta)(MODEL, PARAMS, jax.random.key(1), BATCH)[0]

    one, four = jax.jit(jax.vmap(loss))(np.array([1.0, 4.0], np.float32))
    _, _, rate = measured(Settings())
    np.testing.assert_allclose(four - one, 3 * rate, rtol=1e-4)


def test_the_weight_of_an_objective_is_found_by_its_name():
    weights = {choice.name: choice.weight for choice in OBJECTIVES if choice.weight}
    assert weights == {
        "beta": "beta", "beta_tc": "beta", "ada_gvae": "beta", "capacity": "gamma", "factor": "gamma",
        "dip_i": "lambda_", "dip_ii": "lambda_", "info": "lambda_", "wae": "lambda_",
    }  # fmt: skip
