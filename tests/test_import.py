"""Time of `import vae_jax` and of commands that only read files, and the names of the package."""

import ast
import importlib
import inspect
import json
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import vae_jax
from vae_jax.runs.folder import RunFolder

# Public names of design section 5, and the functions from which each paper's objective is built.
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
FOLDERS = [
    "data",
    "distributions",
    "evaluation",
    "explorer",
    "export",
    "models",
    "networks",
    "objectives",
    "quantizers",
    "training",
    "visualization",
]
ROOT = Path(__file__).parents[1]


def public_names(module):
    return [name for name in dir(module) if not name.startswith("_")]


@pytest.mark.parametrize("module", ["vae_jax", "vae_jax.runs"])
def test_type_checkers_see_the_names_that_programs_do(module):
    module = importlib.import_module(module)
    tree = ast.parse(Path(module.__file__).read_text())
    (checked,) = [n.body for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {(node.module, alias.name) for node in checked for alias in node.names if alias.name == alias.asname}
    assert len(seen) == len(checked) > 20
    assert sorted(name for _, name in seen) == public_names(module)
    for home, name in seen:
        from_home = importlib.import_module(f"{home}.{name}" if home == module.__name__ else home)
        assert getattr(module, name) is (from_home if home == module.__name__ else getattr(from_home, name))
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'no_such_name'"):
        module.no_such_name  # noqa: B018


def test_every_promised_name_is_there_and_can_be_called():
    assert [name for name in PUBLIC if not callable(getattr(vae_jax, name, None))] == []
    assert [name for name in FOLDERS if not inspect.ismodule(getattr(vae_jax, name, None))] == []


@pytest.mark.parametrize("module", ["vae_jax", *(f"vae_jax.{name}" for name in FOLDERS)])
def test_every_public_name_is_documented(module):
    module = importlib.import_module(module)
    # Type aliases and records such as likelihoods.bernoulli have no docstring of their own.
    values = {name: getattr(module, name) for name in public_names(module)}
    documented = {n: v for n, v in values.items() if inspect.isfunction(v) or inspect.isclass(v) or inspect.ismodule(v)}
    assert len(documented) >= 5
    undocumented = [name for name, value in documented.items() if not (value.__doc__ or "").strip()]
    # A NamedTuple or dataclass without a docstring gets its signature as docstring: its line ends without a full stop.
    first_lines = {name: value.__doc__.strip().split("\n\n")[0] for name, value in documented.items() if value.__doc__}
    signatures = [name for name, line in first_lines.items() if line.startswith(f"{name}(") and line.endswith(")")]
    assert undocumented + signatures == []


MEASURE = """
import json, sys, time
import jax, flax.linen, flax.nnx, optax, chex
before, start = set(sys.modules), time.process_time()
import vae_jax
apart = {"data", "explorer", "export", "visualization"}
names = [name for name in dir(vae_jax) if name not in apart and getattr(vae_jax, name) is not None]
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
def test_the_names_pull_in_no_heavy_package(fresh_import, package):
    assert [name for name in fresh_import["new"] if name == package or name.startswith(package + ".")] == []


def test_the_names_take_under_a_second_beyond_their_dependencies(fresh_import):
    assert "vae_jax.training._fit" in fresh_import["new"]
    assert fresh_import["seconds"] < 1.0  # of processor time, so that a busy machine does not count


def test_the_version_is_the_installed_packages():
    assert importlib.import_module("importlib.metadata").version("vae_jax") == vae_jax.__version__


def test_the_command_is_where_pyproject_says_it_is():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert list(scripts) == ["vae-jax"]
    module, function = scripts["vae-jax"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


WITHOUT_JAX = """
import json, sys, time
start = time.process_time()
from vae_jax import cli
try:
    cli.main()
except SystemExit as stop:
    code = stop.code or 0
else:
    code = 0
heavy = [name for name in ("jax", "jaxlib", "flax", "numpy", "matplotlib", "onnx") if name in sys.modules]
print(json.dumps([code, heavy, time.process_time() - start]), file=sys.stderr)
"""


@pytest.mark.slow
def test_what_only_reads_files_needs_no_jax(tmp_path):
    (run := RunFolder(tmp_path / "run")).create({"experiment": "vae", "data": "digits"})
    run.write_summary({"negative_elbo": 100.25})
    cases = [
        (["--help"], 0, "usage: vae-jax"),
        (["sample", "--help"], 0, "usage: vae-jax sample"),
        (["evaluate", "--help"], 0, "usage: vae-jax evaluate"),
        (["fly"], 2, ""),
        (["list", tmp_path], 0, "100.25"),
        (["list", tmp_path / "none"], 2, ""),
        (["show", run.path], 0, "100.25"),
        (["show", tmp_path], 2, ""),
    ]
    times = []
    for words, code, said in cases:
        command = [sys.executable, "-c", WITHOUT_JAX, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert said in done.stdout, words
        ended, heavy, seconds = json.loads(done.stderr.splitlines()[-1])
        assert (ended, heavy) == (code, []), words
        times.append(seconds)
    assert statistics.median(times) < 0.5  # of processor time, so that a busy machine does not count


@pytest.mark.slow
def test_seconds_are_counted_from_the_import_and_not_from_what_ran_before():
    # Like a shell that installs first and then replaces itself by Python.
    program = (
        "from vae_jax.runs.machine import seconds_since_start as s; import time; "
        "a = s(); time.sleep(0.3); print(a, s() - a)"
    )
    command = f"sleep 1; exec {sys.executable} -c '{program}'"
    begun = time.monotonic()
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=True)
    whole = time.monotonic() - begun
    first, slept = map(float, done.stdout.split())
    assert 0 < first < whole - 1.3
    assert 0.3 <= slept < whole
