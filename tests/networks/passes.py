import jax.numpy as jnp
import numpy as np


def operands(geometry, channels, features, pass_):
    """Two arrays of noise for one pass of a convolution of two images."""
    rng = np.random.default_rng(0)
    x, kernel, y = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in (
            (2, *geometry.image, channels),
            (*geometry.kernel, channels, features),
            (2, *geometry.output, features),
        )
    )
    return {"output": (x, kernel), "image": (y, kernel), "kernel": (x, y)}[pass_]
