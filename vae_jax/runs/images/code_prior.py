"""The second stage of a model of codes: a prior trained on them, in a folder of its own inside the run's."""

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
    """A prior that was trained on the codes of another model."""


def check_prior(settings: CodeSettings) -> None:
    """Raises ValueError if the heads of a prior that has any do not divide its width."""
    if "prior_heads" in CODE_PRIORS.of(settings).flags and settings.prior_width % settings.prior_heads:
        raise ValueError(f"--prior-heads must divide --prior-width {settings.prior_width}, got {settings.prior_heads}")


def train_prior(prepared: PreparedRun, settings: CodeSettings, params: Params) -> tuple[VAE, Params]:
    """Trains a prior on the codes of the training images; returns the model with it, and the params of both.

    The prior has a run folder of its own in that of the run, `prior_SEED`. A second call continues a training that was
    stopped, or loads a finished prior.

    Raises:
      ValueError: if the folder holds a prior of other settings.
      OtherCodes: if it is of other codes.
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
    # Encoded once: the codes move no more.
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
            f"a prior over the {prior.length} codes of an image, of {max(prior.num_codes)} each; in {folder.path}"
        )
        trained = train_in_folder(folder, config, display, training_key, started, begin, log=LOGGERS.of(settings).build)
    return trained.progress.best_params


def with_prior(settings: CodeSettings, model: VAE) -> VAE:
    """The model with the prior that the settings describe."""
    return with_code_prior(model, CODE_PRIORS.build(settings, model))


def load_prior(run: RunFolder, settings: CodeSettings, model: VAE, params: Params) -> Params:
    """The params that `train_prior` returned for this run, of `with_prior`.

    Raises:
      ValueError: if it has other settings, or none of its checkpoints is whole.
      OtherCodes: if it is of other codes than these params give.
    """
    prior, folder = CODE_PRIORS.build(settings, model), _folder_of(run, settings)
    config = _config(settings, fingerprint(params, prior.num_codes))
    _check_same(folder, config)
    best = load_best(folder.checkpoints, jax.eval_shape(prior.init, jax.random.key(0)), config)
    return with_prior_params(params, best)


def has_prior(run: RunFolder, settings: CodeSettings) -> bool:
    """Returns whether the training of this run's prior has been saved at least once."""
    return _folder_of(run, settings).has_checkpoint()


def fingerprint(params: Params, sizes: Sequence[int]) -> str:
    """Fingerprint of the codes that a prior is trained on: 16 hexadecimal digits of the params and the code sizes.

    Two quantizers without arrays of their own have the same one: the config of the run, compared before, tells them
    apart.
    """
    digest = hashlib.sha256(repr(tuple(sizes)).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode() + np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _check_same(folder: RunFolder, config: dict[str, Any]) -> None:
    codes = folder.config().get("codes")
    if codes != config["codes"]:
        raise OtherCodes(
            f"{folder.path} holds a prior that was trained on the codes of another model (fingerprint {codes}, this "
            f"one's {config['codes']}): its codes mean other pictures here; remove the folder to train it again"
        )
    folder.check_same(config)


def _folder_of(run: RunFolder, settings: CodeSettings) -> RunFolder:
    return RunFolder(Path(run.path) / f"prior_{settings.seed}", f"the prior of {run.argument}")


def _config(settings: CodeSettings, codes: str) -> dict[str, Any]:
    of_prior = {name: value for name, value in dataclasses.asdict(settings).items() if name.startswith("prior")}
    return {**of_prior, "patience": settings.patience, "codes": codes}
