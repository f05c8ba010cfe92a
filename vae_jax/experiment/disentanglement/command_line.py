"""The disentanglement experiment as a command."""

from __future__ import annotations

import json
import sys

import tyro

from vae_jax.experiment.command_line import exit_on_bad_input
from vae_jax.experiment.disentanglement.run import prepare, run, saved_settings
from vae_jax.experiment.disentanglement.settings import EXPERIMENT, DisentangleSettings
from vae_jax.experiment.environment import keep_compiled_programs
from vae_jax.training import Diverged, DoesNotFit


def main(description: str | None) -> None:
    """Runs it as `python -m experiments.disentangle`.

    Progress, messages and a table of the scores go to stderr. On stdout come the place of the report and, last, the
    summary as one line of JSON. Exit codes: 0; 1 where every model diverged; 2 where a setting, the data or the run
    folder is not as it must be; 130 where the user interrupted.

    Args:
      description: for `--help`.
    """
    keep_compiled_programs()
    parse = lambda default: tyro.cli(
        DisentangleSettings, default=default, description=description, prog=f"python -m experiments.{EXPERIMENT}"
    )
    settings = parse(DisentangleSettings())
    with exit_on_bad_input():
        if settings.resume:
            # Parsed again over the run's own settings, so that what differs now is what the user typed.
            settings = parse(saved_settings(settings))
        prepared = prepare(settings)
    try:
        summary = run(prepared)
    except Diverged as error:
        print(f"error: {error}\nThe checkpoints so far are in {prepared.folder.path}.", file=sys.stderr)
        sys.exit(1)
    except DoesNotFit as error:
        if not settings.resume:
            prepared.folder.remove_unless_trained()
        print(f"error: --betas and --seeds: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"interrupted; --run-dir {prepared.folder.path} --resume continues", file=sys.stderr)
        sys.exit(130)
    print(f"report: {prepared.folder.report}")
    print(json.dumps(summary, allow_nan=False))
