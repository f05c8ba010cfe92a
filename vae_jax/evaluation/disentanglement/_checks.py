"""Checks of the codes and factors that a score takes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
from jax.typing import ArrayLike


def checked(metric: str, codes: ArrayLike, factors: ArrayLike, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Codes `[n, D]` and the varying factors `[n, K]`, as numpy arrays.

    Raises:
      ValueError: if the shapes do not match, a code is not finite, there are fewer than `least` images, or no factor
        has two values.
    """
    codes, factors = np.asarray(codes), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not codes.shape[1]:
        raise ValueError(f"{metric} needs codes [n, D] and factors [n, K], got {codes.shape} and {factors.shape}")
    if len(codes) < least:
        raise ValueError(f"{metric} needs at least {least} images, got {len(codes)}")
    check_finite(metric, codes)
    varies = factors.min(axis=0) < factors.max(axis=0)
    if not varies.any():
        raise ValueError(f"{metric} needs a factor that takes more than one value in its {len(codes)} images")
    return codes, factors[:, varies]


def check_finite(metric: str, codes: ArrayLike) -> None:
    """Raises ValueError if a code is NaN or infinite."""
    bad = ~np.isfinite(np.asarray(codes)).all(axis=0)
    if bad.any():
        names = ", ".join(f"z{place + 1}" for place in np.flatnonzero(bad))
        raise ValueError(f"{metric} needs finite codes, but {names} hold NaN or infinity: the model has diverged")


@contextlib.contextmanager
def unfinished_fits_allowed() -> Iterator[None]:
    """Silences warnings of unconverged fits: the published scores also stop after scikit-learn's 100 iterations."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
