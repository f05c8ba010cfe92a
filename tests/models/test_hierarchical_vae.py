"""Tests on a linear-Gaussian model of two layers with known log p(x) and posterior.

z_2 ~ N(0, I), z_1 | z_2 ~ N(A z_2 + a, V), x | z_1 ~ N(W z_1 + b, s^2 I), with V diagonal.

A has orthogonal rows and columns and W orthogonal columns, so that both exact conditionals are diagonal Normals:
q(z_1 | x) has the precision (A A^T + V)^-1 + W^T W / s^2, and q(z_2 | z_1) the precision I + A^T V^-1 A.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from fresh import some_state
from objectives.linear_gaussian import draws
from vae_jax.distributions import Chain, mean_of
from vae_jax.evaluation import bidirectional, importance_sampling, sigmoid_temperatures
from vae_jax.models import hierarchical_vae, latent_code, likelihoods, reconstruct
from vae_jax.networks import Network, mlp_decoder, mlp_encoder
from vae_jax.objectives import (
    elbo,
    elbo_terms,
    iwae,
    log_weight,
    negative_elbo,
    negative_sampled_elbo,
    sampled_elbo,
)
from vae_jax.training import make_train_step

A = np.array([[0.0, 1.2], [0.0, 0.0], [-0.7, 0.0]])
A_OFFSET = np.array([0.5, -1.0, 0.25])
V = np.array([0.5, 0.8, 0.3])
W = np.array([[1, 1, 1, 1], [0.5, -0.5, 0.5, -0.5], [0.8, 0.8, -0.8, -0.8]]).T
W_OFFSET = np.array([0.5, -1.0, 0.0, 2.0])
NOISE = 0.5


def linear(outputs_of):
    """Network with the outputs `outputs_of(weights @ x + bias, log_variance)`."""
    return Network(
        lambda key: {}, lambda params, x: outputs_of(params["weights"] @ x + params["bias"], params["log_variance"])
    )


MEAN_AND_LOG_VARIANCE = linear(lambda mean, log_variance: jnp.concatenate([mean, log_variance]))
PER_PIXEL = linear(lambda mean, log_variance: jnp.stack([mean, log_variance], axis=-1))
MODEL = hierarchical_vae(
    [MEAN_AND_LOG_VARIANCE, MEAN_AND_LOG_VARIANCE], [MEAN_AND_LOG_VARIANCE], PER_PIXEL, 2, likelihoods.normal
)


def layer(weights, bias, variance):
    arrays = {"weights": weights, "bias": bias, "log_variance": np.log(variance)}
    return {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}


def exact_params():
    """Parameters for which the encoders are the exact posterior."""
    prior_precision = 1 / (np.diag(A @ A.T) + V)
    precision = prior_precision + np.diag(W.T @ W) / NOISE
    gain = W.T / NOISE / precision[:, None]
    below = 1 + np.diag(A.T @ (A / V[:, None]))
    back = (A / V[:, None]).T / below[:, None]
    return {
        "encoder_1": layer(gain, prior_precision * A_OFFSET / precision - gain @ W_OFFSET, 1 / precision),
        "encoder_2": layer(back, -back @ A_OFFSET, 1 / below),
        "prior_1": layer(A, A_OFFSET, V),
        "decoder": layer(W, W_OFFSET, np.full(4, NOISE)),
    }


def wrong_params():
    """Parameters for which both posterior conditionals are too wide, and the mean of the first is biased."""
    exact = exact_params()
    wide = {name: {**exact[name], "log_variance": exact[name]["log_variance"] + 0.5} for name in exact if "enc" in name}
    wide["encoder_1"]["weights"] = 0.8 * wide["encoder_1"]["weights"]
    return {**exact, **wide}


def log_likelihood(xs):
    mean = W @ A_OFFSET + W_OFFSET
    covariance = W @ (A @ A.T + np.diag(V)) @ W.T + NOISE * np.eye(4)
    return scipy.stats.multivariate_normal.logpdf(np.asarray(xs, np.float64), mean, covariance)


XS = np.random.default_rng(0).normal(0, 2, (5, 4)).astype(np.float32)


def test_the_model_of_this_file_has_diagonal_posteriors():
    for matrix in (A.T @ A, A @ A.T, W.T @ W):
        np.testing.assert_allclose(matrix, np.diag(np.diag(matrix)), atol=1e-12)


@pytest.mark.parametrize("estimate", [log_weight, sampled_elbo, lambda *args: iwae(*args, 3)])
def test_with_the_exact_posterior_every_draw_of_every_bound_is_log_p(estimate):
    values = draws(lambda key: estimate(MODEL, exact_params(), key, XS[0]), 500)
    np.testing.assert_allclose(values, np.full(500, log_likelihood(XS[0])), rtol=1e-5)


@pytest.mark.slow
def test_objective_and_evaluation_agree_with_the_exact_likelihood():
    loss, aux = jax.jit(lambda p, k: negative_sampled_elbo(MODEL, p, k, XS))(exact_params(), jax.random.key(0))
    np.testing.assert_allclose(loss, -log_likelihood(XS).mean(), rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["elbo"], -aux.metrics["rate"] - aux.metrics["distortion"], rtol=1e-5)
    values = importance_sampling(MODEL, exact_params(), jax.random.key(1), XS, 10).log_likelihood
    np.testing.assert_allclose(values, log_likelihood(XS), rtol=1e-5)


@pytest.mark.slow
def test_with_another_posterior_the_bounds_rise_to_log_p():
    exact = log_likelihood(XS[1])
    elbos = draws(lambda key: sampled_elbo(MODEL, wrong_params(), key, XS[1]), 20_000)
    bounds = draws(lambda key: iwae(MODEL, wrong_params(), key, XS[1], 10), 5_000, 1)
    assert elbos.mean() < bounds.mean() - 0.2 < exact - 0.2
    values = importance_sampling(MODEL, wrong_params(), jax.random.key(2), XS, 50_000).log_likelihood
    np.testing.assert_allclose(values, log_likelihood(XS), atol=0.05)


@pytest.mark.slow
def test_annealing_bounds_log_p_from_both_sides_over_both_layers():
    sandwich = bidirectional(
        MODEL, wrong_params(), jax.random.key(3), 200, temperatures=sigmoid_temperatures(60), num_chains=16
    )
    truth = log_likelihood(sandwich.xs)
    # E w = p(x) forward and E 1/w = 1/p(x) in reverse, each within five standard errors, with a small gap.
    for ratios in (np.exp(sandwich.lower - truth), np.exp(truth - sandwich.upper)):
        assert abs(ratios.mean() - 1) < 5 * ratios.std() / np.sqrt(200)
    assert 0 < np.mean(sandwich.gap) < 0.25
    assert 0.5 < np.mean(sandwich.forward.acceptance_rate) < 0.75


def test_posterior_and_prior_are_over_the_same_tuple():
    params, key = exact_params(), jax.random.key(0)
    posterior, prior = MODEL.encode(params, XS[0]), MODEL.prior(params)
    for chain in (posterior, prior):
        assert isinstance(chain, Chain)
        assert [part.shape for part in chain.sample(key)] == [(3,), (2,)]
    # p(z_2) p(z_1 | z_2) by scipy, at a draw of the posterior.
    z1, z2 = (np.asarray(part, np.float64) for part in posterior.sample(key))
    expected = scipy.stats.norm.logpdf(z2).sum() + scipy.stats.norm.logpdf(z1, A @ z2 + A_OFFSET, np.sqrt(V)).sum()
    np.testing.assert_allclose(prior.log_prob(posterior.sample(key)), expected, rtol=1e-5)


def test_draws_of_the_prior_have_its_moments():
    z1, z2 = draws(lambda key: MODEL.prior(exact_params()).sample(key), 20_000)
    covariance = np.block([[A @ A.T + np.diag(V), A], [A.T, np.eye(2)]])
    both = np.concatenate([z1, z2], axis=1)
    # Five standard errors for each entry: fails once in 50,000 seeds.
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / np.sqrt(len(both))
    assert (np.abs(np.cov(both.T) - covariance) < 5 * scale).all()
    mean = np.append(A_OFFSET, np.zeros(2))
    assert (np.abs(both.mean(axis=0) - mean) < 5 * np.sqrt(np.diag(covariance) / len(both))).all()


def test_the_message_for_the_closed_form_bound_names_the_sampled_bound():
    for bound in (elbo, elbo_terms):
        with pytest.raises(TypeError, match=r"from Chain to Chain; use the sampled estimate .*negative_sampled_elbo"):
            jax.eval_shape(lambda f=bound: f(MODEL, exact_params(), jax.random.key(0), XS[0]))
    with pytest.raises(TypeError, match="negative_sampled_elbo"):
        jax.eval_shape(lambda: negative_elbo(MODEL, exact_params(), jax.random.key(0), XS))


def test_the_latent_code_is_the_exact_posterior_mean_and_decodes_to_the_reconstruction():
    params = exact_params()
    joint = np.block([[A @ A.T + np.diag(V)], [A.T]]) @ W.T
    covariance = W @ (A @ A.T + np.diag(V)) @ W.T + NOISE * np.eye(4)
    gap = np.linalg.solve(covariance, XS[0] - W @ A_OFFSET - W_OFFSET)
    expected = np.append(A_OFFSET, np.zeros(2)) + joint @ gap
    z = latent_code(MODEL, params, XS[0])
    np.testing.assert_allclose(np.concatenate(z), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(reconstruct(MODEL, params, XS[0]), W @ expected[:3] + W_OFFSET, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(reconstruct(MODEL, params, XS[0]), mean_of(MODEL.decode(params, z)))


def three_layers():
    encoders = [mlp_encoder(shape, 2 * dim, (6,), jnp.tanh) for shape, dim in (((2, 2, 1), 4), ((4,), 3), ((3,), 2))]
    priors = [mlp_encoder((above,), 2 * dim, (5,), jnp.tanh) for dim, above in ((4, 3), (3, 2))]
    return hierarchical_vae(encoders, priors, mlp_decoder(4, (2, 2, 1, 1), (6,)), 2)


@pytest.mark.slow
def test_three_layers_train_in_a_step_that_is_compiled_once():
    model, optimizer = three_layers(), optax.adam(1e-2)
    xs = (np.random.default_rng(0).random((8, 1, 1, 1)) < 0.5) * np.ones((1, 2, 2, 1), np.float32)
    xs = xs.astype(np.float32)  # images with all pixels on or all off
    state = some_state(model, optimizer)
    assert sorted(state.params) == ["decoder", "encoder_1", "encoder_2", "encoder_3", "prior_1", "prior_2"]
    step = jax.jit(chex.assert_max_traces(make_train_step(model, negative_sampled_elbo, optimizer), 1))
    losses = []
    for _ in range(300):
        state, metrics = step(state, jax.random.key(1), xs)
        losses.append(float(metrics["loss"]))
    # The loss of a decoder that ignores z is at least the entropy of four bits; with z, one bit is enough.
    entropy = scipy.stats.bernoulli(xs.mean()).entropy()
    assert np.mean(losses[:5]) > 4 * entropy
    assert entropy < np.mean(losses[-50:]) < 4 * entropy - 0.7
    z = model.prior(state.params).sample(jax.random.key(2))
    assert [part.shape for part in z] == [(4,), (3,), (2,)]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((1, 0), "encoders must be at least 2 networks .*, got 1"),
        ((3, 1), "priors must be 2 networks, one fewer than encoders, got 1"),
        ((2, 2), "priors must be 1 networks, one fewer than encoders, got 2"),
    ],
)
def test_wrong_numbers_of_networks_are_refused(counts, message):
    encoders, priors = ([MEAN_AND_LOG_VARIANCE] * count for count in counts)
    with pytest.raises(ValueError, match=message):
        hierarchical_vae(encoders, priors, PER_PIXEL, 2)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"encoder": 5}, r"encoders\[1\] must return the mean and log-variance of z_2, \(4,\), got \(5,\)"),
        ({"prior": 7}, r"priors\[0\] must return \[2 D_1\], the mean and log-variance of z_1, got \(7,\)"),
        ({"prior": 8}, r"encoders\[1\] must take z_1, of length 4, but fails on it"),
        ({"decoder": 4}, "decoder must take z_1, of length 3, but fails on it"),
    ],
)
def test_networks_of_wrong_lengths_are_named_by_init(lengths, message):
    lengths = {"encoder": 4, "prior": 6, "decoder": 3} | lengths
    encoders = [mlp_encoder((2, 2, 1), 6, (5,)), mlp_encoder((3,), lengths["encoder"], (5,))]
    decoder = mlp_decoder(lengths["decoder"], (2, 2, 1, 1), (5,))
    model = hierarchical_vae(encoders, [mlp_encoder((2,), lengths["prior"], (5,))], decoder, 2)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.init, jax.random.key(0))


def test_a_latent_dim_of_0_is_refused():
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        hierarchical_vae([MEAN_AND_LOG_VARIANCE] * 2, [MEAN_AND_LOG_VARIANCE], PER_PIXEL, 0)
