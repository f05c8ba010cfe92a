"""StableHLO export of functions, for any program with JAX, on CPU, GPU and TPU."""

from __future__ import annotations

import jax
from jax import export

from vae_jax.export._functions import Function

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(function: Function) -> bytes:
    """Serializes a function of any number N of examples for `jax.export.deserialize`, for CPU, CUDA and TPU.

    Args:
      function: A function made by `functions_of`, which holds the parameters.

    Returns:
      The content of the file. The deserialized function takes an array `[N, ...]` for each input, in order, and returns
      a dict of outputs by name.
    """
    scope = export.SymbolicScope(["N >= 1"])
    (batch,) = export.symbolic_shape("N", scope=scope)
    inputs = [jax.ShapeDtypeStruct((batch, *tensor.shape), tensor.dtype) for tensor in function.inputs]
    return bytes(export.export(jax.jit(function.call), platforms=PLATFORMS)(*inputs).serialize())
