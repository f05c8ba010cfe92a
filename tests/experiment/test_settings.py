import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest
import tyro

from vae_jax.data import Images
from vae_jax.experiment import Settings, resolve
from vae_jax.experiment.settings import as_command, program_of, run_config, settings_of_run, to_finish
from vae_jax.experiment.vq_vae import VQSettings
from vae_jax.runs import RunFolder


def images(count=50, channels=1):
    train = np.zeros((count, 4, 4, channels), np.uint8)
    return Images("zeros", train, None, train[:5], None, "")


SMALL = Settings(batch_size=8)


def test_by_default_grey_images_are_drawn_bits_and_colour_images_exact_levels():
    grey, colour = resolve(SMALL, images()), resolve(SMALL, images(channels=3))
    assert (grey.likelihood, grey.binarization) == ("bernoulli", "dynamic")
    assert (colour.likelihood, colour.binarization) == ("logistic", "none")


@pytest.mark.parametrize(
    ("given", "likelihood", "binarization"),
    [
        ({"likelihood": "normal"}, "normal", "none"),
        ({"binarization": "static"}, "bernoulli", "static"),
        ({"binarization": "none"}, "bernoulli", "none"),
        ({"likelihood": "laplace", "binarization": "none"}, "laplace", "none"),
    ],
)
def test_what_is_given_decides_what_is_not(given, likelihood, binarization):
    resolved = resolve(dataclasses.replace(SMALL, **given), images())
    assert (resolved.likelihood, resolved.binarization) == (likelihood, binarization)


@pytest.mark.parametrize(("count", "expected"), [(50, 5), (15, 1), (9, 1), (10_000, 1000), (60_000, 1000)])
def test_a_tenth_at_most_a_thousand_is_held_out_by_default(count, expected):
    assert resolve(dataclasses.replace(SMALL, batch_size=1), images(count)).validation_size == expected


def test_the_default_batch_is_no_larger_than_the_training_images():
    sizes = {count: resolve(Settings(), images(count)).batch_size for count in (2, 50, 142, 143, 1000)}
    assert sizes == {2: 1, 50: 45, 142: 128, 143: 128, 1000: 128}
    assert resolve(VQSettings(), images(1000)).batch_size == 64
    assert resolve(VQSettings(), images(50)).batch_size == 45
    assert resolve(Settings(microbatches=4, devices=2), images(50)).batch_size == 40
    with pytest.raises(ValueError, match=r"--batch-size 128 is larger than the 45 training images \(50 less 5 for"):
        resolve(Settings(batch_size=128), images(50))


def test_a_validation_split_of_the_datas_own_is_used_whole_and_nothing_is_held_out():
    own = dataclasses.replace(images(), validation=images(7).train)
    resolved = resolve(Settings(), own)
    assert (resolved.validation_size, resolved.batch_size) == (7, 50)
    assert resolve(resolved, own) == resolved
    with pytest.raises(ValueError, match="data zeros has 7 of its own for validation: leave it out, got 5"):
        resolve(Settings(validation_size=5), own)
    with pytest.raises(ValueError, match=r"--batch-size 51 is larger than the 50 training images \(beside 7 for vali"):
        resolve(Settings(batch_size=51), own)


