"""Recipes: runs that are trained by name. Most are presets of `vae`."""

from __future__ import annotations

from typing import Any

from vae_jax.evaluation import measure_vq_vae
from vae_jax.models import table_vae, vq_vae, with_classifier
from vae_jax.networks import residual_encoder
from vae_jax.objectives import semi_supervised_loss, vq_vae_loss
from vae_jax.runs.choices import POSTERIORS, make_optimizer
from vae_jax.runs.factors.recipe import DISENTANGLE
from vae_jax.runs.images import kind as images
from vae_jax.runs.images import semi_supervised as labels
from vae_jax.runs.images import vae as composed
from vae_jax.runs.images import vq_vae as codes
from vae_jax.runs.images.code_prior import check_prior, has_prior, load_prior, train_prior, with_prior
from vae_jax.runs.images.kind import IMAGES
from vae_jax.runs.recipe import Recipe, SecondStage
from vae_jax.runs.settings import CodeSettings, LabelSettings, Settings
from vae_jax.runs.tables import vae as tables
from vae_jax.runs.tables.kind import TABLES


def preset(name: str, title: str, description: str, **defaults: Any) -> Recipe:
    """Returns a recipe of a VAE with these defaults, on images or on the rows of a table."""
    recipe = Recipe(
        name,
        title,
        description,
        IMAGES,
        Settings(**defaults),
        composed.make_model,
        composed.make_objective,
        make_optimizer,
        measure=lambda settings: POSTERIORS.of(settings).measure,
        fit_after=composed.fit_prior_after,
        axes=composed.AXES,
        check=images.check,
        command=f"vae-jax train {name}",
    )
    on_tables = recipe._replace(
        kind=TABLES,
        model=tables.make_model,
        fit_after=lambda settings: None,  # no prior of a table is fitted
        axes=tables.AXES,
        cites=(table_vae,),
        check=tables.check,
    )
    return recipe._replace(on_tables=on_tables)


VAE = preset(
    "vae", "VAE", "The variational autoencoder of Kingma & Welling 2014 (arXiv:1312.6114) on images or a table."
)
BETA_VAE = preset(
    "beta_vae",
    "beta-VAE",
    "The beta-VAE of Higgins et al. 2017, a VAE with a weight on the KL divergence.",
    objective="beta",
)
AUTOENCODER = preset(
    "autoencoder",
    "Autoencoder",
    "A deterministic autoencoder, with a Normal fitted to its codes (Ghosh et al. 2020, arXiv:1903.12436).",
    posterior="delta",
    prior="fitted",
    objective="reconstruction",
)


def _check_codes(settings: CodeSettings) -> None:
    images.check(settings)
    check_prior(settings)
    if settings.condition != "none":
        raise ValueError(f"--condition {settings.condition}: the model of vq_vae takes no labels; give the recipe vae")
    if settings.missing is not None or settings.mask_file is not None:
        raise ValueError("--missing and --mask-file: the model of vq_vae takes no masks; give the recipe vae")


VQ_VAE = Recipe(
    "vq_vae",
    "VQ-VAE",
    "The VQ-VAE of van den Oord et al. 2017 (arXiv:1711.00937), with a prior over its codes.",
    IMAGES,
    CodeSettings(),
    codes.make_model,
    lambda settings, problem, model, num_steps, weight: vq_vae_loss,
    make_optimizer,
    measure=lambda settings: measure_vq_vae,
    second_stage=SecondStage(train_prior, load_prior, with_prior, has_prior),
    axes=codes.AXES,
    check=_check_codes,
    cites=(vq_vae, residual_encoder, vq_vae_loss),
    command="vae-jax train vq_vae",
)

SEMI_SUPERVISED = Recipe(
    "semi_supervised",
    "Semi-supervised VAE",
    "The semi-supervised VAE (M2) of Kingma et al. 2014 (arXiv:1406.5298), for images of which few have a label.",
    labels.LABELED_IMAGES,
    LabelSettings(),
    labels.make_model,
    labels.make_objective,
    make_optimizer,
    measure=labels.measure,
    axes=labels.AXES,
    check=labels.check,
    cites=(with_classifier, semi_supervised_loss),
    command="vae-jax train semi_supervised",
)

RECIPES = {recipe.name: recipe for recipe in (VAE, BETA_VAE, AUTOENCODER, VQ_VAE, SEMI_SUPERVISED, DISENTANGLE)}
