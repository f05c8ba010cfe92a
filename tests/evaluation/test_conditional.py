"""Evaluators on a linear-Gaussian conditional model, for which all estimates have a closed form given the label."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.linear_gaussian_family import (
    COMMON_PRIOR_FAMILY,
    FAMILY,
    elbo_value,
    exact_params,
    examples,
    log_likelihood,
    wrong_params,
)
from quick import quick
from vae_jax import VAE, Conditional, evaluation
from vae_jax.distributions import UndefinedError
from vae_jax.evaluation import (
    annealed_importance_sampling,
    bidirectional,
    elbo_surgery,
    importance_sampling,
    kl_per_dimension,
    mean_over_samples,
    measure_surgery,
    measure_vae,
    over_examples,
    posterior_means,
    sigmoid_temperatures,
    variances_of_means,
)
from vae_jax.models import Example
from vae_jax.objectives import elbo_terms, sampled_elbo_terms

KEY, EXACT, WRONG = jax.random.key(0), exact_params(), wrong_params()
FEW = {"temperatures": sigmoid_temperatures(4), "num_chains": 2, "num_leapfrog": 1}


def truth(params, batch):
    return log_likelihood(params, batch.x, batch.context)


def as_one_vae(family):
    """The conditional model as a VAE whose examples are dicts of x and the label, with a common prior."""
    return VAE(
        init=family.init,
        encode=lambda params, x: family.given(x["label"]).encode(params, x["x"]),
        prior=family.given(jnp.int32(0)).prior,
        decode=lambda params, z: None,
    )


@pytest.mark.parametrize("common", [False, True])
def test_importance_sampling_meets_log_p_given_the_label_within_its_own_error(common):
    family = COMMON_PRIOR_FAMILY if common else FAMILY
    params, batch, num_samples = wrong_params(common), examples(60, common=common), 2000
    estimates = importance_sampling(family, params, KEY, batch, num_samples)
    effective = np.asarray(estimates.effective_sample_size, np.float64)
    error = np.sqrt((num_samples / effective - 1) / (num_samples - 1))
    # The log of a mean is biased by half its squared error. Five errors in each of 60: fails once in 29,000 seeds.
    standardized = (np.asarray(estimates.log_likelihood - truth(params, batch)) + 0.5 * error**2) / error
    assert (np.abs(standardized) < 5).all()
    assert abs(standardized.mean()) < 5 / np.sqrt(60)
    assert 0.6 < standardized.std() < 1.5
    assert np.median(error) < 0.05


@pytest.mark.slow
def test_nothing_depends_on_how_examples_and_samples_are_chunked():
    batch = examples(5)
    expected = importance_sampling(FAMILY, WRONG, KEY, batch, 60)
    actual = importance_sampling(FAMILY, WRONG, KEY, batch, 60, chunk_size=13, batch_size=2)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-4)
    whole, parts = (mean_over_samples(elbo_terms, FAMILY, WRONG, KEY, batch, 3, size) for size in (100, 2))
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


@pytest.mark.slow
def test_with_the_exact_posterior_every_weight_and_every_sampled_elbo_is_log_p():
    batch = examples(7)
    estimates = importance_sampling(FAMILY, EXACT, KEY, batch, 30)
    np.testing.assert_allclose(estimates.log_likelihood, truth(EXACT, batch), rtol=1e-5)
    terms = mean_over_samples(sampled_elbo_terms, FAMILY, EXACT, KEY, batch, 2)
    np.testing.assert_allclose(terms.log_likelihood - terms.kl, truth(EXACT, batch), rtol=1e-5)


@pytest.mark.slow
def test_the_elbo_is_the_analytic_one_given_the_label():
    batch, num_samples = examples(6), 4000
    terms = mean_over_samples(elbo_terms, FAMILY, WRONG, KEY, batch, num_samples)
    draws = mean_over_samples(elbo_terms, FAMILY, WRONG, KEY, Example(*(leaf.repeat(300, 0) for leaf in batch)), 1)
    error = np.asarray(draws.log_likelihood).reshape(6, 300).std(axis=1) / np.sqrt(num_samples)
    # Five errors in each of six: once in 290,000 seeds.
    difference = terms.log_likelihood - terms.kl - elbo_value(WRONG, batch.x, batch.context)
    assert (np.abs(difference) < 5 * error + 1e-4).all()


@pytest.mark.slow
def test_annealing_meets_log_p_given_the_label_within_its_own_error():
    batch = examples(30)
    annealed = annealed_importance_sampling(
        FAMILY, WRONG, KEY, batch, temperatures=sigmoid_temperatures(30), num_chains=32
    )
    error = np.asarray(annealed.standard_error)
    standardized = (annealed.log_likelihood - truth(WRONG, batch) + 0.5 * error**2) / error
    assert np.median(error) < 0.25
    assert (np.abs(standardized) < 6).all()  # 31 degrees of freedom: |t| > 6 once in 27,000 for one of 30
    assert abs(standardized.mean()) < 5 / np.sqrt(30)


@pytest.mark.slow
def test_the_sandwich_of_given_labels_holds_log_p():
    labels = np.arange(60, dtype=np.int32) % 3
    how = {"temperatures": sigmoid_temperatures(30), "num_chains": 32}
    sandwich = bidirectional(FAMILY, WRONG, KEY, 60, contexts=labels, **how)
    np.testing.assert_array_equal(sandwich.xs.context, labels)
    expected = truth(WRONG, sandwich.xs)
    # E w / p = 1 forwards, E p / w = 1 backwards.
    for difference in (sandwich.lower - expected, expected - sandwich.upper):
        ratio = np.expm1(np.asarray(difference, np.float64))
        assert abs(ratio.mean()) < 5 * ratio.std(ddof=1) / np.sqrt(60)
    assert abs(np.mean(sandwich.gap)) < 0.25


@pytest.mark.slow
def test_the_surgery_is_that_of_labels_as_a_part_of_the_example():
    params, batch = wrong_params(common=True), examples(40, common=True)
    parts = elbo_surgery(COMMON_PRIOR_FAMILY, params, KEY, batch)
    expected = elbo_surgery(as_one_vae(COMMON_PRIOR_FAMILY), params, KEY, {"x": batch.x, "label": batch.context})
    for one, other in zip(parts, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    rate = float(jnp.sum(kl_per_dimension(COMMON_PRIOR_FAMILY, params, batch)))
    assert abs(parts.average_kl.mean - rate) < 5 * parts.average_kl.standard_error
    assert 0.5 < parts.mutual_information.mean < np.log(40)


def test_a_prior_for_each_label_has_no_surgery():
    with pytest.raises(UndefinedError, match=r"elbo_surgery needs the same p\(z\) for all contexts"):
        elbo_surgery(FAMILY, EXACT, KEY, examples(3))
    numbers = measure_surgery(FAMILY, EXACT, KEY, examples(3))
    assert numbers["average_kl"] is numbers["marginal_kl_standard_error"] is None
    assert numbers["surgery_points"] == 3


def test_codes_and_their_kl_are_those_of_the_label():
    batch = examples(9)
    p = {name: np.asarray(value, np.float64) for name, value in WRONG.items()}
    prior_means = p["prior_means"][batch.context]
    means = (batch.x - p["offsets"][batch.context]) @ p["encoder"].T + p["shrinkage"] * prior_means
    np.testing.assert_allclose(posterior_means(FAMILY, WRONG, batch, 4), means, rtol=1e-4, atol=1e-5)
    expected = 0.5 * (np.expm1(p["log_variance"]) - p["log_variance"] + ((means - prior_means) ** 2).mean(axis=0))
    np.testing.assert_allclose(kl_per_dimension(FAMILY, WRONG, batch, 4), expected, rtol=1e-4)


@pytest.mark.slow
def test_the_summary_of_a_family_is_that_of_its_examples():
    batch = examples(12)
    measures = measure_vae(FAMILY, EXACT, KEY, batch, 200, 30)
    np.testing.assert_allclose(measures.summary["nll"], -truth(EXACT, batch).mean(), rtol=1e-5)
    np.testing.assert_allclose(measures.summary["rate"], np.sum(measures.kl_per_dimension), rtol=1e-5)
    # The distortion of 2,400 draws, each with a spread of about one nat.
    np.testing.assert_allclose(measures.summary["negative_elbo"], -truth(EXACT, batch).mean(), atol=0.15)
    np.testing.assert_allclose(measures.posterior_means, posterior_means(FAMILY, EXACT, batch), rtol=1e-6)


def counting(family, calls):
    """The conditional model with every computation of a prior appended to calls, if its result is used."""

    def counted(label):
        vae = family.given(label)

        def prior(params):
            normal = vae.prior(params)

            def note(mean):
                calls.append(mean)
                return mean

            # Records each computation of the prior's mean, once for every label or once for all.
            shape = jax.ShapeDtypeStruct(normal.mean.shape, normal.mean.dtype)
            mean = jax.pure_callback(note, shape, normal.mean, vmap_method="sequential")
            return type(normal)(mean, normal.log_variance)

        return vae._replace(prior=prior)

    return family._replace(given=counted)


EVALUATORS = {
    "importance_sampling": lambda model, xs: importance_sampling(model, WRONG, KEY, xs, 20, chunk_size=5),
    "annealing": lambda model, xs: annealed_importance_sampling(model, WRONG, KEY, xs, **FEW),
    "elbo": lambda model, xs: mean_over_samples(elbo_terms, model, WRONG, KEY, xs, 3, 2),
    "kl": lambda model, xs: kl_per_dimension(model, WRONG, xs, 2),
    "surgery": lambda model, xs: elbo_surgery(model, WRONG, KEY, xs),
}


@pytest.mark.parametrize("name", quick(EVALUATORS, "elbo", "kl"))
def test_a_common_prior_is_computed_once_a_program(name):
    calls = []
    jax.block_until_ready(EVALUATORS[name](counting(COMMON_PRIOR_FAMILY, calls), examples(5)))
    assert len(calls) == 1


@pytest.mark.parametrize("name", quick([name for name in EVALUATORS if name != "surgery"], "elbo", "kl"))
def test_a_prior_of_the_label_is_computed_once_an_example(name):
    calls = []
    jax.block_until_ready(EVALUATORS[name](counting(FAMILY, calls), examples(5)))
    assert len(calls) == 5


def test_the_function_of_each_example_sees_the_vae_of_its_label():
    seen = lambda vae, params, key, x: vae.prior(params).mean + x[:2]
    batch = examples(7)
    expected = np.asarray(EXACT["prior_means"])[batch.context] + batch.x[:, :2]
    np.testing.assert_allclose(over_examples(seen, FAMILY, EXACT, KEY, batch, 3), expected, rtol=1e-6)


def test_contexts_and_models_that_do_not_belong_together_are_refused():
    batch, vae = examples(4), FAMILY.given(jnp.int32(0))
    for evaluate in EVALUATORS.values():
        with pytest.raises(TypeError, match="model is a Conditional and needs a context"):
            evaluate(FAMILY, batch.x)
        with pytest.raises(TypeError, match="model takes no context"):
            evaluate(vae, batch)
        with pytest.raises(ValueError, match=r"xs\.x has 4, xs\.context has 3"):
            evaluate(FAMILY, Example(batch.x, batch.context[:3]))
    with pytest.raises(TypeError, match=r"holds raw uint8 pixels"):
        evaluation.importance_sampling(FAMILY, WRONG, KEY, Example(batch.x.astype(np.uint8), batch.context), 5)
    with pytest.raises(TypeError, match="model is a Conditional and needs a context"):
        bidirectional(FAMILY, WRONG, KEY, 3)
    with pytest.raises(TypeError, match="model takes no context"):
        bidirectional(vae, WRONG, KEY, 3, contexts=batch.context)
    with pytest.raises(ValueError, match="contexts must have one entry for each of the 3 examples, got 4"):
        bidirectional(FAMILY, WRONG, KEY, 3, contexts=batch.context)


def test_a_context_that_the_family_refuses_is_named():
    def check(name, contexts):
        if np.max(contexts) > 2:
            raise ValueError(f"{name} must be at most 2")

    family = Conditional(FAMILY.init, FAMILY.given, check)
    bad = Example(examples(2).x, np.array([0, 3], np.int32))
    with pytest.raises(ValueError, match=r"xs\.context must be at most 2"):
        importance_sampling(family, EXACT, KEY, bad, 5)
    with pytest.raises(ValueError, match=r"xs\.context must be at most 2"):
        annealed_importance_sampling(family, EXACT, KEY, bad)
    with pytest.raises(ValueError, match="contexts must be at most 2"):
        bidirectional(family, EXACT, KEY, 2, contexts=bad.context)
    mean = lambda vae, params, key, x: vae.encode(params, x).mean
    for evaluate in (
        *EVALUATORS.values(),
        lambda model, xs: posterior_means(model, WRONG, xs),
        lambda model, xs: variances_of_means(model, WRONG, KEY, xs=xs),
        lambda model, xs: over_examples(mean, model, WRONG, KEY, xs, 2),
    ):
        with pytest.raises(ValueError, match=r"xs\.context must be at most 2"):
            evaluate(family, bad)


class Plain:
    """Prior of a user's own, which is not a pytree and has no base class."""

    def __init__(self, inner):
        self.inner = inner

    def log_prob(self, value):
        return self.inner.log_prob(value)


@pytest.mark.slow
def test_a_prior_that_is_no_pytree_gives_the_same_numbers():
    def plain(label):
        vae = COMMON_PRIOR_FAMILY.given(label)
        return vae._replace(prior=lambda params: Plain(vae.prior(params)))

    batch = examples(5, common=True)
    families = (COMMON_PRIOR_FAMILY, COMMON_PRIOR_FAMILY._replace(given=plain))
    ours, theirs = (importance_sampling(family, wrong_params(True), KEY, batch, 60) for family in families)
    np.testing.assert_allclose(theirs.log_likelihood, ours.log_likelihood, rtol=1e-6)
