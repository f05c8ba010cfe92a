import numpy as np
import pytest
import scipy.stats

from vae_jax.distributions import DiscretizedLogistic, Normal
from vae_jax.evaluation import bits_per_dimension


@pytest.mark.parametrize("num_dimensions", [1, 784, 3072])
def test_uniform_pixels_cost_eight_bits(num_dimensions):
    # As masses 1/256 each; or as a density of 1 on [0, 1], whose nll is 0.
    np.testing.assert_allclose(bits_per_dimension(num_dimensions * np.log(256), num_dimensions), 8.0, rtol=1e-12)
    np.testing.assert_allclose(bits_per_dimension(0.0, num_dimensions, levels=256), 8.0, rtol=1e-12)


def test_fair_bits_cost_one_bit_and_certain_ones_none():
    np.testing.assert_allclose(bits_per_dimension(10 * np.log(2), 10), 1.0, rtol=1e-12)
    assert bits_per_dimension(0.0, 10) == 0


def test_a_density_of_dequantized_pixels_and_their_masses_cost_nearly_the_same():
    # A wide bell: bins 1/256 wide against discrete pixels k / 255, in the middle of the range.
    x = np.full(4, 128 / 255, np.float32)
    mass = DiscretizedLogistic(np.full(4, 0.5, np.float32), np.full(4, -2.0, np.float32)).log_prob(x)
    density = scipy.stats.logistic.logpdf(128 / 255, 0.5, np.exp(-2)) * 4
    by_mass, by_density = bits_per_dimension(-float(mass), 4), bits_per_dimension(-density, 4, levels=256)
    np.testing.assert_allclose(by_mass, by_density, atol=0.01)
    normal = Normal(np.zeros(4, np.float32), np.zeros(4, np.float32)).log_prob(np.zeros(4, np.float32))
    expected = 0.5 * np.log2(2 * np.pi) + 8
    np.testing.assert_allclose(bits_per_dimension(-float(normal), 4, levels=256), expected, rtol=1e-6)
