"""Helpers for the tests of priors over codes: random parameters, all sequences, training, goodness of fit."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats

from vae_jax.models import Sampling


@functools.partial(jax.jit, static_argnums=0)
def call(function, *args):
    """function(*args), compiled once for each function."""
    return function(*args)


@functools.partial(jax.jit, static_argnums=(0, 1))
def call_each(function, axes, *args):
    """`jax.vmap(function, axes)(*args)`, compiled once for each function."""
    return jax.vmap(function, axes)(*args)


@functools.partial(jax.jit, static_argnums=(0, 1))
def draw_each(prior, sampling, params, keys, labels):
    """Samples int32 `[N, T]`, one for each key and label."""
    return jax.vmap(lambda key, label: prior.sample(params, key, label, sampling))(keys, labels)


def random_params(init, seed=0, deviation=0.5):
    """Parameters with the structure of `init`, drawn from a Normal, so that predictions are far from uniform."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(init, jax.random.key(0)))
    rng = np.random.default_rng(seed)
    return tree.unflatten([jnp.asarray(rng.normal(0, deviation, leaf.shape), leaf.dtype) for leaf in leaves])


def all_sequences(num_codes, length):
    """All sequences, int32 `[K^T, T]`, with the last place varying fastest."""
    return np.array(list(itertools.product(range(num_codes), repeat=length)), np.int32)


def fitted(prior, codes, labels, steps, learning_rate=5e-3):
    """Parameters after the given number of Adam steps on the mean loss of all images, in one compiled loop."""
    optimizer = optax.adam(learning_rate)

    @jax.jit
    def run(params, key):
        def step(carry, key):
            params, state = carry
            keys = jax.random.split(key, len(codes))
            loss = lambda params: jnp.mean(jax.vmap(prior.loss, (None, 0, 0, 0))(params, keys, codes, labels))
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, steps))[0][0]

    return run(random_params(prior.init, deviation=0.2), jax.random.key(0))


# Patterns of two classes, with codes in [0, 4).
PATTERNS = np.array([[0, 1, 2, 3, 0, 1, 2, 3, 0], [3, 3, 1, 1, 2, 2, 0, 0, 3]], np.int32)


def fitted_to_patterns(prior, steps=250):
    """Parameters after training on the patterns, with equally many images of each class."""
    return fitted(prior, np.tile(PATTERNS, (8, 1)), np.tile(np.arange(2, dtype=np.int32), 8), steps)


def assert_samples_are_patterns(prior, params):
    for label, pattern in enumerate(PATTERNS):
        np.testing.assert_array_equal(
            samples(prior, params, label, Sampling(temperature=0.5), 32), np.tile(pattern, (32, 1))
        )


def assert_learns_patterns(prior):
    """Asserts that training learns the pattern of each class, and their mixture without a label."""
    params = fitted_to_patterns(prior)
    pattern_log_probs = lambda params, label: jax.vmap(prior.log_prob, (None, 0, None))(params, PATTERNS, label)
    log_p = np.asarray(call_each(pattern_log_probs, (None, 0), params, np.arange(3, dtype=np.int32)))
    np.testing.assert_allclose(np.diag(log_p[:2]), 0.0, atol=0.05)
    assert log_p[0, 1] < -3 and log_p[1, 0] < -3
    weights = np.exp(log_p[2])
    assert 0.9 < weights.sum() < 1 and weights.min() > 0.25
    assert_samples_are_patterns(prior, params)


def samples(prior, params, label, sampling, number, seed=1):
    """Samples int32 `[number, T]` for one label."""
    labels = np.full(number, prior.num_classes if label is None else label, np.int32)
    return np.asarray(draw_each(prior, sampling, params, jax.random.split(jax.random.key(seed), number), labels))


def assert_frequencies(draws, probabilities, num_codes):
    """Chi-square test of draws `[N, T]` against the probabilities of `all_sequences`: fails once in 10,000 seeds."""
    places = num_codes ** np.arange(draws.shape[1])[::-1]
    counts = np.bincount(draws @ places, minlength=len(probabilities))
    expected = len(draws) * probabilities / probabilities.sum()
    rare = expected < 5  # pooled, because chi-square needs about 5 per cell
    observed, expected = (np.append(a[~rare], a[rare].sum()) for a in (counts, expected))
    if expected[-1] < 5:  # pooled with the smallest of the others
        smallest = np.argmin(expected[:-1])
        observed[smallest] += observed[-1]
        expected[smallest] += expected[-1]
        observed, expected = observed[:-1], expected[:-1]
    assert len(expected) > 3  # fewer cells would make the test meaningless
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-4
