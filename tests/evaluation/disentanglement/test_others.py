"""IRS, Gaussian total correlation, UDR, the code table, and the measurement of all scores."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from evaluation.disentanglement.tables import factors, noise, spread, table
from vae_jax import VAE, Conditional, Normal, standard_normal
from vae_jax.evaluation.disentanglement import (
    code_table,
    draw,
    encode_table,
    gaussian_total_correlation,
    interventional_robustness,
    measure_disentanglement,
    reference_tables,
    spearman_matrix,
    unsupervised_disentanglement_ranking,
)
from vae_jax.evaluation.disentanglement._scores import SUPERVISED
from vae_jax.models import Example

SMALL = (3, 4, 5)
RNG = np.random.default_rng(0)


def test_irs_is_1_for_a_latent_of_one_factor_and_by_hand_for_a_sum():
    labeled = draw(table(spread(SMALL), sizes=SMALL), jax.random.key(0), 2000)
    assert interventional_robustness(*labeled) == pytest.approx(1.0, abs=1e-6)
    # a + b with a, b in {-1, 1}: for fixed a, it deviates by 1 from its mean; the largest deviation over all is 2.
    codes = np.array([[-2.0], [0.0], [0.0], [2.0]])
    labels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert interventional_robustness(codes, labels) == pytest.approx(0.5)
    assert interventional_robustness(3 * codes, labels) == pytest.approx(0.5)
    assert interventional_robustness(0 * codes, labels) == 0.0
    with pytest.raises(ValueError, match="irs needs finite codes"):
        interventional_robustness(codes * np.nan, labels)


def test_gaussian_total_correlation_is_the_closed_form_and_forgets_scale():
    r = 0.7
    codes = RNG.multivariate_normal([0, 0, 0], [[1, r, 0], [r, 1, 0], [0, 0, 1]], 50_000)
    assert gaussian_total_correlation(codes) == pytest.approx(-0.5 * np.log(1 - r * r), abs=0.01)
    assert gaussian_total_correlation(codes * [3, 0.1, 7]) == pytest.approx(gaussian_total_correlation(codes), rel=1e-9)
    still = np.concatenate([codes, np.ones((50_000, 1))], axis=1)
    assert gaussian_total_correlation(still) == pytest.approx(gaussian_total_correlation(codes), rel=1e-9)
    assert gaussian_total_correlation(codes[:, :1]) == 0.0
    assert gaussian_total_correlation(np.repeat(codes[:, :1], 2, axis=1)) > 10
    with pytest.raises(ValueError, match="n above D"):
        gaussian_total_correlation(codes[:2])


def test_spearman_is_scipy_s():
    a, b = RNG.normal(size=(50, 2)), RNG.normal(size=(50, 3))
    b[:, 0] = a[:, 1] ** 3 + 0.1 * b[:, 0]
    expected = [[abs(scipy.stats.spearmanr(x, y).statistic) for y in b.T] for x in a.T]
    np.testing.assert_allclose(spearman_matrix(a, b), expected, atol=1e-12)
    assert not spearman_matrix(np.ones((50, 1)), b).any()


def test_udr_of_the_same_code_in_another_order_is_1_and_of_a_rotation_by_hand():
    code = RNG.normal(size=(20_000, 2))
    kl = [np.ones(2)] * 3
    # Independent latents have correlations of about 0.007, which are part of the sums over a column.
    same = unsupervised_disentanglement_ranking([code, -code[:, ::-1], 2 * code], kl)
    np.testing.assert_allclose(same, 1.0, atol=0.05)
    turned = code @ np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    # Of two normals with correlation 1 / sqrt 2, Spearman's is 6 / pi arcsin(1 / 2 sqrt 2); each column has it twice.
    rho = 6 / np.pi * np.arcsin(0.5 / np.sqrt(2))
    two = unsupervised_disentanglement_ranking([code, turned], kl[:2])
    np.testing.assert_allclose(two, rho / 2, atol=0.02)
    # An uninformative latent is left out, and a model without informative latents has no score.
    extra = np.concatenate([code, RNG.normal(size=(20_000, 1))], axis=1)
    some = unsupervised_disentanglement_ranking([code, extra], [np.ones(2), np.array([1.0, 1.0, 0.001])])
    np.testing.assert_allclose(some, 1.0, atol=0.05)
    assert unsupervised_disentanglement_ranking([code, code], [np.ones(2), np.zeros(2)]) == [None, None]
    assert unsupervised_disentanglement_ranking([code], [np.ones(2)]) == [None]
    with pytest.raises(ValueError, match="udr needs codes and KL divergences of each model for the same images"):
        unsupervised_disentanglement_ranking([code, code[:-1]], kl[:2])


MODEL = VAE(
    init=lambda key: {"scale": jnp.float32(2.0)},
    encode=lambda params, x: Normal(params["scale"] * x, jnp.full(2, -1.0)),
    prior=lambda params: standard_normal(2),
    decode=lambda params, z: Normal(z, jnp.zeros(2)),
)


def test_the_table_holds_the_mean_of_every_image_in_order_and_the_mean_kl():
    sizes = (7, 31, 43)  # more than the 8,192 images of one call, and not a multiple of the chunk size
    render = lambda source, index: source[index] / 1000
    source, seen = jnp.outer(jnp.arange(7 * 31 * 43.0), jnp.array([1.0, -1.0])), []
    found = encode_table(MODEL, {"scale": jnp.float32(2.0)}, render, sizes, seen.append, source)
    places = np.arange(7 * 31 * 43)
    np.testing.assert_allclose(found.means, np.stack([places, -places], 1) * 0.002, rtol=1e-6)
    assert sum(seen) == len(places)
    kl = 0.5 * (np.exp(-1) - 1 + 1 + (places * 0.002) ** 2).mean()
    np.testing.assert_allclose(found.kl_per_dimension, [kl, kl], rtol=1e-4)
    np.testing.assert_array_equal(found.factors, factors(sizes))


def test_a_table_of_a_conditional_is_of_images_and_their_contexts():
    family = Conditional(
        MODEL.init, lambda shift: MODEL._replace(encode=lambda params, x: MODEL.encode(params, x + shift))
    )
    render = lambda source, index: Example(jnp.array([0.1, 0.2]) * index, 10.0 * index)
    found = encode_table(family, {"scale": jnp.float32(2.0)}, render, SMALL)
    expected = 2.0 * np.arange(math.prod(SMALL))[:, None] * np.array([10.1, 10.2])
    np.testing.assert_allclose(found.means, expected, rtol=1e-5)


def test_a_table_of_another_size_and_a_code_that_is_no_vector_are_refused():
    with pytest.raises(ValueError, match="the 60 combinations of factors of sizes 3, 4, 5, got shape"):
        code_table(np.zeros((59, 2)), SMALL)
    scalar = MODEL._replace(encode=lambda params, x: Normal(x[0], jnp.zeros(())))
    with pytest.raises(ValueError, match=r"need a posterior mean that is one vector, got an array of shape \(\)"):
        encode_table(scalar, {"scale": jnp.float32(1)}, lambda source, i: jnp.ones(2) * i, SMALL)


@pytest.mark.slow
def test_all_scores_lie_between_those_of_noise_and_of_a_latent_for_each_factor():
    sizes = (3, 4, 8)
    references = reference_tables(sizes, 5, jax.random.key(0))
    measure = lambda t, **k: measure_disentanglement(t, jax.random.key(1), points=400, dci_points=200, **k)
    ceiling, floor = (measure(references[name]) for name in ("ceiling", "floor"))
    assert set(SUPERVISED) <= set(ceiling)
    assert ceiling["dci_disentanglement"] > 0.9 and ceiling["factor_vae_score"] == 1.0 and ceiling["active_units"] == 5
    assert all(floor[name] < ceiling[name] for name in SUPERVISED)
    half = measure(table(spread(sizes) + 0.7 * noise(3, sizes), noise(2, sizes), sizes=sizes))
    for name in ("mig", "sap", "explicitness", "dci_disentanglement"):
        assert floor[name] < half[name] < ceiling[name]
    fast = measure(references["ceiling"], fast=True)
    assert set(SUPERVISED[:4]) | {"irs"} <= set(fast) and not {"sap", "explicitness", "dci_completeness"} & set(fast)
    assert fast == {name: ceiling[name] for name in fast}
    assert measure(references["ceiling"]) == ceiling  # the same key, the same bits
