"""Settings of a small run on known factors: two weights, two seeds, two epochs of two steps."""

from vae_jax.runs import FactorSettings

SIZES = (3, 2, 4, 4, 4)
SMALL = FactorSettings(
    objective="beta", betas=(1.0, 8.0), seeds=2, steps=4, score_every=2, batch_size=4, points=100, dci_points=100
)
