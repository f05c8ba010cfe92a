"""One model of a finished disentanglement run, without its data."""

from __future__ import annotations

import dataclasses
from functools import partial

from vae_jax.experiment.disentanglement.methods import make_model
from vae_jax.experiment.disentanglement.run import command_of
from vae_jax.experiment.disentanglement.settings import (
    DESCRIPTION,
    TITLE,
    DisentangleSettings,
    config_of,
    members_of,
    settings_of,
)
from vae_jax.experiment.disentanglement.training import load_latest, load_snapshot
from vae_jax.experiment.loaded import Loaded, exported_params, summary_so_far
from vae_jax.runs import RunFolder


def load_member(folder: RunFolder, seed: int | None = None, beta: float | None = None) -> Loaded:
    """The model of that seed and weight; the first of those that are left where one of them is None.

    Raises:
      ValueError: if nothing has been saved yet, or the run has no such model.
    """
    settings = settings_of(folder, DisentangleSettings(run_dir=folder.path))
    summary = summary_so_far(folder)
    members = members_of(settings)
    fitting = [m for m in members if seed in (None, m.seed) and beta in (None, m.beta)]
    if not fitting:
        have = ", ".join(f"beta {m.beta:g} seed {m.seed}" for m in members)
        raise ValueError(
            f"--seed {seed} and --beta {beta} must be those of a model of {folder.argument} {folder.path} ({have})"
        )
    member, shape = fitting[0], folder.image_shape()
    model = make_model(settings, shape)
    own = dataclasses.replace(settings, betas=(member.beta,), seed=member.seed, seeds=1)
    if folder.params.exists():
        params = exported_params(folder, model)
    else:
        at_the_end = partial(load_snapshot, steps=settings.steps)
        of_all = (load_latest if "unfinished" in summary else at_the_end)(settings, model, folder)
        params = of_all[members.index(member)]
    return Loaded(folder, TITLE, DESCRIPTION, command_of(own), config_of(own), model, params, shape, own, summary)
