"""Comparison of two commits: the default job and each recipe, run for an epoch or two at both on this machine.

    python -m experiments.compare_commits OLD NEW
    python -m experiments.compare_commits OLD NEW --jobs vae vq_vae

Every number of summary.json and metrics.jsonl and every array of the saved models must have equal bits, or differ by
less than 1e-6 of the largest number of its array; otherwise the exit code is 1. `disentangle` draws its images, so that
another order of draws changes its numbers without an error: its scores are shown side by side, the record says whether
their ranges over seeds overlap (`scores_overlap`), and they do not count for the exit code (`counts`).
Each commit is checked out in a temporary folder and run by this Python. All jobs take about 20 minutes on two cores.
"""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from experiments.lib.run_difference import Difference, difference, numbers_of, overlaps, scores_of
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs.folder import defined
from vae_jax.runs.progress import say

TOLERANCE = 1e-6
_VQ_VAE = "--channels 8 16 --num-codes 16 --epochs 1 --prior-epochs 2 --prior-layers 1 --prior-width 32"
_ROOT = Path(__file__).parents[1]
JOBS = {
    "vae": "vae --epochs 2",
    "likelihood": "vae --epochs 1 --hidden 64 --latent-dim 4 --nll-samples 16",
    "conv": "vae --epochs 1 --network conv --channels 8 16 --hidden 32 --likelihood normal",
    "seeds": "vae --epochs 2 --seeds 2 --hidden 64 --binarization static",
    "microbatches": "vae --epochs 1 --microbatches 4",
    "stream": "vae --epochs 1 --stream",
    "autoencoder": "autoencoder --epochs 2",
    "beta_vae": "beta_vae --epochs 2 --beta 4",
    "vq_vae": f"vq_vae {_VQ_VAE}",
    "vq_vae_masked": f"vq_vae {_VQ_VAE} --quantizer residual --prior masked",
    "vq_vae_seeds": f"vq_vae {_VQ_VAE} --quantizer finite_scalar --prior pixel_cnn --seeds 2",
    "disentangle": "disentangle --data squares --betas 4 --seeds 3 --steps 100 --points 200 --batch-size 16 "
    "--latent-dim 6 --no-whole-table --dci-points 100",
}
DRAWN = ("disentangle",)  # jobs whose numbers depend on the order of draws


@dataclasses.dataclass(frozen=True)
class Options:
    """Settings of the comparison."""

    old: Annotated[str, tyro.conf.Positional]
    """commit to compare with"""
    new: Annotated[str, tyro.conf.Positional]
    """commit to compare"""
    jobs: tuple[str, ...] = tuple(JOBS)
    """jobs to run"""


def git(*arguments: str) -> None:
    """Runs git in this repository.

    Raises:
      ValueError: if git fails; the message has its last line.
    """
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git {arguments[0]}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")


def run(worktree: Path, job: str, folder: Path) -> dict[str, np.ndarray] | None:
    """Runs a job at a commit and returns its numbers, or None after printing the end of its stderr if it failed."""
    experiment, *flags = shlex.split(job)
    command = [sys.executable, "-m", f"experiments.{experiment}", *flags, "--run-dir", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(worktree)}  # takes precedence over the installed package
    done = subprocess.run(command, cwd=worktree, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = "\n".join(done.stderr.splitlines()[-5:])
        say(f"{shlex.join(command)} ended with exit code {done.returncode}:\n{lines}")
        return None
    return numbers_of(folder)


def line_of(job: str, found: Difference | None) -> str:
    """Line of a job in the printed table."""
    if found is None:
        return f"{job:<16}failed"
    text = f"differ by {found.largest:.1e} ({found.where})"
    if found.largest == 0:
        text = "equal bits" if found.equal_bits else "equal numbers of another dtype"
    for names, change in ((found.missing, "missing"), (found.added, "new")):
        if names:
            text += f"; {change}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
    return f"{job:<16}{found.numbers:>6} numbers  {text}"


def compare(options: Options, temporary: Path) -> dict[str, Any]:
    """Runs all jobs at both commits; returns a record with the difference of each, `same`, and `counts`."""
    sides = {"old": options.old, "new": options.new}
    for side, commit in sides.items():
        git("worktree", "add", "--quiet", "--detach", str(temporary / side), commit)
    record: dict[str, Any] = {**sides, "tolerance": TOLERANCE, "jobs": {}}
    for job in options.jobs:
        found = None
        old = run(temporary / "old", JOBS[job], temporary / f"{job}-old")
        new = run(temporary / "new", JOBS[job], temporary / f"{job}-new")
        if old is not None and new is not None:
            found = difference(old, new)
            if job in DRAWN and found.largest > TOLERANCE:
                record["scores"] = scores_of(old, new)
                record["scores_overlap"] = overlaps(record["scores"])
        complete = found is not None and not found.missing
        same = found is not None and complete and found.largest <= TOLERANCE
        # A job that draws its images counts only if it failed or lost a number.
        counts = job not in DRAWN or not complete
        record["jobs"][job] = {"same": same, "counts": counts} | (found._asdict() if found else {})
        say(line_of(job, found))
    for name, spreads in record.get("scores", {}).items():
        texts = ["{:.4g} ({:.4g} to {:.4g})".format(*spread) for spread in spreads]
        say(f"{name:<28}{texts[0]:>34}{texts[1]:>34}")
    return record


def main(options: Options) -> None:
    with exit_on_bad_input():
        if unknown := sorted(set(options.jobs) - set(JOBS)):
            raise ValueError(f"--jobs must name jobs of {', '.join(JOBS)}, got {', '.join(unknown)}")
        for commit in (options.old, options.new):
            git("rev-parse", "--verify", f"{commit}^{{commit}}")
    with tempfile.TemporaryDirectory() as temporary:
        try:
            record = compare(options, Path(temporary))
        finally:
            for side in ("old", "new"):
                subprocess.run(["git", "worktree", "remove", "--force", f"{temporary}/{side}"], cwd=_ROOT, check=False)
    print(json.dumps(defined(record), allow_nan=False))
    sys.exit(0 if all(job["same"] or not job["counts"] for job in record["jobs"].values()) else 1)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.compare_commits"))
