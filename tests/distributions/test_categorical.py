import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from distributions.monte_carlo import assert_kl_is_the_mean_log_ratio
from vae_jax.distributions import Categorical, categorical_log_prob


def float64_kl(logits, other_logits):
    log_p = scipy.special.log_softmax(np.asarray(logits, np.float64), axis=-1)
    log_other = scipy.special.log_softmax(np.asarray(other_logits, np.float64), axis=-1)
    return np.sum(np.exp(log_p) * (log_p - log_other))


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_log_prob_agrees_with_a_numpy_softmax_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (*shape, 5)).astype(np.float32)
    x = rng.integers(0, 5, shape)
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(-1, keepdims=True)
    expected = np.log(np.take_along_axis(probabilities, x[..., None], -1)).sum()
    np.testing.assert_allclose(categorical_log_prob(x, logits), expected, rtol=1e-5)
    np.testing.assert_allclose(Categorical(logits).log_prob(x), expected, rtol=1e-5)


def test_log_prob_at_extreme_logits_is_their_difference():
    logits = np.array([200.0, -200.0, 0.0], np.float32)
    np.testing.assert_allclose([categorical_log_prob(k, logits) for k in range(3)], [0.0, -400.0, -200.0], rtol=1e-6)


@pytest.mark.parametrize("outside", [-1, 3, 100, -100])
def test_a_category_that_does_not_exist_has_probability_0(outside):
    assert categorical_log_prob(np.array([0, outside]), np.zeros((2, 3), np.float32)) == -np.inf


@pytest.mark.slow
def test_kl_agrees_with_monte_carlo_and_float64():
    rng = np.random.default_rng(1)
    q, p = (Categorical(rng.normal(size=(2, 4)).astype(np.float32)) for _ in range(2))
    assert_kl_is_the_mean_log_ratio(q, p)
    np.testing.assert_allclose(q.kl(p), float64_kl(q.logits, p.logits), rtol=1e-5)


def test_kl_is_exact_and_its_gradient_finite_at_extreme_logits():
    logits, others = jnp.asarray([200.0, -200.0, 0.0]), jnp.asarray([-200.0, 200.0, 0.0])
    kl = lambda a, b: Categorical(a).kl(Categorical(b))
    value, grads = jax.value_and_grad(kl, argnums=(0, 1))(logits, others)
    np.testing.assert_allclose(value, 400.0, rtol=1e-6)
    # d KL/dl' = p' - p; d KL/dl_k = p_k (log p_k/p'_k - KL), which vanishes at a one-hot p.
    np.testing.assert_allclose(grads[1], [-1.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(grads[0], np.zeros(3), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_kl_keeps_its_digits_at_collapse_and_is_never_below_0(gap):
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (200, 5)).astype(np.float32)
    others = (logits + gap * rng.choice([-1.0, 1.0], (200, 5))).astype(np.float32)
    others[:, 0], others[:, 1] = logits[:, 0] + np.float32(gap), logits[:, 1] - np.float32(gap)  # no common shift
    kls = jax.vmap(lambda a, b: Categorical(a).kl(Categorical(b)))(logits, others)
    expected = [float64_kl(a, b) for a, b in zip(logits, others, strict=True)]
    np.testing.assert_allclose(kls, expected, rtol=0.05)
    assert np.min(kls) >= 0
    assert Categorical(logits).kl(Categorical(logits)) == 0


def test_bfloat16_logits_give_float32_densities_and_unbiased_draws():
    dist = Categorical(jnp.asarray([0.0, -6.0], jnp.bfloat16))
    assert dist.log_prob(1).dtype == jnp.float32
    p = scipy.special.expit(-6)
    np.testing.assert_allclose(dist.log_prob(1), np.log(p), rtol=1e-6)
    assert dist.kl(dist).dtype == jnp.float32
    # Gumbel noise in bfloat16 has too few levels in its tail. Five standard errors: fails once in 1.7 million seeds.
    keys = jax.random.split(jax.random.key(0), 200_000)
    assert abs(float(jax.vmap(dist.sample)(keys).mean()) - p) < 5 * np.sqrt(p / len(keys))


@pytest.mark.parametrize("value", [0.0, np.zeros(()), jnp.ones(()), True])
def test_values_that_are_not_integers_are_refused(value):
    with pytest.raises(TypeError, match="x must hold integer categories, got dtype"):
        categorical_log_prob(value, np.zeros(3, np.float32))


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (1, 2)])
def test_nothing_broadcasts(shape):
    with pytest.raises(AssertionError, match="shape"):
        categorical_log_prob(np.zeros(shape, np.int32), np.zeros((2, 3), np.float32))
    with pytest.raises(AssertionError, match="shape"):
        Categorical(jnp.zeros((2, 3))).kl(Categorical(jnp.zeros((*shape, 4))))


def test_a_hundred_thousand_categories_keep_their_digits():
    logits = np.random.default_rng(3).normal(0, 3, 100_000).astype(np.float32)
    expected = scipy.special.log_softmax(logits.astype(np.float64))
    dist = Categorical(jnp.asarray(logits))
    x = np.array([0, 99_999, logits.argmax(), logits.argmin()])
    terms = Categorical(jnp.broadcast_to(logits, (4, 100_000))).log_prob_terms(x)
    np.testing.assert_allclose(terms, expected[x], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(dist.probabilities, np.exp(expected), rtol=1e-5)
    assert dist.log_prob(100_000) == -np.inf
    # The mean log-probability of 50 draws is the negative entropy, within five standard errors.
    draws = jax.jit(jax.vmap(dist.sample))(jax.random.split(jax.random.key(0), 50))
    p = np.exp(expected)
    entropy, spread = -(p * expected).sum(), np.sqrt((p * expected**2).sum() - (p * expected).sum() ** 2)
    assert abs(expected[np.asarray(draws)].mean() + entropy) < 5 * spread / np.sqrt(50)
