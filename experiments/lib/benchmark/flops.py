"""Floating-point operations of a step: by the formula, and as XLA counts them in the compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax

from vae_jax.networks import _winograd as winograd

FORWARD, AND_WEIGHTS, AND_INPUTS = 1, 2, 3


class Product(NamedTuple):
    """Matrix product `[rows, inner] @ [inner, columns]` of inputs and weights, and the products of its gradients."""

    rows: int
    inner: int
    columns: int
    passes: int = AND_INPUTS  # FORWARD; AND_WEIGHTS: with the weights' gradient; AND_INPUTS: with the inputs' too
    tall: bool = False  # True for a convolution, whose weights' gradient is a sum over very many rows

    @property
    def flops(self) -> int:
        """Operations of all passes: 2 rows inner columns each, a multiplication and an addition per term."""
        return 2 * self.rows * self.inner * self.columns * self.passes


def formula_flops(products: Sequence[Product]) -> int:
    """Operations of the matrix products alone; densities, noise and the optimizer add a few percent."""
    return sum(product.flops for product in products)


def compiled_flops(function: Callable[..., Any], *arguments: Any) -> float | None:
    """Operations that XLA counts in the compiled `function(*arguments)`; None if the backend has no count.

    The body of a loop counts once, however often it runs: give one step, not an epoch.
    """
    # XLA counts its own operations: the machine code is not run and need not be optimized.
    program = jax.jit(function).lower(*arguments).compile({"xla_backend_optimization_level": "0"})
    analysis = program.cost_analysis()
    return (analysis or {}).get("flops")


def dense_products(batch: int, widths: Sequence[int], first: int = AND_INPUTS) -> list[Product]:
    """Products of dense layers between widths; `first` are the passes of the first layer, as data needs no gradient."""
    pairs = list(pairwise(widths))
    return [Product(batch, *pair, AND_INPUTS if i else first) for i, pair in enumerate(pairs)]


def conv_product(batch: int, grid: int, kernel: int, inputs: int, outputs: int, passes: int = AND_INPUTS) -> Product:
    """Product of a convolution: every place of the smaller of its two square grids meets the whole kernel once.

    If the CPU's form of the convolution has fewer products (`networks._winograd`), the product of that form: (r + 1)^2
    products for each 2x2 places, for a kernel of r x r places or, with stride 2, of r x r blocks of 2x2 places.

    Args:
      batch: number of images.
      grid: height and width of its output, or of the input for a transposed convolution.
      kernel: height and width of the kernel: 4 and 2 have stride 2, 3 and 1 have stride 1.
      inputs: channels of the larger grid.
      outputs: channels of the smaller grid.
      passes: passes, as in `Product`.
    """
    size, channels = (kernel // 2, 4 * inputs) if kernel % 2 == 0 else (kernel, inputs)
    if jax.default_backend() == "cpu" and winograd.is_faster((size, size), channels, outputs):
        return Product(batch * (-(-grid // 2) * (size + 1)) ** 2, channels, outputs, passes, True)
    return Product(batch * grid * grid, kernel * kernel * inputs, outputs, passes, True)
