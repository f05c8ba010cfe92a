"""Associations of columns against scipy and closed forms."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from scipy.stats.contingency import association as scipy_association

from vae_jax.evaluation._associations import association_matrix


def test_associations_are_spearman_cramer_and_the_correlation_ratio():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = np.where(rng.random(400) < 0.1, np.nan, np.round(x + rng.normal(size=400), 1))
    codes = np.digitize(x, [-0.5, 0.5]).astype(float)
    other = np.where(rng.random(400) < 0.5, codes, rng.integers(0, 4, 400))
    matrix = association_matrix([x, y, codes, other, np.ones(400)], [False, False, True, True, False])
    seen = np.isfinite(y)
    assert matrix[0, 1] == pytest.approx(spearmanr(x[seen], y[seen]).statistic)
    counts = np.array([[np.sum((codes == i) & (other == j)) for j in range(4)] for i in range(3)])
    assert matrix[2, 3] == pytest.approx(scipy_association(counts))
    ranks = np.argsort(np.argsort(x)) + 1.0
    between = sum(np.sum(codes == k) * (ranks[codes == k].mean() - ranks.mean()) ** 2 for k in range(3))
    assert matrix[0, 2] == pytest.approx(np.sqrt(between / np.sum((ranks - ranks.mean()) ** 2)))
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.isnan(matrix[4, :4]).all() and (np.diag(matrix) == 1).all()
