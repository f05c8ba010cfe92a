"""Table of all models and likelihoods for the tests of `test_models.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from contract.distributions_table import LIKELIHOODS
from vae_jax import quantizers as q
from vae_jax.models import (
    VAE,
    Codes,
    Conditional,
    autoencoder,
    categorical_vae,
    conditional,
    conditional_conv_vae,
    conditional_vae,
    contexts,
    conv_vae,
    gaussian_vae,
    hierarchical_vae,
    mlp_vae,
    posteriors,
    self_masking,
    table_vae,
    transformer_prior,
    vae,
    vq_vae,
    vq_vae_2,
    with_classifier,
    with_code_prior,
    with_codes_fitted,
    with_discriminator,
    with_fitted_prior,
    with_missing,
    with_missing_process,
    with_mixture_prior,
    with_multiplier,
    with_optimal_variance,
    with_vamp_prior,
)
from vae_jax.networks import mlp_decoder, mlp_encoder

IMAGE_SHAPE = (4, 4, 1)
LATENT_DIM = 2


def small_autoencoder() -> VAE:
    return autoencoder(
        mlp_encoder(IMAGE_SHAPE, LATENT_DIM, (8,)), mlp_decoder(LATENT_DIM, (*IMAGE_SHAPE, 1), (8,)), LATENT_DIM
    )


def _gaussian_vae() -> VAE:
    return gaussian_vae(
        mlp_encoder(IMAGE_SHAPE, 2 * LATENT_DIM, (8,), jnp.tanh),
        mlp_decoder(LATENT_DIM, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh),
        LATENT_DIM,
    )


MLP_LAYERS = ("hidden_0", "output")


def _paths(**layers: tuple[str, ...]) -> set[str]:
    return {
        f"{part}/{layer}/{leaf}" for part, names in layers.items() for layer in names for leaf in ("bias", "kernel")
    }


def _hierarchical_vae() -> VAE:
    encoders = mlp_encoder(IMAGE_SHAPE, 6, (8,), jnp.tanh), mlp_encoder((3,), 2 * LATENT_DIM, (7,), jnp.tanh)
    priors = (mlp_encoder((LATENT_DIM,), 6, (7,), jnp.tanh),)
    return hierarchical_vae(encoders, priors, mlp_decoder(3, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh), LATENT_DIM)


def _conditional_hierarchy() -> Conditional:
    encoders = (
        mlp_encoder(IMAGE_SHAPE, 6, (8,), jnp.tanh, context_size=3),
        mlp_encoder((3,), 2 * LATENT_DIM, (7,), jnp.tanh, context_size=3),
    )
    priors = (mlp_encoder((LATENT_DIM,), 6, (7,), jnp.tanh, context_size=3),)
    decoder = mlp_decoder(3, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh)
    return conditional(
        hierarchical_vae(encoders, priors, decoder, LATENT_DIM),
        contexts.labels(3),
        ("encoder_1", "encoder_2", "prior_1"),
    )


def _half_observed(make: Any = with_missing) -> VAE:
    """The VAE of images of which every second pixel is observed."""
    model = gaussian_vae(
        mlp_encoder((4, 4, 2), 2 * LATENT_DIM, (8,), jnp.tanh),
        mlp_decoder(LATENT_DIM, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh),
        LATENT_DIM,
    )
    return make(model).given(jnp.arange(16).reshape(IMAGE_SHAPE) % 2)


# Rows of a table, the first two with values far from the others.
TABLE_ROWS = {
    "continuous": np.array([[30.0, -30.0, 0.0], [-30.0, 30.0, 0.0], [0.5, 0.0, -1.0], [1.0, 2.0, 0.0]], np.float32),
    "positive": np.array([[1e6, 1e-6], [1e-6, 1e6], [1.0, 2.0], [0.5, 0.1]], np.float32),
    "count": np.array([[0], [1e6], [3], [1]], np.float32),
    "binary": np.array([[0, 1], [1, 0], [1, 1], [0, 0]], np.float32),
    "category_5": np.array([[0], [4], [2], [3]], np.int32),
    "ordinal_3": np.array([[0], [2], [1], [1]], np.int32),
}


def _half_observed_row() -> VAE:
    """The VAE of rows of which every second cell of a group is observed."""
    shapes = {name: array.shape[1:] for name, array in TABLE_ROWS.items()}
    return table_vae(shapes, LATENT_DIM, (8,)).given(
        {name: np.arange(*shape) % 2 == 0 for name, shape in shapes.items()}
    )


def small_categorical_vae() -> VAE:
    encoder = mlp_encoder(IMAGE_SHAPE, 6, (8,), jnp.tanh)
    return categorical_vae(encoder, mlp_decoder(6, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh), 2, 3)


def small_vq_vae() -> VAE:
    """VQ-VAE with a grid of 2 x 2 codes of length 3."""
    encoder = mlp_encoder(IMAGE_SHAPE, 12, (8,), jnp.tanh)
    decoder = mlp_decoder(12, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh)
    return vq_vae(encoder, decoder, q.residual_quantizer(q.ema_vector_quantizer(7, 3), 2), (2, 2))


CODEBOOK_PATHS = {
    f"buffers/quantizers/level_1/stage_{i}/{name}" for i in (0, 1) for name in ("codebook", "counts", "sums")
}
RESIDUAL_ENCODER = ("conv_0", "features", "residual/reduce_0", "residual/expand_0", "output")
RESIDUAL_DECODER = ("features", "residual/reduce_0", "residual/expand_0", "output")
CODE_PRIOR = transformer_prior(num_codes=7, length=8, layers=1, width=8, heads=2)


def _paths_of(init: Callable[[jax.Array], Any]) -> set[str]:
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(init, jax.random.key(0)))
    return {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves}


class ModelRow(NamedTuple):
    builder: str  # name in vae_jax.models
    model: VAE
    paths: set[str]  # paths of all parameters, which must not change, so that old checkpoints can be loaded
    z_shape: tuple[Any, ...] = (LATENT_DIM,)  # shape of z, or a shape for each part of z
    standard_prior: bool = True  # whether p(z) = N(0, I)
    any_code: bool = True  # whether p(z) > 0 for every z of real numbers
    examples: Any = None  # four examples; None: four images of bits


MODELS: dict[str, ModelRow] = {
    **{
        f"mlp_vae-{name}": ModelRow(
            "mlp_vae",
            mlp_vae(IMAGE_SHAPE, LATENT_DIM, (8,), likelihood),
            _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS),
        )
        for name, likelihood in LIKELIHOODS.items()
    },
    "mlp_vae-deep": ModelRow(
        "mlp_vae",
        mlp_vae(IMAGE_SHAPE, LATENT_DIM, (8, 6)),
        _paths(encoder=("hidden_0", "hidden_1", "output"), decoder=("hidden_0", "hidden_1", "output")),
    ),
    "conv_vae": ModelRow(
        "conv_vae",
        conv_vae(IMAGE_SHAPE, LATENT_DIM, (2, 3), 5),
        _paths(encoder=("conv_0", "conv_1", "hidden", "output"), decoder=("hidden", "grid", "conv_0", "output")),
    ),
    "gaussian_vae": ModelRow("gaussian_vae", _gaussian_vae(), _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS)),
    "vae-full_covariance": ModelRow(
        "vae",
        vae(
            mlp_encoder(IMAGE_SHAPE, 5, (8,), jnp.tanh),
            mlp_decoder(LATENT_DIM, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh),
            posteriors.full_covariance(LATENT_DIM),
        ),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS),
    ),
    # Conditional models for one context.
    "conditional_vae": ModelRow(
        "conditional_vae",
        conditional_vae(IMAGE_SHAPE, contexts.embedded_labels(3, 4), LATENT_DIM, (8,), prior_hidden=()).given(2),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS, prior=("output",)) | {"context/table"},
        standard_prior=False,
    ),
    "conditional_conv_vae": ModelRow(
        "conditional_conv_vae",
        conditional_conv_vae(IMAGE_SHAPE, contexts.vector(3), LATENT_DIM, (2, 3), 5).given(jnp.array([0.5, -1.0, 2.0])),
        _paths(
            encoder=("conv_0", "conv_0_context", "conv_1", "conv_1_context", "hidden", "output"),
            decoder=("hidden", "grid", "grid_context", "conv_0", "conv_0_context", "output"),
        ),
    ),
    "conditional": ModelRow(
        "conditional",
        _conditional_hierarchy().given(1),
        _paths(encoder_1=MLP_LAYERS, encoder_2=MLP_LAYERS, prior_1=MLP_LAYERS, decoder=MLP_LAYERS),
        z_shape=((3,), (LATENT_DIM,)),
        standard_prior=False,
    ),
    "autoencoder": ModelRow(
        "autoencoder",
        small_autoencoder(),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | {"buffers/prior_mean", "buffers/prior_log_variance"},
    ),
    "hierarchical_vae": ModelRow(
        "hierarchical_vae",
        _hierarchical_vae(),
        _paths(encoder_1=MLP_LAYERS, encoder_2=MLP_LAYERS, prior_1=MLP_LAYERS, decoder=MLP_LAYERS),
        z_shape=((3,), (LATENT_DIM,)),
        standard_prior=False,
    ),
    "with_fitted_prior": ModelRow(
        "with_fitted_prior",
        with_fitted_prior(_gaussian_vae(), LATENT_DIM),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | {"buffers/prior_mean", "buffers/prior_log_variance"},
    ),
    "with_missing": ModelRow(
        "with_missing",
        _half_observed(),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS),
    ),
    "with_missing_process": ModelRow(
        "with_missing_process",
        _half_observed(lambda model: with_missing_process(model, self_masking(IMAGE_SHAPE))),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | {"missing/bias", "missing/weight"},
        z_shape=((LATENT_DIM,), IMAGE_SHAPE),
        any_code=False,
        standard_prior=False,
    ),
    "table_vae": ModelRow(
        "table_vae", _half_observed_row(), _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS), examples=TABLE_ROWS
    ),
    "with_mixture_prior": ModelRow(
        "with_mixture_prior",
        with_mixture_prior(_gaussian_vae(), LATENT_DIM, 5),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | {"prior/logits", "prior/mean", "prior/log_variance"},
        standard_prior=False,
    ),
    "with_vamp_prior": ModelRow(
        "with_vamp_prior",
        with_vamp_prior(_gaussian_vae(), 5, IMAGE_SHAPE),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | {"prior/pseudo_inputs"},
        standard_prior=False,
    ),
    "with_discriminator": ModelRow(
        "with_discriminator",
        with_discriminator(_gaussian_vae(), mlp_encoder((LATENT_DIM,), 1, (7,))),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS, discriminator=MLP_LAYERS),
    ),
    "with_multiplier": ModelRow(
        "with_multiplier",
        with_multiplier(_gaussian_vae()),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS)
        | {f"buffers/constraint/{leaf}" for leaf in ("log_multiplier", "average", "updates")},
    ),
    "with_optimal_variance": ModelRow(
        "with_optimal_variance",
        with_optimal_variance(_gaussian_vae()),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS)
        | {f"buffers/optimal_variance/{leaf}" for leaf in ("variance", "updates")},
    ),
    "with_classifier": ModelRow(
        "with_classifier",
        with_classifier(
            conditional_vae(IMAGE_SHAPE, contexts.labels(3), LATENT_DIM, (8,)), mlp_encoder(IMAGE_SHAPE, 3, (7,))
        ).given(1),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS, classifier=MLP_LAYERS),
    ),
    "categorical_vae": ModelRow(
        "categorical_vae",
        small_categorical_vae(),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS),
        z_shape=(2, 3),
        standard_prior=False,
        any_code=False,
    ),
    "vq_vae": ModelRow(
        "vq_vae",
        small_vq_vae(),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | CODEBOOK_PATHS,
        z_shape=(Codes((2, 2, 2), (2, 2, 3)),),
        standard_prior=False,
    ),
    "vq_vae_2": ModelRow(
        "vq_vae_2",
        vq_vae_2(IMAGE_SHAPE, q.vector_quantizer(7, 3), q.cosine_vector_quantizer(5, 2), (4,), 2, 1),
        _paths(
            features=RESIDUAL_ENCODER,
            top_encoder=RESIDUAL_ENCODER,
            top_decoder=RESIDUAL_DECODER,
            bottom_encoder=("output",),
            upsample=RESIDUAL_DECODER,
            decoder=RESIDUAL_DECODER,
        )
        | {f"quantizers/level_{i}/codebook" for i in (1, 2)},
        z_shape=(Codes((2, 2, 1), (2, 2, 3)), Codes((1, 1, 1), (1, 1, 2))),
        standard_prior=False,
    ),
    "with_codes_fitted": ModelRow(
        "with_codes_fitted",
        with_codes_fitted(small_vq_vae(), jnp.linspace(0.0, 1.0, 48).reshape(3, *IMAGE_SHAPE)),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | CODEBOOK_PATHS,
        z_shape=(Codes((2, 2, 2), (2, 2, 3)),),
        standard_prior=False,
    ),
    "with_code_prior": ModelRow(
        "with_code_prior",
        with_code_prior(small_vq_vae(), CODE_PRIOR),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS)
        | CODEBOOK_PATHS
        | {f"prior/{path}" for path in _paths_of(CODE_PRIOR.init)},
        z_shape=(Codes((2, 2, 2), (2, 2, 3)),),
        standard_prior=False,
    ),
}
