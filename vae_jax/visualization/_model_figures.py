"""Figures of one trained model for its report, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from matplotlib.figure import Figure

from vae_jax.distributions import (
    Distribution,
    UndefinedError,
    from_standard_normal_of,
    mean_of,
    standard_deviation_of,
)
from vae_jax.models import great_circle, interpolate, latent_code, reconstruct, sample, straight_line, traverse
from vae_jax.models._model import VAE, Model, common_prior, given
from vae_jax.params import Params
from vae_jax.visualization._code_usage import code_usage_curves
from vae_jax.visualization._curves import training_curves
from vae_jax.visualization._grids import (
    image_grid,
    images_by_label,
    interpolations,
    manifold,
    reconstructions,
    traversal,
    with_gray,
)
from vae_jax.visualization._information import Part, kl_bars, parts_of_a_sum
from vae_jax.visualization._latent import latent_scatter, principal_components

NUM_RECONSTRUCTIONS = 24
NUM_SAMPLES = 96
NUM_OF_A_LABEL = 10
MOST_LABELS = 20
NUM_PAIRS = 4
NUM_STEPS = 11
DEVIATIONS = np.linspace(-3.0, 3.0, 9)
MANIFOLD_SIDE = 20


class Subject(NamedTuple):
    """A trained model with the test images and results that its figures show."""

    model: Model
    params: Params
    xs: jax.Array  # [N, H, W, C], preprocessed test images
    labels: np.ndarray | None  # [N]
    posterior_means: jax.Array | None  # [N, D]; None if z is not a vector or its posterior has no mean
    kl_per_dimension: jax.Array | None  # [D]; None if the KL divergence is not a sum over dimensions
    history: Sequence[Mapping[str, float]]
    num_classes: int | None = None  # number of labels, the contexts of a Conditional; None without labels
    masks: jax.Array | None = None  # [N, H, W, C] masks, the contexts of a Conditional; None without missing pixels
    imputed: jax.Array | None = None  # [n, H, W, C] the first xs with their missing pixels filled in

    @property
    def contexts(self) -> jax.Array | None:
        """Labels or masks `[N, ...]`, the contexts of xs; None for a VAE."""
        if self.masks is not None:
            return self.masks
        return None if self.num_classes is None else jnp.asarray(self.labels)

    @property
    def prior(self) -> Distribution | None:
        """Prior p(z), or None if it depends on the context."""
        return common_prior(self.model, self.params, self.contexts)

    @property
    def first_context(self) -> jax.Array | None:
        """Context of the first test image; None for a VAE."""
        return None if self.contexts is None else self.contexts[0]

    def given(self, context: jax.Array | None) -> VAE:
        """VAE of a context, for use inside a traced function."""
        return given(self.model, context)


class Captioned(NamedTuple):
    """A figure with its file name, title and caption."""

    name: str  # file name without suffix
    title: str
    caption: str
    figure: Figure


def model_figures(subject: Subject, key: jax.Array) -> Iterator[Captioned]:
    """Yields every figure that is defined for the model.

    Reconstructions need a latent code for each image, interpolations a code of real numbers; the traversal needs a
    prior over vectors with a standard deviation, the scatter posterior means that are vectors, the manifold two
    dimensions and a Normal prior. A `Conditional` gets the label of each image; its figures show the other labels too.
    """
    yield Captioned(
        "training_curves",
        "Training",
        "Metrics per epoch on the training images and on held-out validation images, in nats per image.",
        training_curves(subject.history),
    )
    code_parts = _code_parts(subject)
    if code_parts:
        yield _reconstructions(subject)
    if subject.imputed is not None:
        yield _imputations(subject, subject.imputed)
    yield _samples(subject, key)
    if subject.num_classes is not None:
        yield _labels(subject, key)
    # The two images of a pair have different masks, and a path is decoded with one.
    if any(jnp.issubdtype(part.dtype, jnp.floating) for part in code_parts) and subject.masks is None:
        yield _interpolations(subject)
    prior = subject.prior
    values = None if prior is None else traversed_values(prior, DEVIATIONS)
    if values is not None:
        yield _traversal(subject, values)
    if subject.kl_per_dimension is not None and np.isfinite(subject.kl_per_dimension).all():
        yield Captioned(
            "kl_per_dimension",
            "KL divergence of each dimension",
            "The KL divergence of posterior and prior in each latent dimension, a mean over the test images; the sum "
            "of all dimensions is the rate.",
            kl_bars(subject.kl_per_dimension),
        )
    if subject.posterior_means is not None and len(subject.posterior_means) > 1:  # a single point shows nothing
        yield _scatter(subject)
    if prior is not None and values is not None and len(values) == 2 and hasattr(prior, "from_standard_normal"):
        yield _manifold(subject, prior)


def reconstruction_and_traversal(subject: Subject) -> Iterator[Captioned]:
    """Yields reconstructions and the latent traversal of a model whose prior has `traversed_values`."""
    yield _reconstructions(subject)
    prior = subject.prior
    values = None if prior is None else traversed_values(prior, DEVIATIONS)
    assert values is not None
    yield _traversal(subject, values)


def traversed_values(prior: Distribution, deviations: ArrayLike) -> jax.Array | None:
    """Values of each dimension of z along a traversal: prior mean + prior standard deviation * deviations.

    Args:
      prior: p(z).
      deviations: `[n]`, in standard deviations of the prior.

    Returns:
      `[D, n]`; None if z is not a vector, or the prior has no mean and standard deviation in closed form.
    """
    try:
        mean, scale = mean_of(prior), standard_deviation_of(prior)
    except UndefinedError:
        return None
    if jnp.ndim(mean) != 1:
        return None
    return mean[:, None] + scale[:, None] * jnp.asarray(deviations, jnp.float32)[None]


def surgery_figures(summary: Mapping[str, Any], example: str = "image") -> Iterator[Captioned]:
    """Yields the decomposition of the average KL divergence (ELBO surgery), if a summary has it."""
    if summary.get("mutual_information") is None:
        return
    caption = (
        "The average KL divergence of posterior and prior, decomposed with the aggregate posterior of all test "
        f"{example}s into the mutual information of {example} and code, and "
    )
    if summary.get("dimension_wise_kl") is None:
        names = {"marginal_kl": "aggregate posterior"}
        caption += "the KL divergence of the aggregate posterior and the prior."
    else:
        names = {"total_correlation": "total correlation", "dimension_wise_kl": "dimension-wise KL"}
        caption += (
            "the KL divergence of the aggregate posterior and the prior, which is the sum of the total correlation "
            "(dependence between dimensions) and the dimension-wise KL divergence."
        )
    limit = summary["mutual_information_limit"]
    if summary["mutual_information"] > 0.95 * limit:
        caption += (
            f" The mutual information is near its limit, the logarithm of the number of {example}s: their posteriors "
            f"hardly overlap. With more {example}s it would be larger, and the other parts smaller."
        )
    total = Part("average KL", summary["average_kl"], summary.get("average_kl_standard_error"))
    names = {"mutual_information": "mutual information", **names}
    parts = [Part(name, summary[key], summary.get(f"{key}_standard_error")) for key, name in names.items()]
    figure = parts_of_a_sum(total, parts, [limit, *[None] * (len(parts) - 1)], example)
    yield Captioned("elbo_surgery", "Decomposition of the rate", caption, figure)


def code_figures(summary: Mapping[str, Any]) -> Iterator[Captioned]:
    """Yields the usage of the codes, if a summary has their counts."""
    if not summary.get("code_counts"):
        return
    caption = (
        f"Frequency of each code in the test images. {100 * summary['codebook_usage']:.0f}% of the codes occur; their "
        f"perplexity is {summary['perplexity']:.0f}, the number of equally used codes with the same entropy."
    )
    yield Captioned("code_usage", "Code usage", caption, code_usage_curves(summary["code_counts"]))


def _code_parts(subject: Subject) -> list[jax.ShapeDtypeStruct]:
    """Shapes and dtypes of the arrays of one image's latent code; empty if the model defines no latent code."""
    try:
        one = lambda x, context: latent_code(subject.given(context), subject.params, x)
        return jax.tree.leaves(jax.eval_shape(one, subject.xs[0], subject.first_context))
    except UndefinedError:
        return []


