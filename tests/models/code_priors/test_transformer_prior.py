import jax
import numpy as np
import pytest

from models.code_priors.tiny_priors import assert_learns_patterns, call, random_params, samples
from vae_jax.models import Sampling, transformer_prior, uncached_transformer_prior

SIZES = {"layers": 2, "width": 16, "heads": 4}


@pytest.mark.slow
def test_the_cached_sampler_draws_the_codes_of_the_uncached_one():
    cached, uncached = (build(11, 9, 3, **SIZES) for build in (transformer_prior, uncached_transformer_prior))
    params = random_params(cached.init, deviation=0.3)
    draws = [samples(prior, params, 1, Sampling(0.9, guidance=1.0), 64) for prior in (cached, uncached)]
    np.testing.assert_array_equal(*draws)
    assert np.unique(draws[0]).size > 5


def test_cached_and_uncached_priors_have_equal_likelihoods_and_parameters():
    cached, uncached = (build(11, 9, 3, **SIZES) for build in (transformer_prior, uncached_transformer_prior))
    shapes = [jax.eval_shape(prior.init, jax.random.key(0)) for prior in (cached, uncached)]
    assert shapes[0] == shapes[1]
    inputs = random_params(cached.init), np.arange(9, dtype=np.int32), np.int32(2)
    assert call(cached.log_prob, *inputs) == call(uncached.log_prob, *inputs)


@pytest.mark.slow
def test_a_prior_trained_on_a_pattern_per_class_learns_the_patterns_and_their_mixture():
    assert_learns_patterns(transformer_prior(4, 9, 2, layers=1, width=16, heads=4, label_dropout=0.3))


@pytest.mark.parametrize("build", [transformer_prior, uncached_transformer_prior])
def test_bad_sizes_are_refused(build):
    for arguments, message in [
        ({"num_codes": 0, "length": 4}, "num_codes must be at least 1, got 0"),
        ({"num_codes": 4, "length": 0}, "length must be at least 1, got 0"),
        ({"num_codes": 4, "length": 4, "width": 10, "heads": 3}, "width must be a multiple of heads = 3, got 10"),
    ]:
        with pytest.raises(ValueError, match=message):
            build(**arguments)
