"""Reference layers by XLA's convolutions."""

import jax
import numpy as np

LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolution(x, layer, stride=1):
    """Convolution with padding SAME: 1 for 4x4 kernels of stride 2 and 3x3 of stride 1, 0 for 2x2 of stride 2."""
    image = jax.lax.conv_general_dilated(x[None], layer["kernel"], (stride, stride), "SAME", dimension_numbers=LAYOUT)
    return image[0] + layer["bias"][None, None]


def transposed_convolution(x, layer):
    image = jax.lax.conv_transpose(
        x[None], layer["kernel"], (2, 2), "SAME", dimension_numbers=LAYOUT, transpose_kernel=True
    )
    return image[0] + layer["bias"][None, None]


def residual_layers(x, layers, number):
    for i in range(number):
        h = jax.nn.relu(convolution(jax.nn.relu(x), layers[f"reduce_{i}"]))
        x = x + convolution(h, layers[f"expand_{i}"])
    return jax.nn.relu(x)


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def perturbed(params):
    """Parameters with non-zero biases, so that a missing bias is detected."""
    return jax.tree.map(
        lambda p: np.asarray(p) + 0.05 * np.cos(np.arange(p.size, dtype=p.dtype)).reshape(p.shape), params
    )
