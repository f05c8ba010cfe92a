"""All disentanglement scores of a code table, and those of two reference codes: a ceiling and a floor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation._latents import active_units
from vae_jax.evaluation.disentanglement._interventions import beta_vae_score, factor_vae_score
from vae_jax.evaluation.disentanglement._mutual_information import modularity, mutual_information_gap
from vae_jax.evaluation.disentanglement._predictors import dci, explicitness, separated_attribute_predictability
from vae_jax.evaluation.disentanglement._robustness import interventional_robustness
from vae_jax.evaluation.disentanglement._sampling import Labeled, draw
from vae_jax.evaluation.disentanglement._table import CodeTable, code_table
from vae_jax.evaluation.disentanglement._unsupervised import gaussian_total_correlation

# In the order of the report.
SUPERVISED = (
    "mig",
    "factor_vae_score",
    "beta_vae_score",
    "modularity",
    "explicitness",
    "irs",
    "sap",
    "dci_disentanglement",
    "dci_completeness",
    "dci_informativeness",
)
_PUBLISHED_POINTS = 10_000


def measure_disentanglement(
    table: CodeTable,
    key: jax.Array,
    *,
    points: int = _PUBLISHED_POINTS,
    dci_points: int | None = None,
    fast: bool = False,
    drawn: tuple[Labeled, Labeled] | None = None,
    num_jobs: int | None = None,
    on_part: Callable[[str], None] = lambda name: None,
) -> dict[str, float]:
    """Measures all scores of a code table, by default with the numbers of images of disentanglement_lib.

    Args:
      table: codes of all images.
      key: PRNG key, consumed; the same key selects the same images for every model.
      points: number of images, or groups of images, that a score is fitted to; half as many are used for the test.
      dci_points: number of images for DCI, whose trees take minutes; None: points.
      drawn: training and test images, at least as many as needed; None: drawn from the table.
      fast: True leaves out the scores that scikit-learn fits to each factor (SAP, explicitness, DCI).
      num_jobs: number of factors that DCI fits at once, as in joblib.
      on_part: called with the name of each part before it begins.

    Returns:
      The scores named in `SUPERVISED`, "gaussian_total_correlation" (nats) and "active_units".

    Raises:
      ValueError: if codes are not finite, points is below 2, or no factor has two values.
    """
    draw_key, votes_key, pairs_key = jax.random.split(key, 3)
    count = max(points, dci_points or 0)
    train_key, test_key = jax.random.split(draw_key)
    train, test = drawn or (draw(table, train_key, count), draw(table, test_key, max(count // 2, 2)))
    first = lambda part, n: Labeled(part.codes[:n], part.factors[:n])
    fitted, tested = first(train, points), first(test, max(points // 2, 2))
    on_part("mutual information")
    scores: dict[str, float] = {"mig": mutual_information_gap(*fitted), "modularity": modularity(*fitted)}
    scores["irs"] = interventional_robustness(*fitted)
    on_part("votes and pairs")
    scores["factor_vae_score"] = factor_vae_score(table, votes_key, points, max(points // 2, 1))
    scores["beta_vae_score"] = beta_vae_score(table, pairs_key, points, max(points // 2, 1))
    scores["gaussian_total_correlation"] = gaussian_total_correlation(fitted.codes)
    scores["active_units"] = int(active_units(table.means))
    if fast:
        return scores
    on_part("SAP and explicitness")
    scores["sap"] = separated_attribute_predictability(fitted, tested)
    scores["explicitness"] = explicitness(fitted, tested)
    on_part("DCI")
    dci_points = dci_points or points
    parts = dci(first(train, dci_points), first(test, max(dci_points // 2, 2)), num_jobs)
    return scores | {f"dci_{name}": value for name, value in parts._asdict().items()}


def reference_tables(factor_sizes: Sequence[int], latent_dim: int, key: jax.Array) -> dict[str, CodeTable]:
    """Two reference codes: "ceiling", with a latent for each factor and noise in the others, and "floor", only noise.

    The values of a factor are spaced evenly, with the unit variance of the prior. If there are fewer latents than
    factors, only the factors with the most values have a latent.
    """
    sizes = tuple(factor_sizes)
    noise = jax.random.normal(key, (int(np.prod(sizes)), latent_dim))
    indices = jnp.arange(noise.shape[0])
    columns = jnp.stack(jnp.unravel_index(indices, sizes), axis=1).astype(jnp.float32)
    deviations = jnp.std(columns, axis=0, keepdims=True)
    spread = (columns - jnp.mean(columns, axis=0, keepdims=True)) / jnp.maximum(deviations, 1e-6)
    encoded = sorted(np.argsort(sizes, kind="stable")[::-1][: min(latent_dim, len(sizes))].tolist())
    perfect = jnp.concatenate([spread[:, jnp.asarray(encoded)], noise[:, len(encoded) :]], axis=1)
    return {"ceiling": code_table(perfect, sizes), "floor": code_table(noise, sizes)}


@functools.lru_cache(maxsize=4)  # the same for all runs on a data set
def measure_references(
    factor_sizes: tuple[int, ...],
    latent_dim: int,
    *,
    points: int = _PUBLISHED_POINTS,
    dci_points: int | None = None,
    num_jobs: int | None = None,
) -> dict[str, dict[str, float]]:
    """Measures the scores of `reference_tables`; arguments as for `measure_disentanglement`.

    The ceiling is not an upper bound: a code without any noise has a higher modularity than one with unused latents.
    """
    table_key, key = jax.random.split(jax.random.key(0))
    return {
        name: measure_disentanglement(table, key, points=points, dci_points=dci_points, num_jobs=num_jobs)
        for name, table in reference_tables(factor_sizes, latent_dim, table_key).items()
    }