def test_resolving_again_changes_nothing():
    resolved = resolve(SMALL, images())
    assert resolve(resolved, images()) == resolved


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"latent_dim": 0}, "--latent-dim must be at least 1, got 0"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0"),
        ({"microbatches": 0}, "--microbatches must be at least 1, got 0"),
        ({"microbatches": 3}, "--microbatches must divide --batch-size 8, got 3"),
        ({"elbo_samples": 0}, "--elbo-samples must be at least 1, got 0"),
        ({"nll_samples": -1}, "--nll-samples must be at least 0, got -1"),
        ({"hidden": (4, 0)}, r"--hidden must be at least 1 each, got \(4, 0\)"),
        ({"channels": (0,)}, r"--channels must be at least 1 each, got \(0,\)"),
        ({"patience": 0}, "--patience must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be a number above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be a finite number, got nan"),
        ({"learning_rate": float("inf")}, "--learning-rate must be a finite number, got inf"),
        ({"seed": -1}, "--seed must be at least 0, got -1"),
        ({"seed": 2**32}, "--seed must be at most 4,294,967,295, got 4294967296"),
        ({"epochs": 10**9}, "--epochs must be at most 500,000, got 1000000000"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"stream": True, "seeds": 2}, "--stream trains one model at a time, got --seeds 2"),
        ({"stream": True, "condition": "labels"}, "--stream reads images without their labels, which --condition labe"),
        ({"stream": True, "binarization": "static"}, "--stream reads images batch by batch, but --binarization static"),
        ({"seeds": 3, "seed": 2**32 - 3}, r"--seed must be between 0 and 2\*\*32 - 4, got 4294967293"),
        ({"network": "conv", "hidden": (4, 4)}, "--network conv has one dense layer: --hidden takes one width"),
        ({"binarization": "static", "likelihood": "normal"}, "--binarization static .* --likelihood bernoulli.*normal"),
        ({"binarization": "dynamic", "likelihood": "logistic"}, "--binarization dynamic .*not logistic"),
        ({"validation_size": 0}, "--validation-size must be at least 1, got 0"),
        ({"validation_size": 50}, r"--validation-size must be between 1 and 49 \(train has 50\), got 50"),
        ({"batch_size": 46}, r"--batch-size 46 is larger than the 45 training images \(50 less 5 for validation\)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_flag(given, message):
    with pytest.raises(ValueError, match=message):
        resolve(dataclasses.replace(SMALL, **given), images())


def test_a_step_has_a_number(monkeypatch):
    monkeypatch.setattr("vae_jax.experiment.settings.MOST_STEPS", 20)
    with pytest.raises(ValueError, match=r"--epochs must be at most 4 here \(20 steps\), got 5"):
        resolve(dataclasses.replace(SMALL, epochs=5), images())


def test_the_largest_batch_and_seed_are_accepted():
    resolved = resolve(Settings(batch_size=45, seed=2**32 - 2), images())
    assert (resolved.batch_size, resolved.seed) == (45, 2**32 - 2)


def test_colour_images_can_be_told_to_be_bits():
    assert resolve(dataclasses.replace(SMALL, binarization="none", likelihood="normal"), images(channels=3))
    with pytest.raises(ValueError, match="--binarization static"):  # their default likelihood is logistic
        resolve(dataclasses.replace(SMALL, binarization="static"), images(channels=3))


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
    config = run_config("vae", PLACED)
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
    assert settings_of_run("vae", places, folder_of(tmp_path / "run", run_config("vae", PLACED))) == expected


def test_a_field_that_came_later_is_in_the_config_only_if_it_is_not_the_default(tmp_path):
    config = run_config("vae", SMALL)
    assert "condition" not in config  # so the config of a run that is given nothing is that of earlier versions
    places = dataclasses.replace(PLACED, run_dir=Path("moved"))
    found = settings_of_run("vae", places, folder_of(tmp_path / "run", config))
    assert dataclasses.replace(found, run_dir=None, data_dir=None, resume=False) == SMALL
    with pytest.raises(ValueError, match=r"config.json must hold for condition a value of the type .*got 'weather'"):
        settings_of_run("vae", places, folder_of(tmp_path / "bad", config | {"condition": "weather"}))


def test_a_run_of_another_experiment_or_version_is_refused(tmp_path):
    config = run_config("vae", PLACED)
    with pytest.raises(ValueError, match=r"RUN .*run holds a run of experiments.vae, not of beta_vae"):
        settings_of_run("beta_vae", PLACED, folder_of(tmp_path / "run", config))
    other = {k: v for k, v in config.items() if k != "seed"} | {"momentum": 0.9}
    with pytest.raises(ValueError, match=r"RUN .*other holds a run of another version .*differ: momentum, seed\)"):
        settings_of_run("vae", PLACED, folder_of(tmp_path / "other", other))


@pytest.mark.parametrize(
    "settings",
    [Settings(), PLACED, dataclasses.replace(PLACED, data="my images; rm.npz", hidden=())],
    ids=["defaults", "all", "odd"],
)
def test_the_command_gives_the_same_settings_again_but_for_the_places(settings):
    words = shlex.split(as_command("vae", settings))
    assert words[:3] == ["vae-jax", "train", "vae"]
    parsed = tyro.cli(Settings, default=Settings(), args=words[3:])
    assert parsed == dataclasses.replace(settings, data_dir=None, run_dir=None, resume=False)


def test_the_command_names_only_what_is_not_the_default():
    assert as_command("vae", Settings(seed=3, hidden=(500, 20))) == "vae-jax train vae --hidden 500 20 --seed 3"


def test_a_recipe_is_run_by_the_installed_command_and_another_experiment_by_its_script():
    recipes = ["vae", "beta_vae", "autoencoder", "vq_vae", "disentangle"]
    assert [program_of(name) for name in recipes] == [["vae-jax", "train", name] for name in recipes]
    assert as_command("mine", Settings(seed=3)) == "python -m experiments.mine --seed 3"
    assert to_finish("mine", Path("my runs/a")) == "python -m experiments.mine --run-dir 'my runs/a' --resume"
    assert to_finish("vae", Path("runs/a")) == "vae-jax train vae --run-dir runs/a --resume"
