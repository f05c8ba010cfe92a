import numpy as np
import pytest

from networks.passes import matrix_and_native, operands
from vae_jax.networks._convolution_geometry import Geometry

# Geometries beyond those of the networks: pixels at the right and bottom that no window reads, blocks that the kernel
# or the padding covers in part, padding by whole blocks.
GEOMETRIES = [
    Geometry((9, 7), (4, 4), 2, 1),
    Geometry((7, 8), (2, 2), 2, 0),
    Geometry((7, 7), (3, 3), 2, 1),
    Geometry((9, 11), (5, 5), 3, 2),
    Geometry((6, 6), (3, 3), 1, 0),
    Geometry((8, 5), (6, 4), 2, 3),
    Geometry((5, 9), (1, 3), 4, 0),
]


@pytest.mark.slow
@pytest.mark.parametrize("pass_", ["output", "image", "kernel"])
@pytest.mark.parametrize(("channels", "features"), [(1, 20), (3, 2)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_each_pass_agrees_with_xla_on_any_geometry(geometry, channels, features, pass_):
    arrays = operands(geometry, channels, features, pass_)
    actual, expected = matrix_and_native(*arrays, geometry=geometry, pass_=pass_)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
