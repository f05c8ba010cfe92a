"""Second stage of a VQ-VAE: a prior trained on its codes, in its own folder inside the run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from vae_jax.evaluation import encode_sequences
from vae_jax.models import CodePrior, with_code_prior, with_prior_params
from vae_jax.models._model import VAE
from vae_jax.objectives import code_prior_loss
from vae_jax.params import Params
from vae_jax.runs.choices import CODE_PRIORS, SCHEDULES
from vae_jax.runs.choices.loggers import LOGGERS
from vae_jax.runs.fitting.in_folder import train_in_folder
from vae_jax.runs.fitting.resume import restore_if_damaged
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.problem import fitted_to
from vae_jax.runs.keys import keys_of
from vae_jax.runs.progress import ProgressDisplay
from vae_jax.runs.recipe import PreparedRun
from vae_jax.runs.settings import CodeSettings
from vae_jax.training import fit, steps_per_epoch
from vae_jax.training.checkpoints import OtherRun, load_best


class OtherCodes(OtherRun):
    """Error about a prior that was trained on the codes of another model."""


def check_prior(settings: CodeSettings) -> None:
    """Raises ValueError if the number of attention heads does not divide the width of the prior."""
    if "prior_heads" in CODE_PRIORS.of(settings).flags and settings.prior_width % settings.prior_heads:
        raise ValueError(f"--prior-heads must divide --prior-width {settings.prior_width}, got {settings.prior_heads}")


def train_prior(prepared: PreparedRun, settings: CodeSettings, params: Params) -> tuple[VAE, Params]:
    """Trains a prior on the codes of the training images; returns the model with the prior, and the params of both.

    The prior has its own run folder `prior_SEED` inside the run folder. A second call continues a training that was
    stopped, or loads a finished prior.

    Raises:
      ValueError: if the folder holds a prior with other settings.
      OtherCodes: if the folder holds a prior that was trained on other codes.
    """
    model = prepared.model
    prior, folder = CODE_PRIORS.build(settings, model), _folder_of(prepared.folder, settings)
    config = _config(settings, fingerprint(params, prior.num_codes))
    if folder.exists():
        restore_if_damaged(folder)
        _check_same(folder, config)
        folder.lock()
    else:
        folder.create(config)
    try:
        best = _train(prepared, settings, params, prior, folder, config)
    finally:
        folder.unlock()
    return with_code_prior(model, prior), with_prior_params(params, best)


def _train(
    prepared: PreparedRun,
    settings: CodeSettings,
    params: Params,
    prior: CodePrior,
    folder: RunFolder,
    config: dict[str, Any],
) -> Params:
    started, model, key = time.monotonic(), prepared.model, keys_of(settings.seed).fitting
    pixels_key, training_key = jax.random.split(key)
    # Encoded only once, because the encoder does not change any more.
    train = encode_sequences(model, params, fitted_to(prepared.problem, pixels_key))
    validation = prepared.problem.prepare(pixels_key, prepared.problem.validation)
    batch_size = min(settings.prior_batch_size, train.shape[0])
    num_steps = settings.prior_epochs * steps_per_epoch(train.shape[0], batch_size)
    begin = partial(
        fit,
        prior,
        code_prior_loss,
        optax.adam(SCHEDULES["cosine"].build(settings.prior_learning_rate, num_steps)),
        train,
        encode_sequences(model, params, validation),
        training_key,
        epochs=settings.prior_epochs,
        batch_size=batch_size,
        patience=settings.patience,
    )
    with ProgressDisplay(settings.prior_epochs) as display:
        display.say(
            f"training a prior over the {prior.length} codes of an image, each one of {max(prior.num_codes)}; in "
            f"{folder.path}"
        )
        trained = train_in_folder(folder, config, display, training_key, started, begin, log=LOGGERS.of(settings).build)
    return trained.progress.best_params


def with_prior(settings: CodeSettings, model: VAE) -> VAE:
    """Returns the model with the prior that the settings describe."""
    return with_code_prior(model, CODE_PRIORS.build(settings, model))


def load_prior(run: RunFolder, settings: CodeSettings, model: VAE, params: Params) -> Params:
    """Loads the params that `train_prior` returned for this run, for the model of `with_prior`.

    Raises:
      ValueError: if the prior has other settings, or all of its checkpoints are damaged.
      OtherCodes: if the prior was trained on other codes than those that these params give.
    """
    prior, folder = CODE_PRIORS.build(settings, model), _folder_of(run, settings)
    config = _config(settings, fingerprint(params, prior.num_codes))
    _check_same(folder, config)
    best = load_best(folder.checkpoints, jax.eval_shape(prior.init, jax.random.key(0)), config)
    return with_prior_params(params, best)


def has_prior(run: RunFolder, settings: CodeSettings) -> bool:
    """Returns whether the training of the run's prior has been saved at least once."""
    return _folder_of(run, settings).has_checkpoint()


def fingerprint(params: Params, sizes: Sequence[int]) -> str:
    """Fingerprint of the codes that a prior is trained on: 16 hexadecimal digits, from the params and the code sizes.

    Different quantizers without arrays have the same fingerprint; they differ in the config of the run, which is
    compared first.
    """
    digest = hashlib.sha256(repr(tuple(sizes)).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode() + np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _check_same(folder: RunFolder, config: dict[str, Any]) -> None:
    codes = folder.config().get("codes")
    if codes != config["codes"]:
        raise OtherCodes(
            f"{folder.path} holds a prior that was trained on the codes of another model (fingerprint {codes}, not "
            f"{config['codes']}), so it does not fit this model; remove the folder to train the prior again"
        )
    folder.check_same(config)


def _folder_of(run: RunFolder, settings: CodeSettings) -> RunFolder:
    return RunFolder(Path(run.path) / f"prior_{settings.seed}", f"the prior of {run.argument}")


def _config(settings: CodeSettings, codes: str) -> dict[str, Any]:
    of_prior = {name: value for name, value in dataclasses.asdict(settings).items() if name.startswith("prior")}
    return {**of_prior, "patience": settings.patience, "codes": codes}
