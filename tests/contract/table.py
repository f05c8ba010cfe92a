"""One row for every member of every axis: what the tests beside this file put through the same checks.

A new distribution, objective or model gets a row here; the guards in `test_table.py` fail until it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fresh import init, some_params
from objectives.linear_gaussian import exact_params, linear_gaussian
from vae_jax import distributions as d
from vae_jax import objectives as o
from vae_jax import quantizers as q
from vae_jax.models import (
    VAE,
    Codes,
    autoencoder,
    categorical_vae,
    conv_vae,
    gaussian_vae,
    hierarchical_vae,
    likelihoods,
    mlp_vae,
    transformer_prior,
    vq_vae,
    vq_vae_2,
    with_code_prior,
    with_codes_fitted,
    with_mixture_prior,
    with_vamp_prior,
)
from vae_jax.models.likelihoods import Likelihood
from vae_jax.networks import mlp_decoder, mlp_encoder

# ---------------------------------------------------------------------------------------------------- distributions


def array(*values: float) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


class DistributionRow(NamedTuple):
    example: Any  # over an event of several places, at ordinary parameters
    event: Any  # one event of it
    extremes: tuple[tuple[Any, Any], ...]  # (distribution, event): parameters at +-200 or +-30
    event_dtype: Any
    continuous: bool  # has a density, and a gradient with respect to the event
    reparameterized: bool | None  # gradients flow through its draws: of all parameters, of none, or (None) of some
    support: Callable[[Any], np.ndarray] | None  # of one place: a fine grid or all outcomes; None for a point mass
    marginals: tuple[Any, ...] | None = None  # of each place, in closed form; None: the places are independent


def _grid(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 20_001, dtype=np.float32)


PIXELS = (np.arange(256) / 255).astype(np.float32)
WIDE = array(-30.0, 30.0, -30.0, 30.0)
LOGITS = array(-200.0, 200.0, -200.0, 200.0)


def _normal_support(q: d.Normal) -> np.ndarray:
    deviation = float(jnp.exp(q.log_variance[0] / 2))
    return _grid(float(q.mean[0]) - 9 * deviation, float(q.mean[0]) + 9 * deviation)


def linear_conditional(params: Any, before: jax.Array) -> d.Normal:
    return d.Normal(params["weights"] @ before + params["bias"], params["log_variance"])


def linear_chain(log_variances: tuple[float, float, float], from_last: bool = False) -> d.Chain:
    """Two places, and a third whose mean is 1.5 z_0 - 0.8 z_1 + 0.3."""
    params = {
        "weights": jnp.asarray([[1.5, -0.8]], jnp.float32),
        "bias": array(0.3),
        "log_variance": array(log_variances[2]),
    }
    first = d.Normal(array(0.5, -1.0), array(*log_variances[:2]))
    return d.Chain(first, (params,), (linear_conditional,), from_last)


MIXTURE = d.Mixture(
    array(0.5, -0.5, 1.0),
    d.Normal(
        jnp.asarray([[0.0, -3.0], [2.0, 1.0], [-4.0, 0.5]], jnp.float32),
        jnp.asarray([[0.0, -1.0], [-2.0, 0.5], [0.3, -0.4]], jnp.float32),
    ),
)


def _mixture_marginal(place: int) -> d.Mixture:
    components = MIXTURE.components
    return d.Mixture(
        MIXTURE.logits,
        d.Normal(components.mean[:, place : place + 1], components.log_variance[:, place : place + 1]),
    )


DISTRIBUTIONS: dict[str, DistributionRow] = {
    "Normal": DistributionRow(
        d.Normal(array(0.5, -2.0, 3.0), array(-1.0, 0.5, 2.0)),
        array(0.0, -1.0, 4.0),
        ((d.Normal(array(0.0, 0.0, 1.0, 1.0), WIDE), array(0.0, 0.0, 3.0, 3.0)),),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=_normal_support,
    ),
    "Laplace": DistributionRow(
        d.Laplace(array(0.5, -2.0, 3.0), array(-1.0, 0.5, 1.0)),
        array(0.0, -1.0, 4.0),
        ((d.Laplace(array(0.0, 0.0, 1.0, 1.0), WIDE), array(0.0, 0.0, 3.0, 3.0)),),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=lambda q: _grid(
            float(q.mean[0] - 18 * jnp.exp(q.log_scale[0])), float(q.mean[0] + 18 * jnp.exp(q.log_scale[0]))
        ),
    ),
    "ContinuousBernoulli": DistributionRow(
        d.ContinuousBernoulli(array(-4.0, 1e-4, 2.0)),
        array(0.1, 0.5, 1.0),
        (
            (d.ContinuousBernoulli(LOGITS), array(0.0, 0.0, 1.0, 1.0)),
            (d.ContinuousBernoulli(array(0.0, 1e-6, 1.0)), array(0.0, 0.5, 1.0)),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=lambda q: _grid(0.0, 1.0),
    ),
    "Bernoulli": DistributionRow(
        d.Bernoulli(array(-2.0, 0.0, 1.0)),
        array(0.0, 1.0, 1.0),
        ((d.Bernoulli(LOGITS), array(0.0, 0.0, 1.0, 1.0)),),
        jnp.float32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.array([0.0, 1.0], np.float32),
    ),
    "DiscretizedLogistic": DistributionRow(
        d.DiscretizedLogistic(array(0.1, 0.5, 0.95), array(-3.0, -1.0, -2.0)),
        PIXELS[jnp.asarray([0, 100, 255])],
        (
            (d.DiscretizedLogistic(array(0.5, 0.5, 0.5, 0.5), WIDE), PIXELS[jnp.asarray([0, 0, 255, 255])]),
            (d.DiscretizedLogistic(array(-200.0, 200.0, -200.0, 200.0), WIDE), PIXELS[jnp.asarray([0, 40, 255, 99])]),
        ),
        jnp.float32,
        continuous=False,
        reparameterized=False,
        support=lambda q: PIXELS,
    ),
    "Categorical": DistributionRow(
        d.Categorical(jnp.asarray([[0.0, 1.0, -1.0, 0.5], [2.0, 0.0, 0.0, -2.0]], jnp.float32)),
        jnp.asarray([1, 3], jnp.int32),
        ((d.Categorical(jnp.asarray([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]])), jnp.asarray([1, 0], jnp.int32)),),
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.arange(q.logits.shape[-1], dtype=np.int32),
    ),
    "DiscreteUniform": DistributionRow(
        d.DiscreteUniform(jnp.asarray([5, 5], jnp.int32)),
        jnp.asarray([1, 4], jnp.int32),
        (),  # of integers there are no gradients
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.arange(q.sizes[0], dtype=np.int32),
    ),
    "OneHotCategorical": DistributionRow(
        d.OneHotCategorical(jnp.log(jnp.asarray([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]], jnp.float32))),
        jnp.asarray([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], jnp.float32),
        (
            (
                d.OneHotCategorical(jnp.asarray([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]])),
                jnp.asarray([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], jnp.float32),
            ),
        ),
        jnp.float32,
        continuous=False,
        reparameterized=False,
        support=lambda q: np.array([0.0, 1.0], np.float32),
        marginals=tuple(d.Bernoulli(array(np.log(p / (1 - p)))) for p in (0.2, 0.5, 0.3, 0.6, 0.1, 0.3)),
    ),
    "Delta": DistributionRow(
        # Of integers: a Delta of floating-point values has no density (tests/distributions/test_delta.py).
        d.Delta(jnp.asarray([0, -2, 3], jnp.int32)),
        jnp.asarray([0, -2, 3], jnp.int32),
        (),
        jnp.int32,
        continuous=False,
        reparameterized=False,
        support=None,
    ),
    "Chain": DistributionRow(
        linear_chain((-1.0, 0.5, 0.2)),
        (array(0.0, -1.0), array(2.0)),
        (
            (linear_chain((-30.0, 30.0, -30.0)), (array(0.5, 3.0), array(-1.0))),
            (linear_chain((30.0, -30.0, 30.0), from_last=True), (array(2.0), array(3.0, -1.0))),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=True,
        support=_normal_support,
        marginals=(
            d.Normal(array(0.5), array(-1.0)),
            d.Normal(array(-1.0), array(0.5)),
            # The variance 1.5^2 exp(-1) + 0.8^2 exp(0.5) + exp(0.2).
            d.Normal(array(1.85), array(np.log(1.5**2 * np.exp(-1) + 0.8**2 * np.exp(0.5) + np.exp(0.2)))),
        ),
    ),
    "Mixture": DistributionRow(
        MIXTURE,
        array(0.0, -1.0),
        (
            (d.Mixture(LOGITS, d.Normal(jnp.zeros((4, 2)), WIDE[:, None] * jnp.ones((1, 2)))), array(0.0, 3.0)),
            (d.Mixture(LOGITS, d.Normal(jnp.full((4, 2), 200.0), jnp.full((4, 2), -30.0))), array(-200.0, 0.0)),
        ),
        jnp.float32,
        continuous=True,
        reparameterized=None,
        support=lambda q: _grid(-13.0, 13.0),
        marginals=(_mixture_marginal(0), _mixture_marginal(1)),
    ),
}

# ----------------------------------------------------------------------------------------------------------- models

IMAGE_SHAPE = (4, 4, 1)
LATENT_DIM = 2

LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": likelihoods.bernoulli,
    "continuous_bernoulli": likelihoods.continuous_bernoulli,
    "laplace": likelihoods.laplace,
    "logistic": likelihoods.logistic,
    "normal": likelihoods.normal,
}


def _autoencoder() -> VAE:
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


def _categorical_vae() -> VAE:
    encoder = mlp_encoder(IMAGE_SHAPE, 6, (8,), jnp.tanh)
    return categorical_vae(encoder, mlp_decoder(6, (*IMAGE_SHAPE, 1), (8,), activation=jnp.tanh), 2, 3)


def _vq_vae() -> VAE:
    """A grid of 2 x 2 codes of length 3."""
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
    builder: str  # the name in vae_jax.models
    model: VAE
    paths: set[str]  # of all its parameters: what a checkpoint of today must still find tomorrow
    z_shape: tuple[Any, ...] = (LATENT_DIM,)  # or one for each part of z
    standard_prior: bool = True  # p(z) = N(0, I)
    any_code: bool = True  # p(z) is above 0 at every z of real numbers


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
    "autoencoder": ModelRow(
        "autoencoder",
        _autoencoder(),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | {"buffers/prior_mean", "buffers/prior_log_variance"},
    ),
    "hierarchical_vae": ModelRow(
        "hierarchical_vae",
        _hierarchical_vae(),
        _paths(encoder_1=MLP_LAYERS, encoder_2=MLP_LAYERS, prior_1=MLP_LAYERS, decoder=MLP_LAYERS),
        z_shape=((3,), (LATENT_DIM,)),
        standard_prior=False,
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
    "categorical_vae": ModelRow(
        "categorical_vae",
        _categorical_vae(),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS),
        z_shape=(2, 3),
        standard_prior=False,
        any_code=False,
    ),
    "vq_vae": ModelRow(
        "vq_vae",
        _vq_vae(),
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
        with_codes_fitted(_vq_vae(), jnp.linspace(0.0, 1.0, 48).reshape(3, *IMAGE_SHAPE)),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS) | CODEBOOK_PATHS,
        z_shape=(Codes((2, 2, 2), (2, 2, 3)),),
        standard_prior=False,
    ),
    "with_code_prior": ModelRow(
        "with_code_prior",
        with_code_prior(_vq_vae(), CODE_PRIOR),
        _paths(encoder=MLP_LAYERS, decoder=MLP_LAYERS)
        | CODEBOOK_PATHS
        | {f"prior/{path}" for path in _paths_of(CODE_PRIOR.init)},
        z_shape=(Codes((2, 2, 2), (2, 2, 3)),),
        standard_prior=False,
    ),
}

# ------------------------------------------------------------------------------------------------------- objectives


def noiseless(params: Any) -> Any:
    """An mlp_vae's parameters with every posterior log-variance at -30: z is the posterior mean to float precision."""
    output = params["encoder"]["output"]
    quiet = {
        "kernel": output["kernel"].at[:, LATENT_DIM:].set(0.0),
        "bias": output["bias"].at[LATENT_DIM:].set(-30.0),
    }
    return {**params, "encoder": {**params["encoder"], "output": quiet}}


