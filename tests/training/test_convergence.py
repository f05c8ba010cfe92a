"""Training end to end on a problem whose answer is known: data of a linear-Gaussian model."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from vae_jax.distributions import Normal
from vae_jax.evaluation import mean_over_samples
from vae_jax.models import Likelihood, gaussian_vae
from vae_jax.models.likelihoods import per_element
from vae_jax.networks import Network, mlp_decoder
from vae_jax.objectives import elbo_from_terms, elbo_terms, negative_elbo
from vae_jax.training import fit

# The exact posterior's mean is linear in x and its variance the same for every x.
LINEAR_ENCODER = Network(
    lambda key: {"kernel": 0.1 * jax.random.normal(key, (2, 5)), "bias": jnp.zeros(2), "log_variance": jnp.zeros(2)},
    lambda params, x: jnp.concatenate([params["kernel"] @ x + params["bias"], params["log_variance"]]),
)
KNOWN_NOISE = Likelihood(
    per_element(1), lambda outputs: Normal(outputs[..., 0], jnp.full(5, jnp.log(0.25))), lambda mean: mean
)


@pytest.mark.slow
def test_a_linear_vae_reaches_the_exact_log_likelihood_of_linear_gaussian_data():
    # x = W z + mean + 0.5 eps: x ~ N(mean, W W^T + 0.25 I), and a linear encoder can be the exact posterior.
    rng = np.random.default_rng(0)
    weights, mean = rng.normal(size=(5, 2)), rng.normal(size=5)
    data = rng.normal(size=(5000, 2)) @ weights.T + mean + 0.5 * rng.normal(size=(5000, 5))
    data = data.astype(np.float32)
    train, validation, test = data[:3500], data[3500:4000], data[4000:]
    exact = scipy.stats.multivariate_normal.logpdf(test, mean, weights @ weights.T + 0.25 * np.eye(5)).mean()
    independent = scipy.stats.norm.logpdf(test, train.mean(axis=0), train.std(axis=0)).sum(axis=1).mean()

    model = gaussian_vae(LINEAR_ENCODER, mlp_decoder(2, (5, 1), ()), 2, KNOWN_NOISE)
    epochs, batch_size = 30, 50
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, epochs * 3500 // batch_size))
    key = jax.random.key(0)
    progress = fit(model, negative_elbo, optimizer, train, validation, key, epochs=epochs, batch_size=batch_size)
    terms = mean_over_samples(elbo_terms, model, progress.best_params, jax.random.key(1), test, 64)
    trained = float(np.mean(elbo_from_terms(*terms)))

    assert exact - independent > 1.0  # difference from a model without a latent code
    # 0.02 above: 3 standard errors of the 64 draws of 1,000 examples. 0.05 below: training has not fully converged.
    assert exact - 0.05 < trained < exact + 0.02, (trained, exact)
