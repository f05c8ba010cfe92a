"""Files of each format, loaded by a process without this package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from export.small_models import inputs_of, made, shape_of
from vae_jax.export import export

ROOT = Path(__file__).parents[2]
# Models with every kind of z, a loop, and both kinds of convolution.
NAMES = ["mlp-logistic", "conv", "hierarchical", "transformer"]

# Each program runs every file named in the manifests in its folder at N = 3 and N = 1, and prints the number of
# comparisons.
COMPARE = """
import json, pathlib, sys
import numpy as np
compared = 0
for manifest in sorted(pathlib.Path(sys.argv[1]).glob("*/manifest.json")):
    for name, function in json.loads(manifest.read_text())["functions"].items():
        call = load(manifest.with_name(function["file"]), function)
        arrays = np.load(manifest.parent.with_name(manifest.parent.name + "." + name + ".npz"))
        for size in (3, 1):
            found = call({i["name"]: arrays["in." + i["name"]][:size] for i in function["inputs"]})
            for output in function["outputs"]:
                expected = arrays["out." + output["name"]][:size]
                assert found[output["name"]].shape == (size, *output["shape"][1:]), (manifest, name)
                np.testing.assert_allclose(found[output["name"]], expected, rtol=1e-5, atol=1e-5, err_msg=str(manifest))
                compared += 1
assert "vae_jax" not in sys.modules and ("jax" in sys.modules) == HAS_JAX
print(compared)
"""
ONNX = """
import onnxruntime
HAS_JAX = False
def load(path, function):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output["name"] for output in function["outputs"]]
    return lambda inputs: dict(zip(names, session.run(names, inputs)))
"""
STABLEHLO = """
import jax
HAS_JAX = True
def load(path, function):
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    return lambda inputs: exported.call(*inputs.values())
"""
SAFETENSORS = """
import sys
import jax
import numpy as np
from export.small_models import MODELS
import vae_jax
model = MODELS["autoencoder"]()
params = vae_jax.load_params(sys.argv[1] + "/params.safetensors", model)
arrays = np.load(sys.argv[1] + ".npz")
found = jax.jit(jax.vmap(lambda z: model.decode(params, z).mean))(arrays["z"])
np.testing.assert_allclose(found, arrays["mean"], rtol=1e-5, atol=1e-5)
print(float(np.abs(params["buffers"]["prior_mean"] - arrays["prior_mean"]).max()))
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Writes inputs and outputs of the models' functions as `.npz`, named after the folders of the exports."""
    folder = tmp_path_factory.mktemp("expected")
    for name in NAMES:
        for function in made(name)[2].written:
            inputs = inputs_of(function, 3)
            outputs = jax.jit(function.call)(*inputs.values())
            arrays = {f"in.{n}": a for n, a in inputs.items()} | {f"out.{n}": np.asarray(a) for n, a in outputs.items()}
            np.savez(folder / f"{name}.{function.name}.npz", **arrays)
    return folder


def output_of(program, *words, isolated=True, **environment):
    # Isolated: without the working folder, variables and packages through which this process finds vae_jax.
    command = [sys.executable, *(["-I"] if isolated else []), "-c", program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("format", "program"), [("onnx", ONNX), ("stablehlo", STABLEHLO)])
def test_functions_compute_the_same_in_a_process_that_does_not_know_the_package(format, program, expected, tmp_path):
    for path in expected.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name in NAMES:
        model, params, _ = made(name)
        export(model, params, shape_of(name), format, tmp_path / name, {})
    # Three functions per model, and a second output of three encoders: a standard deviation, or z1.
    assert int(output_of(program + COMPARE, tmp_path, JAX_PLATFORMS="cpu")) == 2 * (3 * len(NAMES) + 3)


def test_parameters_come_back_in_another_process(tmp_path):
    model, params, _ = made("autoencoder")
    folder = tmp_path / "exported"
    export(model, params, shape_of("autoencoder"), "safetensors", folder, {})
    z = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    mean = jax.jit(jax.vmap(lambda z: model.decode(params, z).mean))(z)
    np.savez(f"{folder}.npz", z=z, mean=mean, prior_mean=params["buffers"]["prior_mean"])
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    assert float(output_of(SAFETENSORS, folder, isolated=False, PYTHONPATH=paths, JAX_PLATFORMS="cpu")) == 0.0
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["params"] == "params.safetensors" and manifest["functions"] == {}
