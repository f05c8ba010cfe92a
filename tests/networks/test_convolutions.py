import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.networks._convolutions import Conv, ConvTranspose, convolution, padding_of, transposed_convolution

# Kernel size, stride and padding of every layer that the networks can have, and one more (the last).
LAYERS = [(4, 2, 1), (2, 2, 0), (6, 2, 2), (3, 1, 1), (1, 1, 0), (3, 2, 0)]
# Height and width of the larger image, its channels C and the features O of the smaller one.
SIZES = [(5, 7, 3, 2), *(pytest.param(*s, marks=pytest.mark.slow) for s in ((4, 8, 1, 8), (6, 10, 4, 3), (7, 8, 2, 1)))]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def native_convolution(x, kernel, stride, padding):
    """Convolution of one image by XLA."""
    pads = ((padding, padding),) * 2
    return jax.lax.conv_general_dilated(x[None], kernel, (stride, stride), pads, dimension_numbers=LAYOUT)[0]


def native_transposed_convolution(y, kernel, stride, padding):
    """Adjoint of `native_convolution` in its image, by reverse-mode differentiation."""
    height, width = (stride * (n - 1) + k - 2 * padding for n, k in zip(y.shape, kernel.shape[:2], strict=False))
    image = jnp.zeros((height, width, kernel.shape[2]))
    return jax.vjp(lambda x: native_convolution(x, kernel, stride, padding), image)[1](y)[0]


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def assert_close(actual, expected):
    """Asserts equality up to 1e-5 of the largest entry: errors of float32 sums scale with the terms, not the result."""
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-5 * np.abs(e).max())


def assert_same_values_and_gradients(function, reference, operands, kernel, stride, padding):
    """Compares values and all gradients for a batch, mapped over one image at a time."""

    def mapped(f):
        return lambda xs, kernel: jax.vmap(lambda x: f(x, kernel, stride, padding))(xs)

    (cotangent,) = draw(jax.eval_shape(mapped(reference), operands, kernel).shape)

    @jax.jit
    def value_and_gradients(operands, kernel):
        pairs = [jax.vjp(mapped(f), operands, kernel) for f in (function, reference)]
        return [(output, pull_back(cotangent)) for output, pull_back in pairs]

    assert_close(*value_and_gradients(operands, kernel))


@pytest.mark.parametrize(("height", "width", "channels", "features"), SIZES)
@pytest.mark.parametrize(("size", "stride", "padding"), LAYERS)
def test_a_convolution_agrees_with_xla_in_value_and_gradients(size, stride, padding, height, width, channels, features):
    xs, kernel = draw((3, height, width, channels), (size, size, channels, features))
    assert_same_values_and_gradients(convolution, native_convolution, xs, kernel, stride, padding)


