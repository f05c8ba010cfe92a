"""How many floating-point operations a step makes: by the formula, and as XLA counts the compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax

from vae_jax.networks import _winograd as winograd

FORWARD, AND_WEIGHTS, AND_INPUTS = 1, 2, 3


class Product(NamedTuple):
    """`[rows, inner] @ [inner, columns]`: inputs times weights, and the products of its gradients."""

    rows: int
    inner: int
    columns: int
    passes: int = AND_INPUTS  # FORWARD; AND_WEIGHTS: their gradient too; AND_INPUTS: and that of the inputs
    tall: bool = False  # of a convolution, whose weights' gradient is a sum over very many rows

    @property
    def flops(self) -> int:
        """2 rows inner columns for each pass: a multiplication and an addition."""
        return 2 * self.rows * self.inner * self.columns * self.passes


def formula_flops(products: Sequence[Product]) -> int:
    """Of the matrix products alone: densities, noise and the optimizer come on top, a few percent."""
    return sum(product.flops for product in products)


def compiled_flops(function: Callable[..., Any], *arguments: Any) -> float | None:
    """What XLA counts in `function(*arguments)`, compiled; None where the backend does not say.

    The body of a loop counts once, however often it runs: give one step, not an epoch.
    """
    # XLA counts in its own operations: the machine code, which is not run, need not be optimized.
    program = jax.jit(function).lower(*arguments).compile({"xla_backend_optimization_level": "0"})
    analysis = program.cost_analysis()
    return (analysis or {}).get("flops")


def dense_products(batch: int, widths: Sequence[int], first: int = AND_INPUTS) -> list[Product]:
    """Of dense layers between widths, the first with the passes `first`: data needs no gradient."""
    pairs = list(pairwise(widths))
    return [Product(batch, *pair, AND_INPUTS if i else first) for i, pair in enumerate(pairs)]


def conv_product(batch: int, grid: int, kernel: int, inputs: int, outputs: int, passes: int = AND_INPUTS) -> Product:
    """Of a convolution: every place of the smaller of its two square grids meets the whole kernel once.

    Where the CPU's form of it has fewer products (`networks.winograd`), these: (r + 1)^2 for each 2x2 places, a kernel
    being of r x r places, or where the stride is 2 of r x r blocks of 2x2 places.

    Args:
      batch: images.
      grid: height and width of its output; of a transposed convolution, of its input.
      kernel: height and width of the kernel: 4 and 2 have the stride 2, 3 and 1 the stride 1.
      inputs: channels of the larger grid.
      outputs: channels of the smaller grid.
      passes: as of `Product`.
    """
    size, channels = (kernel // 2, 4 * inputs) if kernel % 2 == 0 else (kernel, inputs)
    if jax.default_backend() == "cpu" and winograd.is_faster((size, size), channels, outputs):
        return Product(batch * (-(-grid // 2) * (size + 1)) ** 2, channels, outputs, passes, True)
    return Product(batch * grid * grid, kernel * kernel * inputs, outputs, passes, True)
