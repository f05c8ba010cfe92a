"""Tests of experiments.table_speed: the columns that are drawn, and the claims of the record."""

import sys
from pathlib import Path

import numpy as np
import pytest

from vae_jax.data import table_of


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import experiments.table_speed

    yield experiments.table_speed
    sys.path.pop(0)


def test_the_columns_are_of_all_kinds_and_a_twentieth_is_missing(script):
    table = table_of(script.columns_of(4_000), {"ordinal_0": "ordinal"})
    assert [column.kind for column in table.columns] == [column.name.split("_")[0] for column in table.columns]
    assert len(table.columns) == script.COLUMNS
    assert abs(np.mean([column.share_missing for column in table.columns]) - 0.05) < 0.005


def test_the_claims_are_ratios_to_the_array_and_to_its_step(script):
    def stages(**peaks):
        return {name: {"peak": peak, "seconds": 2.0} for name, peak in peaks.items()}

    files = {
        f"{suffix}, {size}": stages(empty=1e8, load=0, fit=0, encode=2.2e8, train=peak)
        for suffix in ("csv", "parquet")
        for size, peak in (("all", 5e8), ("small", 2e8))
    }
    claims = script.claims_of(1_000_000, files, {"array": 100.0, "table": 90.0, "continuous": 50.0})
    values = {claim.claim: claim.values[0] for claim in claims}
    assert values["training step of table_vae relative to that of the MLP VAE on as many numbers"] == 0.9
    memory = [values[name] for name in values if name.startswith("CSV: peak memory in units of the float32 array")]
    np.testing.assert_allclose(memory, [4 / 1.2, 3 / 1.2, 1.0])
    assert values["CSV: time to fit and encode"] == 4.0 and values["training, table: rows a second"] == 1e6 * 128 / 90
