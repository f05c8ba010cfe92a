"""Numbers and words that cannot be are refused in one process, with the words of the table, and leave nothing."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from markdown_it import MarkdownIt

from cli.conftest import call
from experiments.lib.faults.bad_commands import BAD_COMMANDS
from vae_jax import cli
from vae_jax.checksums import seal, write_recorded
from vae_jax.hub import model_card
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.limits import LIMITS, check_numbers
from vae_jax.runs.loading import load_run
from vae_jax.runs.progress import say
from vae_jax.runs.recipes import RECIPES
from vae_jax.runs.reporting.report_page import write_report
from vae_jax.runs.share import export_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the embedded digits that was trained for one step, as small as can be."""
    path = tmp_path_factory.mktemp("finished") / "run"
    small = "--epochs 1 --hidden 2 --latent-dim 2 --elbo-samples 1 --batch-size 3600"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_jax.runs.images.kind.model_figures", lambda subject, key: [])
        assert call("train", "vae", *small.split(), "--run-dir", path) == 0
    return path


@pytest.mark.slow
def test_what_cannot_be_is_refused_by_its_name_and_leaves_nothing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    capsys.readouterr()
    wrong = []
    for bad in BAD_COMMANDS:
        words = bad.arguments(run, Path("new"))
        try:
            code = call(*words)
        except Exception as error:
            code = f"a traceback: {error!r}"
        said, printed = capsys.readouterr()[::-1]
        one_line = said.startswith("error: ") and said.count("\n") == 1
        if code != 2 or not one_line or bad.expected not in said or printed or any(tmp_path.iterdir()):
            wrong.append(f"{bad.command}: {code}, {said[:200]!r}, {printed[:80]!r}, {list(tmp_path.iterdir())}")
    assert not wrong, "\n".join(wrong)
    assert len(BAD_COMMANDS) >= 60
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def numbers_in(kind):
    """Names of the fields that hold a number, several, or one at times."""
    hints = get_type_hints(kind)
    for name, hint in ((field.name, hints[field.name]) for field in dataclasses.fields(kind)):
        kinds = {hint, *get_args(hint), *(inner for each in get_args(hint) for inner in get_args(each))}
        if kinds & {int, float}:
            yield name


def test_every_number_that_can_be_given_has_its_limits():
    told = [type(recipe.defaults) for recipe in RECIPES.values()]
    kinds = {*told, *(options for options, _ in cli.COMMANDS.values())}
    numbers = {name for kind in kinds for name in numbers_in(kind)}
    assert {"hidden", "patience", "betas", "span", "count", "prior_width"} <= numbers
    assert numbers - set(LIMITS) == set()
    for kind in told:
        check_numbers(kind())


ESCAPES = "\x1b]0;owned\x07\x1b[31m[red]\u202e<img src=x>"


def test_text_of_a_run_reaches_no_terminal_and_no_page_as_it_is(run, tmp_path, capsys):
    folder = RunFolder(tmp_path / "run$x^$", "RUN")
    shutil.copytree(run, folder.path)
    config, summary = (json.loads((folder.path / name).read_text()) for name in ("config.json", "summary.json"))
    hostile = dict.fromkeys(("data", "data_note", "device", "posterior_collapse", "nll_warning", ESCAPES), ESCAPES)
    write_recorded(folder.path, "config.json", json.dumps(config | {"data": ESCAPES, "likelihood": "bernoulli"}))
    write_recorded(folder.path, "summary.json", json.dumps(summary | hostile | {"versions": {ESCAPES: ESCAPES}}))
    for checkpoint in folder.checkpoints.iterdir():  # whoever makes up a run makes up its checksums
        saved = json.loads((checkpoint / "progress/metadata").read_text())
        (checkpoint / "progress/metadata").write_text(json.dumps(saved | {"config": folder.config()}))
        (checkpoint / "checksums.json").unlink()
        seal(checkpoint)
    other = tmp_path / "other"
    shutil.copytree(run, other)
    picture = ["--output", tmp_path / "x.png"]
    for words in (
        ["show", folder.path],
        ["show", folder.path, "--json"],
        ["list", tmp_path],
        ["list", tmp_path, "--json"],
        ["compare", folder.path, other, *picture],
        ["evaluate", folder.path],
        ["report", folder.path],
        ["traverse", folder.path, *picture],
        ["train", "vae", "--resume", "--run-dir", folder.path],
        ["train", "vae", "--resume", "--run-dir", folder.path, "--latent-dim", 3],
    ):
        capsys.readouterr()
        call(*words)
        out, err = capsys.readouterr()
        # A picture's path, which the user gave, is said as it is.
        assert not set("\x1b\x07\u202e") & set(out + err), (words, out, err)
        assert words[0] in ("compare", "traverse") or "owned" in out + err, (words, out, err)
    loaded = load_run(folder.path)
    paths = export_run(loaded, "safetensors", tmp_path / "export")
    card = next(path for path in paths if path.name == "MODEL.md").read_text()
    header = model_card(card, loaded.config).split("---")[1]
    write_report(tmp_path / "r.html", title="VAE", summary=folder.summary(), config=folder.config(), figures=[])
    for text in (card, header, (tmp_path / "r.html").read_text()):
        assert "owned" in text and not set("\x1b\x07\u202e") & set(text)
    shown = MarkdownIt("commonmark").enable("table").render(card)
    assert "<img" not in shown and "<img src=x" not in (tmp_path / "r.html").read_text()


def test_what_is_said_is_text_and_no_markup(capsys):
    say("[red]a[/red] [/b] \x1b[31m\nsecond line")
    assert capsys.readouterr().err == "[red]a[/red] [/b] \\x1b[31m\nsecond line\n"


def test_numbers_of_a_config_that_cannot_be_are_refused_by_the_name_of_the_file(run, tmp_path, capsys):
    for name, value, wanted in (
        ("latent_dim", 10**12, "must be at most 1,000,000, got 1000000000000"),
        ("learning_rate", float("inf"), "must be a finite number, got inf"),
        ("hidden", [2, -1], "must be at least 1 each, got 2 -1"),
    ):
        shutil.copytree(run, tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text()) | {name: value}
        write_recorded(tmp_path / name, "config.json", json.dumps(config))
        capsys.readouterr()
        assert call("sample", tmp_path / name) == 2
        assert capsys.readouterr().err == f"error: RUN {tmp_path / name}: config.json: {name} {wanted}\n"
