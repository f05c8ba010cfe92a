import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks.passes import matrix_and_native, operands
from vae_jax.networks import _matrix_convolutions as matrix_convolutions
from vae_jax.networks import _native_convolutions as native_convolutions
from vae_jax.networks import _winograd as winograd
from vae_jax.networks._convolution_geometry import Geometry
from vae_jax.networks._convolutions import convolution


@pytest.mark.parametrize(("size", "products"), [(2, 3), (3, 4)])
def test_the_filters_convolve_two_neighbors_exactly(size, products):
    b, g, a = (np.array(matrix) for matrix in winograd.FILTERS[size])
    assert (b.shape, g.shape, a.shape) == ((products, products), (products, size), (2, products))
    rng = np.random.default_rng(0)
    x, k = rng.integers(-9, 10, size + 1), rng.integers(-9, 10, size)
    np.testing.assert_array_equal(a @ ((g @ k) * (b @ x)), np.correlate(x, k))


# Odd sizes leave half a tile; a 4x4 kernel of stride 2 is a kernel of 2x2 blocks; padding 3 has windows of zeros only.
GEOMETRIES = [
    (Geometry((8, 8), (3, 3), 1, 1), 128, 128),
    (Geometry((5, 7), (3, 3), 1, 1), 32, 40),
    (Geometry((5, 6), (3, 3), 1, 3), 33, 32),
    (Geometry((6, 10), (4, 4), 2, 1), 16, 64),
    (Geometry((8, 8), (4, 4), 2, 1), 16, 64),
    (Geometry((9, 7), (4, 4), 2, 1), 17, 65),
    (Geometry((6, 5), (2, 2), 1, 0), 64, 70),
]


@pytest.mark.slow
@pytest.mark.parametrize("pass_", ["output", "image", "kernel"])
@pytest.mark.parametrize(("geometry", "channels", "features"), GEOMETRIES)
def test_each_pass_of_a_wide_convolution_agrees_with_xla_up_to_rounding(geometry, channels, features, pass_):
    blocks = matrix_convolutions.blocks_of(geometry)
    assert winograd.is_faster(blocks.kernel, channels * geometry.stride**2, features)
    arrays = operands(geometry, channels, features, pass_)
    actual, expected = matrix_and_native(*arrays, geometry=geometry, pass_=pass_)
    # The largest measured difference is 9e-7 of the largest entry.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("pass_", ["output", "image", "kernel"])
def test_bfloat16_is_summed_in_float32_and_rounded_once(pass_):
    geometry = Geometry((8, 8), (4, 4), 2, 1)
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 8, 8, 16), "k": (4, 4, 16, 64), "y": (2, 4, 4, 64)}
    draws = {name: jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for name, shape in shapes.items()}
    operands = [draws[name] for name in {"output": "xk", "image": "yk", "kernel": "xy"}[pass_]]
    function = jax.jit(getattr(matrix_convolutions, pass_), static_argnames="geometry")
    rounded = function(*operands, geometry=geometry)
    expected = function(*(a.astype(jnp.float32) for a in operands), geometry=geometry)
    assert rounded.dtype == jnp.bfloat16
    # The tolerance is half a unit in the last of 8 bits.
    np.testing.assert_allclose(rounded.astype(jnp.float32), expected, rtol=2**-8, atol=1e-5)


@pytest.mark.slow
def test_the_gradients_of_an_ensemble_of_wide_convolutions_are_those_of_its_members():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(3, 2, 5, 4, 32)), jnp.float32)
    kernels = jnp.asarray(rng.normal(size=(3, 3, 3, 32, 32)), jnp.float32)

    def loss(kernel, xs):
        return jnp.sum(jnp.sin(jax.vmap(lambda x: convolution(x, kernel, padding=1))(xs)))

    def native_loss(kernel, xs):
        return jnp.sum(jnp.sin(native_convolutions.output(xs, kernel, geometry=Geometry((5, 4), (3, 3), 1, 1))))

    gradients = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1))))(kernels, images)
    native = jax.jit(jax.grad(native_loss, argnums=(0, 1)))
    for i in range(3):
        expected_pair = native(kernels[i], images[i])
        for gradient, expected in zip(gradients, expected_pair, strict=True):
            # The cosine of outputs of order 17 carries their rounding errors into the gradients.
            np.testing.assert_allclose(gradient[i], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("kernel", "channels", "features"), [((3, 3), 31, 128), ((2, 2), 256, 63), ((1, 1), 128, 128), ((2, 3), 128, 128)]
)
def test_narrow_and_other_kernels_do_not_use_winograd(kernel, channels, features):
    assert not winograd.is_faster(kernel, channels, features)
