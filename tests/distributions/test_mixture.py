import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.test_util import check_grads

from vae_jax.distributions import Categorical, Chain, Mixture, Normal, kl_divergence, mean_of

LOGITS = np.array([0.5, -0.5, 1.0], np.float32)
MEANS = np.array([[0.0, -3.0], [2.0, 1.0], [-4.0, 0.5]], np.float32)
LOG_VARIANCES = np.array([[0.0, -1.0], [-2.0, 0.5], [0.3, -0.4]], np.float32)


def mixture(logits=LOGITS, means=MEANS, log_variances=LOG_VARIANCES):
    return jax.tree.map(jnp.asarray, Mixture(logits, Normal(means, log_variances)))


def float64_log_prob(z, logits=LOGITS, means=MEANS, log_variances=LOG_VARIANCES):
    logits, means, log_variances = (np.asarray(a, np.float64) for a in (logits, means, log_variances))
    log_probs = scipy.stats.norm.logpdf(z, means, np.exp(log_variances / 2)).sum(axis=1)
    return scipy.special.logsumexp(scipy.special.log_softmax(logits) + log_probs)


@pytest.mark.parametrize("z", [(0.0, 0.0), (2.0, 1.0), (-30.0, 30.0), (200.0, 1.0)])
def test_log_prob_agrees_with_scipy(z):
    z = np.array(z, np.float32)
    np.testing.assert_allclose(mixture().log_prob(z), float64_log_prob(z), rtol=1e-5)


@pytest.mark.parametrize("log_variance", [-30.0, 30.0])
def test_log_prob_agrees_with_scipy_at_extreme_weights_and_variances(log_variance):
    # The heaviest component is far away, and the component at z has a weight of exp(-400).
    logits, log_variances = np.array([200.0, -200.0], np.float32), np.full((2, 2), log_variance, np.float32)
    means, z = np.array([[3.0, 0.0], [0.0, 0.0]], np.float32), np.zeros(2, np.float32)
    expected = float64_log_prob(z, logits, means, log_variances)
    np.testing.assert_allclose(mixture(logits, means, log_variances).log_prob(z), expected, rtol=1e-5)


def test_a_mixture_of_one_component_is_that_component():
    single = mixture(LOGITS[:1], MEANS[:1], LOG_VARIANCES[:1])
    component = Normal(MEANS[0], LOG_VARIANCES[0])
    z, log_prob = single.sample_and_log_prob(jax.random.key(0))
    np.testing.assert_allclose(log_prob, component.log_prob(z), rtol=1e-6)
    np.testing.assert_allclose(single.log_prob(z), component.log_prob(z), rtol=1e-6)
    np.testing.assert_allclose(single.mean, MEANS[0], rtol=1e-6)


@pytest.mark.slow
def test_the_gradient_of_the_density_is_right_in_the_value_and_all_parameters():
    z = np.array([-0.5, 0.3], np.float32)
    check_grads(jax.jit(lambda q, z: q.log_prob(z)), (mixture(), z), 2, ["fwd", "rev"], atol=2e-2, rtol=2e-2)


def test_draws_have_the_joint_density():
    """Rosenblatt's transform: u_1 = F(z_1) and u_2 = F(z_2 | z_1) are uniform and independent (in float64).

    For correct draws, each of the two Kolmogorov-Smirnov tests fails once in 10,000 seeds, and each check at five
    standard errors (the correlations, the share of each component) once in 1.7 million.
    """
    count = 20_000
    z = np.asarray(jax.jit(jax.vmap(mixture().sample))(jax.random.split(jax.random.key(1), count)), np.float64)
    weights = scipy.special.softmax(LOGITS.astype(np.float64))
    cdf, pdf = (
        np.stack([f(z[:, :, None][:, d], MEANS[:, d], np.exp(LOG_VARIANCES[:, d] / 2)) for d in (0, 1)])
        for f in (scipy.stats.norm.cdf, scipy.stats.norm.pdf)
    )
    first = cdf[0] @ weights
    posterior = weights * pdf[0] / (pdf[0] @ weights)[:, None]
    second = (posterior * cdf[1]).sum(axis=1)
    assert scipy.stats.kstest(first, "uniform").pvalue > 1e-4
    assert scipy.stats.kstest(second, "uniform").pvalue > 1e-4
    for a, b in ((first, second), (np.abs(first - 0.5), np.abs(second - 0.5))):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(count)
    # The mean responsibilities of the components are their weights; the variance is at most that of a random choice.
    shares = (posterior * pdf[1] / (posterior * pdf[1]).sum(axis=1, keepdims=True)).mean(axis=0)
    assert (np.abs(shares - weights) < 5 * np.sqrt(weights * (1 - weights) / count)).all()


