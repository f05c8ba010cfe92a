"""Numbers of the default job after an epoch, as they have been since commit a8685ea: a change of them is a decision.

`python -m experiments.compare_commits` compares more jobs, and their saved models, between two commits.
"""

import json
from functools import partial

import numpy as np

from runs.commands import SCRIPTS
from runs.finished_runs import call
from vae_jax.cli.train import main

SUMMARY = {
    "steps": 28,
    "negative_elbo": 191.0152283,
    "negative_elbo_standard_error": 1.3507902,
    "rate": 8.4298496,
    "distortion": 182.5853729,
    "active_units": 20,
}
KL_OF_FIRST_DIMENSIONS = [0.5808509, 0.3456699, 0.1843617, 0.4924577, 0.3204557]
ROW = {
    "train/loss": 208.5256805,
    "train/distortion": 204.9199829,
    "train/rate": 3.6056747,
    "validation/loss": 189.0437775,
    "validation/distortion": 180.5592346,
    "validation/rate": 8.4845266,
}


def test_the_default_job_gives_the_numbers_that_are_written_down(tmp_path, without_figures, capsys):
    words = ("--data", "digits", "--epochs", "1", "--run-dir", str(tmp_path / "run"))
    assert call(partial(main, SCRIPTS["vae"].RECIPE, ""), *words) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    for found, pinned in ((summary, SUMMARY), (row, ROW)):
        np.testing.assert_allclose([found[name] for name in pinned], list(pinned.values()), rtol=1e-4)
    np.testing.assert_allclose(summary["kl_per_dimension"][:5], KL_OF_FIRST_DIMENSIONS, rtol=1e-4)
