"""The measurements with a bar are those without, and annealing is compared on the same images and draws."""

import jax
import numpy as np
import pytest

from evaluation.linear_gaussian_of import examples_of, log_likelihood_of, model_of, wrong_params_of
from vae_jax.evaluation import importance_sampling, measure_nll
from vae_jax.runs.images.long_measurements import annealing_with_progress, nll_with_progress

MODEL, PARAMS, XS = model_of(2), wrong_params_of(2), examples_of(2, 20)


@pytest.mark.slow
def test_annealing_is_compared_with_importance_sampling_of_the_same_images_by_the_draws_of_their_nll(capsys):
    keys = jax.random.split(jax.random.key(0))
    numbers = annealing_with_progress(MODEL, PARAMS, keys[0], XS[:8], 8, 40, keys[1], 30)
    of_all = importance_sampling(MODEL, PARAMS, keys[1], XS, 30).log_likelihood
    np.testing.assert_allclose(numbers["ais_images_nll"], -np.mean(of_all[:8]), rtol=1e-6)
    assert (numbers["ais_images_nll_samples"], numbers["ais_images"]) == (30, 8)
    assert abs(numbers["ais_nll"] + log_likelihood_of(PARAMS, XS[:8]).mean()) < 0.1
    assert "annealing: image 16/16" in capsys.readouterr().err  # 8 given, 8 that the model drew


def test_the_nll_is_the_one_without_a_bar(capsys):
    numbers = nll_with_progress(MODEL, PARAMS, jax.random.key(1), XS, 30)
    assert numbers == measure_nll(MODEL, PARAMS, jax.random.key(1), XS, 30)
    assert "importance sampling: image 20/20" in capsys.readouterr().err