def _reconstructions(subject: Subject) -> Captioned:
    shown, contexts = jax.tree.map(lambda leaf: leaf[:NUM_RECONSTRUCTIONS], (subject.xs, subject.contexts))
    hidden = "" if subject.masks is None else " with missing pixels in gray"
    rebuilt = jax.jit(jax.vmap(lambda x, context: reconstruct(subject.given(context), subject.params, x)))(
        shown, contexts
    )
    return Captioned(
        "reconstructions",
        "Reconstructions",
        f"Test images{hidden}, and below each the decoder's mean at its latent code, the mean of its posterior. With "
        "several stochastic layers, each layer takes the mean of the previous one."
        + ("" if subject.num_classes is None else " The model gets the label of each image."),
        reconstructions(shown if subject.masks is None else with_gray(shown, contexts), rebuilt),
    )


def _imputations(subject: Subject, imputed: jax.Array) -> Captioned:
    count = len(imputed)
    assert subject.masks is not None
    return Captioned(
        "imputations",
        "Imputed pixels",
        "Test images with their missing pixels in gray, and below each the same image with the mean of its missing "
        "pixels given the observed ones, estimated by importance sampling.",
        reconstructions(with_gray(subject.xs[:count], subject.masks[:count]), imputed, ("observed", "imputed")),
    )


