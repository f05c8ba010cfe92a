"""Small models of every kind that can be exported, with parameters that make no output trivial; cached per process."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from fresh import some_params
from vae_jax import quantizers as q
from vae_jax.export import functions_of
from vae_jax.models import (
    autoencoder,
    code_sizes,
    conv_vae,
    gaussian_vae,
    hierarchical_vae,
    likelihoods,
    masked_prior,
    mlp_vae,
    pixel_cnn_prior,
    posteriors,
    transformer_prior,
    vae,
    vq_vae,
    vq_vae_2,
    with_code_prior,
)
from vae_jax.networks import (
    conv_decoder,
    conv_encoder,
    halved,
    in_precision,
    mlp_decoder,
    mlp_encoder,
    rematerialized,
    residual_decoder,
    residual_encoder,
)

IMAGE_SHAPE = (8, 8, 1)
ODD_SHAPE = (5, 7, 1)
EMA = q.ema_vector_quantizer(7, 4)


def vq(quantizer=EMA, image_shape=IMAGE_SHAPE):
    encoder = residual_encoder(image_shape, 4, (3, 5), num_outputs=1, residual_hidden=3, residual_layers=1)
    decoder = residual_decoder(4, (*image_shape, 1), (3, 5), residual_hidden=3, residual_layers=1)
    return vq_vae(encoder, decoder, quantizer, halved(image_shape, 2))


def with_prior(make):
    model = vq()
    return with_code_prior(model, make(code_sizes(model)))


def chain():
    encoders = mlp_encoder(IMAGE_SHAPE, 6, (8,)), mlp_encoder((3,), 4, (7,))
    return hierarchical_vae(encoders, (mlp_encoder((2,), 6, (7,)),), mlp_decoder(3, (*IMAGE_SHAPE, 1), (8,)), 2)


def in_bfloat16(network):
    return rematerialized(in_precision(network, jnp.bfloat16))


def convolutional(change=lambda network: network):
    """Gaussian VAE with the convolutions of the disentanglement papers, with fewer channels."""
    encoder = conv_encoder(IMAGE_SHAPE, 6, (4, 6), 8)
    return gaussian_vae(change(encoder), change(conv_decoder(3, (*IMAGE_SHAPE, 1), (4, 6), 8)), 3)


def full_covariance():
    posterior = posteriors.full_covariance(3)
    return vae(mlp_encoder(IMAGE_SHAPE, 9, (8,)), mlp_decoder(3, (*IMAGE_SHAPE, 1), (8,)), posterior)


MODELS = {
    **{
        f"mlp-{name}": lambda name=name: mlp_vae(IMAGE_SHAPE, 3, (8,), getattr(likelihoods, name))
        for name in ("bernoulli", "continuous_bernoulli", "logistic", "normal", "laplace", "student_t")
    },
    "conv": convolutional,
    "conv of three channels": lambda: conv_vae((8, 8, 3), 3, (4,), 6, likelihoods.logistic, kernel_sizes=(2,)),
    "autoencoder": lambda: autoencoder(mlp_encoder(IMAGE_SHAPE, 3, (8,)), mlp_decoder(3, (*IMAGE_SHAPE, 1), (8,)), 3),
    "full_covariance": full_covariance,
    "hierarchical": chain,
    "ema": vq,
    "cosine": lambda: vq(q.cosine_vector_quantizer(7, 4)),
    "sim": lambda: vq(q.sim_vector_quantizer(7, 4)),
    "residual": lambda: vq(q.residual_quantizer(EMA, 2)),
    "product": lambda: vq(q.product_quantizer(q.ema_vector_quantizer(7, 2), 2)),
    "finite_scalar": lambda: vq(q.factorized_quantizer(q.finite_scalar_quantizer((5, 3)), 4)),
    "lookup_free": lambda: vq(q.factorized_quantizer(q.lookup_free_quantizer(3, 0.25), 4)),
    "spherical": lambda: vq(q.factorized_quantizer(q.binary_spherical_quantizer(3, 0.25), 4)),
    "vq_vae_2": lambda: vq_vae_2(IMAGE_SHAPE, EMA, q.ema_vector_quantizer(5, 4), (4,), 3, 1),
    "transformer": lambda: with_prior(lambda sizes: transformer_prior(sizes, 4, layers=2, width=8, heads=2)),
    "pixel_cnn": lambda: with_prior(lambda sizes: pixel_cnn_prior(sizes, (2, 2), layers=2, channels=4)),
    "masked": lambda: with_prior(lambda sizes: masked_prior(sizes, 4, layers=1, width=8, heads=2, steps=2)),
    "conv of odd sides": lambda: conv_vae(ODD_SHAPE, 3, (3, 4), 6),
    "ema of odd sides": lambda: vq(image_shape=ODD_SHAPE),
    "bfloat16": lambda: convolutional(in_bfloat16),
}


def shape_of(name):
    if "odd sides" in name:
        return ODD_SHAPE
    return (8, 8, 3) if "three channels" in name else IMAGE_SHAPE


@functools.cache
def made(name):
    """Model of that name, its parameters, and its exported functions."""
    model = MODELS[name]()
    rng = np.random.default_rng(1)
    # Biases and an autoencoder's prior are initialized to zero, which would hide that they are left out.
    moved = lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(leaf.dtype)
    params = jax.tree.map(lambda leaf: moved(leaf) if leaf.dtype == jnp.float32 else leaf, some_params(model))
    return model, params, functions_of(model, params, shape_of(name))


def inputs_of(function, size, seed=0):
    """Batch for each input of a function: pixels and uniform numbers in (0, 1), codes below 3, noise."""
    rng = np.random.default_rng(seed)
    draw = {
        "int32": lambda tensor, shape: rng.integers(0, 3, shape, np.int32),
        "float32": lambda tensor, shape: (
            rng.uniform(size=shape) if tensor.name in ("x", "uniforms") else rng.normal(size=shape)
        ).astype(np.float32),
    }
    return {t.name: draw[t.dtype](t, (size, *t.shape)) for t in function.inputs}
