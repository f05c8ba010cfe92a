"""DCI, SAP and explicitness on codes whose scores are known, and by their formulas."""

import jax
import numpy as np
import pytest

from evaluation.disentanglement.tables import noise, spread, table
from vae_jax.evaluation.disentanglement import (
    DCI,
    Labeled,
    dci,
    draw,
    explicitness,
    separated_attribute_predictability,
)
from vae_jax.evaluation.disentanglement._predictors import _concentration

SMALL = (3, 4)


def halves(*columns, sizes=SMALL, count=600):
    keys = jax.random.split(jax.random.key(0))
    return tuple(draw(table(*columns, sizes=sizes), key, n) for key, n in zip(keys, (count, count // 2), strict=True))


def test_concentration_is_one_minus_the_entropy_of_each_row_weighted_by_its_importance():
    rows = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 1.0, 1.0]])
    by_hand = (1 * 1.0 + 1 * (1 - np.log(2) / np.log(3)) + 3 * 0.0) / 5
    assert _concentration(rows) == pytest.approx(by_hand)
    assert _concentration(np.eye(4)) == pytest.approx(1.0)
    assert _concentration(np.zeros((2, 3))) == 0.0
    assert _concentration(np.ones((3, 1))) == 1.0  # a single factor


@pytest.mark.slow
def test_dci_of_a_latent_for_each_factor_is_1_and_of_noise_near_0():
    # The noise is drawn for each image; fixed noise of a table of 12 images would identify each of them.
    rng = np.random.default_rng(1)
    noisy = lambda part: part._replace(codes=np.concatenate([part.codes, rng.normal(size=(len(part.codes), 2))], 1))
    perfect = dci(*map(noisy, halves(spread(SMALL))))
    assert min(perfect) > 0.98
    shuffled = Labeled(*halves(spread(SMALL))[0])
    rng = np.random.default_rng(0)
    alone = shuffled._replace(codes=rng.normal(size=(600, 4)))
    assert dci(alone, alone._replace(codes=rng.normal(size=(600, 4)))).disentanglement < 0.1
    # A rotation by 45 degrees: each of two latents contains both factors.
    turned = spread(SMALL) @ np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    assert dci(*halves(turned)).disentanglement < 0.5


@pytest.mark.slow
def test_sap_of_the_factors_of_dsprites_is_the_published_ceiling():
    keys = jax.random.split(jax.random.key(1))
    perfect = table(spread(), noise(5))
    parts = [draw(perfect, key, n) for key, n in zip(keys, (10_000, 5_000), strict=True)]
    assert separated_attribute_predictability(*parts) == pytest.approx(0.24, abs=0.02)


def test_sap_is_the_gap_of_the_two_best_latents_alone():
    # Two values that a threshold separates, in one latent or in two, and a second factor that no latent contains.
    sizes = (2, 2)
    alone = separated_attribute_predictability(*halves(spread(sizes)[:, :1], sizes=sizes))
    assert alone == pytest.approx((1.0 + 0.5) / 2, abs=0.06)  # one latent: the second best is 0
    twice = separated_attribute_predictability(*halves(spread(sizes)[:, [0, 0]], sizes=sizes))
    assert twice == pytest.approx(0.0, abs=1e-6)
    both = separated_attribute_predictability(*halves(spread(sizes), sizes=sizes))
    assert both == pytest.approx(0.5, abs=0.06)


def test_explicitness_of_a_linear_code_is_1_and_of_noise_a_half():
    sizes = (2, 2)
    assert explicitness(*halves(spread(sizes), sizes=sizes)) == pytest.approx(1.0, abs=1e-6)
    rng = np.random.default_rng(0)
    train, test = halves(spread(sizes), sizes=sizes, count=4000)
    blind = [part._replace(codes=rng.normal(size=part.codes.shape)) for part in (train, test)]
    assert explicitness(*blind) == pytest.approx(0.5, abs=0.05)


def test_order_and_scale_of_latents_do_not_matter():
    train, test = halves(spread(SMALL) + 0.5 * noise(2, SMALL), noise(1, SMALL))
    order, scale = [2, 0, 1], np.float32([4.0, 0.5, 2.0])
    other = [Labeled(part.codes[:, order] * scale, part.factors) for part in (train, test)]
    assert explicitness(*other) == pytest.approx(explicitness(train, test), abs=2e-3)
    flipped = [Labeled(part.codes[:, order], part.factors) for part in (train, test)]
    assert separated_attribute_predictability(*flipped) == pytest.approx(
        separated_attribute_predictability(train, test), abs=1e-9
    )


def test_degenerate_codes_have_scores_and_bad_ones_messages():
    train, test = halves(spread(SMALL))
    still = [part._replace(codes=np.zeros_like(part.codes)) for part in (train, test)]
    assert dci(*still) == DCI(0.0, 0.0, pytest.approx(7 / 24, abs=0.1))
    assert separated_attribute_predictability(*still) == 0.0
    assert explicitness(*still) == pytest.approx(0.5)
    for name, score in (("dci", dci), ("sap", separated_attribute_predictability), ("explicitness", explicitness)):
        bad = train._replace(codes=np.full_like(train.codes, np.inf))
        with pytest.raises(ValueError, match=f"{name} .training images. needs finite codes, but z1, z2 hold NaN"):
            score(bad, test)
        with pytest.raises(ValueError, match=f"{name} .training images. needs at least 2 images, got 1"):
            score(Labeled(train.codes[:1], train.factors[:1]), test)
