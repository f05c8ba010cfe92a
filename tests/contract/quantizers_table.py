"""Table of all quantizers for the tests of `test_quantizers.py`."""

from __future__ import annotations

from vae_jax import quantizers as q

QUANTIZERS: dict[str, q.Quantizer] = {
    "vector_quantizer": q.vector_quantizer(7, 6),
    "vector_quantizer-rotation": q.vector_quantizer(7, 6, gradient=q.rotation_trick),
    "cosine_vector_quantizer": q.cosine_vector_quantizer(7, 6),
    "ema_vector_quantizer": q.ema_vector_quantizer(7, 6),
    "ema_vector_quantizer-revival": q.ema_vector_quantizer(7, 6, revival=0.5),
    "sim_vector_quantizer": q.sim_vector_quantizer(7, 6),
    "residual_quantizer": q.residual_quantizer(q.ema_vector_quantizer(7, 6), 3),
    "residual_quantizer-vector": q.residual_quantizer(q.vector_quantizer(7, 6), 2),
    "product_quantizer": q.product_quantizer(q.ema_vector_quantizer(7, 3), 2),
    "product_quantizer-residual": q.product_quantizer(q.residual_quantizer(q.vector_quantizer(7, 3), 2), 2),
    "factorized_quantizer": q.factorized_quantizer(q.cosine_vector_quantizer(7, 3), 6),
    "factorized_quantizer-ema": q.factorized_quantizer(q.ema_vector_quantizer(7, 3), 6),
    "factorized_quantizer-lookup_free": q.factorized_quantizer(q.lookup_free_quantizer(4), 6),
    "finite_scalar_quantizer": q.finite_scalar_quantizer((2, 3, 4, 5)),
    "lookup_free_quantizer": q.lookup_free_quantizer(6),
    "binary_spherical_quantizer": q.binary_spherical_quantizer(6, commitment=0.25),
}