@pytest.mark.parametrize(("height", "width", "channels", "features"), SIZES)
@pytest.mark.parametrize(("size", "stride", "padding"), LAYERS)
def test_a_transposed_convolution_is_the_adjoint_in_value_and_gradients(
    size, stride, padding, height, width, channels, features
):
    ys, kernel = draw((3, height // stride, width // stride, features), (size, size, channels, features))
    # The reference is itself a pull-back: <y, conv(x)> = <adjoint(y), x> for every x.
    reference = native_transposed_convolution
    assert_same_values_and_gradients(transposed_convolution, reference, ys, kernel, stride, padding)


def test_a_kernel_with_a_single_one_shifts_and_subsamples_the_image():
    # kernel[r, c] reads the pixel (2 i + r - 1, 2 j + c - 1), without flipping and with a padding of 1.
    x = jnp.arange(1.0, 17.0).reshape(4, 4, 1)
    kernel = jnp.zeros((4, 4, 1, 1)).at[1, 2, 0, 0].set(1.0)
    np.testing.assert_array_equal(convolution(x, kernel, 2, 1)[..., 0], [[2.0, 4.0], [10.0, 12.0]])
    kernel = jnp.zeros((4, 4, 1, 1)).at[0, 3, 0, 0].set(1.0)
    np.testing.assert_array_equal(convolution(x, kernel, 2, 1)[..., 0], [[0.0, 0.0], [7.0, 0.0]])


TRANSFORMED = [(convolution, (4, 6, 3)), (transposed_convolution, (3, 2, 5))]


@pytest.mark.slow
@pytest.mark.parametrize(("function", "shape"), TRANSFORMED)
def test_vmap_and_grad_agree_with_loops_in_any_order(function, shape):
    # Two models (kernels) and three images; the reference takes one image and one kernel at a time.
    images, kernels = draw((2, 3, *shape), (2, 4, 4, 3, 5))

    def loss(kernel, x):
        return jnp.sum(jnp.sin(function(x, kernel, 2, 1)))

    single = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    loops = [[single(k, x) for x in xs] for k, xs in zip(kernels, images, strict=True)]
    values, (kernel_gradients, image_gradients) = jax.tree.map(
        lambda *leaves: np.stack(leaves).reshape(2, 3, *leaves[0].shape), *[pair for row in loops for pair in row]
    )

    def batch_loss(kernel, xs):
        return jnp.sum(jax.vmap(loss, (None, 0))(kernel, xs))

    # vmap of grad: a gradient for each image, as in HMC and per-example gradients.
    per_image = jax.vmap(jax.value_and_grad(loss, argnums=(0, 1)), (None, 0))
    assert_close(jax.jit(per_image)(kernels[0], images[0]), (values[0], (kernel_gradients[0], image_gradients[0])))
    # grad of vmap: the gradient of the batch.
    expected = values[0].sum(), (kernel_gradients[0].sum(0), image_gradients[0])
    assert_close(jax.value_and_grad(batch_loss, argnums=(0, 1))(kernels[0], images[0]), expected)
    # Ensembles: models mapped over batches, with separate images for each kernel, and with shared images.
    ensemble = jax.jit(jax.vmap(jax.value_and_grad(batch_loss, argnums=(0, 1))))
    expected = values.sum(1), (kernel_gradients.sum(1), image_gradients)
    assert_close(ensemble(kernels, images), expected)
    shared = jax.vmap(jax.grad(batch_loss), (0, None))(kernels, images[1])
    assert_close(shared[1], kernel_gradients[1].sum(0))


@pytest.mark.parametrize(("function", "shape"), TRANSFORMED)
def test_forward_mode_is_the_product_rule_and_second_derivatives_are_symmetric(function, shape):
    x, kernel, x_tangent, kernel_tangent = draw(shape, (4, 4, 3, 5), shape, (4, 4, 3, 5))

    def loss(x, kernel):
        return jnp.sum(jnp.sin(function(x, kernel, 2, 1)))

    @jax.jit
    def derivatives(x, kernel, x_tangent, kernel_tangent):
        _, tangent = jax.jvp(lambda x, k: function(x, k, 2, 1), (x, kernel), (x_tangent, kernel_tangent))
        products = function(x_tangent, kernel, 2, 1) + function(x, kernel_tangent, 2, 1)
        # Products with the Hessian H by forward over reverse mode.
        _, along_x = jax.jvp(lambda x: jax.grad(loss, 1)(x, kernel), (x,), (x_tangent,))
        _, along_kernel = jax.jvp(lambda k: jax.grad(loss, 0)(x, k), (kernel,), (kernel_tangent,))
        return tangent, products, along_x, along_kernel

    tangent, products, along_x, along_kernel = derivatives(x, kernel, x_tangent, kernel_tangent)
    assert_close(tangent, products)
    # v H u = u H v for directions u and v in the two operands.
    np.testing.assert_allclose(jnp.vdot(along_x, kernel_tangent), jnp.vdot(along_kernel, x_tangent), rtol=1e-4)


@pytest.mark.parametrize(("function", "shape"), TRANSFORMED)
def test_bfloat16_is_summed_in_float32_and_rounded_once(function, shape):
    x, kernel = (a.astype(jnp.bfloat16) for a in draw(shape, (4, 4, 3, 5)))
    exact, pull_back = jax.vjp(lambda x, k: function(x, k, 2, 1), x.astype(jnp.float32), kernel.astype(jnp.float32))
    rounded, rounded_pull_back = jax.vjp(lambda x, k: function(x, k, 2, 1), x, kernel)
    pairs = zip((rounded, *rounded_pull_back(rounded)), (exact, *pull_back(rounded.astype(jnp.float32))), strict=True)
    for actual, expected in pairs:
        assert actual.dtype == jnp.bfloat16
        # The tolerance is half a unit in the last of 8 bits.
        np.testing.assert_allclose(actual.astype(jnp.float32), expected, rtol=2**-8, atol=1e-5 * np.abs(expected).max())


def test_a_kernel_for_another_number_of_channels_is_refused():
    with pytest.raises(AssertionError):
        convolution(jnp.zeros((4, 4, 3)), jnp.zeros((4, 4, 1, 2)), 2, 1)
    with pytest.raises(AssertionError):
        transposed_convolution(jnp.zeros((2, 2, 3)), jnp.zeros((4, 4, 1, 2)), 2, 1)


@pytest.mark.parametrize(
    ("function", "size", "kernel", "stride", "padding", "message"),
    [
        (convolution, (4, 4), (4, 4), 0, 1, "stride must be at least 1 and padding at least 0, got 0 and 1"),
        (convolution, (4, 4), (4, 4), 1, -1, "got 1 and -1"),
        (convolution, (2, 5), (4, 4), 2, 0, "kernel of 4 x 4 must fit .* image of 2 x 5 with a padding of 0"),
        (convolution, (5, 2), (1, 7), 1, 1, "kernel of 1 x 7 must fit .* image of 5 x 2 with a padding of 1"),
        (transposed_convolution, (1, 1), (2, 2), 1, 3, "image of -4 x -4 with a padding of 3"),
    ],
)
def test_sizes_without_an_output_are_refused(function, size, kernel, stride, padding, message):
    with pytest.raises(ValueError, match=message):
        function(jnp.zeros((*size, 2)), jnp.zeros((*kernel, 2, 2)), stride, padding)


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (1, 2), (2, 1), (0, 2)])
def test_a_kernel_size_that_does_not_divide_the_image_by_the_stride_is_refused(size, stride):
    with pytest.raises(ValueError, match=f"kernel size of a layer of stride {stride} must be .*, got {size}"):
        padding_of(size, stride)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [Conv, ConvTranspose])
@pytest.mark.parametrize(("size", "stride"), [(4, 2), (2, 2), (3, 1)])
def test_a_fresh_layer_keeps_the_variance_of_its_input(layer, size, stride):
    (x,) = draw((24, 24, 32))
    outputs, _ = jax.jit(layer(64, size, stride).init_with_output)(jax.random.key(1), x)
    inside = outputs[1:-1, 1:-1]  # outputs at the border have padding among their inputs
    # The squared norm of a kernel of at least 32 weights varies by 25% between the 64 features, its mean by 3%.
    np.testing.assert_allclose(jnp.var(inside), 1.0, atol=0.1)
