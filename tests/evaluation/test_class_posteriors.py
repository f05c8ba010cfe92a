"""Bayes' rule over the labels of a linear-Gaussian conditional model, whose posteriors have a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from models.linear_gaussian_family import (
    COMMON_PRIOR_FAMILY,
    FAMILY,
    exact_params,
    examples,
    label_posteriors,
    log_likelihood,
    wrong_params,
)
from vae_jax.evaluation import class_posteriors, importance_sampling, importance_warning
from vae_jax.models import Example

KEY, EXACT, WRONG, LABELS = jax.random.key(0), exact_params(), wrong_params(), np.arange(3)
LOG_PRIOR = np.log([0.2, 0.5, 0.3])


def log_likelihoods(params, xs):
    return np.stack([log_likelihood(params, xs, np.full(len(xs), label)) for label in LABELS], axis=1)


def test_with_the_exact_posterior_it_is_bayes_rule():
    xs = examples(12).x
    results = class_posteriors(FAMILY, EXACT, KEY, xs, LABELS, LOG_PRIOR, 30)
    np.testing.assert_allclose(results.log_likelihood, log_likelihoods(EXACT, xs), rtol=1e-5)
    np.testing.assert_allclose(results.log_posterior, label_posteriors(EXACT, xs, LOG_PRIOR), rtol=1e-4, atol=1e-4)
    marginal = scipy.special.logsumexp(log_likelihoods(EXACT, xs) + LOG_PRIOR, axis=1)
    np.testing.assert_allclose(results.log_marginal, marginal, rtol=1e-5)
    np.testing.assert_allclose(results.effective_sample_size, np.full((12, 3), 30.0), rtol=1e-4)
    np.testing.assert_array_equal(results.pareto_k, np.zeros((12, 3)))
    assert importance_warning(results.of_class(1), 30) is None


@pytest.mark.slow
def test_with_a_wrong_posterior_it_is_bayes_rule_within_its_errors():
    batch, num_samples = examples(40), 2000
    results = class_posteriors(FAMILY, WRONG, KEY, batch.x, LABELS, None, num_samples)
    expected = label_posteriors(WRONG, batch.x, np.full(3, -np.log(3)))
    effective = np.asarray(results.effective_sample_size, np.float64)
    error = np.sqrt((num_samples / effective - 1) / (num_samples - 1))
    # The error of a posterior probability is at most that of both sides of Bayes' rule together.
    own = error + error.max(axis=1, keepdims=True)
    likely = expected > -7  # the likelihoods of other classes have no effect
    assert (np.abs(results.log_posterior - expected) < 5 * own + 1e-3)[likely].all()
    assert np.median(own[likely]) < 0.1
    np.testing.assert_allclose(np.exp(results.log_posterior).sum(axis=1), 1.0, rtol=1e-5)
    chosen, best = np.argmax(results.log_posterior, axis=1), np.argmax(expected, axis=1)
    clear = np.sort(expected, axis=1)[:, -1] > np.log(0.7)
    np.testing.assert_array_equal(chosen[clear], best[clear])
    assert 0.6 < np.mean(best == batch.context) <= 1.0


@pytest.mark.slow
def test_a_column_is_importance_sampling_of_its_class_whatever_the_batches_and_the_other_candidates():
    xs, seen = examples(5).x, []
    results = class_posteriors(FAMILY, WRONG, KEY, xs, LABELS, LOG_PRIOR, 60, batch_size=2, on_batch=seen.append)
    for label in LABELS:
        alone = importance_sampling(FAMILY, WRONG, KEY, Example(xs, np.full(5, label)), 60)
        for one, other in zip(results.of_class(label), alone, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-4)
    assert [batch.log_posterior.shape for batch in seen] == [(2, 3), (2, 3), (1, 3)]
    np.testing.assert_array_equal(np.concatenate([batch.log_marginal for batch in seen]), results.log_marginal)
    two = class_posteriors(FAMILY, WRONG, KEY, xs, LABELS[1:], None, 60, chunk_size=7)
    np.testing.assert_allclose(two.log_likelihood, results.log_likelihood[:, 1:], rtol=2e-5)


def test_classes_of_prior_zero_have_no_part_and_a_common_prior_is_the_familys():
    params, xs = exact_params(common=True), examples(4, common=True).x
    results = class_posteriors(COMMON_PRIOR_FAMILY, params, KEY, xs, LABELS, [-np.inf, 0.0, -np.inf], 10)
    np.testing.assert_array_equal(results.log_posterior, np.tile([-np.inf, 0.0, -np.inf], (4, 1)))
    np.testing.assert_allclose(results.log_marginal, log_likelihoods(params, xs)[:, 1], rtol=1e-5)


def test_bad_inputs_are_refused():
    xs = examples(4).x
    run = lambda **other: class_posteriors(
        **{"model": FAMILY, "params": EXACT, "key": KEY, "xs": xs, "contexts": LABELS}
        | {"log_prior": None, "num_samples": 5}
        | other
    )
    cases = [
        ({"log_prior": np.log([0.5, 0.3, 0.3])}, ValueError, r"log_prior must hold .* sum to 1, got a sum of 1\.1"),
        ({"log_prior": [0.2, 0.5, 0.3]}, ValueError, r"log_prior must hold .* got a sum of 4\.2"),
        ({"log_prior": [np.nan, 0.0, 0.0]}, ValueError, "log_prior must hold .* got a sum of nan"),
        ({"log_prior": np.log([0.5, 0.5])}, ValueError, r"one entry for each of the 3 contexts, got \(2,\)"),
        ({"num_samples": 0}, ValueError, "num_samples must be at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"xs": xs[:0]}, ValueError, "the number of examples in xs must be at least 1, got 0"),
        ({"contexts": LABELS[:0]}, ValueError, "the number of contexts must be at least 1, got 0"),
        ({"contexts": 3}, ValueError, "contexts must have a leading axis"),
        ({"xs": examples(4)}, TypeError, "xs must be examples without contexts"),
        ({"xs": np.zeros((4, 4), np.uint8)}, TypeError, "xs holds raw uint8 pixels"),
        ({"model": FAMILY.given(jnp.int32(0))}, TypeError, "model must be a Conditional"),
    ]
    for other, error, message in cases:
        with pytest.raises(error, match=message):
            run(**other)
