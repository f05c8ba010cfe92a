"""Settings that are refused before any data is read."""

import dataclasses

import pytest

from vae_jax.cli.train import main
from vae_jax.runs import AUTOENCODER, BETA_VAE, DISENTANGLE, RECIPES, VAE, VQ_VAE, CodeSettings, Settings
from vae_jax.runs.checks import _with_fields, check_settings, with_defaults
from vae_jax.runs.choices import OPTIMIZERS, alternatives

SMALL = Settings(batch_size=8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"latent_dim": 0}, "--latent-dim must be at least 1, got 0"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0"),
        ({"microbatches": 0}, "--microbatches must be at least 1, got 0"),
        ({"elbo_samples": 0}, "--elbo-samples must be at least 1, got 0"),
        ({"nll_samples": -1}, "--nll-samples must be at least 0, got -1"),
        ({"hidden": (4, 0)}, r"--hidden must be at least 1 each, got 4 0"),
        ({"channels": (0,)}, r"--channels must be at least 1 each, got 0"),
        ({"patience": 0}, "--patience must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be a number above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be a finite number, got nan"),
        ({"learning_rate": float("inf")}, "--learning-rate must be a finite number, got inf"),
        ({"seed": -1}, "--seed must be at least 0, got -1"),
        ({"seed": 2**32}, "--seed must be at most 4,294,967,295, got 4294967296"),
        ({"epochs": 10**9}, "--epochs must be at most 500,000, got 1000000000"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"validation_size": 0}, "--validation-size must be at least 1, got 0"),
        ({"stream": True, "seeds": 2}, "--stream trains one model at a time, got --seeds 2"),
        ({"stream": True, "condition": "labels"}, "--stream reads images without their labels, which --condition labe"),
        ({"stream": True, "binarization": "static"}, "--stream reads images batch by batch, but --binarization static"),
        ({"samples": 0}, "--samples must be at least 1, got 0"),
        ({"lambda_": -1.0}, "--lambda must be at least 0, got -1.0"),
        ({"share": 1.5}, "--share must be at most 1, got 1.5"),
        ({"kl_warm_up": -1}, "--kl-warm-up must be at least 0, got -1"),
        ({"ema": 1.0}, "--ema must be at most 0.9999999, got 1.0"),
        ({"clip_norm": 0.0}, "--clip-norm must be a number above 0, got 0.0"),
        ({"components": 0}, "--components must be at least 1, got 0"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_number_that_cannot_be_is_refused_by_the_name_of_its_flag(given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_settings(VAE, dataclasses.replace(SMALL, **given))


NO_AVERAGE = alternatives([name for name in OPTIMIZERS.names if name != "schedule_free"])
ALL = alternatives(OPTIMIZERS.names)
WITH_DENSITY = "elbo, beta, iwae, miwae, piwae, ciwae, dreg, stl, renyi"
DECAYING = "adamw, nadamw, ademamix, lamb, lion, muon, prodigy or schedule_free"
REFUSED = [
    (
        "vae --objective dreg --posterior delta",
        "--objective dreg does not go with --posterior delta: give --posterior normal or full_covariance, or "
        "--objective reconstruction",
    ),
    (
        "vae --posterior delta --prior fitted",
        "--objective elbo does not go with --posterior delta: give --posterior normal or full_covariance, or "
        "--objective reconstruction",
    ),
    (
        "vae --posterior delta --objective reconstruction --prior vamp",
        "--prior vamp does not go with --posterior delta: give --posterior normal or full_covariance, or --prior "
        "fitted",
    ),
    (
        "vae --prior fitted",
        "--prior fitted does not go with --posterior normal: give --posterior delta, or --prior normal, mixture or "
        "vamp",
    ),
    (
        "vae --objective reconstruction",
        "--objective reconstruction does not go with --posterior normal: give --posterior delta, or --objective "
        f"{WITH_DENSITY}, free_bits, capacity, geco, optimal_variance, beta_tc, factor, dip_i, dip_ii, info or wae",
    ),
    (
        "vae --objective beta_tc --posterior full_covariance",
        "--objective beta_tc does not go with --posterior full_covariance: give --posterior normal, or --objective "
        f"{WITH_DENSITY}, capacity, geco, optimal_variance, factor, info or wae",
    ),
    (
        "vae --objective free_bits --prior vamp",
        "--objective free_bits does not go with --prior vamp: give --prior normal or fitted, or --objective "
        f"{WITH_DENSITY}, wae or reconstruction",
    ),
    (
        "autoencoder --objective beta",
        "--objective beta does not go with --posterior delta: give --posterior normal or full_covariance, or "
        "--objective reconstruction",
    ),
    (
        "autoencoder --kl-warm-up 3",
        "--kl-warm-up 3 does not go with --objective reconstruction: leave it out, or give --objective "
        f"{WITH_DENSITY} or free_bits",
    ),
    ("vq_vae --prior vamp", "--prior must be transformer, pixel_cnn or masked for vq_vae, got vamp"),
    ("vae --prior masked", "--prior must be normal, mixture, vamp or fitted for vae, got masked"),
    ("vq_vae --condition labels", "--condition labels: the model of vq_vae takes no labels; give the recipe vae"),
    (
        "vae --channels 8",
        "--channels requires --network conv or residual, but --network is mlp: leave --channels out, or change "
        "--network",
    ),
    (
        "vae --network residual --hidden 8",
        "--hidden requires --network mlp or conv, but --network is residual: leave --hidden out, or change --network",
    ),
    (
        "vae --beta 3",
        "--beta requires --objective beta or beta_tc, but --objective is elbo: leave --beta out, or change --objective",
    ),
    (
        "beta_vae --lambda 3",
        "--lambda requires --objective dip_i, dip_ii, info or wae, but --objective is beta: leave --lambda out, or "
        "change --objective",
    ),
    (
        "vae --prior mixture --pseudo-inputs 5",
        "--pseudo-inputs requires --prior vamp, but --prior is mixture: leave --pseudo-inputs out, or change --prior",
    ),
    (
        "vq_vae --prior pixel_cnn --prior-heads 2",
        "--prior-heads requires --prior transformer or masked, but --prior is pixel_cnn: leave --prior-heads out, or "
        "change --prior",
    ),
    (
        "vq_vae --quantizer sim --revival 0.2",
        "--revival requires --quantizer ema, rotation, residual or product, but --quantizer is sim: leave --revival "
        "out, or change --quantizer",
    ),
    (
        "vae --optimizer sgd --weight-decay 0.1",
        f"--weight-decay requires --optimizer {DECAYING}, but --optimizer is sgd: leave --weight-decay out, or change "
        "--optimizer",
    ),
    (
        "vae --ema 0.9 --optimizer schedule_free",
        "--ema averages the weights, which --optimizer schedule_free already does: leave --ema out, or give another "
        "--optimizer",
    ),
    (
        "vae --schedule cosine --optimizer schedule_free",
        "--optimizer schedule_free does not go with --schedule cosine: give --schedule constant, or --optimizer "
        f"{NO_AVERAGE}",
    ),
    (
        "disentangle --objective factor --optimizer schedule_free",
        "--optimizer schedule_free does not go with --objective factor: give --objective beta, capacity, beta_tc, "
        f"dip_i, dip_ii, info, wae or ada_gvae, or --optimizer {NO_AVERAGE}",
    ),
    (
        "vae --optimizer sam",
        "--optimizer sam needs the gradient at a second point, which a training step does not compute: give " + ALL,
    ),
    (
        "disentangle --optimizer lbfgs",
        "--optimizer lbfgs needs the loss along a line, which a training step does not compute: give " + ALL,
    ),
    ("vq_vae --optimizer momentum", f"--optimizer must be {ALL} for vq_vae, got momentum"),
    (
        "disentangle --objective factor --betas 3",
        "--betas requires --objective beta, beta_tc or ada_gvae, but --objective is factor: give --gammas instead, or "
        "change --objective",
    ),
    (
        "disentangle --max-capacity 3",
        "--max-capacity requires --objective capacity, but --objective is beta: leave --max-capacity out, or change "
        "--objective",
    ),
    ("vae --accept-versions", "--accept-versions requires --resume: leave it out, or give --resume"),
    ("disentangle --data-dir there", "--data-dir is for TFDS datasets, and sprites is not one: leave it out"),
    ("vae --data-dir there", "--data-dir is for TFDS datasets, and digits is not one: leave it out"),
    (
        "vq_vae --data mine.npz --data-dir there",
        "--data-dir is for TFDS datasets, and mine.npz is not one: leave it out",
    ),
]


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line for line, _ in REFUSED])
def test_choices_that_do_not_go_together_are_refused_before_any_data_is_read(
    monkeypatch, capsys, tmp_path, line, message
):
    def read(*_, **__):
        pytest.fail("data was read")

    for name in ("images.kind.load_images", "images.kind.stream_images", "factors.recipe.load_factor_data"):
        monkeypatch.setattr(f"vae_jax.runs.{name}", read)
    monkeypatch.chdir(tmp_path)
    name, *words = line.split()
    with pytest.raises(SystemExit) as stop:
        main(RECIPES[name], "", f"vae-jax train {name}", [*words, "--run-dir", "run"])
    captured = capsys.readouterr()
    assert (stop.value.code, captured.out, captured.err) == (2, "", f"error: {message}\n")
    assert not list(tmp_path.iterdir())


