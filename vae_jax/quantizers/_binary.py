"""Binary codes: lookup-free quantization to the corners of a cube, and binary spherical quantization on a sphere."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions._checks import check_count, check_number
from vae_jax.params import Params
from vae_jax.quantizers._bit_entropy import batch_bit_entropies, check_bits
from vae_jax.quantizers._gradients import straight_through
from vae_jax.quantizers._nearest import unit_vector
from vae_jax.quantizers._quantizer import Quantized, Quantizer


def lookup_free_quantizer(
    dim: int,
    commitment: float = 0.25,
    entropy_weight: float = 0.1,
    diversity: float = 1.0,
    temperature: float = 0.01,
    group: int | None = None,
) -> Quantizer:
    """value = sign(z), in {-1, 1}^D, K = 2^D; loss = commitment |z - sg(value)|^2, plus an entropy loss of the batch.

    The batch loss is entropy_weight (E[H(p(c | z))] - diversity H(E[p(c | z)])) in nats, where E is the mean over the
    batch and p(c | z) the softmax of -|z - c|^2 / temperature over all codes. It favors confident codes, and the use of
    all codes. Bit i of the index is set if z_i > 0.

    Args:
      dim: D, at most 30.
      commitment: weight of the commitment loss.
      entropy_weight: weight of the batch loss.
      diversity: gamma of the paper.
      temperature: temperature of p(c | z).
      group: number of bits over whose joint codes H(E[p]) is computed; see `batch_bit_entropies`. Default: the largest
        divisor of D that is at most 10.

    Raises:
      ValueError: if an argument is out of its range.

    Source: Yu et al. 2024 (arXiv:2310.05737), section 3.1.
    """
    # |z - c|^2 = |z|^2 + D - 2 c z, so that the bits are independent Bernoullis with logits 4 z_i / temperature.
    slope = 4.0 / _checked_temperature(temperature)
    return _binary(dim, 1.0, lambda z: z, slope, commitment, entropy_weight, diversity, _group(dim, group))


def binary_spherical_quantizer(
    dim: int,
    commitment: float = 0.0,
    entropy_weight: float = 0.1,
    diversity: float = 1.0,
    temperature: float = 0.01,
    group: int = 1,
) -> Quantizer:
    """value = sign(u) / sqrt(D) for u = z / |z|, K = 2^D: u and its code lie on the unit sphere, at a bounded distance.

    The batch loss is that of `lookup_free_quantizer`, with p(c | u) the softmax of c u / temperature over all codes.

    Args:
      dim: D, at most 30.
      commitment: weight of |u - sg(value)|^2, which is bounded even without this loss.
      entropy_weight: weight of the batch loss.
      diversity: gamma of the paper.
      temperature: 1 / tau of the paper.
      group: see `batch_bit_entropies`; 1 gives the paper's bound.

    Raises:
      ValueError: if an argument is out of its range.

    Source: Zhao et al. 2024 (arXiv:2406.07548), section 3 and eq. 9 to 13.
    """
    scale = float(dim) ** -0.5 if dim > 0 else 1.0
    # The two values +-scale of a bit change c u by 2 scale u_i.
    slope = 2.0 * scale / _checked_temperature(temperature)
    return _binary(dim, scale, unit_vector, slope, commitment, entropy_weight, diversity, _group(dim, group))


def _binary(
    dim: int,
    scale: float,
    project: Callable[[jax.Array], jax.Array],
    slope: float,
    commitment: float,
    entropy_weight: float,
    diversity: float,
    group: int,
) -> Quantizer:
    for name, value in (("commitment", commitment), ("entropy_weight", entropy_weight), ("diversity", diversity)):
        check_number(name, value, 0.0)
    bits = np.left_shift(1, np.arange(dim)).astype(np.int32)

    def quantize(params: Params, z: jax.Array) -> Quantized:
        chex.assert_shape(z, (dim,))
        z = project(z.astype(jnp.float32))
        on = z > 0
        code = jnp.where(on, scale, -scale)
        loss = commitment * jnp.sum(jnp.square(z - code))
        return Quantized(straight_through(z, code), jnp.sum(jnp.where(on, bits, 0), keepdims=True), loss)

    def lookup(params: Params, indices: jax.Array) -> jax.Array:
        chex.assert_shape(indices, (1,))
        value = jnp.where(indices & bits, scale, -scale)
        return jnp.where((indices >= 0) & (indices < 2**dim), value, jnp.nan)

    def batch_loss(params: Params, zs: jax.Array) -> jax.Array:
        if not entropy_weight:
            return jnp.zeros(())
        mean_entropy, entropy_of_mean = batch_bit_entropies(slope * project(zs.astype(jnp.float32)), group)
        return entropy_weight * (mean_entropy - diversity * entropy_of_mean)

    return Quantizer(lambda key: {}, quantize, lookup, dim, (2**dim,), batch_loss)


def _group(dim: int, group: int | None) -> int:
    check_count("dim", dim, least=0)
    check_bits(dim, 1)
    if group is None:
        group = max(size for size in range(1, min(dim, 10) + 1) if dim % size == 0)
    check_bits(dim, group)
    return group


def _checked_temperature(temperature: float) -> float:
    check_number("temperature", temperature, 0.0, above=True)
    return temperature
