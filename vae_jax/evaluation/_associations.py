"""Association of the columns of a table: how much one tells of another, whatever their kinds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def association_matrix(columns: Sequence[NDArray], unordered: Sequence[bool]) -> NDArray[np.float64]:
    """Association of every pair of columns, from the rows in which both are known.

    * two ordered columns: Spearman's rank correlation, from -1 to 1;
    * an unordered and an ordered column: the correlation ratio eta of the ranks, sqrt(variance between the levels /
      variance), from 0 to 1;
    * two unordered columns: Cramer's V, sqrt(chi^2 / (N (min(K, L) - 1))), from 0 to 1.

    Args:
      columns: float `[N]` each, NaN for missing cells; for unordered columns codes of levels.
      unordered: Whether the levels of each column have no order.

    Returns:
      `[n, n]`, symmetric with ones on the diagonal; NaN for pairs without enough different values.
    """
    count = len(columns)
    matrix = np.eye(count)
    for i in range(count):
        for j in range(i):
            both = np.isfinite(columns[i]) & np.isfinite(columns[j])
            matrix[i, j] = matrix[j, i] = association(columns[i][both], columns[j][both], unordered[i], unordered[j])
    return matrix


def association(x: NDArray, y: NDArray, x_unordered: bool, y_unordered: bool) -> float:
    """Association of two columns without missing cells, as in `association_matrix`."""
    from scipy.stats import rankdata  # takes longer to import than this package

    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    if x_unordered and y_unordered:
        return cramers_v(x, y)
    if x_unordered:
        return correlation_ratio(x, rankdata(y))
    if y_unordered:
        return correlation_ratio(y, rankdata(x))
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def correlation_ratio(codes: NDArray, values: NDArray) -> float:
    """sqrt(sum_k n_k (mean_k - mean)^2 / sum_i (y_i - mean)^2), k over the levels."""
    _, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    deviations = values - values.mean()
    sums = np.bincount(places, deviations)
    return float(np.sqrt(np.sum(sums**2 / counts) / np.sum(deviations**2)))


def cramers_v(x: NDArray, y: NDArray) -> float:
    """sqrt(chi^2 / (N (min(K, L) - 1))) of the table of counts of two columns of codes with K and L levels."""
    _, rows = np.unique(x, return_inverse=True)
    _, columns = np.unique(y, return_inverse=True)
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1)
    expected = np.outer(counts.sum(1), counts.sum(0)) / len(x)
    return float(np.sqrt(np.sum((counts - expected) ** 2 / expected) / (len(x) * (min(counts.shape) - 1))))
