"""`vae-jax train`, `report`, `doctor`, and the help and completion of all commands."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from cli.conftest import SMALL, call
from runs.commands import command
from vae_jax import cli
from vae_jax.cli import doctor, listing
from vae_jax.cli.train import main
from vae_jax.runs.factors import recipe as factors
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images import kind as images
from vae_jax.runs.recipes import RECIPES


@pytest.mark.slow
def test_a_recipe_is_the_experiment_of_its_name(here, monkeypatch, capsys):
    assert call("train", "beta_vae", *SMALL.split(), "--run-dir", "one", "--beta", 2) == 0
    one = json.loads(capsys.readouterr().out.splitlines()[-1])
    code, out, _ = command(monkeypatch, capsys, "beta_vae", f"{SMALL} --run-dir other --beta 2", small="")
    other = json.loads(out.splitlines()[-1])
    timed = re.compile("seconds")
    assert code == 0
    assert {k: v for k, v in one.items() if not timed.search(k)} == {
        k: v for k, v in other.items() if not timed.search(k)
    }
    assert RunFolder(Path("one")).config() == RunFolder(Path("other")).config()
    # It is resumed by the same name.
    assert call("train", "beta_vae", "--resume", "--run-dir", "one") == 0
    assert call("train", "beta_vae", "--resume", "--run-dir", "one", "--beta", 3) == 2
    assert "beta (the run: 2.0, now: 3.0)" in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_is_made_anew_from_the_run(here, capsys, monkeypatch):
    report = Path("runs/vae/report.html")
    before = report.read_text()
    report.unlink()
    summary = RunFolder(here / "runs/vae").summary()
    assert call("report", "runs/vae") == 0
    assert capsys.readouterr().out == "report: runs/vae/report.html\n"
    assert report.read_text() == before
    assert RunFolder(here / "runs/vae").summary() == summary
    assert f"{summary['negative_elbo']:.2f}" in Path("runs/vae/MODEL.md").read_text()


@pytest.mark.slow
def test_the_doctor_trains(capsys):
    assert call("doctor", "--seconds", 0.3) == 0
    out = capsys.readouterr().out
    first, last, steps = re.search(r"loss ([\d.]+) -> ([\d.]+) nats in (\d+) steps", out).groups()
    assert float(last) < float(first) and int(steps) >= 2
    for word in ("device", "jax", "TFDS data", "wandb", "works"):
        assert word in out


def test_the_doctor_says_where_training_does_not_work(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "train_for", lambda seconds: (500.0, 501.0, 10, 100.0))
    assert call("doctor") == 1
    assert "DOES NOT WORK" in capsys.readouterr().out
    assert call("doctor", "--seconds", 0) == 2


def test_every_command_and_recipe_explains_itself(capsys):
    for words in [[name] for name in ("train", *cli.COMMANDS)] + [
        ["train", name] for name in ("vae", "vq_vae", "disentangle")
    ]:
        assert call(*words, "--help") == 0
        text = " ".join(capsys.readouterr().out.split())
        assert text.startswith(f"usage: vae-jax {' '.join(words)}"), text[:80]
        assert "(default" in text or words in ([["train"], ["show"]]) or len(words) == 1
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert [name for name in ("train", *cli.COMMANDS) if name not in text] == []


@pytest.mark.parametrize("words", [["train"], ["train", "gan"], ["fly"], ["list", "--color"], ["sample"], []])
def test_what_there_is_not_is_refused(capsys, words):
    assert call(*words) == 2


@pytest.mark.slow
def test_a_shell_completes_commands_recipes_and_flags(tmp_path, capsys):
    assert call("--tyro-print-completion", "bash") == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    # As the shell does when the tab key is pressed.
    asked = f"source {script}; complete -p vae-jax"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert "vae-jax" in done.stdout
    for word in ("traverse", "vq_vae", "--num-codes", "--random-seed"):
        assert word in script.read_text()


def test_an_interruption_is_said_and_has_its_code(monkeypatch, capsys, tmp_path):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "prepare_list", interrupted)
    assert call("list", tmp_path) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("recipe", ["vae", "disentangle"])
def test_an_interruption_while_data_loads_is_said_in_a_line(recipe, monkeypatch, capsys, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "load_images", interrupted)
    monkeypatch.setattr(factors, "load_factor_data", interrupted)
    assert call("train", recipe, "--run-dir", tmp_path / "run") == 130
    assert capsys.readouterr().err == "interrupted\n"
    with pytest.raises(SystemExit) as stop:
        main(RECIPES[recipe], "", arguments=["--run-dir", str(tmp_path / "run")])
    assert (stop.value.code, capsys.readouterr().err) == (130, "interrupted\n")
    assert list(tmp_path.iterdir()) == []
