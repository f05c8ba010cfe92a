"""Experiments as commands in the tests' own process, and what they leave."""

import contextlib
import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest

from vae_jax.cli.train import main

ROOT = Path(__file__).parent.parent.parent
# The same work in less time: a few small images, small layers, few samples.
SMALL = "--hidden 8 --latent-dim 2 --epochs 3 --batch-size 10 --elbo-samples 1 --nll-samples 2 --validation-size 10"


def script(name):
    """The module experiments/NAME.py, whatever the current folder is."""
    spec = importlib.util.spec_from_file_location(f"experiment_script_{name}", ROOT / "experiments" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SCRIPTS = {name: script(name) for name in ("vae", "autoencoder", "beta_vae", "vq_vae")}


def command(monkeypatch, capsys, name, arguments, *, small=SMALL):
    """The exit code, what came on stdout, and what came on stderr."""
    words = ["--data", "blobs.npz", *small.split(), *arguments.split()]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    module = SCRIPTS[name]
    code = 0
    try:
        main(module.RECIPE, module.__doc__)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def train(name, run_dir, *, small=SMALL):
    """Trains a run to its end, for tests that share it; returns what came on stdout and on stderr."""
    words = ["--data", "blobs.npz", *small.split(), "--run-dir", run_dir]
    module = SCRIPTS[name]
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        patch.setattr(sys, "argv", [f"{name}.py", *words])
        main(module.RECIPE, module.__doc__)
    assert json.loads(out.getvalue()) == json.loads(Path(run_dir, "summary.json").read_text())
    return out.getvalue(), err.getvalue()


def contents(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in Path(path).rglob("*") if file.is_file()}


def numbers_of(summary):
    return {name: value for name, value in summary.items() if "seconds" not in name}


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def without_seconds(path):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in lines_of(path)]
