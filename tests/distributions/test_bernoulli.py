import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from distributions.monte_carlo import assert_kl_is_the_mean_log_ratio
from vae_jax.distributions import Bernoulli, bernoulli_log_prob


def float64_kl(logits, other_logits):
    """Sum over both outcomes of p log(p / p') by scipy's kl_div, whose terms are p log(p / p') - p + p'."""
    q, p = np.asarray(logits, np.float64), np.asarray(other_logits, np.float64)
    sides = [(scipy.special.expit(s * q), scipy.special.expit(s * p)) for s in (1, -1)]
    return sum(scipy.special.kl_div(a, b).sum() for a, b in sides)


@pytest.mark.parametrize("shape", [(1,), (5,), (2, 2, 3)])
def test_log_prob_agrees_with_scipy_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, shape).astype(np.float32)
    bits = rng.integers(0, 2, shape)
    expected = scipy.stats.bernoulli.logpmf(bits, scipy.special.expit(logits.astype(np.float64))).sum()
    np.testing.assert_allclose(bernoulli_log_prob(bits, logits), expected, rtol=1e-5)
    np.testing.assert_allclose(Bernoulli(logits).log_prob(bits.astype(np.float32)), expected, rtol=1e-5)


def test_gray_values_give_the_expected_log_probability_of_their_bits():
    x, logits = np.array([0.25, 0.9], np.float32), np.array([1.0, -2.0], np.float32)
    log_p = lambda bit: scipy.stats.bernoulli.logpmf(bit, scipy.special.expit(logits.astype(np.float64)))
    expected = (x * log_p(1) + (1 - x) * log_p(0)).sum()
    np.testing.assert_allclose(bernoulli_log_prob(x, logits), expected, rtol=1e-5)


@pytest.mark.parametrize("logit", [-200.0, -20.0, 20.0, 200.0])
def test_log_prob_and_mean_keep_their_digits_at_large_logits(logit):
    logits = np.full(1, logit, np.float32)
    for bit, sign in ((1.0, 1), (0.0, -1)):
        # log p(bit) = -softplus(-+logit) = -log1p(exp(-+logit)), exact in float64 for both signs.
        expected = -np.logaddexp(0.0, -sign * np.float64(logit))
        # At +200, x * logit - softplus(logit) gives 0 instead of -1e-87, which is below the smallest float32.
        np.testing.assert_allclose(bernoulli_log_prob(np.full(1, bit, np.float32), logits), expected, atol=3e-9)
    np.testing.assert_allclose(Bernoulli(logits).mean, scipy.special.expit([logit]), rtol=1e-6, atol=1e-37)


@pytest.mark.slow
def test_kl_agrees_with_monte_carlo_and_float64():
    q = Bernoulli(np.array([0.3, -1.2, 2.0], np.float32))
    p = Bernoulli(np.array([-0.4, 0.1, 2.5], np.float32))
    assert_kl_is_the_mean_log_ratio(q, p)
    np.testing.assert_allclose(q.kl(p), float64_kl(q.logits, p.logits), rtol=1e-6)


@pytest.mark.parametrize(("logit", "other"), [(200.0, -200.0), (-200.0, 200.0), (200.0, 0.0), (0.0, 200.0)])
def test_kl_is_exact_and_its_gradient_finite_at_extreme_logits(logit, other):
    # The Bregman form, softplus(l') - softplus(l) + p (l - l'), is precise enough if the logits are far apart.
    p = scipy.special.expit(logit)
    expected = np.logaddexp(0, other) - np.logaddexp(0, logit) + p * (logit - other)
    kl = lambda a, b: Bernoulli(a).kl(Bernoulli(b))
    value, grads = jax.value_and_grad(kl, argnums=(0, 1))(jnp.full(1, logit), jnp.full(1, other))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # d KL/dl = p (1 - p) (l - l'), d KL/dl' = p' - p.
    np.testing.assert_allclose(grads[0], [p * scipy.special.expit(-logit) * (logit - other)], rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(grads[1], [scipy.special.expit(other) - p], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [-1e-2, 1e-3, -1e-4, 1e-4])
def test_kl_keeps_its_digits_at_collapse_and_is_never_below_0(gap):
    logits = np.linspace(-6, 6, 49, dtype=np.float32)
    others = (logits + np.float32(gap)).astype(np.float32)
    kls = jax.vmap(lambda a, b: Bernoulli(a).kl(Bernoulli(b)))(logits[:, None], others[:, None])
    # p (1 - p) d^2 / 2 with the cubic term of the Bregman divergence: the full form has an error of 1e-16 / 1e-11.
    p, d = scipy.special.expit(logits.astype(np.float64)), others.astype(np.float64) - logits
    expected = p * (1 - p) * (d**2 / 2 + (1 - 2 * p) * d**3 / 6)
    np.testing.assert_allclose(kls, expected, rtol=0.02)
    assert np.min(kls) >= 0
    assert Bernoulli(logits).kl(Bernoulli(logits)) == 0


def test_bfloat16_logits_give_float32_densities_and_unbiased_draws():
    dist = Bernoulli(jnp.asarray([-6.0], jnp.bfloat16))
    assert dist.log_prob(jnp.ones(1)).dtype == jnp.float32
    np.testing.assert_allclose(dist.log_prob(jnp.ones(1)), -np.logaddexp(0, 6), rtol=1e-6)
    # Noise drawn in bfloat16 has 128 levels and would give 1/128 instead of 0.00247. Five standard errors.
    keys = jax.random.split(jax.random.key(0), 40_000)
    p = scipy.special.expit(-6)
    assert abs(float(jax.vmap(dist.sample)(keys).mean()) - p) < 5 * np.sqrt(p / len(keys))


@pytest.mark.parametrize("other", [(1,), (3, 1), ()])
def test_nothing_broadcasts(other):
    for function in (bernoulli_log_prob, lambda a, b: Bernoulli(a).kl(Bernoulli(b))):
        with pytest.raises(AssertionError, match="shape"):
            function(jnp.zeros(3), jnp.zeros(other))
