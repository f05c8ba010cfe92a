"""Grids of images: samples, reconstructions, interpolations, traversals, and the manifold of a 2-d latent space."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vae_jax.visualization._mosaic import as_rgb, draw_mosaic, finish, label_columns, label_rows, thin_gap
from vae_jax.visualization._style import FAINT, fixed, signed, styled

MOST_COLUMNS = 10  # reconstructions per row
MOST_DIMENSIONS = 16  # rows of a traversal


def _columns(count: int) -> int:
    """Number of columns of a grid: near a square, and with a full last row if possible."""
    square = math.ceil(math.sqrt(count))
    return next((c for c in range(square, 2 * square + 1) if count % c == 0), square)


@styled
def image_grid(images: ArrayLike) -> Figure:
    """Draws images in a grid, row by row from the upper left, such as samples of a model.

    Args:
      images: `[N, H, W, C]`, C in {1, 3}; floats in [0, 1] (clipped), or uint8.

    Raises:
      ValueError: If the shape or range is wrong.
    """
    tiles = as_rgb("images", images, "N")
    count, columns = len(tiles), _columns(len(tiles))
    rows = -(-count // columns)
    cells = np.ones((rows * columns, *tiles.shape[1:]), np.float32)
    cells[:count] = tiles
    gap = thin_gap(tiles)
    grid = cells.reshape(rows, columns, *tiles.shape[1:])
    return finish(draw_mosaic(grid, [gap] * (rows - 1), [gap] * (columns - 1)))


@styled
def images_by_label(images: ArrayLike, labels: ArrayLike) -> Figure:
    """Draws one row of images for each label, with the label at its left, such as samples of a conditional model.

    Args:
      images: `[L, N, H, W, C]`, C in {1, 3}; floats in [0, 1] (clipped), or uint8.
      labels: `[L]`, whole numbers or names.

    Raises:
      ValueError: If the shape or range is wrong, or there is not one label per row.
    """
    tiles, names = as_rgb("images", images, "L, N"), np.asarray(labels)
    rows, columns = tiles.shape[:2]
    if names.shape != (rows,):
        raise ValueError(f"labels must have shape [L] = ({rows},) as in images, got shape {names.shape}")
    gap = thin_gap(tiles)
    mosaic = draw_mosaic(tiles, [gap] * (rows - 1), [gap] * (columns - 1))
    label_rows(mosaic, [f"label {name}" if isinstance(name, int) else name for name in names.tolist()])
    return finish(mosaic)


@styled
def reconstructions(
    originals: ArrayLike, reconstructions: ArrayLike, names: tuple[str, str] = ("original", "reconstruction")
) -> Figure:
    """Draws each original above its reconstruction, in pairs of rows of at most ten images.

    Args:
      originals: `[N, H, W, C]`, C in {1, 3}; floats in [0, 1] (clipped), or uint8.
      reconstructions: Same shape, in the same order.
      names: Names of the two rows of a pair.

    Raises:
      ValueError: If a shape or range is wrong, or the shapes differ.
    """
    above, below = as_rgb("originals", originals, "N"), as_rgb("reconstructions", reconstructions, "N")
    if above.shape != below.shape:
        raise ValueError(f"reconstructions must have the shape of originals, {above.shape}, got {below.shape}")
    # The fewest pairs of rows, of equal length: 12 images are 6 + 6, not 10 + 2.
    pairs = -(-len(above) // MOST_COLUMNS)
    columns = -(-len(above) // pairs)
    cells = np.ones((2, pairs * columns, *above.shape[1:]), np.float32)
    cells[:, : len(above)] = above, below
    grid = cells.reshape(2, pairs, columns, *above.shape[1:]).swapaxes(0, 1).reshape(-1, columns, *above.shape[1:])
    gap = thin_gap(above)
    mosaic = draw_mosaic(grid, ([gap, 3 * gap] * pairs)[:-1], [gap] * (columns - 1))
    label_rows(mosaic, list(names) * pairs)
    return finish(mosaic)


def with_gray(images: ArrayLike, masks: ArrayLike) -> np.ndarray:
    """Returns the images with gray in place of their missing values.

    Args:
      images: `[N, H, W, C]`, floats in [0, 1].
      masks: Same shape; 0 or False: missing.
    """
    return np.where(np.asarray(masks) != 0, np.asarray(images), np.float32(0.5))


@styled
def interpolations(linear: ArrayLike, great_circle: ArrayLike) -> Figure:
    """Draws two paths between latent codes, one above the other: the straight line and the great circle.

    Both paths have the same endpoints, whose columns are set apart and labeled.

    Args:
      linear: `[P, S, H, W, C]`, P pairs of endpoints and S >= 2 steps including both; C in {1, 3}; floats in [0, 1]
        (clipped), or uint8.
      great_circle: Same shape.

    Raises:
      ValueError: If a shape or range is wrong, the shapes differ, or there are fewer than two steps.
    """
    above, below = as_rgb("linear", linear, "P, S"), as_rgb("great_circle", great_circle, "P, S")
    if above.shape != below.shape:
        raise ValueError(f"great_circle must have the shape of linear, {above.shape}, got {below.shape}")
    pairs, steps = above.shape[:2]
    if steps < 2:
        raise ValueError(f"linear must hold both endpoints, S >= 2 in [P, S, H, W, C], got shape {above.shape}")
    gap = thin_gap(above)
    column_gaps = [gap] * (steps - 1)
    column_gaps[0] = column_gaps[-1] = 3 * gap
    grid = np.stack([above, below], axis=1).reshape(2 * pairs, *above.shape[1:])
    mosaic = draw_mosaic(grid, ([gap, 3 * gap] * pairs)[:-1], column_gaps)
    label_rows(mosaic, ["line", "great circle"] * pairs)
    mosaic.axes.xaxis.set_ticks_position("top")
    mosaic.axes.set_xticks(mosaic.column_centers[[0, -1]], ["start", "end"])
    mosaic.axes.tick_params(length=0)
    return finish(mosaic)


@styled
def traversal(images: ArrayLike, kl: ArrayLike | None, values: ArrayLike) -> Figure:
    """Draws a latent traversal, one row per latent dimension, the dimensions with the largest KL divergence first.

    Rows are sorted by `kl`; at most 16 dimensions are drawn, and the figure says how many are left out. Dimensions are
    counted from 1, as in "z1".

    Args:
      images: `[D, V, H, W, C]`: dimension d set to values[v], the others fixed; C in {1, 3}; floats in [0, 1]
        (clipped), or uint8.
      kl: `[D]`, KL divergence of each dimension in nats per image, or None if it is not defined (an autoencoder); rows
        then keep their order.
      values: `[V]`, in standard deviations of the prior.

    Raises:
      ValueError: If a shape or range is wrong.
    """
    tiles = as_rgb("images", images, "D, V")
    dimensions, steps = tiles.shape[:2]
    positions = np.asarray(values, np.float64)
    if positions.shape != (steps,):
        raise ValueError(f"values must have shape [V] = ({steps},) as in images, got shape {positions.shape}")
    order = np.arange(dimensions)
    labels = [f"z{index + 1}" for index in order]
    if kl is not None:
        nats = np.asarray(kl, np.float64)
        if nats.shape != (dimensions,) or not np.isfinite(nats).all():
            raise ValueError(f"kl must be finite, of shape [D] = ({dimensions},) as in images, got shape {nats.shape}")
        order = np.argsort(-nats, kind="stable")
        labels = [f"z{index + 1}   {fixed(nats[index])} nats" for index in order]
    shown, left_out = order[:MOST_DIMENSIONS], order[MOST_DIMENSIONS:]

    gap = thin_gap(tiles)
    mosaic = draw_mosaic(tiles[shown], [gap] * (len(shown) - 1), [gap] * (steps - 1))
    label_rows(mosaic, labels[: len(shown)])
    label_columns(mosaic, [signed(value) for value in positions], "z, in standard deviations of the prior")
    if len(left_out):
        note = f"{len(left_out)} more {'dimension' if len(left_out) == 1 else 'dimensions'} left out"
        if kl is not None:
            note += f", of {fixed(nats[left_out[0]])} nats or less each"
        mosaic.axes.annotate(note, (0, 0), (0, -6), "axes fraction", "offset points", va="top", fontsize=9, color=FAINT)
    return finish(mosaic)


@styled
def manifold(images: ArrayLike) -> Figure:
    """Draws the decoded manifold of a 2-d latent space, on a grid of quantiles of a standard normal prior.

    The grid is regular in the unit square, u = (1/2, 3/2, ..., G - 1/2) / G, and is mapped by the inverse normal CDF,
    so that each tile stands for the same probability of the prior (Kingma & Welling 2014, arXiv:1312.6114, figure 4).
    z1 increases to the right and z2 upwards, as in `latent_scatter`.

    Args:
      images: `[G, G, H, W, C]`: images[i, j] is decoded at z1 = Phi^-1(u[j]), z2 = Phi^-1(u[i]); C in {1, 3}; floats in
        [0, 1] (clipped), or uint8.

    Raises:
      ValueError: If the shape or range is wrong, or the grid is not square.
    """
    tiles = as_rgb("images", images, "G, G")
    size = len(tiles)
    if tiles.shape[1] != size:
        raise ValueError(f"images must be a square grid, [G, G, H, W, C], got shape {tiles.shape}")
    mosaic = draw_mosaic(tiles[::-1], [0] * (size - 1), [0] * (size - 1))
    # At most five ticks, symmetric about the middle, which is a tile only if G is odd.
    lower = {0, size // 4} if size > 4 else {0}
    middle = {size // 2} if size % 2 else set()
    shown = np.array(sorted(lower | middle | {size - 1 - index for index in lower}))
    quantiles = (shown + 0.5) / size
    deviations = [fixed(NormalDist().inv_cdf(quantile)) for quantile in quantiles]
    percent = [f"{signed(100 * quantile, 1)}%" for quantile in quantiles]
    across, up = mosaic.column_centers[shown], mosaic.row_centers[::-1][shown]
    axes = mosaic.axes
    axes.set_xticks(across, deviations)
    axes.set_yticks(up, deviations)
    axes.set_xlabel("z1")
    axes.set_ylabel("z2", rotation=0, ha="right", va="center")
    top, right = axes.secondary_xaxis("top"), axes.secondary_yaxis("right")
    top.set_xticks(across, percent)
    top.set_xlabel("quantile of the prior", fontsize=9, color=FAINT)
    right.set_yticks(up, percent)
    for frame in (axes, top, right):
        frame.spines[:].set_visible(False)
        frame.tick_params(length=3, color=FAINT)
    return finish(mosaic)
