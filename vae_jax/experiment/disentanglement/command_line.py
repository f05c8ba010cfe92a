"""The disentanglement experiment as a command."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import tyro

from vae_jax.experiment.command_line import exit_if_training_ends_early
from vae_jax.experiment.disentanglement.run import prepare, run, saved_settings
from vae_jax.experiment.disentanglement.settings import EXPERIMENT, DisentangleSettings
from vae_jax.experiment.environment import keep_compiled_programs
from vae_jax.experiment.exits import exit_in_a_line, exit_on_bad_input
from vae_jax.experiment.progress import say
from vae_jax.experiment.stopping import terminated_as_interrupted
from vae_jax.experiment.summaries import any_diverged


def main(description: str | None, prog: str | None = None, arguments: Sequence[str] | None = None) -> None:
    """Runs it, as `python -m experiments.disentangle` or `vae-jax train disentangle`.

    Progress, messages, a table of the scores and the place of the report go to stderr; on stdout comes the summary, one
    line of JSON, and nothing else. Exit codes: 0; 1 if a model diverged; 2 if a setting, the data or the run folder is
    not as it must be; 130 after Ctrl-C and 143 after SIGTERM.

    Args:
      description: for `--help`.
      prog: the command, for `--help`; None: the experiment's script.
      arguments: of the command line; None: the process's own.
    """
    keep_compiled_programs()
    parse = lambda default: tyro.cli(
        DisentangleSettings,
        default=default,
        description=description,
        prog=prog or f"python -m experiments.{EXPERIMENT}",
        args=arguments,
    )
    settings = parse(DisentangleSettings())
    with exit_in_a_line(), terminated_as_interrupted():
        with exit_on_bad_input():
            if settings.resume:
                # Parsed again over the run's own settings, so that what differs now is what the user typed.
                settings = parse(saved_settings(settings))
            prepared = prepare(settings)
        with exit_if_training_ends_early(prepared.folder, "--betas and --seeds", settings.resume):
            summary = run(prepared)
        say(f"report: {prepared.folder.report}")
        print(json.dumps(summary, allow_nan=False))
        if any_diverged(summary):
            sys.exit(1)
