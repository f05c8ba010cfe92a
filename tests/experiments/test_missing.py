"""Tests of `experiments.missing`: its tables, and its records from given numbers."""

import numpy as np
import pytest

from experiments.lib.missing_table import Training, breast_cancer, trained
from experiments.missing import Mnist, Table, make_record


def test_masks_are_those_of_the_seed_and_held_out_cells_are_given():
    table, other = breast_cancer(0, 0.1), breast_cancer(1, 0.1)
    np.testing.assert_allclose(table.complete.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(table.complete.std(0), 1, rtol=1e-9)
    assert abs(table.given.mean() - 0.5) < 0.02 and abs(table.held_out.sum() / table.given.sum() - 0.1) < 0.01
    assert not np.any(table.held_out & ~table.given) and np.any(table.given != other.given)
    example = table.example(table.given)
    np.testing.assert_array_equal(np.asarray(example.x)[~table.given], 0)  # the model never sees the missing values
    assert table.error(np.zeros_like(table.complete), table.given) == pytest.approx(
        np.square(table.complete[table.given]).mean()
    )


def test_records_compare_with_the_same_masks():
    numbers = [
        {"iwae": 0.30, "ridge": 0.33, "neighbors": 0.5, "mean": 1.0, "seconds": 1.0, "held_out": []},
        {"iwae": 0.31, "ridge": 0.35, "neighbors": 0.5, "mean": 1.0, "seconds": 1.0, "held_out": []},
    ]
    *_, difference = make_record(Table(), numbers).claims
    np.testing.assert_allclose(difference.values, [-3.0, -4.0])
    assert difference.reached and difference.at_most == pytest.approx(-1.0)  # two standard errors of 0.5
    shares = {"complete": 0.99, "retrained": 0.987, "imputed": 0.98, "draws": 0.98, "zeros": 0.9}
    record = make_record(Mnist(), [shares | {"squared_error": 0.02, "seconds": 1.0}])
    gap = next(
        claim for claim in record.claims if claim.claim.startswith("complete less imputed, classifier of imputed")
    )
    assert gap.mean == pytest.approx(0.3) and gap.reached


@pytest.mark.slow
def test_a_short_training_is_better_than_the_mean_of_each_column():
    table, rows = breast_cancer(0, 0.1), []
    small = Training(samples=5, epochs=20, every=10, decay=0.9, imputing_samples=50)
    filled, errors = trained(table, 0, small, rows.append)
    assert rows == errors and [row["epoch"] for row in errors] == [10, 20]
    means = np.square(table.complete[~table.given]).mean()
    assert table.error(filled, ~table.given) < 0.6 * means
    np.testing.assert_allclose(np.asarray(filled)[table.given], table.complete[table.given], rtol=1e-6)