def sure(params: Any) -> Any:
    """A categorical_vae's parameters with logits so far apart that the noise of a draw decides nothing."""
    output = params["encoder"]["output"]
    return {**params, "encoder": {**params["encoder"], "output": jax.tree.map(lambda leaf: 1e4 * leaf, output)}}


VAE_MODEL = mlp_vae(IMAGE_SHAPE, LATENT_DIM, (8,))
VAE_PARAMS = some_params(VAE_MODEL)
IMAGES = (np.random.default_rng(0).random((4, *IMAGE_SHAPE)) < 0.5).astype(np.float32)

LINEAR_MODEL = linear_gaussian()
LINEAR_EXAMPLES = np.random.default_rng(1).normal(0, 1.5, (4, 4)).astype(np.float32)

AUTOENCODER = _autoencoder()
AUTOENCODER_PARAMS = some_params(AUTOENCODER)
CODE_MODEL = _vq_vae()
CATEGORICAL_MODEL = _categorical_vae()


class Problem(NamedTuple):
    model: VAE
    params: Any
    batch: np.ndarray  # four different examples


class ObjectiveRow(NamedTuple):
    name: str  # in vae_jax.objectives
    objective: o.Objective
    problem: Problem  # an ordinary one
    quiet: Problem  # one where the loss of an example does not depend on the key
    has_elbo: bool
    updates_buffers: bool = False
    needs_batch: str = ""  # why the loss is not the mean of the examples' own, where it is not


