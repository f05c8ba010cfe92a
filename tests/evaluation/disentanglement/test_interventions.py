"""The FactorVAE and BetaVAE scores on codes whose score is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluation.disentanglement.tables import noise, spread, table
from vae_jax.evaluation.disentanglement import beta_vae_score, factor_vae_score
from vae_jax.evaluation.disentanglement._sampling import indices_with_one_fixed

SMALL = (3, 4, 5)
KEY = jax.random.key(0)
COUNTS = {"num_train": 1000, "num_test": 500}


def test_groups_share_one_factor_and_the_others_vary():
    fixed = lambda key: indices_with_one_fixed(key, jnp.asarray(1), 64, SMALL)
    indices = np.asarray(jax.vmap(fixed)(jax.random.split(KEY, 50)))
    groups = np.stack(np.unravel_index(indices, SMALL))
    assert (groups[1] == groups[1][:, :1]).all()
    assert len(np.unique(groups[1][:, 0])) == 4
    assert all(len(np.unique(group)) == size for k, size in ((0, 3), (2, 5)) for group in groups[k])


@pytest.mark.slow
@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_a_latent_for_each_factor_scores_1_and_noise_scores_chance(score):
    perfect = table(spread(SMALL), 0.01 * noise(1, SMALL), sizes=SMALL)
    assert score(perfect, KEY, **COUNTS) == pytest.approx(1.0, abs=0.01)
    assert score(table(noise(3, SMALL), sizes=SMALL), KEY, **COUNTS) < 0.65  # 60 fixed codes of noise: memorized a bit
    permuted = table(3.0 * spread(SMALL)[:, [2, 0, 1]], sizes=SMALL)
    assert score(permuted, KEY, **COUNTS) == pytest.approx(1.0, abs=0.01)


def test_a_code_without_one_factor_is_right_about_the_others_and_guesses_that_one():
    # Groups that share the missing factor vote for one of the two latents at random and are always wrong, because each
    # latent's majority is its factor; all other groups are right: 2/3.
    two = table(spread((6, 6, 6))[:, :2], sizes=(6, 6, 6))
    assert factor_vae_score(two, KEY, num_train=4000, num_test=4000) == pytest.approx(2 / 3, abs=0.03)


@pytest.mark.slow
def test_latents_that_hardly_move_do_not_vote():
    still = table(spread(SMALL), 0.04 * noise(1, SMALL), sizes=SMALL)
    assert factor_vae_score(still, KEY, **COUNTS) == pytest.approx(1.0, abs=0.01)
    assert factor_vae_score(table(0.04 * spread(SMALL), sizes=SMALL), KEY, **COUNTS) == 0.0
    assert factor_vae_score(table(np.zeros((60, 2)), sizes=SMALL), KEY, **COUNTS) == 0.0
    assert beta_vae_score(table(np.zeros((60, 2)), sizes=SMALL), KEY, **COUNTS) == pytest.approx(1 / 3, abs=0.08)


def test_groups_that_all_share_one_factor_do_not_pass_for_knowledge():
    # Fitted to a single group, it is right for the test groups that share that factor, about a third.
    assert beta_vae_score(table(noise(3, SMALL), sizes=SMALL), KEY, num_train=1, num_test=900) == pytest.approx(
        1 / 3, abs=0.09
    )


@pytest.mark.slow
def test_one_factor_that_varies_is_always_told_and_bad_input_has_a_message():
    single = table(spread((1, 6)), sizes=(1, 6))
    for score in (factor_vae_score, beta_vae_score):
        assert score(single, KEY, **COUNTS) == 1.0
        with pytest.raises(ValueError, match="must have a factor with more than one value"):
            score(table(np.ones((1, 2)), sizes=(1, 1)), KEY, **COUNTS)
        with pytest.raises(ValueError, match=f"{score.__name__} needs finite codes, but z1 hold NaN"):
            score(table(np.full((60, 1), np.nan), sizes=SMALL), KEY, **COUNTS)
        with pytest.raises(ValueError, match=f"{score.__name__}: num_test must be at least 1, got 0"):
            score(single, KEY, num_test=0)
