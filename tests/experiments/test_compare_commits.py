import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments import compare_commits
from experiments.lib.run_difference import difference, numbers_of, overlaps, relative_difference, scores_of

OLD = {"loss": np.asarray(2.0), "codes": np.asarray([1.0, -4.0]), "nll": np.asarray(np.nan)}
SPREAD = {"median": 0.2, "min": 0.1, "max": 0.4}


@pytest.mark.parametrize(
    ("new", "largest", "where"),
    [
        (OLD, 0.0, "loss"),
        (OLD | {"codes": np.asarray([1.0 + 4e-8, -4.0])}, 1e-8, "codes"),
        (OLD | {"loss": np.asarray(2.5)}, 0.2, "loss"),
        (OLD | {"nll": np.asarray(1.0)}, np.inf, "nll"),
        (OLD | {"codes": np.asarray([1.0])}, np.inf, "codes"),
    ],
)
def test_the_largest_difference_is_relative_to_the_largest_number_of_its_array(new, largest, where):
    found = difference(OLD, new)
    assert found.largest == pytest.approx(largest, rel=1e-6) and (found.where == where or largest == 0)
    assert found.equal_bits == (largest == 0) and found.numbers == 3 and not (found.missing or found.added)


def test_missing_numbers_and_other_dtypes_are_not_equal_bits():
    found = difference(OLD, {"loss": np.asarray(2.0, np.float32), "rate": np.asarray(1.0)})
    assert found.missing == ("codes", "nll") and found.added == ("rate",)
    assert found.largest == 0 and not found.equal_bits
    assert "equal numbers of another dtype; missing: codes, nll; new: rate" in compare_commits.line_of("vae", found)
    assert relative_difference(np.asarray(0), np.asarray(1e-30)) == 1


def test_the_numbers_of_a_run_come_from_its_files_and_its_last_saved_model(tmp_path):
    summary = {"elbo": -3.0, "nll": None, "wall_seconds": 9.0, "device": "cpu", "spread": {"min": 1}, "note": "7"}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "prior_0").mkdir()
    (tmp_path / "prior_0" / "metrics.jsonl").write_text('{"epoch": 1, "seconds": 2.0}\n{"epoch": 2, "seconds": 3.0}\n')
    for number, value in (("9", 1.0), ("10", 2.0)):
        tree = {"encoder": {"bias": jnp.full(2, value)}}
        checkpointer = ocp.Checkpointer(ocp.StandardCheckpointHandler())
        checkpointer.save(tmp_path / "checkpoints" / number / "best", args=ocp.args.StandardSave(tree))
    found = numbers_of(tmp_path)
    assert {name for name in found if name.startswith("summary")} == {
        "summary.json/elbo",
        "summary.json/nll",
        "summary.json/spread/min",
    }
    assert found["prior_0/metrics.jsonl/1/epoch"] == 2 and not any("seconds" in name for name in found)
    np.testing.assert_array_equal(found["checkpoints['encoder']['bias']"], [2.0, 2.0])


# A job that writes the number of its commit into the folder given by --run-dir.
_JOB = """import json, sys
from pathlib import Path
folder = Path(sys.argv[sys.argv.index("--run-dir") + 1])
folder.mkdir()
(folder / "summary.json").write_text(json.dumps({"elbo": VALUE}))
"""


def test_scores_overlap_if_their_ranges_over_seeds_do():
    old = {f"summary.json/over_seeds/{n}/{p}": np.asarray(v) for n in ("mig", "sap") for p, v in SPREAD.items()}
    new = dict(old) | {
        "summary.json/over_seeds/sap/min": np.asarray(0.5),
        "summary.json/over_seeds/mig/max": np.asarray(9),
    }
    scores = scores_of(old, new)
    assert scores == {"mig": [[0.2, 0.1, 0.4], [0.2, 0.1, 9.0]], "sap": [[0.2, 0.1, 0.4], [0.2, 0.5, 0.4]]}
    assert overlaps(scores) == {"mig": True, "sap": False}


def test_a_job_that_draws_images_counts_only_if_it_failed_or_lost_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare_commits, "git", lambda *arguments: None)
    for new, code in (({"elbo": np.asarray(-2.0)}, 0), ({}, 1), (None, 1)):
        sides = iter(({"elbo": np.asarray(-3.0)}, new))
        monkeypatch.setattr(compare_commits, "run", lambda *arguments, sides=sides: next(sides))
        with pytest.raises(SystemExit) as left:
            compare_commits.main(compare_commits.Options("one", "two", ("disentangle",)))
        job = json.loads(capsys.readouterr().out.splitlines()[-1])["jobs"]["disentangle"]
        assert left.value.code == code and not job["same"] and job["counts"] == (code == 1)


def test_a_difference_between_commits_is_found_and_their_checkouts_are_removed(tmp_path, monkeypatch, capsys):
    repository = tmp_path / "repository"
    (repository / "experiments").mkdir(parents=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git = lambda *arguments: subprocess.run(
        ["git", *identity, *arguments], cwd=repository, check=True, capture_output=True
    )
    git("init", "-q")
    for tag, value in (("one", "-3.0"), ("two", "-3.0 - 1e-7"), ("three", "-3.1"), ("four", "1 / 0")):
        (repository / "experiments" / "vae.py").write_text(_JOB.replace("VALUE", value))
        git("add", "-A")
        git("commit", "-q", "-m", tag)
        git("tag", tag)
    monkeypatch.setattr(compare_commits, "_ROOT", repository)
    for new, code, message in (
        ("one", 0, "equal bits"),
        ("two", 0, "differ by 3.3e-08 (summary.json/elbo)"),
        ("three", 1, "differ by 3.2e-02 (summary.json/elbo)"),
        ("four", 1, "failed"),
    ):
        with pytest.raises(SystemExit) as left:
            compare_commits.main(compare_commits.Options("one", new, ("vae",)))
        written = capsys.readouterr()
        record = json.loads(written.out.splitlines()[-1])
        assert left.value.code == code and record["jobs"]["vae"]["same"] == (code == 0)
        assert record["jobs"]["vae"]["counts"]
        assert message in written.err
    assert len(subprocess.check_output(["git", "worktree", "list"], cwd=repository, text=True).splitlines()) == 1


def test_bad_arguments_are_named():
    command = [sys.executable, "-m", "experiments.compare_commits"]
    done = subprocess.run(
        [*command, "HEAD", "HEAD", "--jobs", "vea"], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.endswith("got vea\n") and not done.stdout
