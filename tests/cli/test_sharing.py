"""`vae-jax export`, `vae_jax.load`, MODEL.md, and a real run on the hub's stand-in."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import vae_jax
from cli.conftest import call
from hub_stand_in import serving
from vae_jax.checksums import write_recorded
from vae_jax.runs import open_run
from vae_jax.runs.folder import FORMAT, RunFolder
from vae_jax.runs.reporting.metrics import text_of

pytestmark = pytest.mark.slow
X = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("run", ["vae", "autoencoder", "codes"])
def test_a_model_is_loaded_without_its_data_and_is_the_one_that_was_trained(here, run):
    prepared, trained = open_run(Path(f"runs/{run}"))
    Path("blobs.npz").unlink()
    model, params, config = vae_jax.load(f"runs/{run}")
    same(params, trained.params)
    assert config["experiment"] == prepared.recipe.name
    assert config["image_shape"] == [8, 8, 1] and "num_classes" not in config
    np.testing.assert_array_equal(vae_jax.reconstruct(model, params, X), vae_jax.reconstruct(trained.model, params, X))
    with pytest.raises(ValueError, match=r"--data blobs\.npz, which cannot be loaded here"):
        open_run(Path(f"runs/{run}"))


def test_each_model_of_a_run_of_several_is_loaded_by_its_seed(here):
    first, second = (vae_jax.load("runs/vae", seed=seed) for seed in (0, 1))
    assert (first[2]["seed"], second[2]["seed"]) == (0, 1)
    assert np.abs(jax.flatten_util.ravel_pytree(first[1])[0] - jax.flatten_util.ravel_pytree(second[1])[0]).max() > 0.01


@pytest.mark.parametrize("run", ["vae", "codes"])
def test_an_exported_folder_is_loaded_as_its_run_is(here, capsys, run):
    assert call("export", f"runs/{run}", "--format", "safetensors", "--output", "out") == 0
    assert "out/params.safetensors" in capsys.readouterr().out.splitlines()
    model, params, config = vae_jax.load(f"runs/{run}")
    shutil.rmtree(f"runs/{run}")
    again = vae_jax.load("out")
    same(again[1], params)
    assert again[2] == config
    # The sampler's programs differ in nothing but where the parameters lay.
    draw = lambda m, p: vae_jax.sample(m, p, jax.random.key(3))
    np.testing.assert_array_equal(draw(*again[:2]), draw(model, params))
    assert call("sample", "out", "--count", 2) == 0
    card = Path("out/MODEL.md").read_text()
    assert f"vae-jax train {config['experiment']}" in card
    summary = RunFolder(Path("out")).summary()
    changed = {name: Path("out", name).read_text() for name in ("config.json", "summary.json")}
    capsys.readouterr()
    for name, text in changed.items():
        Path("out", name).write_text(text.replace("1", "2", 1))
        assert call("show", "out") == 2
        assert f"error: RUN out: {name} does not match its checksum in manifest.json" in capsys.readouterr().err
        Path("out", name).write_text(text)
    assert f"| {text_of(summary, 'negative_elbo')} |" in card and "models" not in summary


FRESH = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1] + "/decoder.onnx", providers=["CPUExecutionProvider"])
made = session.run(["mean"], {"z": np.load("z.npy")})[0]
assert "jax" not in sys.modules and "vae_jax" not in sys.modules
np.save("made.npy", made)
"""


def test_the_onnx_files_are_those_of_the_run_in_another_process(here):
    assert call("export", "runs/vae", "--format", "onnx", "--output", "out") == 0
    model, params, _ = vae_jax.load("runs/vae")
    z = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    np.save("z.npy", z)
    subprocess.run([sys.executable, "-c", FRESH, "out"], check=True)
    expected = jax.vmap(lambda z: vae_jax.decode(model, params, z).mean)(z)
    np.testing.assert_allclose(np.load("made.npy"), expected, rtol=0, atol=1e-5)
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert set(manifest["files"]) == {path.name for path in Path("out").iterdir()} - {"manifest.json"}
    # The program in the card uses what the folder holds.
    (program,) = re.findall(r"```python\n(.*?)```", Path("out/MODEL.md").read_text(), re.DOTALL)
    left = {"images": np.zeros((2, *manifest["image_shape"]), np.float32)}
    exec(program.replace("encoder.onnx", "out/encoder.onnx"), left)
    assert len(left["outputs"][0]) == 2
    # Written again over itself; but over nothing else.
    assert call("export", "runs/vae", "--format", "onnx", "--output", "out") == 0
    assert call("export", "runs/vae", "--format", "onnx", "--output", "runs") == 2


