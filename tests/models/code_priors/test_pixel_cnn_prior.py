import pytest

from models.code_priors.tiny_priors import assert_learns_patterns
from vae_jax.models import pixel_cnn_prior


@pytest.mark.slow
def test_a_prior_trained_on_a_pattern_per_class_learns_the_patterns_and_their_mixture():
    assert_learns_patterns(pixel_cnn_prior(4, (3, 3), 2, layers=2, channels=16, label_dropout=0.3))


def test_the_grid_gives_the_length():
    prior = pixel_cnn_prior(4, (2, 5), layers=1, channels=4)
    assert (prior.num_codes, prior.length, prior.num_classes) == ((4,) * 10, 10, 0)


def test_bad_sizes_are_refused():
    for arguments, message in [
        ({"num_codes": 0, "grid": (2, 2)}, "num_codes must be at least 1, got 0"),
        ({"num_codes": 4, "grid": (2, 0)}, r"grid must be \(rows, columns\), both at least 1, got \(2, 0\)"),
        ({"num_codes": 4, "grid": (2, 2), "kernel_size": 2}, "kernel_size must be odd and at least 3, got 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            pixel_cnn_prior(**arguments)
