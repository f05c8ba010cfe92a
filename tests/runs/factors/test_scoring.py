"""Scores of the models of a run: on which images, and of models that have diverged."""

import dataclasses

import jax
import numpy as np
import pytest

from vae_jax.data import sprites
from vae_jax.runs import DISENTANGLE, prepare, run
from vae_jax.runs.factors.scoring import coarse_sizes, load_mark, score, scorer_of


@pytest.mark.slow
def test_a_model_that_has_diverged_has_no_scores_and_leaves_those_of_the_others(finished):
    prepared, _ = finished
    lost = jax.tree.map(lambda leaf: leaf * np.nan, load_mark(prepared, 2)[0])
    assert score(scorer_of(prepared), lost, 4, "lost") == {"diverged": 4}
    given = {"objective": "beta", "beta": 1.0, "seed": 0, "steps": 4, "diverged": 4}
    prepared.folder.write_part("scores/final-0.json", given)
    summary = run(prepare(DISENTANGLE, dataclasses.replace(prepared.settings, resume=True)))
    assert summary["models"][0] == given | {"coarse": summary["models"][0]["coarse"]}
    only = summary["models"][1]["mig"]
    assert summary["over_seeds"]["1"]["mig"] == {"median": only, "min": only, "max": only}


def test_a_coarse_table_takes_seconds_whatever_the_factors_are():
    assert coarse_sizes(sprites.FACTOR_SIZES) == (3, 6, 8, 8, 8)
    assert coarse_sizes((8,) * 6) == (4,) * 6  # squares: 262,144 images with all of their values
    assert coarse_sizes((2,) * 10) == (2,) * 10