def _samples(subject: Subject, key: jax.Array) -> Captioned:
    keys = jax.random.split(key, NUM_SAMPLES)
    contexts = None if subject.num_classes is None else jnp.arange(NUM_SAMPLES) % subject.num_classes
    if subject.masks is not None:
        contexts = jnp.ones((NUM_SAMPLES, *subject.masks.shape[1:]), bool)
    drawn = jax.jit(jax.vmap(lambda k, context: sample(subject.given(context), subject.params, k)))(keys, contexts)
    caption = "The decoder's mean at independent draws from the prior"
    if subject.num_classes is not None:
        caption += f", row by row with the labels 0 to {min(subject.num_classes, NUM_SAMPLES) - 1} in turn"
    return Captioned("samples", "Samples from the prior", f"{caption}.", image_grid(drawn))


def _labels(subject: Subject, key: jax.Array) -> Captioned:
    """Figure with a row for each of at most 20 labels; each column is one draw of z."""
    assert subject.num_classes is not None
    shown = jnp.arange(min(subject.num_classes, MOST_LABELS))
    keys = jax.random.split(jax.random.fold_in(key, 1), NUM_OF_A_LABEL)
    draw = lambda context, k: sample(subject.given(context), subject.params, k)
    drawn = jax.jit(jax.vmap(jax.vmap(draw, in_axes=(None, 0)), in_axes=(0, None)))(shown, keys)
    caption = (
        "The decoder's mean with one label per row. Each column is one draw of z from the prior, decoded with every "
        "label"
    )
    if left_out := subject.num_classes - len(shown):
        caption += f"; {left_out} more {'label is' if left_out == 1 else 'labels are'} not shown"
    return Captioned("labels", "The same z with other labels", f"{caption}.", images_by_label(drawn, shown))