def test_a_draw_has_a_gradient_in_the_chosen_component_only():
    for seed in range(4):
        key = jax.random.key(seed)
        draw = mixture().sample(key)
        gradient = jax.grad(lambda q, key=key: q.sample(key).sum())(mixture())
        np.testing.assert_array_equal(gradient.logits, np.zeros(3))
        chosen = np.flatnonzero(np.any(np.asarray(gradient.components.mean) != 0, axis=1))
        assert len(chosen) == 1
        k = chosen[0]
        np.testing.assert_array_equal(gradient.components.mean[k], np.ones(2))
        expected = np.zeros((3, 2), np.float32)
        expected[k] = 0.5 * (draw - MEANS[k])  # dz / dlog_variance
        np.testing.assert_allclose(gradient.components.log_variance, expected, rtol=1e-4)


def test_sample_and_log_prob_keeps_its_digits_where_the_value_has_lost_them():
    # For components that do not overlap, E log p = sum_k w_k (log w_k - D/2 (1 + lv + log 2 pi)).
    count, log_variance = 4000, -30.0
    narrow = mixture(means=MEANS + 20, log_variances=np.full((3, 2), log_variance, np.float32))
    keys = jax.random.split(jax.random.key(2), count)
    log_probs = jax.jit(jax.vmap(lambda k: narrow.sample_and_log_prob(k)[1]))(keys)
    weights = scipy.special.softmax(LOGITS.astype(np.float64))
    expected = weights @ np.log(weights) - (1 + log_variance + np.log(2 * np.pi))
    variance = weights @ np.log(weights) ** 2 - (weights @ np.log(weights)) ** 2 + 1
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(np.asarray(log_probs, np.float64).mean() - expected) < 5 * np.sqrt(variance / count)
    np.testing.assert_allclose(np.std(log_probs), np.sqrt(variance), rtol=0.1)


def test_the_mean_is_the_weighted_mean_of_the_components():
    np.testing.assert_allclose(mixture().mean, scipy.special.softmax(LOGITS) @ MEANS, rtol=1e-5)


def test_components_may_be_discrete_and_then_there_is_no_mean():
    component_logits = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    categorical = Mixture(jnp.asarray(LOGITS), Categorical(jnp.asarray(component_logits)))
    masses = np.exp(jax.vmap(categorical.log_prob)(jnp.arange(4)))
    expected = scipy.special.softmax(LOGITS) @ scipy.special.softmax(component_logits, axis=1)
    np.testing.assert_allclose(masses, expected, rtol=1e-5)
    with pytest.raises(TypeError, match="Mixture has no mean; draw from it"):
        mean_of(categorical)


def curved(params, before):
    return Normal(jnp.sin(params @ before), jnp.zeros(3))


def test_components_may_be_chains():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(3, 3, 2)).astype(np.float32)
    chains = Chain(Normal(jnp.asarray(MEANS), jnp.asarray(LOG_VARIANCES)), (jnp.asarray(weights),), (curved,))
    z = rng.normal(size=2).astype(np.float32), rng.normal(size=3).astype(np.float32)
    log_probs = [
        scipy.stats.norm.logpdf(z[0], MEANS[k], np.exp(LOG_VARIANCES[k] / 2)).sum()
        + scipy.stats.norm.logpdf(z[1], np.sin(weights[k].astype(np.float64) @ z[0])).sum()
        for k in range(3)
    ]
    expected = scipy.special.logsumexp(scipy.special.log_softmax(LOGITS.astype(np.float64)) + log_probs)
    np.testing.assert_allclose(Mixture(jnp.asarray(LOGITS), chains).log_prob(z), expected, rtol=1e-5)


def test_another_number_of_weights_than_of_components_is_refused():
    with pytest.raises(ValueError, match="inconsistent sizes"):
        mixture(logits=LOGITS[:2]).log_prob(np.zeros(2, np.float32))
    with pytest.raises(AssertionError, match="rank"):
        mixture(logits=LOGITS[None]).log_prob(np.zeros(2, np.float32))


def test_a_divergence_to_a_mixture_has_no_closed_form_and_the_message_names_an_alternative():
    with pytest.raises(TypeError, match="from Normal to Mixture; use the sampled estimate"):
        kl_divergence(Normal(jnp.zeros(2), jnp.zeros(2)), mixture())