NOISY = Problem(VAE_MODEL, VAE_PARAMS, IMAGES)
NOISELESS = Problem(VAE_MODEL, noiseless(VAE_PARAMS), IMAGES)
# With the exact posterior log p(x, z) - log q(z | x) = log p(x) at every z, though log q itself is noisy.
EXACT = Problem(LINEAR_MODEL, exact_params(), LINEAR_EXAMPLES)
CODES = Problem(AUTOENCODER, AUTOENCODER_PARAMS, IMAGES)
VQ_CODES = Problem(CODE_MODEL, init(CODE_MODEL, jax.random.key(0)), IMAGES)
CATEGORICAL_PARAMS = init(CATEGORICAL_MODEL, jax.random.key(0))
CATEGORIES = Problem(CATEGORICAL_MODEL, CATEGORICAL_PARAMS, IMAGES)
SURE_CATEGORIES = Problem(CATEGORICAL_MODEL, sure(CATEGORICAL_PARAMS), IMAGES)

OBJECTIVES: dict[str, ObjectiveRow] = {
    "negative_elbo": ObjectiveRow("negative_elbo", o.negative_elbo, NOISY, NOISELESS, has_elbo=True),
    "negative_sampled_elbo": ObjectiveRow(
        "negative_sampled_elbo", o.negative_sampled_elbo, NOISY, EXACT, has_elbo=True
    ),
    "beta(4.0)": ObjectiveRow("beta", o.beta(4.0), NOISY, NOISELESS, has_elbo=True),
    "beta(0.0)": ObjectiveRow("beta", o.beta(0.0), NOISY, NOISELESS, has_elbo=True),
    "sampled_beta(1.0)": ObjectiveRow("sampled_beta", o.sampled_beta(1.0), NOISY, EXACT, has_elbo=True),
    "capacity(5.0, 2.0)": ObjectiveRow("capacity", o.capacity(5.0, 2.0), NOISY, NOISELESS, has_elbo=True),
    "free_bits(0.1)": ObjectiveRow(
        "free_bits",
        o.free_bits(0.1),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="the free nats are of the batch's mean",
    ),
    "free_bits_per_group(0.1)": ObjectiveRow(
        "free_bits_per_group",
        o.free_bits_per_group(0.1, [1, 0]),
        NOISY,
        NOISELESS,
        has_elbo=True,
        needs_batch="the free nats are of the batch's mean",
    ),
    "kl_warm_up": ObjectiveRow("kl_warm_up", o.kl_warm_up(o.linear(10, 0.0, 2.0)), NOISY, NOISELESS, has_elbo=True),
    "sampled_kl_warm_up": ObjectiveRow(
        "sampled_kl_warm_up", o.sampled_kl_warm_up(o.cyclical(4, 10)), NOISY, EXACT, has_elbo=True
    ),
    "capacity_warm_up": ObjectiveRow(
        "capacity_warm_up", o.capacity_warm_up(5.0, o.linear(10, 0.0, 2.0)), NOISY, NOISELESS, has_elbo=True
    ),
    "accumulated(negative_elbo, 2)": ObjectiveRow(
        "accumulated", o.accumulated(o.negative_elbo, 2), NOISY, NOISELESS, has_elbo=True
    ),
    "negative_iwae(5)": ObjectiveRow("negative_iwae", o.negative_iwae(5), NOISY, EXACT, has_elbo=True),
    "negative_miwae(2, 3)": ObjectiveRow("negative_miwae", o.negative_miwae(2, 3), NOISY, EXACT, has_elbo=True),
    "negative_piwae(2, 3)": ObjectiveRow("negative_piwae", o.negative_piwae(2, 3), NOISY, EXACT, has_elbo=True),
    "negative_ciwae(5, 0.3)": ObjectiveRow("negative_ciwae", o.negative_ciwae(5, 0.3), NOISY, EXACT, has_elbo=True),
    "negative_renyi(5, 0.5)": ObjectiveRow("negative_renyi", o.negative_renyi(5, 0.5), NOISY, EXACT, has_elbo=True),
    "negative_dreg(5)": ObjectiveRow("negative_dreg", o.negative_dreg(5), NOISY, EXACT, has_elbo=True),
    "negative_stl": ObjectiveRow("negative_stl", o.negative_stl, NOISY, EXACT, has_elbo=True),
    "reconstruction": ObjectiveRow("reconstruction", o.reconstruction, CODES, CODES, has_elbo=False),
    # Their rate is no Gaussian's: tests/objectives/test_quantized.py and test_gumbel_softmax.py say what it is.
    "quantized": ObjectiveRow(
        "quantized",
        o.quantized,
        VQ_CODES,
        VQ_CODES,
        has_elbo=False,
        updates_buffers=True,
        needs_batch="codebooks are updated by the whole batch",
    ),
    "gumbel_softmax_elbo": ObjectiveRow(
        "gumbel_softmax_elbo", o.gumbel_softmax_elbo(0.7), CATEGORIES, SURE_CATEGORIES, has_elbo=False
    ),
    "reconstruction-noisy": ObjectiveRow("reconstruction", o.reconstruction, NOISY, NOISELESS, has_elbo=False),
}

# ------------------------------------------------------------------------------------------------------- quantisers

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
