"""The figures of one trained model: what goes into its report, in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from vae_jax.distributions import Normal, mean_of
from vae_jax.models import great_circle, interpolate, reconstruct, sample, straight_line, traverse
from vae_jax.models.vae import VAE, Params
from vae_jax.visualization.curves import training_curves
from vae_jax.visualization.grids import image_grid, interpolations, manifold, reconstructions, traversal
from vae_jax.visualization.latent import latent_scatter, principal_components

NUM_RECONSTRUCTIONS = 24
NUM_SAMPLES = 96
NUM_PAIRS = 4
NUM_STEPS = 11
DEVIATIONS = np.linspace(-3.0, 3.0, 9)
MANIFOLD_SIDE = 20


class Subject(NamedTuple):
    """A trained model and what it is shown with."""

    model: VAE
    params: Params
    xs: jax.Array  # [N, H, W, C], test images as the model sees them
    labels: np.ndarray | None  # [N]
    posterior_means: jax.Array  # [N, D]
    kl_per_dimension: jax.Array | None  # [D]
    history: Sequence[Mapping[str, float]]


class Captioned(NamedTuple):
    name: str  # the file's stem
    title: str
    caption: str
    figure: Figure


def model_figures(subject: Subject, key: jax.Array) -> Iterator[Captioned]:
    """Every figure that applies to the model, one after the other; the manifold only where z has two dimensions."""
    model, params, xs = subject.model, subject.params, subject.xs
    yield Captioned(
        "training_curves",
        "Training",
        "Per epoch, on the training images and on the validation images held out of them, in nats per image.",
        training_curves(subject.history),
    )

    shown = xs[:NUM_RECONSTRUCTIONS]
    rebuilt = jax.jit(jax.vmap(lambda x: reconstruct(model, params, x)))(shown)
    yield Captioned(
        "reconstructions",
        "Reconstructions",
        "Test images over the decoder's mean at the mean of their posterior.",
        reconstructions(shown, rebuilt),
    )

    keys = jax.random.split(key, NUM_SAMPLES)
    drawn = jax.jit(jax.vmap(lambda k: sample(model, params, k)))(keys)
    yield Captioned(
        "samples",
        "Samples from the prior",
        "The decoder's mean at independent draws from the prior.",
        image_grid(drawn),
    )

    starts, ends = _pairs(subject)
    paths = [
        jax.jit(jax.vmap(lambda a, b, p=path: interpolate(model, params, a, b, NUM_STEPS, p)))(starts, ends)
        for path in (straight_line, great_circle)
    ]
    yield Captioned(
        "interpolations",
        "Interpolation between test images",
        "Decoded along the straight line between two codes, and along the great circle, which keeps away from the "
        "centre that few codes of the prior lie near.",
        interpolations(*paths),
    )

    prior = model.prior(params)
    if isinstance(prior, Normal):
        scale = jnp.exp(0.5 * prior.log_variance)
        values = prior.mean[:, None] + scale[:, None] * jnp.asarray(DEVIATIONS, jnp.float32)[None]
        moved = jax.jit(lambda x: traverse(model, params, x, values))(xs[0])
        order = "" if subject.kl_per_dimension is None else " Rows by the KL divergence of their dimension."
        yield Captioned(
            "traversal",
            "Latent traversal",
            "One dimension of the first test image's code at a time, moved over the prior's range, the others held."
            + order,
            traversal(moved, subject.kl_per_dimension, DEVIATIONS),
        )

    yield _scatter(subject)

    if isinstance(prior, Normal) and prior.mean.shape == (2,):
        quantiles = jax.scipy.stats.norm.ppf((jnp.arange(MANIFOLD_SIDE) + 0.5) / MANIFOLD_SIDE)
        z1, z2 = prior.mean[:, None] + scale[:, None] * quantiles[None]
        codes = jnp.stack(jnp.meshgrid(z1, z2), axis=-1)
        tiles = jax.jit(jax.vmap(jax.vmap(lambda z: mean_of(model.decode(params, z)))))(codes)
        yield Captioned(
            "manifold",
            "The decoded manifold",
            "The decoder's mean over the plane of z; the grid is regular in the quantiles of the prior, so every tile "
            "stands for the same share of it.",
            manifold(tiles),
        )


def _pairs(subject: Subject) -> tuple[jax.Array, jax.Array]:
    """The first test images, each with the next one of another class (of any class where there are no labels)."""
    count = min(NUM_PAIRS, len(subject.xs) // 2)
    starts = np.arange(max(count, 1))
    labels = np.arange(len(subject.xs)) if subject.labels is None else np.asarray(subject.labels)
    free = list(range(len(starts), len(labels))) or [0]
    ends = []
    for start in starts:
        end = next((i for i in free if labels[i] != labels[start]), free[0])
        ends.append(end)
        free = [i for i in free if i != end] or [end]
    return subject.xs[starts], subject.xs[np.array(ends)]


def _scatter(subject: Subject) -> Captioned:
    points = np.asarray(subject.posterior_means)
    title = "Posterior means of the test images"
    if points.shape[1] > 2:
        projected, explained = principal_components(points)
        names = [
            f"principal component {i + 1} ({100 * share:.0f}% of the variance)" for i, share in enumerate(explained)
        ]
        caption = f"The first two principal components of their {points.shape[1]} dimensions"
        figure = latent_scatter(projected, subject.labels, names)
    else:
        # A one-dimensional code is drawn against nothing.
        plane = points if points.shape[1] == 2 else np.column_stack([points[:, 0], np.zeros(len(points))])
        caption = "Where the encoder puts them"
        figure = latent_scatter(plane, subject.labels, ("z1", "z2" if points.shape[1] == 2 else ""))
    caption += "." if subject.labels is None else ", coloured by label."
    return Captioned("posterior_means", title, caption, figure)
