"""Log-probabilities of counts in numpy float64, as sums that keep their digits at large counts and dispersions."""

import numpy as np
import scipy.special


def poisson(x, log_rate):
    """x log(rate) - rate - log x!, by scipy."""
    x, log_rate = np.float64(x), np.float64(log_rate)
    return x * log_rate - np.exp(log_rate) - scipy.special.gammaln(x + 1)


def negative_binomial(x, log_mean, log_dispersion):
    """log [Gamma(x + r) / Gamma(r)] - log x! + r log(r / (r + m)) + x log(m / (r + m))."""
    x, log_mean, log_dispersion = np.float64(x), np.float64(log_mean), np.float64(log_dispersion)
    r = np.exp(log_dispersion)
    # lgamma(10^13) has no digits after the point: the ratio of Gammas is the product of r + i.
    rising = np.array(
        [np.log1p(np.arange(n) / size).sum() + n * np.log(size) for n, size in np.broadcast(x.astype(int), r)]
    ).reshape(np.broadcast(x, r).shape)
    terms = r * np.logaddexp(0, log_mean - log_dispersion) + x * np.logaddexp(0, log_dispersion - log_mean)
    return rising - scipy.special.gammaln(x + 1) - terms


def assert_close(actual, expected):
    """Asserts an error below 10^-3 + 10^-6 |expected|: the second part is the rounding of float32."""
    assert np.isfinite(actual).all()
    excess = np.abs(np.float64(actual) - expected) - 1e-6 * np.abs(expected)
    assert excess.max() < 1e-3, (excess.max(), excess.argmax())
