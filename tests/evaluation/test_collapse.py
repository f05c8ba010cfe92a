"""Descriptions of posterior collapse for known KL divergences and active units."""

import numpy as np
import pytest

from vae_jax.evaluation import collapse_by_activity, collapse_by_kl
from vae_jax.evaluation._collapse import COLLAPSED_NATS
from vae_jax.visualization._information import UNUSED_NATS


def test_a_code_that_is_all_used():
    assert collapse_by_kl(np.full(20, 1.25)) == "All 20 dimensions are used: each carries 1.2 nats or more."


def test_the_dimensions_that_are_not_used_are_named_from_1():
    kl = np.full(20, 2.0)
    kl[[3, 8, 19]] = 0.0, 0.0099, 1e-6
    expected = "17 of 20 dimensions are used; 3 carry less than 0.01 nats: z4, z9, z20."
    assert collapse_by_kl(kl) == expected  # unused dimensions are no fault: no remedy
    assert collapse_by_kl(kl, threshold=0.001).startswith("18 of 20")


def test_a_code_that_is_mostly_collapsed_comes_with_remedies():
    kl = np.zeros(5)
    kl[1] = 3.0
    said = collapse_by_kl(kl)
    assert said.startswith("1 of 5 dimensions are used; 4 carry less than 0.01 nats: z1, z3, z4, z5. Most dimensions")
    assert "warm-up, free bits" in said


def test_a_code_that_has_collapsed_whole_is_called_so():
    said = collapse_by_kl(np.full(8, 1e-4))
    assert "All 8 dimensions carry less than 0.01 nats" in said
    assert "collapsed onto the prior" in said
    assert "the decoder ignores z" in said
    assert "warm-up, free bits" in said


def test_a_nat_at_the_threshold_counts_as_used_and_the_figure_draws_the_same_line():
    assert collapse_by_kl([0.01, 0.01]).startswith("All 2 dimensions are used")
    assert COLLAPSED_NATS == UNUSED_NATS


@pytest.mark.parametrize(
    ("active", "sizes", "expected"),
    [
        ([19], [50], "19 of 50 units are active."),
        ([78, 5], [100, 50], "Active units: 78 of 100 in layer 1, 5 of 50 in layer 2."),
    ],
)
def test_active_units_are_said_layer_by_layer(active, sizes, expected):
    assert collapse_by_activity(active, sizes) == expected


def test_a_dead_layer_is_named_and_a_dead_code_called_so():
    assert "The model does not use layer 2: the mean does not depend" in collapse_by_activity([78, 0], [100, 50])
    assert "the decoder ignores z" in collapse_by_activity([0, 0], [100, 50])
    assert "the decoder ignores z" in collapse_by_activity([0], [20])


def test_a_rate_that_is_not_finite_is_no_healthy_code():
    said = collapse_by_kl([1.0, float("nan"), float("inf")])
    assert said.startswith("2 of 3 dimensions have a KL divergence that is not finite")


def test_nats_that_do_not_follow_the_image_are_not_taken_for_a_code():
    kl = np.full(3, 0.68)
    assert collapse_by_kl(kl, 3) == collapse_by_kl(kl) == "All 3 dimensions are used: each carries 0.68 nats or more."
    assert collapse_by_kl(kl, 1).endswith("But the posterior's mean depends on the image in only 1 of them.")
    assert "z carries no information about it; try a KL warm-up" in collapse_by_kl(kl, 0)
