"""Type check of a user's program against the package's types, through its lazy names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vae_jax

ROOT = Path(__file__).parents[1]
PROGRAM = """\
import vae_jax
model = vae_jax.mlp_vae((28, 28, 1), 20)
reveal_type((vae_jax.VAE, model, model.encode, vae_jax.fit, vae_jax.data.load_images))
vae_jax.mlp_vae(28)
vae_jax.no_such_name
"""
# Only our own types are checked; checking those of other packages would take most of the time.
OTHERS = "[mypy]\n[mypy-jax.*,flax.*,numpy.*,chex.*,optax.*,matplotlib.*,sklearn.*,scipy.*]\nfollow_imports = skip\n"


@pytest.mark.slow
def test_a_users_program_sees_our_types(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text(OTHERS)
    cache = ROOT / ".pytest_cache" / "mypy"
    # On PYTHONPATH a package is one that is installed: without its py.typed it has no types.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", str(cache), "program.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    revealed, shape, name, _ = done.stdout.splitlines()
    for text in (
        "fallback=vae_jax.models._model.VAE]",
        "def (Any, Any) -> vae_jax.distributions._distribution.Distribution",
        "fallback=vae_jax.training._step.TrainState]",
        "fallback=vae_jax.training._history.Progress]",
        "-> vae_jax.data._arrays.Images",
    ):
        assert text in revealed
    assert re.match(r'program.py:4: error: Argument 1 to "mlp_vae" has .* expected "Sequence\[int\]"', shape)
    assert name.startswith('program.py:5: error: Module has no attribute "no_such_name"')


def test_types_are_shipped():
    assert Path(vae_jax.__file__).with_name("py.typed").exists()
