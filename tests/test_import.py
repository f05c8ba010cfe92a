"""What `import vae_jax` costs and gives."""

import importlib
import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vae_jax

# Design section 5, name by name, and what each paper's objective is built from.
PUBLIC = [
    "VAE",
    "gaussian_vae",
    "mlp_vae",
    "conv_vae",
    "autoencoder",
    "reparameterize",
    "gaussian_kl",
    "normal_log_prob",
    "bernoulli_log_prob",
    "elbo",
    "elbo_terms",
    "iwae",
    "log_weight",
    "make_train_step",
    "init_train_state",
    "fit",
    "TrainState",
    "encode",
    "decode",
    "sample",
    "reconstruct",
    "interpolate",
    "traverse",
    "Network",
    "from_linen",
    "from_nnx",
]
FOLDERS = ["distributions", "evaluation", "models", "networks", "objectives", "training"]


def public_names(module):
    return [name for name in vars(module) if not name.startswith("_")]


def test_every_promised_name_is_there_and_can_be_called():
    assert [name for name in PUBLIC if not callable(getattr(vae_jax, name, None))] == []
    assert [name for name in FOLDERS if not inspect.ismodule(getattr(vae_jax, name, None))] == []


@pytest.mark.parametrize("module", ["vae_jax", *(f"vae_jax.{name}" for name in [*FOLDERS, "data", "visualization"])])
def test_every_public_name_is_documented(module):
    module = importlib.import_module(module)
    # Type aliases and records such as likelihoods.bernoulli have no docstring of their own.
    values = {name: getattr(module, name) for name in public_names(module)}
    documented = {n: v for n, v in values.items() if inspect.isfunction(v) or inspect.isclass(v) or inspect.ismodule(v)}
    assert len(documented) >= 5
    undocumented = [name for name, value in documented.items() if not (value.__doc__ or "").strip()]
    # A NamedTuple or dataclass without a docstring is given its signature as one: no full stop at the end of its line.
    first_lines = {name: value.__doc__.strip().split("\n\n")[0] for name, value in documented.items() if value.__doc__}
    signatures = [name for name, line in first_lines.items() if line.startswith(f"{name}(") and line.endswith(")")]
    assert undocumented + signatures == []


MEASURE = """
import json, sys, time
import jax, flax.linen, flax.nnx, optax, chex
before, start = set(sys.modules), time.process_time()
import vae_jax
print(json.dumps({"seconds": time.process_time() - start, "new": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def fresh_import():
    output = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout
    return json.loads(output)


@pytest.mark.parametrize(
    "package",
    ["tensorflow_datasets", "tensorflow", "orbax", "matplotlib", "grain", "PIL", "tyro", "vae_jax.data"],
)
def test_import_pulls_in_no_heavy_package(fresh_import, package):
    assert [name for name in fresh_import["new"] if name == package or name.startswith(package + ".")] == []


def test_import_takes_under_a_second_beyond_its_dependencies(fresh_import):
    assert "vae_jax.training.fit" in fresh_import["new"]
    assert fresh_import["seconds"] < 1.0  # of processor time, so that a busy machine does not count


def test_the_version_is_the_installed_packages():
    assert importlib.import_module("importlib.metadata").version("vae_jax") == vae_jax.__version__


def test_the_command_is_where_pyproject_says_it_is():
    scripts = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(scripts) == ["vae-jax"]
    module, function = scripts["vae-jax"].split(":")
    assert callable(getattr(importlib.import_module(module), function))