def spoil(**changes):
    config = json.loads(Path("runs/vae/config.json").read_text()) | changes
    write_recorded(Path("runs/vae"), "config.json", json.dumps(config))


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (lambda: spoil(format=FORMAT + 1), "made by a newer version of vae_jax"),
        (
            lambda: Path("runs/vae/config.json").write_text('{"format": 2, "exp'),
            "config.json is damaged or was changed",
        ),
        (lambda: Path("runs/vae/summary.json").unlink(), "summary.json is missing; put back a copy of it, or resume"),
        (lambda: shutil.rmtree("runs/vae/checkpoints"), "holds no checkpoint"),
        (lambda: shutil.rmtree("runs/vae"), "there is no such folder"),
    ],
)
@pytest.mark.parametrize("command", [["export"], ["explore", "--export", "page.html"], ["sample"]])
def test_what_is_no_whole_run_of_this_version_is_refused(here, capsys, spoiled, message, command):
    spoiled()
    assert call(command[0], "runs/vae", *command[1:]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("page.html").exists() and not list(Path(".").glob("sample*"))


# The client's own: see test_hub.
@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
def test_a_run_comes_back_from_the_hub_bit_for_bit(here, tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with serving(tmp_path / "hub") as hub:
        place = {"token": "hf_ada", "endpoint": hub[1]}
        vae_jax.push_to_hub("runs/vae", "ada/vae", **place)
        model, params, config = vae_jax.load_from_hub("ada/vae", cache_dir=tmp_path / "cache", **place)
    own = vae_jax.load("runs/vae")
    same(params, own[1])
    assert config == own[2]
    np.testing.assert_array_equal(vae_jax.reconstruct(model, params, X), vae_jax.reconstruct(own[0], own[1], X))


@pytest.fixture
def exported(here):
    """An export of the VAE's run in each of two formats, onnx/ (written by hand: only its manifest counts) and st/."""
    assert call("export", "runs/vae", "--format", "safetensors", "--output", "st") == 0
    shutil.copytree("st", "onnx")
    Path("onnx/params.safetensors").unlink()
    manifest = json.loads(Path("onnx/manifest.json").read_text())
    Path("onnx/manifest.json").write_text(json.dumps(manifest | {"format": "onnx"}))
    return here


def files_of(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["sample", "onnx"],
            "RUN onnx: an export as onnx holds no parameters that vae_jax can read; give the run folder, or",
        ),
        (["train", "vae", "--resume", "--run-dir", "onnx"], "--run-dir must be the folder of a run itself, got onnx"),
        (["train", "vae", "--resume", "--run-dir", "st"], "holds one model of a run, exported as safetensors"),
        (["train", "vae", "--run-dir", "st"], "--run-dir st already holds an export: give another folder\n"),
        (["evaluate", "st"], "RUN must be the folder of a run itself, got st"),
        (["report", "st"], "RUN must be the folder of a run itself, got st"),
        (["compare", "st", "onnx"], "RUN: no curve can be drawn"),
    ],
)
def test_an_export_is_not_taken_for_its_run_and_stays_as_it_is(exported, capsys, words, message):
    before = [files_of("onnx"), files_of("st")]
    capsys.readouterr()
    assert call(*words) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert [files_of("onnx"), files_of("st")] == before


def test_an_export_is_listed_as_what_it_is_and_damaged_parameters_are_told_by_their_folder(exported, capsys):
    capsys.readouterr()
    assert call("list", ".", "--json") == 0
    states = {row["run"]: row["state"] for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (states["onnx"], states["st"], states["runs/vae"]) == (
        "exported (onnx)",
        "exported (safetensors)",
        "finished",
    )
    Path("st/params.safetensors").write_bytes(b"damaged")
    assert call("sample", "st") == 2
    assert capsys.readouterr().err.startswith("error: RUN st: ")


def test_a_summary_whose_models_have_no_seeds_is_refused_by_whatever_needs_them(here, capsys):
    run = RunFolder(Path("runs/vae"))
    run.write_summary(run.summary() | {"models": [{}]})
    for words in (("export", "--format", "safetensors"), ("explore", "--export", "page.html"), ("report",)):
        assert call(words[0], "runs/vae", *words[1:]) == 2
        assert "runs/vae: summary.json must hold a list of models, each with its seed" in capsys.readouterr().err


def test_the_path_of_a_file_that_was_written_is_printed_without_what_a_terminal_obeys(here, capsys):
    assert call("sample", "runs/vae", "--count", 2, "--output", "a\x1b[2J.png") == 0
    assert capsys.readouterr().out == "picture: a\\x1b[2J.png\n"
    Path("runs/vae").rename("runs/b\x1b[2J")
    assert call("report", "runs/b\x1b[2J") == 0
    assert capsys.readouterr().out == "report: runs/b\\x1b[2J/report.html\n"
