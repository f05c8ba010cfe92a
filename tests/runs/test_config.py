import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from vae_jax.checksums import write_recorded
from vae_jax.cli.train import parse
from vae_jax.runs import AUTOENCODER, BETA_VAE, DISENTANGLE, RECIPES, VAE, VQ_VAE, Settings
from vae_jax.runs.config import as_command, program_of, run_config, settings_of_run, title_of, to_finish, upgraded
from vae_jax.runs.folder import RunFolder

SMALL = Settings(batch_size=8)
MINE = VAE._replace(name="mine", command=None)
PLACED = Settings(
    data="x.npz",
    data_dir="there",
    size=(29, 37),
    run_dir=Path("runs/x"),
    resume=True,
    hidden=(7, 5),
    channels=(3,),
    latent_dim=4,
    microbatches=4,
    rematerialize=True,
    condition="labels",
    precision="bfloat16",
    learning_rate=3e-4,
    schedule="warmup_cosine",
    patience=None,
    nll_samples=0,
    seed=12,
)


def test_run_config_has_every_field_that_decides_a_number_and_no_place():
    config = run_config(VAE, PLACED)
    fields = {field.name for field in dataclasses.fields(Settings)}
    places = {"devices", "distributed", "coordinator", "num_processes", "process_id"}
    places |= {"data_dir", "run_dir", "resume", "accept_versions", "log"}
    assert set(config) == (fields - places) | {"experiment"}
    assert config["experiment"] == "vae"
    assert config["hidden"] == (7, 5)


def folder_of(path, config):
    folder = RunFolder(path, "RUN")
    folder.create(config)
    return folder


def test_the_settings_of_a_run_come_back_from_its_config_in_the_new_places(tmp_path):
    places = Settings(data_dir="elsewhere", run_dir=Path("moved"), resume=True)
    expected = dataclasses.replace(PLACED, data_dir="elsewhere", run_dir=Path("moved"))
    assert settings_of_run(VAE, places, folder_of(tmp_path / "run", run_config(VAE, PLACED))) == expected


def earlier(path, config, number=3):
    """A folder of an earlier format with this configuration."""
    path.mkdir()
    write_recorded(path, "config.json", json.dumps({"format": number} | config))
    return RunFolder(path, "RUN")


# Fields that the configuration of every run on images has had.
OLD = {
    "data": "x.npz", "size": None, "stream": False, "network": "mlp", "hidden": [8], "channels": [32, 64],
    "latent_dim": 3, "likelihood": "bernoulli", "binarization": "dynamic", "epochs": 4, "batch_size": 10,
    "microbatches": 1, "rematerialize": False, "precision": "float32", "learning_rate": 0.01, "schedule": "cosine",
    "patience": None, "validation_size": 7, "elbo_samples": 2, "nll_samples": 0, "seed": 5, "seeds": 2,
}  # fmt: skip
OLD_CODES = {
    "quantizer": "sim", "num_codes": 16, "commitment": 0.5, "revival": 0.0, "k_means_images": 9, "residual_hidden": 4,
    "residual_layers": 1, "prior": "masked", "prior_epochs": 3, "prior_batch_size": 6, "prior_learning_rate": 0.02,
    "prior_layers": 1, "prior_width": 8, "prior_heads": 2,
}  # fmt: skip
OLD_FACTORS = {
    "data": "squares", "objective": "tc", "betas": [2.0, 6.0], "seeds": 3, "seed": 1, "steps": 500, "score_every": 100,
    "batch_size": 32, "learning_rate": 1e-4, "latent_dim": 6, "changed_factors": None, "max_capacity": 20.0,
    "points": 1000, "whole_table": False, "dci_points": 300,
}  # fmt: skip


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(
    ("recipe", "config", "now"),
    [
        (VAE, OLD, {"objective": "elbo", "posterior": "normal", "prior": "normal", "condition": "none", "beta": None}),
        (VAE, OLD | {"condition": "labels"}, {"condition": "labels", "optimizer": "adam", "kl_warm_up": 0}),
        (BETA_VAE, OLD | {"beta": 10.0}, {"objective": "beta", "beta": 10.0, "ema": None}),
        (AUTOENCODER, OLD, {"posterior": "delta", "prior": "fitted", "objective": "reconstruction"}),
        (VQ_VAE, OLD | OLD_CODES, {"optimizer": "adam", "clip_norm": None, "quantizer": "sim"}),
        (DISENTANGLE, OLD_FACTORS, {"objective": "beta_tc", "betas": (2.0, 6.0), "gammas": (), "lambdas": ()}),
        (DISENTANGLE, OLD_FACTORS | {"objective": "factor"}, {"betas": (), "gammas": (2.0, 6.0), "lambdas": ()}),
        (DISENTANGLE, OLD_FACTORS | {"objective": "dip_ii"}, {"betas": (), "gammas": (), "lambdas": (2.0, 6.0)}),
    ],
    ids=["vae", "labels", "beta_vae", "autoencoder", "vq_vae", "tc", "factor", "dip_ii"],
)
def test_a_run_of_an_earlier_format_has_the_settings_that_it_was_made_with(tmp_path, recipe, config, now, number):
    folder = earlier(tmp_path / "run", {"experiment": recipe.name} | config, number)
    found = settings_of_run(recipe, dataclasses.replace(recipe.defaults, run_dir=Path("moved")), folder)
    assert found.run_dir == Path("moved")
    read = run_config(recipe, found)
    decided_nothing = {"network", "hidden"} if recipe is VQ_VAE else set()
    expected = {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()} | now
    assert {name: read[name] for name in expected.keys() - decided_nothing} == {
        name: expected[name] for name in expected.keys() - decided_nothing
    }
    # Upgrading a configuration of this version changes nothing.
    assert upgraded(recipe, read) == read
    with pytest.raises(ValueError, match=r"holds a run of another version of vae_jax \(fields that differ: weather\)"):
        settings_of_run(recipe, recipe.defaults, earlier(tmp_path / "odd", {"experiment": recipe.name, "weather": 1}))