def _interpolations(subject: Subject) -> Captioned:
    starts, ends, contexts = _pairs(subject)

    def along(path: Callable[..., Any]) -> jax.Array:
        walk = lambda a, b, context: interpolate(subject.given(context), subject.params, a, b, NUM_STEPS, path)
        return jax.jit(jax.vmap(walk))(starts, ends, contexts)

    label = "" if contexts is None else " The two images of a pair have the same label, which the model gets."
    return Captioned(
        "interpolations",
        "Interpolation between test images",
        "Images decoded along the straight line between two latent codes, and along the great circle, which avoids the "
        "center, where the prior has few codes." + label,
        interpolations(along(straight_line), along(great_circle)),
    )


def _traversal(subject: Subject, values: jax.Array) -> Captioned:
    move = lambda x, context: traverse(subject.given(context), subject.params, x, values)
    moved = jax.jit(move)(subject.xs[0], subject.first_context)
    order = "" if subject.kl_per_dimension is None else " Rows are sorted by the KL divergence of their dimension."
    return Captioned(
        "traversal",
        "Latent traversal",
        "One dimension of the first test image's latent code at a time is moved over the range of the prior, with the "
        "others fixed." + order + _with_the_label(subject),
        traversal(moved, subject.kl_per_dimension, DEVIATIONS),
    )


def _manifold(subject: Subject, prior: Distribution) -> Captioned:
    quantiles = jax.scipy.stats.norm.ppf((jnp.arange(MANIFOLD_SIDE) + 0.5) / MANIFOLD_SIDE)
    noise = jnp.stack(jnp.meshgrid(quantiles, quantiles), axis=-1)
    codes = jax.vmap(jax.vmap(partial(from_standard_normal_of, prior)))(noise)
    decode = lambda context, z: mean_of(subject.given(context).decode(subject.params, z))
    rows = jax.vmap(jax.vmap(decode, in_axes=(None, 0)), in_axes=(None, 0))
    tiles = jax.jit(rows)(subject.first_context, codes)
    return Captioned(
        "manifold",
        "The decoded manifold",
        "The decoder's mean over the plane of z; the grid is regular in the quantiles of the prior, so that every tile "
        "stands for the same probability." + _with_the_label(subject),
        manifold(tiles),
    )


def _with_the_label(subject: Subject) -> str:
    context = subject.first_context
    return "" if subject.num_classes is None else f" The label is that of the first test image, {context}."


def _pairs(subject: Subject) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Pairs of test images for interpolation, and their contexts.

    Each of the first images is paired with the next image of another label (of any label if there are none). For a
    `Conditional` both have the same label, which is their context.
    """
    one_label = subject.num_classes is not None
    count = min(NUM_PAIRS, len(subject.xs) // 2)
    starts = np.arange(max(count, 1))
    labels = np.arange(len(subject.xs)) if subject.labels is None else np.asarray(subject.labels)
    free = list(range(len(starts), len(labels))) or [0]
    ends = []
    for start in starts:
        end = next((i for i in free if (labels[i] == labels[start]) == one_label), free[0])
        ends.append(end)
        free = [i for i in free if i != end] or [end]
    contexts = None if subject.contexts is None else subject.contexts[starts]
    return subject.xs[starts], subject.xs[np.array(ends)], contexts


def _scatter(subject: Subject) -> Captioned:
    points = np.asarray(subject.posterior_means)
    title = "Posterior means of the test images"
    if points.shape[1] > 2:
        projected, explained = principal_components(points)
        names = [
            f"principal component {i + 1} ({100 * share:.0f}% of the variance)" for i, share in enumerate(explained)
        ]
        caption = f"The first two principal components of the {points.shape[1]} dimensions"
        figure = latent_scatter(projected, subject.labels, names)
    else:
        # A one-dimensional code is drawn along an axis.
        plane = points if points.shape[1] == 2 else np.column_stack([points[:, 0], np.zeros(len(points))])
        caption = "The posterior mean of each test image"
        figure = latent_scatter(plane, subject.labels, ("z1", "z2" if points.shape[1] == 2 else ""))
    caption += "." if subject.labels is None else ", colored by label."
    return Captioned("posterior_means", title, caption, figure)