def test_a_flag_that_has_its_default_is_no_flag_that_was_given():
    check_settings(BETA_VAE, dataclasses.replace(BETA_VAE.defaults, objective="elbo"))  # with beta 4, as by default
    check_settings(VAE, Settings(channels=(32, 64)))
    check_settings(VQ_VAE, CodeSettings(quantizer="finite_scalar"))
    check_settings(VQ_VAE, CodeSettings(prior="pixel_cnn", prior_width=6))  # which has no heads to divide it
    for recipe in RECIPES.values():
        check_settings(recipe, recipe.defaults)


def test_the_flags_of_a_run_that_is_resumed_are_those_of_its_beginning():
    settings = Settings(objective="iwae", beta=4.0, resume=True)  # as an earlier version may have kept them
    check_settings(VAE, settings)
    with pytest.raises(ValueError, match="--beta requires --objective"):
        check_settings(VAE, dataclasses.replace(settings, resume=False))


def test_a_part_of_the_flags_of_a_run_may_be_given_again_with_resume(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for flags in ("--posterior delta", "--beta 3", "--schedule cosine --optimizer schedule_free"):
        with pytest.raises(SystemExit) as stop:  # they are not refused for what they need beside them
            main(VAE, "", "vae-jax train vae", [*flags.split(), "--resume", "--run-dir", "gone"])
        assert stop.value.code == 2
        error = "error: --run-dir must be the folder of a run, got gone: there is no such folder\n"
        assert capsys.readouterr().err == error


def test_flags_that_were_not_given_have_the_defaults_of_their_choice():
    many = with_defaults(VAE, Settings(objective="ciwae", prior="mixture", optimizer="adamw"))
    assert (many.samples, many.share, many.components, many.weight_decay) == (5, 0.5, 50, 1e-4)
    assert many.pseudo_inputs is many.beta is many.momentum is None
    given = with_defaults(VAE, Settings(objective="ciwae", samples=7, optimizer="lion"))
    assert (given.samples, given.share, given.weight_decay) == (7, 0.5, 1e-3)
    assert with_defaults(AUTOENCODER, AUTOENCODER.defaults) == AUTOENCODER.defaults
    assert with_defaults(DISENTANGLE, DISENTANGLE.defaults) == DISENTANGLE.defaults


def test_a_message_on_a_saved_setting_names_the_field_of_the_file():
    message = "--lambda requires --kl-warm-up (vae-jax train vae --help)"
    assert _with_fields(message, Settings()) == "lambda_ requires kl_warm_up (vae-jax train vae --help)"
