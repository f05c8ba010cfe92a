"""`vae_jax.save`: parameters in a folder that `load` and the commands open, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import vae_jax
from fresh import some_params
from runs.finished_runs import call
from vae_jax import cli
from vae_jax.runs import AUTOENCODER, DISENTANGLE, VAE, VQ_VAE, CodeSettings, FactorSettings, RunFolder, Settings
from vae_jax.runs.config import run_config
from vae_jax.runs.loading import recipe_of, without_data
from vae_jax.runs.recipes import preset
from vae_jax.runs.share import Unwritten

SMALL = {"hidden": (6,), "latent_dim": 2, "likelihood": "bernoulli", "binarization": "none", "batch_size": 4}
CODES = {"channels": (4,), "latent_dim": 3, "num_codes": 4, "residual_hidden": 2, "residual_layers": 1}
PRIOR = {"prior_width": 4, "prior_layers": 1, "prior_heads": 1, "likelihood": "logistic", "binarization": "none"}
FITTED = {"posterior": "delta", "prior": "fitted", "objective": "reconstruction"}
SHAPE = {"image_shape": [8, 8, 1]}
CONFIG = run_config(VAE, Settings(**SMALL)) | SHAPE
CONFIGS = {
    "vae": CONFIG,
    "conditional": run_config(VAE, Settings(**SMALL, condition="labels")) | SHAPE | {"num_classes": 3},
    "autoencoder": run_config(AUTOENCODER, Settings(**SMALL, **FITTED)) | SHAPE,
    "codes": run_config(VQ_VAE, CodeSettings(**CODES, **PRIOR)) | SHAPE,
    "factors": run_config(DISENTANGLE, FactorSettings(latent_dim=2, betas=(4.0,), seeds=1))
    | {"image_shape": [16, 16, 1]},
}


def as_json(config):
    return json.loads(json.dumps(config))


def params_of(model):
    """Parameters of which no leaf is all zeros."""
    return jax.tree.map(lambda leaf: leaf + jnp.ones((), leaf.dtype), some_params(model))


def model_of(config):
    """The model that a configuration describes, with its prior over codes."""
    folder = Unwritten(Path("none"), config)
    recipe = recipe_of(folder)
    settings, problem = without_data(recipe, folder)
    model = recipe.model(settings, problem)
    return model if recipe.second_stage is None else recipe.second_stage.whole(settings, model)


@pytest.fixture(scope="module")
def params():
    return some_params(model_of(CONFIG))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_loaded_is_what_was_saved(tmp_path, name):
    config = CONFIGS[name]
    model = model_of(config)
    params = params_of(model)
    assert ("buffers" in params) == (name in ("autoencoder", "codes")) and ("prior" in params) == (name == "codes")
    path = vae_jax.save(tmp_path / "tuned", params, config)
    assert path == tmp_path / "tuned"
    again, found, its_config = vae_jax.load(path)
    assert as_json(its_config) == as_json(config)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), found, params)
    context = {"context": 1} if name == "conditional" else {}
    draw = lambda model: vae_jax.sample(model, found, jax.random.key(1), **context)
    np.testing.assert_array_equal(draw(again), draw(model))
    vae_jax.save(path, found, its_config)  # over the earlier one, and from what load returned
    jax.tree.map(np.testing.assert_array_equal, vae_jax.load(path)[1], params)


@pytest.mark.slow
def test_codes_without_their_prior_are_saved_as_uniform_ones(tmp_path):
    params = some_params(model_of(CONFIGS["codes"]))
    del params["prior"]
    model, found, _ = vae_jax.load(vae_jax.save(tmp_path / "codes", params, CONFIGS["codes"]))
    assert "prior" not in found
    prior = model.prior(found)
    np.testing.assert_allclose(prior.log_prob(prior.sample(jax.random.key(0))), -16 * np.log(4), rtol=1e-6)  # 4x4 codes


def changed(params, place, leaf):
    """params with another leaf at the place of two names; None: without it."""
    module, name = place
    layer = {**params["decoder"][module], name: leaf}
    if leaf is None:
        del layer[name]
    return {**params, "decoder": {**params["decoder"], module: layer}}


BIAS = ("hidden_0", "bias")
START = "^params do not belong to this model: "
WRONG_PARAMS = {
    "a leaf less": (
        lambda params: changed(params, BIAS, None),
        START + r"params\['decoder'\]\['hidden_0'\]\['bias'\] of the model is missing here",
    ),
    "a leaf more": (
        lambda params: {**params, "buffers": {"mean": np.zeros(2)}},
        START + "'buffers/mean' here is missing in the model",
    ),
    "another shape": (
        lambda params: changed(params, BIAS, jnp.zeros(7)),
        START + r"params\['decoder'\]\['hidden_0'\]\['bias'\] is float32\[7\] here, but float32\[6\] in the model",
    ),
    "another type": (
        lambda params: changed(params, BIAS, np.zeros(6)),
        START + r"params\['decoder'\]\['hidden_0'\]\['bias'\] is float64\[6\] here, but float32\[6\] in the model",
    ),
    "not finite": (
        lambda params: changed(params, BIAS, jnp.full(6, jnp.nan)),
        r"^params\['decoder'\]\['hidden_0'\]\['bias'\] holds 6 numbers that are not finite",
    ),
    "a text": (
        lambda params: {**params, "decoder": "none"},
        r"params\['decoder'\] must be an array of numbers, got str",
    ),
    "None": (lambda params: None, START + r"params\['decoder'\].* is missing here"),
}
WRONG_CONFIGS = {
    "no config": ({}, "config.json must name the recipe of the run"),
    "one without its images": (
        {name: value for name, value in CONFIG.items() if name != "image_shape"},
        "config for .*: config.json must hold the image_shape \\[H, W, 1 or 3\\]",
    ),
    "images of no size": (CONFIG | {"image_shape": [0, 8, 1]}, "must hold the image_shape"),
    "no number of labels": (CONFIG | {"condition": "labels"}, "num_classes must be a whole number from 2"),
    "a field less": ({name: CONFIG[name] for name in CONFIG if name != "hidden"}, r"fields that differ: hidden\)"),
    "a field of another type": (CONFIG | {"latent_dim": "2"}, "config.json: latent_dim must be a whole number"),
    "several models": (CONFIG | {"seeds": 3}, "config must describe one model, .* got a config of 3 models"),
    "another width": (CONFIG | {"latent_dim": 3}, START),
}


def test_what_is_not_of_the_model_is_refused_and_nothing_is_written(tmp_path, params):
    for what, (change, words) in WRONG_PARAMS.items():
        with pytest.raises(ValueError, match=words) as caught:
            vae_jax.save(tmp_path / "tuned", change(params), CONFIG)
        assert "\n" not in str(caught.value), what
    for what, (config, words) in WRONG_CONFIGS.items():
        with pytest.raises(ValueError, match=words) as caught:
            vae_jax.save(tmp_path / "tuned", params, config)
        assert "\n" not in str(caught.value), what
    with pytest.raises(TypeError, match=r"config must be the mapping that vae_jax.load returned, got list"):
        vae_jax.save(tmp_path / "tuned", params, [])
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_an_earlier_save_is_written_over(tmp_path, params):
    run = RunFolder(tmp_path / "run")
    run.create(CONFIG)
    run.unlock()
    (tmp_path / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for taken in ("run", "notes.txt", "."):
        with pytest.raises(ValueError, match="path must be new, empty or an earlier export, got"):
            vae_jax.save(tmp_path / taken, params, CONFIG)
    with pytest.raises(ValueError, match="path must be a folder that can be created, got"):
        vae_jax.save(tmp_path / "notes.txt" / "tuned", params, CONFIG)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_save_that_fails_leaves_the_former_one(tmp_path, params, monkeypatch):
    path = vae_jax.save(tmp_path / "tuned", params, CONFIG)
    before = {file: file.read_bytes() for file in path.iterdir()}

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vae_jax.params_file.write_atomically", fail)
    with pytest.raises(OSError, match="No space left"):
        vae_jax.save(path, jax.tree.map(lambda leaf: leaf + 1, params), CONFIG)
    assert {file: file.read_bytes() for file in path.iterdir()} == before
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_other_programs_are_loaded_and_numbers_that_are_not_finite_are_not(tmp_path, params):
    path = vae_jax.save(tmp_path / "tuned", params, CONFIG)
    (path / "manifest.json").unlink()  # as in the folders of earlier versions
    leaves = jax.tree.leaves_with_path(params)
    arrays = {jax.tree_util.keystr(place, simple=True, separator="/"): np.asarray(leaf) for place, leaf in leaves}
    save_file(arrays, path / "params.safetensors")
    jax.tree.map(np.testing.assert_array_equal, vae_jax.load(path)[1], params)
    vae_jax.save_params(path / "params.safetensors", changed(params, BIAS, jnp.full(6, jnp.inf)))
    with pytest.raises(
        ValueError, match=r"tuned: params\['decoder'\]\['hidden_0'\]\['bias'\] holds 6 numbers that are"
    ):
        vae_jax.load(path)


def test_a_recipe_of_your_own_saves_and_loads_what_it_made(tmp_path, params):
    mine = preset("mine", "Mine", "A VAE of mine")
    config = CONFIG | {"experiment": "mine"}
    with pytest.raises(ValueError, match="mine, which is not a recipe of vae_jax"):
        vae_jax.save(tmp_path / "tuned", params, config)
    path = vae_jax.save(tmp_path / "tuned", params, config, recipe=mine)
    assert as_json(vae_jax.load(path, recipe=mine)[2]) == as_json(config)
    assert (path / "MODEL.md").read_text().startswith("# Mine on digits")


def test_the_commands_that_need_a_model_alone_take_it_and_the_others_say_what_is_missing(tmp_path, params, capsys):
    path = str(vae_jax.save(tmp_path / "tuned", params, CONFIG))
    assert call(cli.main, "show", path) == 0
    assert "changed by a program after the training of the run, and not measured" in capsys.readouterr().out
    assert call(cli.main, "sample", path, "--count", "2", "--output", str(tmp_path / "sample.png")) == 0
    assert call(cli.main, "export", path, "--format", "safetensors", "--output", str(tmp_path / "again")) == 0
    cards = [(tmp_path / folder / "MODEL.md").read_text() for folder in ("tuned", "again")]
    assert cards[0] == cards[1]
    assert "Nothing was measured." in cards[0] and "Trained on" not in cards[0]
    assert "**Parameters**: changed by a program after the training of the run, and not measured." in cards[0]
    assert "Train the run again, without the later changes:" in cards[0]
    capsys.readouterr()
    for command in ("evaluate", "report"):
        assert call(cli.main, command, path) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: RUN must be the folder of a run itself, got") and error.count("\n") == 1


FRESH = """
import sys
import jax, numpy as np
import vae_jax
model, params, config = vae_jax.load(sys.argv[1])
assert "safetensors" not in sys.modules and "onnxruntime" not in sys.modules
print(float(vae_jax.encode(model, params, np.full(config["image_shape"], 0.5, np.float32)).mean.sum()))
"""


@pytest.mark.slow
def test_a_fresh_process_loads_it(tmp_path):
    model = model_of(CONFIG)
    params = params_of(model)
    path = vae_jax.save(tmp_path / "tuned", params, CONFIG)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", FRESH, str(path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = vae_jax.encode(model, params, jnp.full((8, 8, 1), 0.5)).mean.sum()
    np.testing.assert_allclose(float(done.stdout), expected, rtol=1e-5)
