import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import init
from vae_jax.distributions import OneHotCategorical, gumbel_softmax
from vae_jax.models import categorical_vae, mlp_vae
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import at_step, elbo, gumbel_softmax_loss, linear, negative_elbo, scheduled
from vae_jax.training import init_train_state, make_train_step

IMAGE = (4, 4, 1)
BATCH = (np.random.default_rng(0).random((6, *IMAGE)) < 0.5).astype(np.float32)
MODEL = categorical_vae(mlp_encoder(IMAGE, 6, (8,)), mlp_decoder(6, (*IMAGE, 1), (8,)), 2, 3)
PARAMS = init(MODEL, jax.random.key(0))


def test_the_relaxed_draw_is_that_of_numpy():
    logits = jnp.asarray([[0.3, -1.0, 2.0], [0.0, 0.0, 0.0]])
    draw = gumbel_softmax(jax.random.key(3), logits, 0.4)
    scores = (np.asarray(logits, np.float64) + np.asarray(jax.random.gumbel(jax.random.key(3), (2, 3)))) / 0.4
    expected = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(draw, expected / expected.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_the_largest_of_a_relaxed_draw_is_a_draw_of_the_categories():
    logits = jnp.log(jnp.asarray([0.2, 0.5, 0.3]))
    draws = jax.vmap(lambda key: gumbel_softmax(key, logits, 0.7))(jax.random.split(jax.random.key(0), 20_000))
    shares = np.bincount(np.asarray(draws).argmax(1), minlength=3) / 20_000
    # Five standard errors of at most 0.0036.
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=5 * 0.0036)


def test_the_loss_is_the_relaxed_distortion_and_the_kl_of_the_categories():
    loss, aux = gumbel_softmax_loss(0.7)(MODEL, PARAMS, jax.random.key(1), BATCH)
    posterior = jax.vmap(lambda x: MODEL.encode(PARAMS, x))(BATCH)
    p = np.asarray(posterior.mean, np.float64)
    np.testing.assert_allclose(aux.metrics["rate"], (p * np.log(3 * p)).sum((1, 2)).mean(), rtol=1e-4)
    keys = jax.random.split(jax.random.key(1), 6)
    z = jax.vmap(lambda key, logits: gumbel_softmax(key, logits, 0.7))(keys, posterior.logits)
    distortion = -jax.vmap(lambda z, x: MODEL.decode(PARAMS, z).log_prob(x))(z, BATCH).mean()
    np.testing.assert_allclose(aux.metrics["distortion"], distortion, rtol=1e-5)
    np.testing.assert_allclose(loss, distortion + aux.metrics["rate"], rtol=1e-5)


def test_at_a_low_temperature_it_is_the_elbo_of_one_hot_codes():
    relaxed = jax.vmap(lambda key: gumbel_softmax_loss(1e-3)(MODEL, PARAMS, key, BATCH)[0])
    exact = jax.vmap(lambda key: negative_elbo(MODEL, PARAMS, key, BATCH)[0])
    keys = jax.random.split(jax.random.key(2), 2000)
    values = [np.asarray(jax.jit(f)(keys), np.float64) for f in (relaxed, exact)]
    errors = [v.std() / np.sqrt(v.size) for v in values]
    assert abs(values[0].mean() - values[1].mean()) < 5 * np.hypot(*errors)


def test_the_temperature_follows_a_schedule():
    objective = scheduled(gumbel_softmax_loss, linear(10, 1.0, 0.5))
    for step, temperature in ((0, 1.0), (5, 0.75), (10, 0.5), (99, 0.5)):
        expected = gumbel_softmax_loss(temperature)(MODEL, PARAMS, jax.random.key(1), BATCH)[0]
        found = at_step(objective, step)(MODEL, PARAMS, jax.random.key(1), BATCH)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_training_lowers_the_bound_of_the_one_hot_model():
    optimizer = optax.adam(1e-2)
    step = make_train_step(MODEL, gumbel_softmax_loss(0.5), optimizer)
    state = jax.jit(lambda key: init_train_state(MODEL, optimizer, key))(jax.random.key(0))
    after, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: step(s, jax.random.key(1), BATCH), s, None, 1500))(state)
    bound = lambda params: np.mean(
        [
            jax.vmap(lambda x, k=key: elbo(MODEL, params, k, x))(BATCH).mean()
            for key in jax.random.split(jax.random.key(3), 20)
        ]
    )
    # Six images by nine codes: log 6 nats and little distortion.
    assert bound(state.params) < -10.5
    assert bound(after.params) > -4.0


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"temperature must be at least 0.001, got 0.0"):
        gumbel_softmax_loss(0.0)
    other = mlp_vae(IMAGE, 2, (8,))
    with pytest.raises(TypeError, match="needs a model whose encode returns a OneHotCategorical"):
        gumbel_softmax_loss(1.0)(other, init(other, jax.random.key(0)), jax.random.key(1), BATCH)
    with pytest.raises(ValueError, match="num_categories at least 2, got 2 and 1"):
        categorical_vae(mlp_encoder(IMAGE, 2, (8,)), mlp_decoder(2, (*IMAGE, 1), (8,)), 2, 1)


def test_one_hot_probabilities():
    q = OneHotCategorical(jnp.log(jnp.asarray([[0.2, 0.8], [0.5, 0.5]])))
    np.testing.assert_allclose(q.log_prob(jnp.asarray([[0.0, 1.0], [1.0, 0.0]])), np.log(0.4), rtol=1e-6)
    assert q.log_prob(jnp.asarray([[0.5, 0.5], [1.0, 0.0]])) == -np.inf
    assert q.log_prob(jnp.asarray([[1.0, 1.0], [1.0, 0.0]])) == -np.inf