def test_a_field_of_another_type_than_its_own_is_refused(tmp_path):
    config = run_config(VAE, SMALL)
    for i, (name, value, kind) in enumerate(
        [
            ("condition", "weather", 'none or labels, got "weather"'),
            ("objective", 4, "a text, got 4"),
            ("samples", 2.5, "a whole number or null, got 2.5"),
            ("beta", "4", 'a number or null, got "4"'),
            ("hidden", ["a"], r'a list of whole numbers, got \["a"\]'),
            ("hidden", 8, "a list of whole numbers, got 8"),
            ("size", [4], r"a list of 2 whole numbers or null, got \[4\]"),
        ]
    ):
        folder = folder_of(tmp_path / f"bad-{i}", config | {name: value})
        with pytest.raises(ValueError, match=rf"config.json: {name} must be {kind}"):
            settings_of_run(VAE, PLACED, folder)
    with pytest.raises(ValueError, match=r"config.json: beta must be at least 0, got -1.0"):
        settings_of_run(VAE, PLACED, folder_of(tmp_path / "number", config | {"beta": -1.0}))


def test_a_run_of_another_experiment_or_version_is_refused(tmp_path):
    config = run_config(VAE, PLACED)
    with pytest.raises(ValueError, match=r"RUN .*run holds a run of vae, not of beta_vae"):
        settings_of_run(BETA_VAE, PLACED, folder_of(tmp_path / "run", config))
    other = {k: v for k, v in config.items() if k != "seed"} | {"weather": 0.9}
    with pytest.raises(ValueError, match=r"RUN .*other holds a run of another version .*differ: seed, weather\)"):
        settings_of_run(VAE, PLACED, folder_of(tmp_path / "other", other))


@pytest.mark.parametrize(
    "settings",
    [Settings(), PLACED, dataclasses.replace(PLACED, data="my images; rm.npz", hidden=())],
    ids=["defaults", "all", "odd"],
)
def test_the_command_gives_the_same_settings_again_but_for_the_places(settings):
    words = shlex.split(as_command(VAE, settings))
    assert words[:3] == ["vae-jax", "train", "vae"]
    parsed = parse(VAE, VAE.defaults, None, "vae-jax train vae", words[3:])
    assert parsed == dataclasses.replace(settings, data_dir=None, run_dir=None, resume=False)


def test_the_title_names_the_choices_of_the_method_that_are_not_the_recipes():
    assert title_of(VAE, Settings(hidden=(5,))) == "VAE"
    assert title_of(VAE, Settings(objective="iwae", prior="vamp")) == "VAE (objective iwae, prior vamp)"
    assert title_of(BETA_VAE, BETA_VAE.defaults) == BETA_VAE.title


def test_the_command_names_only_what_is_not_the_default():
    assert as_command(VAE, Settings(seed=3, hidden=(500, 20))) == "vae-jax train vae --hidden 500 20 --seed 3"


def test_a_recipe_is_run_by_the_installed_command_and_another_experiment_by_its_script():
    assert list(RECIPES) == ["vae", "beta_vae", "autoencoder", "vq_vae", "semi_supervised", "disentangle"]
    assert [program_of(recipe) for recipe in RECIPES.values()] == [["vae-jax", "train", name] for name in RECIPES]
    assert as_command(MINE, Settings(seed=3)) == "python -m experiments.mine --seed 3"
    assert to_finish(MINE, Path("my runs/a")) == "python -m experiments.mine --run-dir 'my runs/a' --resume"
    assert to_finish(VAE, Path("runs/a")) == "vae-jax train vae --run-dir runs/a --resume"
