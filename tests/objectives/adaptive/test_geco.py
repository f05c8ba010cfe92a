import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

from objectives.linear_gaussian import NOISE_VARIANCE, WEIGHTS, elbo_parts, examples, linear_gaussian
from vae_jax import objectives as o
from vae_jax.models import with_multiplier
from vae_jax.params import split_buffers

MODEL = with_multiplier(linear_gaussian())
XS = examples(64)


def optimal(multiplier):
    """Parameters of the encoder with the smallest rate + multiplier * distortion, for the fixed decoder.

    The posterior is that of a noise variance that is smaller by the factor `multiplier`.
    """
    variance = NOISE_VARIANCE / multiplier
    precision = 1 + np.sum(np.float64(WEIGHTS) ** 2, axis=0) / variance
    return {"encoder": WEIGHTS.T / precision[:, None] / variance, "log_variance": -np.log(precision)}


def distortion_and_rate(encoder):
    params = {**linear_gaussian().init(None), **encoder}
    parts = np.array([elbo_parts(params, np.float64(x)) for x in XS]).mean(0)
    return -parts[0], parts[1]


@pytest.mark.slow
def test_training_meets_the_constraint_with_the_multiplier_of_the_closed_form():
    tolerance = 5.0
    log_multiplier = scipy.optimize.brentq(lambda l: distortion_and_rate(optimal(np.exp(l)))[0] - tolerance, -4, 4)
    assert abs(log_multiplier) > 0.3  # another solution than that of the ELBO
    params = MODEL.init(jax.random.key(0))
    # A posterior far from the optimum; the decoder is fixed.
    params |= {"encoder": 0.3 * params["encoder"], "log_variance": jnp.zeros(2)}
    trained, buffers = split_buffers(params)
    optimizer = optax.multi_transform(
        {"train": optax.adam(0.01), "keep": optax.set_to_zero()},
        {name: "train" if name in ("encoder", "log_variance") else "keep" for name in trained},
    )
    objective = o.geco_loss(tolerance, step_size=0.02)

    def step(state, key):
        trained, buffers, opt_state = state
        loss = lambda trained: objective(MODEL, {**trained, "buffers": buffers}, key, XS)
        gradients, aux = jax.grad(loss, has_aux=True)(trained)
        updates, opt_state = optimizer.update(gradients, opt_state)
        return (optax.apply_updates(trained, updates), aux.buffers, opt_state), aux.metrics

    scan = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))
    (trained, buffers, _), metrics = scan(
        (trained, buffers, optimizer.init(trained)), jax.random.split(jax.random.key(1), 4000)
    )
    # Means over the last steps, in which the parameters fluctuate about the solution.
    distortion, rate = (metrics[name][-1000:].mean() for name in ("distortion", "rate"))
    np.testing.assert_allclose(distortion, tolerance, rtol=0.005)
    np.testing.assert_allclose(rate, distortion_and_rate(optimal(np.exp(log_multiplier)))[1], rtol=0.02)
    np.testing.assert_allclose(np.log(metrics["multiplier"][-500:]).mean(), log_multiplier, atol=0.1)
    assert abs(metrics["constraint"][-500:].mean()) < 0.02


def test_loss_and_buffers_follow_the_algorithm():
    params = MODEL.init(jax.random.key(0))
    objective = jax.jit(o.geco_loss(3.0, step_size=0.5, decay=0.5), static_argnums=0)
    constraints, log_multiplier, average = [], 0.0, None
    for i in range(4):
        loss, aux = objective(MODEL, params, jax.random.key(i), XS)
        constraints.append(float(aux.metrics["distortion"]) - 3.0)
        average = np.mean(constraints) if i < 2 else 0.5 * (average + constraints[-1])
        np.testing.assert_allclose(aux.metrics["constraint"], average, rtol=1e-5)
        np.testing.assert_allclose(aux.metrics["multiplier"], np.exp(log_multiplier), rtol=1e-5)
        np.testing.assert_allclose(loss, aux.metrics["rate"] + np.exp(log_multiplier) * average, rtol=1e-5)
        np.testing.assert_allclose(aux.metrics["elbo"], -(aux.metrics["rate"] + aux.metrics["distortion"]), rtol=1e-6)
        log_multiplier += 0.5 * average / 4
        np.testing.assert_allclose(aux.buffers["constraint"]["log_multiplier"], log_multiplier, rtol=1e-5)
        params = {**params, "buffers": aux.buffers}


def test_the_gradient_is_that_of_the_batch_with_the_multiplier_as_weight():
    params = MODEL.init(jax.random.key(0))
    kept = {"log_multiplier": jnp.log(2.5), "average": jnp.float32(7), "updates": jnp.float32(900)}
    trained, _ = split_buffers(params)
    key = jax.random.key(3)

    def of_geco(trained):
        return o.geco_loss(3.0)(MODEL, {**trained, "buffers": {"constraint": kept}}, key, XS)[0]

    beta = jax.jit(jax.grad(lambda p: 2.5 * o.beta_vae_loss(1 / 2.5)(linear_gaussian(), p, key, XS)[0]))(trained)
    geco = jax.jit(jax.grad(of_geco))(trained)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), geco, beta)


def test_the_multiplier_stays_finite_if_the_constraint_cannot_be_met():
    params = MODEL.init(jax.random.key(0))
    for _ in range(3):
        aux = o.geco_loss(-1e6)(MODEL, params, jax.random.key(0), XS)[1]
        params = {**params, "buffers": aux.buffers}
    assert aux.buffers["constraint"]["log_multiplier"] == 7.0


def test_a_model_without_the_buffers_is_refused():
    model = linear_gaussian()
    with pytest.raises(
        ValueError, match=r"objectives.geco_loss needs a model with the buffers that models.with_multip"
    ):
        o.geco_loss(1.0)(model, model.init(jax.random.key(0)), jax.random.key(0), XS)
