import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from vae_jax.runs import Settings
from vae_jax.runs.choices import OPTIMIZERS, SCHEDULES, make_optimizer

PEAK, STEPS = 0.02, 200
WARMUP = 10  # a twentieth


def half_cosine(fraction):
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


# The rate over PEAK as a function of the step.
FORMULAS = {
    "constant": lambda step: 1.0,
    "linear": lambda step: 1.0 - step / STEPS,
    "cosine": lambda step: half_cosine(step / STEPS),
    "warmup_cosine": lambda step: step / WARMUP if step < WARMUP else half_cosine((step - WARMUP) / (STEPS - WARMUP)),
    "exponential": lambda step: 0.01 ** (step / STEPS),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("step", [0, 1, 7, 10, 100, 150, 199, 200])
def test_the_rate_is_the_formula(name, step):
    schedule = SCHEDULES[name].build(PEAK, STEPS)
    np.testing.assert_allclose(schedule(step), PEAK * FORMULAS[name](step), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "first", "middle", "last"),
    [
        ("constant", 1.0, 1.0, 1.0),
        ("linear", 1.0, 0.5, 0.0),
        ("cosine", 1.0, 0.5, 0.0),
        ("warmup_cosine", 0.0, 0.5413, 0.0),
        ("exponential", 1.0, 0.1, 0.01),
    ],
)
def test_first_middle_and_last_rate(name, first, middle, last):
    schedule = SCHEDULES[name].build(1.0, STEPS)
    np.testing.assert_allclose([schedule(0), schedule(STEPS // 2), schedule(STEPS)], [first, middle, last], atol=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("total_steps", [1, 2, 19])
def test_a_run_of_few_steps_has_rates_between_0_and_the_peak_and_learns_something(name, total_steps):
    rates = [float(SCHEDULES[name].build(PEAK, total_steps)(step)) for step in range(total_steps)]
    assert all(0.0 <= rate <= PEAK * (1 + 1e-6) for rate in rates)
    assert max(rates) > 0.9 * PEAK


PARAMS = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]]), "bias": jnp.array([0.3, -0.2])}
GRADIENTS = [jax.tree.map(lambda leaf, i=i: jnp.cos(leaf + i), PARAMS) for i in range(3)]
RATE = 0.1
# The call of optax that a name stands for; a weight decay of 0.3 is given to all that take one.
OF_OPTAX = {
    "adam": optax.adam(0.1),
    "adamw": optax.adamw(0.1, weight_decay=0.3),
    "nadam": optax.nadam(0.1),
    "nadamw": optax.nadamw(0.1, weight_decay=0.3),
    "radam": optax.radam(0.1),
    "adabelief": optax.adabelief(0.1),
    "adamax": optax.adamax(0.1),
    "ademamix": contrib.ademamix(0.1, weight_decay=0.3),
    "lamb": optax.lamb(0.1, weight_decay=0.3),
    "lion": optax.lion(0.1, weight_decay=0.3),
    "muon": contrib.muon(0.1, weight_decay=0.3),
    "prodigy": contrib.prodigy(0.1, weight_decay=0.3),
    "rmsprop": optax.rmsprop(0.1),
    "sgd": optax.sgd(0.1, momentum=0.9),
    "schedule_free": contrib.schedule_free_adamw(0.1, weight_decay=0.3),
}


def trained(optimizer):
    """The parameters and the state after three steps."""
    params, state = PARAMS, optimizer.init(PARAMS)
    for gradient in GRADIENTS:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_every_name_is_the_optimizer_of_optax_with_the_numbers_that_are_given():
    assert set(OF_OPTAX) == set(OPTIMIZERS.names)
    for name, expected in OF_OPTAX.items():
        decay = 0.3 if "weight_decay" in OPTIMIZERS[name].flags else None
        found = make_optimizer(Settings(optimizer=name, weight_decay=decay, learning_rate=RATE), STEPS)
        params, state = trained(found.transformation)
        of_optax, its_state = trained(expected)
        kept = contrib.schedule_free_eval_params(its_state, of_optax) if name == "schedule_free" else of_optax
        both = (params, found.evaluated(state, params)), (of_optax, kept)
        chex.assert_trees_all_close(*both, rtol=1e-6, custom_message=name)


def test_the_norm_of_the_gradient_of_all_parameters_is_clipped_before_the_optimizer():
    plain = make_optimizer(
        Settings(optimizer="sgd", momentum=0.0, clip_norm=0.5, learning_rate=RATE), STEPS
    ).transformation
    updates, _ = plain.update(GRADIENTS[0], plain.init(PARAMS), PARAMS)
    norm = math.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(GRADIENTS[0])))
    assert norm > 0.5
    for found, gradient in zip(jax.tree.leaves(updates), jax.tree.leaves(GRADIENTS[0]), strict=True):
        np.testing.assert_allclose(found, -0.1 * 0.5 / norm * gradient, rtol=1e-6)
    # With clipping, the state of the inner optimizer is one level deeper, and evaluation still finds it.
    free = make_optimizer(Settings(optimizer="schedule_free", clip_norm=1e9, learning_rate=RATE), STEPS)
    alone = make_optimizer(Settings(optimizer="schedule_free", learning_rate=RATE), STEPS)
    kept = [each.evaluated(state, params) for each in (free, alone) for params, state in [trained(each.transformation)]]
    jax.tree.map(np.testing.assert_array_equal, *kept)


def test_an_average_of_the_weights_is_evaluated_and_the_weights_are_trained_on():
    ema = make_optimizer(Settings(optimizer="sgd", momentum=0.0, ema=0.5, learning_rate=RATE), STEPS)
    params, state = trained(ema.transformation)
    weights, iterates = PARAMS["bias"], []
    for gradient in GRADIENTS:
        weights = weights - 0.1 * gradient["bias"]
        iterates.append(weights)
    np.testing.assert_allclose(params["bias"], iterates[-1], rtol=1e-6)
    # Without the bias of a start at 0: (x_1 / 4 + x_2 / 2 + x_3) / (1 / 4 + 1 / 2 + 1).
    expected = (iterates[0] / 4 + iterates[1] / 2 + iterates[2]) / 1.75
    np.testing.assert_allclose(ema.evaluated(state, params)["bias"], expected, rtol=1e-5)
