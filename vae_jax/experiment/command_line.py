"""From a command line to a finished run: parsing, `--resume`, errors, the last line of output."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tyro

from vae_jax.data import Unreadable
from vae_jax.evaluation import measure_vae
from vae_jax.experiment.continued import restore_if_damaged
from vae_jax.experiment.devices import join_processes
from vae_jax.experiment.environment import keep_compiled_programs
from vae_jax.experiment.exits import exit_in_a_line, exit_on_bad_input
from vae_jax.experiment.limits import check_numbers
from vae_jax.experiment.method import Method
from vae_jax.experiment.pipeline import run
from vae_jax.experiment.prepared import prepare
from vae_jax.experiment.processes import ending_together
from vae_jax.experiment.progress import say
from vae_jax.experiment.recipes import RECIPES
from vae_jax.experiment.settings import Settings, settings_of_run
from vae_jax.experiment.stopping import terminated_as_interrupted
from vae_jax.experiment.summaries import any_diverged
from vae_jax.runs import RunFolder
from vae_jax.text import printable
from vae_jax.training import Diverged, DoesNotFit
from vae_jax.training.checkpoints import OtherRun
from vae_jax.training.distributed import from_writer, is_writer


@contextlib.contextmanager
def exit_if_training_ends_early(folder: RunFolder, flags: str, resumed: bool) -> Iterator[None]:
    """Turns an error that ends training early into a message on stderr and an exit code.

    1 if it diverged; 2 if the models do not fit, the checkpoints are those of another run, or an image cannot be read;
    else as `exit_in_a_line`.

    Args:
      folder: of the run; one that could not begin is removed.
      flags: that decide how many models there are, for the message that they do not fit.
      resumed: whether the run was there before.
    """
    with exit_in_a_line(f"--run-dir {printable(folder.path)} --resume continues"):
        try:
            yield
        except Diverged as error:
            place = printable(folder.path)
            print(f"error: {printable(error)}\nIts last finite parameters are in {place}.", file=sys.stderr)
            sys.exit(1)
        except OtherRun as error:
            print(f"error: {printable(error)}", file=sys.stderr)
            sys.exit(2)
        except Unreadable as error:
            print(f"error: {printable(error)} --run-dir {printable(folder.path)} --resume continues", file=sys.stderr)
            sys.exit(2)
        except DoesNotFit as error:
            if not resumed:
                folder.remove_unless_trained()
            print(f"error: {flags}: {printable(error)}", file=sys.stderr)
            sys.exit(2)
        except ValueError:
            if folder.path.is_dir():
                raise
            print(f"error: {printable(folder.path)} is gone: it was removed during the run", file=sys.stderr)
            sys.exit(1)


def main(
    method: Method, description: str | None, prog: str | None = None, arguments: Sequence[str] | None = None
) -> None:
    """Runs an experiment, as `python -m experiments.NAME` or `vae-jax train NAME`.

    Progress, messages and the place of the report go to stderr; on stdout comes the summary, one line of JSON, and
    nothing else. Exit codes: 0; 1 if training diverged; 2 if a setting, the data or the run folder is not as it must
    be, with one line that says what would be right; 130 after Ctrl-C and 143 after SIGTERM. Of several processes only
    the first writes to stdout.

    Args:
      method: the experiment.
      description: for `--help`.
      prog: the command, for `--help`; None: the experiment's script.
      arguments: of the command line; None: the process's own.
    """
    keep_compiled_programs()
    defaults = method.defaults
    words: dict[str, Any] = {
        "description": description,
        "prog": prog or f"python -m experiments.{method.name}",
        "args": arguments,
    }
    settings = tyro.cli(type(defaults), default=defaults, **words)
    advice = "the same command with --run-dir and --resume goes on from the last checkpoint"
    with ending_together(advice), exit_in_a_line(), terminated_as_interrupted():
        _run(method, settings, lambda default: tyro.cli(type(defaults), default=default, **words))


def _run(method: Method, settings: Settings, parse: Callable[[Settings], Settings]) -> None:
    with exit_on_bad_input():
        check_numbers(settings)
        join_processes(settings)
        if settings.resume:
            if settings.run_dir is None:
                raise ValueError("--resume needs --run-dir, the folder of the run to continue")
            folder = RunFolder(settings.run_dir)
            if is_writer():
                restore_if_damaged(folder)
            from_writer(None)  # the others read it after that
            # Parsed again over the run's own settings, so that what differs now is what the user typed.
            settings = parse(settings_of_run(method.name, settings, folder))
        prepared = prepare(method, settings)
    folder = prepared.folder
    with exit_if_training_ends_early(folder, f"--seeds {prepared.settings.seeds}", settings.resume):
        summary = run(prepared)
    if summary:
        say(f"report: {prepared.folder.report}")
        if method.measure is measure_vae and method.name in RECIPES and summary.get("nll") is None:
            say(f"likelihood: vae-jax evaluate {shlex.quote(str(prepared.folder.path))}")
        print(json.dumps(summary, allow_nan=False))
        if any_diverged(summary):
            sys.exit(1)
