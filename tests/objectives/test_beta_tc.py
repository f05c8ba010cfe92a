"""beta-TCVAE: the decomposition of the rate against closed forms of a known aggregate posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from contract.objectives_table import IMAGES, NOISY
from vae_jax import VAE, Normal, objectives, standard_normal
from vae_jax.distributions import MultivariateNormal
from vae_jax.objectives import LogAggregate, rate_decomposition


def test_parts_of_a_correlated_gaussian_aggregate_are_its_closed_forms():
    # q(z | x) = N(x, s^2 I) and x ~ N(m, S): q(z) is N(m, S + s^2 I), whose decomposition is known.
    rng = np.random.default_rng(0)
    mean, own = np.array([0.3, -0.5]), 0.4
    cov = np.array([[1.2, 0.7], [0.7, 0.9]])
    total = cov + own * np.eye(2)
    x = rng.multivariate_normal(mean, cov, 200_000)
    z = x + np.sqrt(own) * rng.normal(size=x.shape)
    log_posterior = scipy.stats.norm.logpdf(z, x, np.sqrt(own)).sum(1)
    joint = scipy.stats.multivariate_normal.logpdf(z, mean, total)
    marginals = scipy.stats.norm.logpdf(z, mean, np.sqrt(np.diag(total)))
    log_prior = scipy.stats.norm.logpdf(z).sum(1)
    parts = rate_decomposition(
        *(jnp.float32(a) for a in (log_posterior,)),
        LogAggregate(jnp.float32(joint), jnp.float32(marginals)),
        jnp.float32(log_prior),
    )
    information = 0.5 * np.log(np.linalg.det(total) / own**2)
    correlation = 0.5 * (np.log(np.diag(total)).sum() - np.log(np.linalg.det(total)))
    dimension_wise = 0.5 * (np.diag(total) + mean**2 - 1 - np.log(np.diag(total))).sum()
    # The standard error of each mean over 200,000 draws is below 0.004.
    np.testing.assert_allclose(parts, [information, correlation, dimension_wise], atol=0.02)


def loss_and_metrics(objective, problem=NOISY):
    loss, aux = jax.jit(lambda: objective(problem.model, problem.params, jax.random.key(3), problem.batch))()
    return float(loss), {name: float(value) for name, value in aux.metrics.items()}


def test_with_weights_of_one_it_is_the_negative_elbo():
    loss, metrics = loss_and_metrics(objectives.beta_tcvae_loss(1.0, objectives.stratified(10)))
    assert loss == pytest.approx(-metrics["elbo"], rel=1e-6)


def test_each_weight_weighs_its_own_part():
    aggregate = objectives.exact(IMAGES)
    base, metrics = loss_and_metrics(objectives.beta_tcvae_loss(1.0, aggregate))
    for weights, part in (
        ({"beta": 5.0}, "total_correlation"),
        ({"beta": 1.0, "alpha": 5.0}, "mutual_information"),
        ({"beta": 1.0, "gamma": 5.0}, "dimension_wise_kl"),
    ):
        loss, _ = loss_and_metrics(objectives.beta_tcvae_loss(weights.pop("beta"), aggregate, **weights))
        assert loss - base == pytest.approx(4 * metrics[part], rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_the_exact_parts_sum_to_the_rate_in_expectation_and_the_correlation_is_not_below_zero():
    model, params, batch = NOISY
    objective = objectives.beta_tcvae_loss(2.0, objectives.exact(batch))
    metrics = jax.jit(jax.vmap(lambda k: objective(model, params, k, batch)[1].metrics))(
        jax.random.split(jax.random.key(0), 4000)
    )
    names = ("mutual_information", "total_correlation", "dimension_wise_kl")
    sums = sum(np.asarray(metrics[name], np.float64) for name in names)
    assert abs(sums.mean() - metrics["rate"].mean()) < 5 * sums.std() / np.sqrt(sums.size)
    assert metrics["total_correlation"].mean() > 0
    assert 0 < metrics["mutual_information"].mean() < np.log(len(batch))


def test_a_posterior_that_is_no_normal_and_a_negative_weight_are_refused():
    grid = VAE(
        init=lambda key: {},
        encode=lambda params, x: Normal(x, jnp.zeros_like(x)),
        prior=lambda params: Normal(jnp.zeros((4, 4, 1)), jnp.zeros((4, 4, 1))),
        decode=lambda params, z: Normal(jnp.sum(z) * jnp.ones((4, 4, 1)), jnp.zeros((4, 4, 1))),
    )
    for objective in (objectives.beta_tcvae_loss(2.0, objectives.stratified(10)), objectives.dip_vae_i_loss(1.0)):
        with pytest.raises(
            TypeError, match=r"_loss needs a model whose z is a vector, .* an array of shape \(4, 4, 1\)"
        ):
            loss_and_metrics(objective, NOISY._replace(model=grid, params={}))
        correlated = grid._replace(
            encode=lambda params, x: MultivariateNormal(x[0, :2, 0], jnp.eye(2)),
            prior=lambda params: standard_normal(2),
        )
        with pytest.raises(
            TypeError, match=r"_loss needs a posterior with independent dimensions.*MultivariateNormal has"
        ):
            loss_and_metrics(objective, NOISY._replace(model=correlated, params={}))
    with pytest.raises(ValueError, match="gamma must be"):
        objectives.beta_tcvae_loss(2.0, objectives.stratified(10), gamma=-1.0)
