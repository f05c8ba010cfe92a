"""Which public functions of vae_jax a run uses, by the names in its configuration: what is cited for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae_jax import data, objectives
from vae_jax.data import _digits as digits
from vae_jax.data import _dsprites as dsprites
from vae_jax.data import _squares as squares
from vae_jax.data import sprites
from vae_jax.evaluation import disentanglement, importance_sampling
from vae_jax.experiment.disentanglement.settings import EXPERIMENT as DISENTANGLE
from vae_jax.models import (
    autoencoder,
    conditional,
    fit_prior,
    gaussian_vae,
    likelihoods,
    masked_prior,
    pixel_cnn_prior,
    transformer_prior,
    vq_vae,
    with_discriminator,
)
from vae_jax.networks import conv_encoder, in_precision, mlp_encoder, rematerialized, residual_encoder
from vae_jax.quantizers import (
    binary_spherical_quantizer,
    cosine_vector_quantizer,
    ema_vector_quantizer,
    factorized_quantizer,
    finite_scalar_quantizer,
    k_means,
    lookup_free_quantizer,
    product_quantizer,
    residual_quantizer,
    rotation_trick,
    sim_vector_quantizer,
    vector_quantizer,
)
from vae_jax.runs import RunFolder

Parts = tuple[Any, ...]

# By the field of the configuration, and its value.
BY_NAME: dict[str, dict[Any, Parts]] = {
    "experiment": {
        "vae": (gaussian_vae, objectives.negative_elbo),
        "beta_vae": (gaussian_vae, objectives.beta_vae_loss),
        "autoencoder": (autoencoder, objectives.reconstruction_loss, fit_prior),
        "vq_vae": (vq_vae, residual_encoder, objectives.vq_vae_loss),
        DISENTANGLE: (
            gaussian_vae,
            conv_encoder,
            disentanglement.measure_disentanglement,
            disentanglement.unsupervised_disentanglement_ranking,
        ),
    },
    "condition": {"labels": (conditional,), "none": ()},
    "network": {"mlp": (mlp_encoder,), "conv": (conv_encoder,)},
    "likelihood": {
        "bernoulli": (likelihoods.bernoulli,),
        "continuous_bernoulli": (likelihoods.continuous_bernoulli,),
        "logistic": (likelihoods.logistic,),
        "normal": (likelihoods.normal, data.dequantize),
        "laplace": (likelihoods.laplace, data.dequantize),
    },
    "binarization": {"static": (data.static_binarization,), "dynamic": (data.binarize,), "none": ()},
    "precision": {"float32": (), "bfloat16": (in_precision,)},
    "rematerialize": {True: (rematerialized,), False: ()},
    "quantizer": {
        "ema": (ema_vector_quantizer,),
        "vector": (vector_quantizer,),
        "rotation": (ema_vector_quantizer, rotation_trick),
        "cosine": (cosine_vector_quantizer,),
        "sim": (sim_vector_quantizer,),
        "residual": (ema_vector_quantizer, residual_quantizer),
        "product": (ema_vector_quantizer, product_quantizer),
        "finite_scalar": (factorized_quantizer, finite_scalar_quantizer),
        "lookup_free": (factorized_quantizer, lookup_free_quantizer),
        "spherical": (factorized_quantizer, binary_spherical_quantizer),
    },
    "prior": {"transformer": (transformer_prior,), "pixel_cnn": (pixel_cnn_prior,), "masked": (masked_prior,)},
    "objective": {
        "beta": (objectives.beta_vae_loss,),
        "tc": (objectives.beta_tcvae_loss, objectives.stratified),
        "factor": (objectives.factor_vae_loss, with_discriminator),
        "dip_i": (objectives.dip_vae_i_loss,),
        "dip_ii": (objectives.dip_vae_ii_loss,),
        "info": (objectives.info_vae_loss,),
        "wae": (objectives.wae_mmd_loss,),
        "capacity": (objectives.capacity_loss,),
        "ada_gvae": (objectives.ada_gvae_loss,),
    },
}
# Of other data, what is there by this library: the user knows where theirs is from.
_DATA: dict[str, Parts] = {
    "digits": (digits.load_digits,),
    "mnist": (digits.load_digits,),
    "sprites": (sprites.render,),
    "sprites_color": (sprites.render,),
    "sprites_noisy": (sprites.render,),
    "squares": (squares,),
    "dsprites": (dsprites.load_dsprites,),
}
# By the field, where it is a number above 0.
_COUNTS: dict[str, Parts] = {"k_means_images": (k_means,), "nll_samples": (importance_sampling,)}


def parts_of_run(path: Path) -> Parts:
    """The functions, classes and modules of vae_jax that the run in the folder uses.

    Raises:
      ValueError: where the folder holds no run, or one of an experiment that this version does not know.
    """
    folder = RunFolder(path, "the run")
    config, summary = folder.config(), folder.summary() or {}
    if not isinstance(config.get("experiment"), str) or config["experiment"] not in BY_NAME["experiment"]:
        known = ", ".join(BY_NAME["experiment"])
        raise ValueError(
            f"what the run {path} uses is known for the experiments {known}, got {config.get('experiment')!r}"
        )
    # The likelihood may have been measured after the training.
    return parts_of(config | {name: summary[name] for name in _COUNTS if name in summary})


def parts_of(config: Mapping[str, Any]) -> Parts:
    """The same of a configuration."""
    parts: list[Any] = []
    for field, table in BY_NAME.items():
        if isinstance(config.get(field), (str, bool, int)):
            parts += table.get(config[field], ())
    for field, used in _COUNTS.items():
        if config.get(field):
            parts += used
    return (*parts, *_DATA.get(str(config.get("data")), ()))
