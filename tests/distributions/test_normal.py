import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from jax.test_util import check_grads

from distributions.monte_carlo import assert_kl_is_the_mean_log_ratio
from vae_jax.distributions import Normal, gaussian_kl, normal_kl, normal_log_prob, reparameterize, standard_normal

MEAN = np.array([0.3, -1.2, 4.0], np.float32)
LOG_VARIANCE = np.array([-0.7, 0.4, 3.0], np.float32)
OTHER = Normal(np.array([0.1, -0.5, 2.0], np.float32), np.array([0.2, 1.0, 2.5], np.float32))


def float64_kl(mean, log_variance, other_mean, other_log_variance):
    m, lv, om, olv = (np.asarray(a, np.float64) for a in (mean, log_variance, other_mean, other_log_variance))
    return 0.5 * np.sum(np.expm1(lv - olv) - (lv - olv) + (m - om) ** 2 * np.exp(-olv))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3), (2, 2, 3)])
def test_log_prob_agrees_with_scipy_summed_over_the_event(shape):
    rng = np.random.default_rng(0)
    x, mean, log_variance = (rng.normal(size=shape).astype(np.float32) for _ in range(3))
    expected = scipy.stats.norm.logpdf(x, mean, np.exp(0.5 * log_variance.astype(np.float64))).sum()
    np.testing.assert_allclose(normal_log_prob(x, mean, log_variance), expected, rtol=1e-5)
    np.testing.assert_allclose(Normal(mean, log_variance).log_prob(x), expected, rtol=1e-5)


@pytest.mark.parametrize("log_variance", [-30.0, 0.0, 30.0])
def test_log_prob_agrees_with_scipy_at_extreme_variances(log_variance):
    scale = np.exp(log_variance / 2)
    x = np.array([1.5 * scale], np.float32)
    expected = scipy.stats.norm.logpdf(np.float64(x[0]), 0.0, scale)
    dist = Normal(np.zeros(1, np.float32), np.full(1, log_variance, np.float32))
    np.testing.assert_allclose(dist.log_prob(x), expected, rtol=1e-5)


def test_the_derivatives_of_log_prob_written_by_hand_are_right_to_second_order():
    x = np.array([1.0, -1.0, 2.0], np.float32)
    check_grads(jax.jit(normal_log_prob), (x, MEAN, LOG_VARIANCE), 2, ["fwd", "rev"], atol=1e-2, rtol=1e-2)
    # Gradients for every x under every component, as in a mixture, against the plain formula in float64.
    xs, means, log_variances = (np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32) for seed in range(3))
    all_pairs = jax.vmap(jax.vmap(normal_log_prob, in_axes=(None, 0, 0)), in_axes=(0, None, None))
    gradient = jax.jit(jax.grad(lambda *args: jnp.sum(jnp.sin(all_pairs(*args))), argnums=(0, 1, 2)))
    gradients = gradient(xs, means, log_variances)
    diff = xs[:, None].astype(np.float64) - means
    log_probs = -0.5 * (diff**2 * np.exp(-log_variances) + log_variances + np.log(2 * np.pi)).sum(axis=-1)
    outer = np.cos(log_probs)[..., None]
    score = outer * diff * np.exp(-log_variances)
    expected = -score.sum(axis=1), score.sum(axis=0), 0.5 * (score * diff - outer).sum(axis=0)
    for actual, right in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(actual, right, rtol=2e-4, atol=2e-4)


