"""Functions as StableHLO, for any program with JAX, on every kind of device."""

from __future__ import annotations

import jax
from jax import export

from vae_jax.export._functions import Function

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(function: Function) -> bytes:
    """What `jax.export.deserialize` reads: the function of any number N of examples, for CPU, CUDA and TPU.

    Args:
      function: of `functions_of`, with the parameters inside.

    Returns:
      The bytes of a file. What is read from it takes an array `[N, ...]` for each input, in order, and returns the
      outputs by their names.
    """
    scope = export.SymbolicScope(["N >= 1"])
    (batch,) = export.symbolic_shape("N", scope=scope)
    inputs = [jax.ShapeDtypeStruct((batch, *tensor.shape), tensor.dtype) for tensor in function.inputs]
    return bytes(export.export(jax.jit(function.call), platforms=PLATFORMS)(*inputs).serialize())
