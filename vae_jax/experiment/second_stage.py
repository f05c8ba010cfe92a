"""The second stage of a model of codes: a prior trained on them, in a folder of its own inside the run's."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np
import optax

from vae_jax.evaluation import encode_sequences
from vae_jax.experiment.continued import restore_if_damaged
from vae_jax.experiment.limits import check_numbers
from vae_jax.experiment.loggers import LOGGERS
from vae_jax.experiment.prepared import Prepared
from vae_jax.experiment.problem import fitted_to
from vae_jax.experiment.progress import ProgressDisplay
from vae_jax.experiment.resumable import train_in_folder
from vae_jax.experiment.schedules import make_schedule
from vae_jax.experiment.settings import Settings
from vae_jax.experiment.trained import keys_of
from vae_jax.models import (
    CodePrior,
    masked_prior,
    pixel_cnn_prior,
    transformer_prior,
    with_code_prior,
    with_prior_params,
)
from vae_jax.models._model import VAE
from vae_jax.models.code_priors._with_code_prior import code_sizes, levels_of
from vae_jax.objectives import code_prior_loss
from vae_jax.params import Params
from vae_jax.runs import RunFolder
from vae_jax.training import fit, steps_per_epoch
from vae_jax.training.checkpoints import OtherRun, load_best

PriorName = Literal["transformer", "pixel_cnn", "masked"]


class OtherCodes(OtherRun):
    """A prior that was trained on the codes of another model."""


@dataclasses.dataclass(frozen=True)
class CodeSettings(Settings):
    """What an experiment with a prior over codes can be told."""

    prior: PriorName = "transformer"
    """over the codes: transformer (causal), pixel_cnn (gated, the VQ-VAE paper's), masked (MaskGIT: samples in few
    passes, and has no likelihood, so that what a code costs is not known)"""
    prior_epochs: int = 8
    """of the prior, over the codes of the training images"""
    prior_batch_size: int = 64
    """images a step of the prior"""
    prior_learning_rate: float = 1e-3
    """of the prior's Adam, falling to 0 by a cosine"""
    prior_layers: int = 2
    """layers of the prior"""
    prior_width: int = 128
    """width of the prior: of a transformer's positions, or the channels of a PixelCNN"""
    prior_heads: int = 4
    """heads of a transformer's attention"""


def check_code_settings(settings: CodeSettings) -> None:
    """Raises ValueError where a number of the prior's is out of range."""
    check_numbers(settings)
    if settings.prior_width % settings.prior_heads:
        raise ValueError(f"--prior-heads must divide --prior-width {settings.prior_width}, got {settings.prior_heads}")


def make_prior(settings: CodeSettings, model: VAE) -> CodePrior:
    """The prior that the settings describe, over the codes of the model."""
    sizes = code_sizes(model)
    length = len(sizes)
    layers, width = settings.prior_layers, settings.prior_width
    attention = {"layers": layers, "width": width, "heads": settings.prior_heads}
    makers: dict[PriorName, Callable[[], CodePrior]] = {
        "transformer": lambda: transformer_prior(sizes, length, **attention),
        "pixel_cnn": lambda: pixel_cnn_prior(sizes, _rows_and_columns(model), layers=layers, channels=width),
        "masked": lambda: masked_prior(sizes, length, steps=min(8, length), **attention),
    }
    assert set(makers) == set(get_args(PriorName))
    return makers[settings.prior]()


def _rows_and_columns(model: VAE) -> tuple[int, int]:
    """Of a grid that holds the codes row by row, those of one place beside each other."""
    level, *others = levels_of(model)
    if others:
        raise ValueError(f"--prior pixel_cnn is over one grid of codes, and this model has {1 + len(others)}")
    return level.grid[0], level.grid[1] * len(level.quantizer.num_codes)


def train_prior(prepared: Prepared, settings: CodeSettings, params: Params) -> tuple[VAE, Params]:
    """The model with a prior, trained on the codes of the training images, and the params of both.

    It has a run folder in the run's, `prior_SEED`: the same call goes on where it stopped, or finds it finished.

    Raises:
      ValueError: where the folder holds a prior of other settings.
      OtherCodes: where it is of other codes.
    """
    model = prepared.model
    prior, folder = make_prior(settings, model), _folder_of(prepared.folder, settings)
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
    prepared: Prepared,
    settings: CodeSettings,
    params: Params,
    prior: CodePrior,
    folder: RunFolder,
    config: dict[str, Any],
) -> Params:
    started, model, key = time.monotonic(), prepared.model, keys_of(settings).fitting
    pixels_key, training_key = jax.random.split(key)
    # Encoded once: the codes move no more.
    train = encode_sequences(model, params, fitted_to(prepared.problem, pixels_key))
    validation = prepared.problem.pixels.prepare(pixels_key, prepared.problem.validation)
    batch_size = min(settings.prior_batch_size, train.shape[0])
    num_steps = settings.prior_epochs * steps_per_epoch(train.shape[0], batch_size)
    begin = partial(
        fit,
        prior,
        code_prior_loss,
        optax.adam(make_schedule("cosine", settings.prior_learning_rate, num_steps)),
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
        trained = train_in_folder(folder, config, display, training_key, started, begin, log=LOGGERS[settings.log])
    return trained.progress.best_params


def with_prior(settings: CodeSettings, model: VAE) -> VAE:
    """The model with the prior that the settings describe."""
    return with_code_prior(model, make_prior(settings, model))


def load_prior(run: RunFolder, settings: CodeSettings, model: VAE, params: Params) -> Params:
    """The params that `train_prior` returned for this run, of `with_prior`.

    Raises:
      ValueError: if it has other settings, or none of its checkpoints is whole.
      OtherCodes: where it is of other codes than these params give.
    """
    prior, folder = make_prior(settings, model), _folder_of(run, settings)
    config = _config(settings, fingerprint(params, prior.num_codes))
    _check_same(folder, config)
    best = load_best(folder.checkpoints, jax.eval_shape(prior.init, jax.random.key(0)), config)
    return with_prior_params(params, best)


def has_prior(run: RunFolder, settings: CodeSettings) -> bool:
    """Returns whether the training of this run's prior has been saved at least once."""
    return _folder_of(run, settings).has_checkpoint()


def fingerprint(params: Params, sizes: Sequence[int]) -> str:
    """Sixteen hexadecimal digits that differ wherever an array of params or `code_sizes` do: of which codes a prior is.

    That two schemes without arrays of their own differ is the run's config to tell, which is compared before.
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


def _folder_of(run: RunFolder, settings: Settings) -> RunFolder:
    return RunFolder(Path(run.path) / f"prior_{settings.seed}", f"the prior of {run.argument}")


def _config(settings: CodeSettings, codes: str) -> dict[str, Any]:
    of_prior = {name: value for name, value in dataclasses.asdict(settings).items() if name.startswith("prior")}
    return {**of_prior, "patience": settings.patience, "codes": codes}