def test_numpy_arrays_mapped_inside_jit_are_accepted():
    # JAX 0.10 fails on them in any function with custom derivatives, such as jax.nn.relu.
    xs, ones = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.ones((4, 3), np.float32)
    shift = jax.jit(lambda s: jax.vmap(lambda x, m, lv: normal_log_prob(x, m, lv) + s)(xs, ones, ones))(1.0)
    np.testing.assert_allclose(shift - 1.0, scipy.stats.norm.logpdf(xs, 1.0, np.exp(0.5)).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("log_variance", [-30.0, 0.0, 30.0])
def test_sample_and_log_prob_keeps_its_digits_where_the_value_has_lost_them(log_variance):
    # At log_variance -30 the scale 3e-7 is below the float32 spacing at 5: log_prob(value) is off by whole nats, and
    # the density must be computed from the noise. E log q = -D/2 (1 + lv + log 2 pi), and log q has the standard
    # deviation sqrt(D/2).
    dim, count = 8, 4000
    dist = Normal(jnp.full(dim, 5.0), jnp.full(dim, log_variance))
    keys = jax.random.split(jax.random.key(0), count)
    values, log_probs = jax.vmap(dist.sample_and_log_prob)(keys)
    expected = -0.5 * dim * (1 + log_variance + np.log(2 * np.pi))
    # Five standard errors: fails once in 1.7 million seeds.
    assert abs(np.asarray(log_probs, np.float64).mean() - expected) < 5 * np.sqrt(dim / 2 / count)
    np.testing.assert_allclose(np.std(log_probs), np.sqrt(dim / 2), rtol=0.1)
    np.testing.assert_array_equal(values, jax.vmap(dist.sample)(keys))


def test_reparameterize_has_the_asked_mean_and_variance_and_their_gradients():
    keys = jax.random.split(jax.random.key(1), 40_000)
    z = np.asarray(jax.vmap(lambda k: reparameterize(k, MEAN, LOG_VARIANCE))(keys), np.float64)
    variance = np.exp(LOG_VARIANCE.astype(np.float64))
    # Five standard errors of a mean and of a variance, in three dimensions each: fails once in 290,000 seeds.
    assert (np.abs(z.mean(0) - MEAN) < 5 * np.sqrt(variance / len(z))).all()
    assert (np.abs(z.var(0) - variance) < 5 * variance * np.sqrt(2 / len(z))).all()
    # dz/dmean = 1 and dz/dlog_variance = (z - mean) / 2, for every draw.
    total = lambda m, lv: reparameterize(keys[0], m, lv).sum()
    to_mean, to_log_variance = jax.grad(total, argnums=(0, 1))(jnp.asarray(MEAN), jnp.asarray(LOG_VARIANCE))
    np.testing.assert_array_equal(to_mean, np.ones(3))
    np.testing.assert_allclose(to_log_variance, 0.5 * (z[0] - MEAN), rtol=1e-4)


def test_gaussian_kl_is_the_integral_of_the_log_ratio():
    def integrand(z):
        log_q = scipy.stats.norm.logpdf(z, 0.3, np.exp(-0.35))
        return np.exp(log_q) * (log_q - scipy.stats.norm.logpdf(z))

    expected, _ = scipy.integrate.quad(integrand, -15, 15)
    actual = gaussian_kl(np.array([0.3], np.float32), np.array([-0.7], np.float32))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.slow
def test_kl_agrees_with_monte_carlo_and_float64():
    posterior = Normal(MEAN, LOG_VARIANCE)
    assert_kl_is_the_mean_log_ratio(posterior, OTHER)
    assert_kl_is_the_mean_log_ratio(Normal(MEAN[:2], LOG_VARIANCE[:2]), standard_normal(2))
    expected = float64_kl(MEAN, LOG_VARIANCE, OTHER.mean, OTHER.log_variance)
    np.testing.assert_allclose(normal_kl(MEAN, LOG_VARIANCE, OTHER.mean, OTHER.log_variance), expected, rtol=1e-6)
    np.testing.assert_allclose(
        gaussian_kl(MEAN, LOG_VARIANCE), float64_kl(MEAN, LOG_VARIANCE, np.zeros(3), np.zeros(3)), rtol=1e-6
    )


def test_kl_mapped_over_dimensions_is_the_kl_of_each_dimension():
    divergences = jax.vmap(gaussian_kl)(MEAN[:, None], LOG_VARIANCE[:, None])
    expected = [float64_kl(m, lv, 0.0, 0.0) for m, lv in zip(MEAN, LOG_VARIANCE, strict=True)]
    np.testing.assert_allclose(divergences, expected, rtol=1e-6)


@pytest.mark.parametrize("log_variance", [-1e-2, -1e-4, 1e-4, 1e-2])
def test_kl_keeps_its_digits_at_a_collapsed_posterior(log_variance):
    tiny = np.full(3, log_variance, np.float32)
    expected = float64_kl(np.zeros(3), tiny, np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(gaussian_kl(np.zeros(3, np.float32), tiny), expected, rtol=0.02)


def test_kl_is_zero_at_the_prior_and_never_below():
    assert gaussian_kl(jnp.zeros(4), jnp.zeros(4)) == 0
    log_variances = np.concatenate([-np.logspace(-9, 1.4, 2000), np.logspace(-9, 1.4, 2000)]).astype(np.float32)
    kls = jax.vmap(lambda lv: gaussian_kl(jnp.zeros(1), lv))(log_variances[:, None])
    assert np.min(kls) >= 0


def test_the_average_of_two_has_the_mean_of_the_means_and_of_the_variances():
    average = Normal(MEAN, LOG_VARIANCE).averaged(OTHER)
    np.testing.assert_allclose(average.mean, 0.5 * (MEAN + OTHER.mean), rtol=1e-6)
    variances = [np.exp(np.asarray(lv, np.float64)) for lv in (LOG_VARIANCE, OTHER.log_variance)]
    np.testing.assert_allclose(average.standard_deviation, np.sqrt(np.mean(variances, axis=0)), rtol=1e-6)
    wide = Normal(np.zeros(1, np.float32), np.full(1, 200.0, np.float32))  # exp(200) overflows
    assert wide.averaged(wide).log_variance == 200.0


def test_bfloat16_parameters_give_float32_densities_and_draws():
    dist = Normal(jnp.asarray(MEAN, jnp.bfloat16), jnp.asarray(LOG_VARIANCE, jnp.bfloat16))
    exact = Normal(dist.mean.astype(jnp.float32), dist.log_variance.astype(jnp.float32))
    x = jnp.asarray(MEAN, jnp.bfloat16)
    assert dist.log_prob(x).dtype == jnp.float32
    assert dist.log_prob(x) == exact.log_prob(x.astype(jnp.float32))
    assert dist.kl(OTHER) == exact.kl(OTHER)
    np.testing.assert_array_equal(dist.sample(jax.random.key(0)), exact.sample(jax.random.key(0)))


def test_a_batch_is_refused_where_one_vector_is_meant():
    with pytest.raises(AssertionError, match="rank"):
        gaussian_kl(np.zeros((5, 3), np.float32), np.zeros((5, 3), np.float32))
    with pytest.raises(AssertionError, match="rank"):
        gaussian_kl(np.float32(0), np.float32(0))


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: normal_log_prob(a, a, b),
        lambda a, b: normal_log_prob(b, a, a),
        lambda a, b: normal_kl(a, a, b, b),
        lambda a, b: gaussian_kl(a, b),
        lambda a, b: reparameterize(jax.random.key(0), a, b),
        lambda a, b: Normal(a, a).log_prob(b),
        lambda a, b: Normal(a, a).kl(Normal(b, b)),
    ],
)
@pytest.mark.parametrize("other", [(1,), (3, 1), (1, 3), ()])
def test_nothing_broadcasts(function, other):
    with pytest.raises(AssertionError, match="shape"):
        function(jnp.zeros(3), jnp.zeros(other))


def test_the_density_has_its_gradients_at_a_variance_whose_inverse_overflows():
    # exp(100) overflows in float32, its root does not; at x = mean (a pixel that never changes) d/d lv is -1/2.
    gradients = jax.grad(normal_log_prob, argnums=(0, 1, 2))(jnp.ones(1), jnp.ones(1), jnp.full(1, -100.0))
    np.testing.assert_allclose(np.concatenate(gradients), [0.0, 0.0, -0.5])
