"""Table of all objectives for the tests of `test_objectives.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from contract.models_table import IMAGE_SHAPE, LATENT_DIM, small_autoencoder, small_categorical_vae, small_vq_vae
from fresh import init, some_params
from objectives.linear_gaussian import exact_params, linear_gaussian
from vae_jax import objectives as o
from vae_jax.models import (
    Example,
    conditional_vae,
    contexts,
    mlp_vae,
    with_classifier,
    with_discriminator,
    with_multiplier,
    with_optimal_variance,
)
from vae_jax.models._model import Model
from vae_jax.networks import mlp_encoder


def noiseless(params: Any) -> Any:
    """Parameters of an mlp_vae with all posterior log-variances at -30: z is the posterior mean to float precision."""
    output = params["encoder"]["output"]
    quiet = {
        "kernel": output["kernel"].at[:, LATENT_DIM:].set(0.0),
        "bias": output["bias"].at[LATENT_DIM:].set(-30.0),
    }
    return {**params, "encoder": {**params["encoder"], "output": quiet}}


def deterministic(params: Any) -> Any:
    """Parameters of a categorical_vae with logits so far apart that the noise of a draw has no effect."""
    output = params["encoder"]["output"]
    return {**params, "encoder": {**params["encoder"], "output": jax.tree.map(lambda leaf: 1e4 * leaf, output)}}


VAE_MODEL = mlp_vae(IMAGE_SHAPE, LATENT_DIM, (8,))
VAE_PARAMS = some_params(VAE_MODEL)
IMAGES = (np.random.default_rng(0).random((4, *IMAGE_SHAPE)) < 0.5).astype(np.float32)

LINEAR_MODEL = linear_gaussian()
LINEAR_EXAMPLES = np.random.default_rng(1).normal(0, 1.5, (4, 4)).astype(np.float32)

AUTOENCODER = small_autoencoder()
AUTOENCODER_PARAMS = some_params(AUTOENCODER)
CODE_MODEL = small_vq_vae()
CATEGORICAL_MODEL = small_categorical_vae()


class Problem(NamedTuple):
    model: Model
    params: Any
    batch: Any  # batch of four different examples


class ObjectiveRow(NamedTuple):
    name: str  # name in vae_jax.objectives
    objective: o.Objective
    problem: Problem  # an ordinary problem
    noiseless: Problem  # a problem where the loss of an example does not depend on the key
    has_elbo: bool
    updates_buffers: bool = False
    needs_batch: str = ""  # reason if the loss is not the mean of the losses of the examples
    needs_size: str = ""  # reason if the loss also depends on the number of examples, or has noise of the whole batch


NOISY = Problem(VAE_MODEL, VAE_PARAMS, IMAGES)
NOISELESS = Problem(VAE_MODEL, noiseless(VAE_PARAMS), IMAGES)
# For the exact posterior, log p(x, z) - log q(z | x) = log p(x) at every z, although log q is noisy.
EXACT = Problem(LINEAR_MODEL, exact_params(), LINEAR_EXAMPLES)
CODES = Problem(AUTOENCODER, AUTOENCODER_PARAMS, IMAGES)
VQ_CODES = Problem(CODE_MODEL, init(CODE_MODEL, jax.random.key(0)), IMAGES)
CATEGORICAL_PARAMS = init(CATEGORICAL_MODEL, jax.random.key(0))
CATEGORIES = Problem(CATEGORICAL_MODEL, CATEGORICAL_PARAMS, IMAGES)
NOISELESS_CATEGORIES = Problem(CATEGORICAL_MODEL, deterministic(CATEGORICAL_PARAMS), IMAGES)

PAIRS = np.stack([IMAGES, IMAGES[::-1]], axis=1)
DISCRIMINATOR = mlp_encoder((LATENT_DIM,), 1, (8,))
DISCRIMINATED = with_discriminator(VAE_MODEL, DISCRIMINATOR)

CLASSIFIER = mlp_encoder(IMAGE_SHAPE, 3, (8,))
CLASSIFIED = with_classifier(conditional_vae(IMAGE_SHAPE, contexts.labels(3), LATENT_DIM, (8,)), CLASSIFIER)
CLASSIFIED_PARAMS = some_params(CLASSIFIED)
FEW_LABELS = Example(IMAGES, np.array([-1, 2, 0, -1], np.int32))


VARIANCE_MODEL, MULTIPLIED = with_optimal_variance(VAE_MODEL), with_multiplier(VAE_MODEL)


def buffered(model: Model, params: Any) -> Any:
    return {**params, "buffers": init(model, jax.random.key(0))["buffers"]}


def discriminated(params: Any) -> Any:
    return {**params, "discriminator": some_params(DISCRIMINATOR)}


OBJECTIVES: dict[str, ObjectiveRow] = {
    "negative_elbo": ObjectiveRow("negative_elbo", o.negative_elbo, NOISY, NOISELESS, has_elbo=True),
    "negative_sampled_elbo": ObjectiveRow(
        "negative_sampled_elbo", o.negative_sampled_elbo, NOISY, EXACT, has_elbo=True
    ),
    "beta_vae_loss(4.0)": ObjectiveRow("beta_vae_loss", o.beta_vae_loss(4.0), NOISY, NOISELESS, has_elbo=True),
    "beta_vae_loss(0.0)": ObjectiveRow("beta_vae_loss", o.beta_vae_loss(0.0), NOISY, NOISELESS, has_elbo=True),
    "sampled_beta_vae_loss(1.0)": ObjectiveRow(
        "sampled_beta_vae_loss", o.sampled_beta_vae_loss(1.0), NOISY, EXACT, has_elbo=True
    ),
    "stl_beta_vae_loss(1.0)": ObjectiveRow("stl_beta_vae_loss", o.stl_beta_vae_loss(1.0), NOISY, EXACT, has_elbo=True),
    "capacity_loss(5.0, 2.0)": ObjectiveRow(
        "capacity_loss", o.capacity_loss(5.0, 2.0), NOISY, NOISELESS, has_elbo=True
    ),
    "free_bits_loss(0.1)": ObjectiveRow(
        "free_bits_loss",
        o.free_bits_loss(0.1),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="the free nats apply to the mean over the batch",
    ),
    "free_bits_loss(0.1, groups)": ObjectiveRow(
        "free_bits_loss",
        o.free_bits_loss(0.1, [1, 0]),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="the free nats apply to the mean over the batch",
    ),
    "scheduled(beta_vae_loss)": ObjectiveRow(
        "scheduled", o.scheduled(o.beta_vae_loss, o.linear(10, 0.0, 2.0)), NOISY, NOISELESS, has_elbo=True
    ),
    "scheduled(capacity_loss)": ObjectiveRow(
        "scheduled",
        o.scheduled(lambda nats: o.capacity_loss(5.0, nats), o.linear(10, 0.0, 2.0)),
        NOISY,
        NOISELESS,
        has_elbo=True,
    ),
    "negative_iwae(5)": ObjectiveRow("negative_iwae", o.negative_iwae(5), NOISY, EXACT, has_elbo=True),
    "negative_miwae(2, 3)": ObjectiveRow("negative_miwae", o.negative_miwae(2, 3), NOISY, EXACT, has_elbo=True),
    "negative_piwae(2, 3)": ObjectiveRow("negative_piwae", o.negative_piwae(2, 3), NOISY, EXACT, has_elbo=True),
    "negative_ciwae(5, 0.3)": ObjectiveRow("negative_ciwae", o.negative_ciwae(5, 0.3), NOISY, EXACT, has_elbo=True),
    "negative_renyi(5, 0.5)": ObjectiveRow("negative_renyi", o.negative_renyi(5, 0.5), NOISY, EXACT, has_elbo=True),
    "negative_dreg(5)": ObjectiveRow("negative_dreg", o.negative_dreg(5), NOISY, EXACT, has_elbo=True),
    "negative_stl": ObjectiveRow("negative_stl", o.negative_stl, NOISY, EXACT, has_elbo=True),
    "reconstruction_loss": ObjectiveRow("reconstruction_loss", o.reconstruction_loss, CODES, CODES, has_elbo=False),
    # The rates of discrete codes are tested in tests/objectives/test_quantized.py and test_gumbel_softmax.py.
    "vq_vae_loss": ObjectiveRow(
        "vq_vae_loss",
        o.vq_vae_loss,
        VQ_CODES,
        VQ_CODES,
        has_elbo=False,
        updates_buffers=True,
        needs_batch="codebooks are updated by the whole batch",
    ),
    "gumbel_softmax_loss": ObjectiveRow(
        "gumbel_softmax_loss", o.gumbel_softmax_loss(0.7), CATEGORIES, NOISELESS_CATEGORIES, has_elbo=False
    ),
    "ada_gvae_loss(2.0)": ObjectiveRow(
        "ada_gvae_loss",
        o.ada_gvae_loss(2.0),
        Problem(VAE_MODEL, VAE_PARAMS, PAIRS),
        Problem(VAE_MODEL, noiseless(VAE_PARAMS), PAIRS),
        has_elbo=False,
    ),
    # The metrics of both are tested in tests/objectives/.
    "geco_loss(5.0)": ObjectiveRow(
        "geco_loss",
        o.geco_loss(5.0),
        Problem(MULTIPLIED, buffered(MULTIPLIED, VAE_PARAMS), IMAGES),
        Problem(MULTIPLIED, buffered(MULTIPLIED, noiseless(VAE_PARAMS)), IMAGES),
        has_elbo=False,
        updates_buffers=True,
        needs_batch="the moving average and the multiplier are updated by the whole batch",
    ),
    "optimal_variance_loss()": ObjectiveRow(
        "optimal_variance_loss",
        o.optimal_variance_loss(),
        Problem(VARIANCE_MODEL, buffered(VARIANCE_MODEL, VAE_PARAMS), IMAGES),
        Problem(VARIANCE_MODEL, buffered(VARIANCE_MODEL, noiseless(VAE_PARAMS)), IMAGES),
        has_elbo=False,
        updates_buffers=True,
        needs_batch="the variance is the optimum of the batch",
        needs_size="the fewer numbers a batch has, the more the variance is fitted to them",
    ),
    "beta_tcvae_loss(6.0), exact": ObjectiveRow(
        "beta_tcvae_loss",
        o.beta_tcvae_loss(6.0, o.exact(IMAGES)),
        NOISY,
        NOISELESS,
        has_elbo=True,
    ),
    "beta_tcvae_loss(6.0), stratified": ObjectiveRow(
        "beta_tcvae_loss",
        o.beta_tcvae_loss(6.0, o.stratified(100)),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="q(z) is estimated from the batch",
        needs_size="the bias of its logarithm falls with the size of the batch",
    ),
    "dip_vae_i_loss(2.0)": ObjectiveRow(
        "dip_vae_i_loss",
        o.dip_vae_i_loss(2.0),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="the covariance is that of the batch",
    ),
    "dip_vae_ii_loss(2.0)": ObjectiveRow(
        "dip_vae_ii_loss",
        o.dip_vae_ii_loss(2.0),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="the covariance is that of the batch",
    ),
    "factor_vae_loss(6.0)": ObjectiveRow(
        "factor_vae_loss",
        o.factor_vae_loss(6.0, DISCRIMINATOR.apply),
        Problem(DISCRIMINATED, discriminated(VAE_PARAMS), IMAGES),
        Problem(DISCRIMINATED, discriminated(noiseless(VAE_PARAMS)), IMAGES),
        has_elbo=False,
        needs_batch="latent codes are permuted over the batch",
        needs_size="the permutations are noise of the whole batch",
    ),
    # The objective is defined for conditional models only.
    "semi_supervised_loss(2.0)": ObjectiveRow(
        "semi_supervised_loss",
        o.semi_supervised_loss(CLASSIFIER.apply, 2.0, o.LabelWeights(0.5, 3.0)),
        Problem(CLASSIFIED, CLASSIFIED_PARAMS, FEW_LABELS),
        Problem(CLASSIFIED, noiseless(CLASSIFIED_PARAMS), FEW_LABELS),
        has_elbo=False,
    ),
    "info_vae_loss(0.5, 10.0)": ObjectiveRow(
        "info_vae_loss",
        o.info_vae_loss(0.5, 10.0, o.gaussian_kernel(2.0)),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="the kernel is evaluated for pairs of the batch",
        needs_size="the pairs are different examples, or examples and draws of the prior",
    ),
    "wae_mmd_loss(10.0)": ObjectiveRow(
        "wae_mmd_loss",
        o.wae_mmd_loss(10.0, o.inverse_multiquadratic_kernel(4.0)),
        NOISY,
        NOISELESS,
        has_elbo=False,
        needs_batch="the kernel is evaluated for pairs of the batch",
        needs_size="the pairs are different examples, or examples and draws of the prior",
    ),
    "reconstruction_loss-noisy": ObjectiveRow(
        "reconstruction_loss", o.reconstruction_loss, NOISY, NOISELESS, has_elbo=False
    ),
}
