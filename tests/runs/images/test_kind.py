import dataclasses

import numpy as np
import pytest

from vae_jax.data import Images
from vae_jax.runs import VAE, VQ_VAE, CodeSettings, Settings, per_seed
from vae_jax.runs.checks import check_choices, check_settings, with_defaults
from vae_jax.runs.images import kind as run_images


def images(count=50, channels=1):
    train = np.zeros((count, 4, 4, channels), np.uint8)
    return Images("zeros", train, None, train[:5], None, "")


def resolve(settings, images):
    """The settings as a run has them: checked, with the defaults of their choices, and with what the images decide."""
    recipe = VQ_VAE if isinstance(settings, CodeSettings) else VAE
    check_settings(recipe, settings)
    return run_images.resolve(with_defaults(recipe, settings), images)


SMALL = Settings(batch_size=8)


def test_by_default_gray_images_are_drawn_bits_and_color_images_exact_levels():
    gray, color = resolve(SMALL, images()), resolve(SMALL, images(channels=3))
    assert (gray.likelihood, gray.binarization) == ("bernoulli", "dynamic")
    assert (color.likelihood, color.binarization) == ("logistic", "none")


@pytest.mark.parametrize(
    ("given", "likelihood", "binarization"),
    [
        ({"likelihood": "normal"}, "normal", "none"),
        ({"binarization": "static"}, "bernoulli", "static"),
        ({"binarization": "none"}, "bernoulli", "none"),
        ({"likelihood": "laplace", "binarization": "none"}, "laplace", "none"),
        ({"objective": "optimal_variance"}, "normal", "none"),
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
    assert resolve(CodeSettings(), images(1000)).batch_size == 64
    assert resolve(CodeSettings(), images(50)).batch_size == 45
    assert resolve(Settings(microbatches=4, devices=2), images(50)).batch_size == 40
    with pytest.raises(ValueError, match=r"--batch-size 128 is larger than the 45 training images \(50 less 5 for"):
        resolve(Settings(batch_size=128), images(50))


def test_a_validation_split_of_the_datas_own_is_used_whole_and_nothing_is_held_out():
    own = dataclasses.replace(images(), validation=images(7).train)
    resolved = resolve(Settings(), own)
    assert (resolved.validation_size, resolved.batch_size) == (7, 50)
    assert resolve(resolved, own) == resolved
    with pytest.raises(
        ValueError,
        match="--validation-size 5 would hold out training images, but zeros has a validation split of 7 images",
    ):
        resolve(Settings(validation_size=5), own)
    with pytest.raises(ValueError, match=r"--batch-size 51 is larger than the 50 training images \(beside 7 for vali"):
        resolve(Settings(batch_size=51), own)


def test_resolving_again_changes_nothing():
    resolved = resolve(SMALL, images())
    assert resolve(resolved, images()) == resolved


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"microbatches": 3}, "--microbatches must divide --batch-size 8, got 3"),
        ({"seeds": 3, "seed": 2**32 - 3}, r"--seed must be between 0 and 2\*\*32 - 4, got 4294967293"),
        (
            {"binarization": "static", "likelihood": "normal"},
            "--binarization static does not go with --likelihood normal: give --likelihood b",
        ),
        (
            {"binarization": "dynamic", "likelihood": "logistic"},
            "--binarization dynamic does not go with --likelihood logistic",
        ),
        (
            {"batch_size": 1, "objective": "factor"},
            "--batch-size must be at least 2 with --objective factor, which comp",
        ),
        ({"batch_size": 1, "objective": "wae"}, "--batch-size must be at least 2 with --objective wae, which compares"),
        ({"validation_size": 50}, r"--validation-size must be between 1 and 49 \(train has 50\), got 50"),
        ({"batch_size": 46}, r"--batch-size 46 is larger than the 45 training images \(50 less 5 for validation\)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_images_do_not_allow_is_refused_by_the_name_of_its_flag(given, message):
    with pytest.raises(ValueError, match=message):
        resolve(dataclasses.replace(SMALL, **given), images())


def test_a_step_has_a_number(monkeypatch):
    monkeypatch.setattr(per_seed, "MOST_STEPS", 20)
    with pytest.raises(ValueError, match=r"--epochs must be at most 4 for this data \(20 steps\), got 5"):
        resolve(dataclasses.replace(SMALL, epochs=5), images())


def test_the_largest_batch_and_seed_are_accepted():
    resolved = resolve(Settings(batch_size=45, seed=2**32 - 2), images())
    assert (resolved.batch_size, resolved.seed) == (45, 2**32 - 2)


def test_color_images_can_be_told_to_be_bits():
    assert resolve(dataclasses.replace(SMALL, binarization="none", likelihood="normal"), images(channels=3))
    of_bits = resolve(dataclasses.replace(SMALL, binarization="static"), images(channels=3))
    with pytest.raises(ValueError, match="--binarization static does not go with --likelihood logistic"):
        check_choices(VAE, of_bits)  # their default likelihood


def test_epochs_may_change_with_resume_if_nothing_else_depends_on_them():
    for settings, may in (
        (Settings(), True),
        (Settings(schedule="cosine"), False),
        (Settings(objective="capacity"), False),  # which rises over a third of the steps
        (Settings(kl_warm_up=3), True),
        (CodeSettings(), True),
        (CodeSettings(schedule="linear"), False),
    ):
        assert run_images.IMAGES.changeable(settings) == (("epochs",) if may else ()), settings
