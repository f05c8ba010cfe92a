import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.networks.strided_convolutions import (
    DoublingConv,
    HalvingConv,
    depth_to_space,
    space_to_depth,
    strided_convolution,
    transposed_strided_convolution,
)

# Height and width of the larger image, its channels C and the features O of the smaller one.
SIZES = [(2, 2, 1, 1), (8, 8, 3, 1), (6, 10, 2, 5), (28, 28, 1, 8)]


def native_convolution(x, kernel):
    """XLA's own: kernel 4, stride 2, padding 1, of one image."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x[None], kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=layout)[0]


def native_transposed_convolution(y, kernel):
    """The adjoint of `native_convolution` in its image, as reverse-mode differentiation has it."""
    height, width, _ = y.shape
    image = jnp.zeros((2 * height, 2 * width, kernel.shape[2]))
    return jax.vjp(lambda x: native_convolution(x, kernel), image)[1](y)[0]


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def assert_same_values_and_gradients(function, reference, operand, kernel):
    (cotangent,) = draw(jax.eval_shape(reference, operand, kernel).shape)

    @jax.jit
    def value_and_gradients(operand, kernel):
        pairs = [jax.vjp(f, operand, kernel) for f in (function, reference)]
        return [(output, pull_back(cotangent)) for output, pull_back in pairs]

    (output, gradients), (expected, expected_gradients) = value_and_gradients(operand, kernel)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        # Sums of up to 784 float32 products of order 1: their size, not each entry's, sets the rounding error.
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-5 * np.abs(expected_gradient).max())


@pytest.mark.parametrize(("height", "width", "channels", "features"), SIZES)
def test_strided_convolution_is_xlas_in_value_and_gradients(height, width, channels, features):
    x, kernel = draw((height, width, channels), (4, 4, channels, features))
    assert_same_values_and_gradients(strided_convolution, native_convolution, x, kernel)


@pytest.mark.parametrize(("height", "width", "channels", "features"), SIZES)
def test_transposed_convolution_is_the_adjoint_of_xlas_in_value_and_gradients(height, width, channels, features):
    y, kernel = draw((height // 2, width // 2, features), (4, 4, channels, features))
    # The reference is itself a pull-back: <y, conv(x)> = <adjoint(y), x> for every x.
    assert_same_values_and_gradients(transposed_strided_convolution, native_transposed_convolution, y, kernel)


def test_a_kernel_of_one_at_one_place_shifts_and_thins_the_image():
    # kernel[r, c] reads the pixel (2 i + r - 1, 2 j + c - 1): not flipped, padded by 1.
    x = jnp.arange(1.0, 17.0).reshape(4, 4, 1)
    kernel = jnp.zeros((4, 4, 1, 1)).at[1, 2, 0, 0].set(1.0)
    np.testing.assert_array_equal(strided_convolution(x, kernel)[..., 0], [[2.0, 4.0], [10.0, 12.0]])
    kernel = jnp.zeros((4, 4, 1, 1)).at[0, 3, 0, 0].set(1.0)
    np.testing.assert_array_equal(strided_convolution(x, kernel)[..., 0], [[0.0, 0.0], [7.0, 0.0]])


def test_space_to_depth_lays_each_block_out_by_row_column_channel_and_is_undone_by_depth_to_space():
    x = jnp.arange(4 * 6 * 3.0).reshape(4, 6, 3)
    blocks = space_to_depth(x)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(blocks[i, j], x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].ravel())
    np.testing.assert_array_equal(depth_to_space(blocks), x)
    np.testing.assert_array_equal(space_to_depth(depth_to_space(blocks)), blocks)


def test_a_kernel_for_another_number_of_channels_is_refused():
    with pytest.raises(AssertionError):
        strided_convolution(jnp.zeros((4, 4, 3)), jnp.zeros((4, 4, 1, 2)))
    with pytest.raises(AssertionError):
        transposed_strided_convolution(jnp.zeros((2, 2, 3)), jnp.zeros((4, 4, 1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("layer", [HalvingConv(64), DoublingConv(64)], ids=["halving", "doubling"])
def test_a_fresh_layer_keeps_the_variance_of_its_input(layer):
    (x,) = draw((24, 24, 32))
    outputs, _ = jax.jit(layer.init_with_output)(jax.random.key(1), x)
    inside = outputs[1:-1, 1:-1]  # at the border some of the inputs are padding
    # The squared norm of a kernel of at least 128 weights varies by 12% between the 64 features, by 1.5% on average.
    np.testing.assert_allclose(jnp.var(inside), 1.0, atol=0.06)
