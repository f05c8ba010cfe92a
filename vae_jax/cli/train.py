"""`vae-jax train RECIPE`, and the main function of the scripts in experiments/."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tyro

from vae_jax.cli.exits import end, exit_in_a_line, exit_on_bad_input, exit_on_parser_error
from vae_jax.cli.flags import flags_of
from vae_jax.cli.options import Train
from vae_jax.data import Unreadable
from vae_jax.evaluation import measure_vae
from vae_jax.runs.checks import check_settings
from vae_jax.runs.config import check_experiment, settings_of_run, to_finish, upgraded
from vae_jax.runs.fitting.resume import restore_if_damaged
from vae_jax.runs.fitting.signals import terminated_as_interrupted
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.machine import keep_compiled_programs
from vae_jax.runs.pipeline import run
from vae_jax.runs.preparation import prepare
from vae_jax.runs.processes import ending_together, join_processes
from vae_jax.runs.progress import say
from vae_jax.runs.recipe import Recipe, recipe_for
from vae_jax.runs.recipes import RECIPES
from vae_jax.runs.reporting.summaries import any_diverged
from vae_jax.text import printable
from vae_jax.training import Diverged, DoesNotFit
from vae_jax.training.checkpoints import OtherRun
from vae_jax.training.distributed import from_writer, is_writer


def parse(recipe: Recipe, defaults: Any, description: str | None, prog: str, arguments: Sequence[str] | None) -> Any:
    """Parses a command line into settings; flags that it does not give have the defaults. Arguments as for `main`."""
    flags = flags_of(defaults)
    with exit_on_parser_error():
        parsed = tyro.cli(
            type(flags),
            default=flags,
            description=description,
            prog=prog,
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    groups = [dataclasses.asdict(getattr(parsed, field.name)) for field in dataclasses.fields(parsed)]
    return type(recipe.defaults)(**{name: value for group in groups for name, value in group.items()})


def main(
    recipe: Recipe, description: str | None, prog: str | None = None, arguments: Sequence[str] | None = None
) -> None:
    """Runs a recipe, for `python -m experiments.NAME` and `vae-jax train NAME`.

    Progress, messages and the path of the report go to stderr; stdout gets one line, the summary as JSON. Exit codes:
    0 for success; 1 if training diverged; 2 for a bad setting, data set or run folder, with one line that says what
    would be right; 130 after Ctrl-C and 143 after SIGTERM. Of several processes only the first writes to stdout.

    Args:
      recipe: recipe to train.
      description: text of `--help`.
      prog: command in the text of `--help`; None: the script of the recipe.
      arguments: arguments of the command line; None: those of this process.
    """
    keep_compiled_programs()
    command_line = description, prog or f"python -m experiments.{recipe.name}", arguments
    settings = parse(recipe, recipe.defaults, *command_line)
    advice = "the same command with --run-dir and --resume continues from the last checkpoint"
    with ending_together(advice), exit_in_a_line(), terminated_as_interrupted():
        with exit_on_bad_input():
            if not settings.resume:  # the settings of a resumed run are checked when it is prepared
                check_settings(recipe_for(recipe, settings.data), settings)
            join_processes(settings)
            if settings.resume:
                # Parsed again over the run's own settings, so that what differs now is what the user typed.
                settings = parse(recipe, _settings_to_resume(recipe, settings), *command_line)
            recipe = recipe_for(recipe, settings.data)
            prepared = prepare(recipe, settings)
        folder, members = prepared.folder, recipe.kind.members(prepared.settings)
        grid = "" if members[0].weight is None else f" and {len({member.weight for member in members})} weights"
        flags, again = f"--seeds {prepared.settings.seeds}{grid}", to_finish(recipe, folder.path)
        with exit_if_training_ends_early(folder, flags, settings.resume, again):
            summary = run(prepared)
        if summary:
            say(f"report: {folder.report}")
            measures = recipe.measure is not None and recipe.measure(prepared.settings) is measure_vae
            if measures and recipe.command is not None and summary.get("nll") is None:
                say(f"to measure the likelihood: vae-jax evaluate {shlex.quote(str(folder.path))}")
            print(json.dumps(summary, allow_nan=False))
            if any_diverged(summary):
                sys.exit(1)


def _settings_to_resume(recipe: Recipe, settings: Any) -> Any:
    if settings.run_dir is None:
        raise ValueError("--resume requires --run-dir, the folder of the run to continue")
    folder = RunFolder(settings.run_dir)

    def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
        check_experiment(recipe, config, folder)
        return upgraded(recipe, config)

    if is_writer():
        restore_if_damaged(folder, upgrade)
    from_writer(None)  # the other processes wait, and read the restored file
    return settings_of_run(recipe, settings, folder)


@contextlib.contextmanager
def exit_if_training_ends_early(folder: RunFolder, flags: str, resumed: bool, again: str) -> Iterator[None]:
    """Turns an error that ends training early into a message on stderr and an exit code.

    The code is 1 if training diverged; 2 if the models do not fit into memory, the checkpoints belong to another run,
    or an image cannot be read. Other errors are handled by `exit_in_a_line`.

    Args:
      folder: folder of the run; it is removed if the run could not begin.
      flags: flags that set the number of models, for the message that they do not fit.
      resumed: whether the run existed before.
      again: command line that continues the run.
    """
    with exit_in_a_line(f"to continue: {printable(again)}"):
        try:
            yield
        except Diverged as error:
            say(f"error: {error}\nIts last finite parameters are in {folder.path}.")
            sys.exit(1)
        except OtherRun as error:
            end(str(error), 2)
        except Unreadable as error:
            end(f"{error} To continue: {again}", 2)
        except DoesNotFit as error:
            if not resumed:
                folder.remove_unless_trained()
            end(f"{flags}: {error}", 2)
        except ValueError:
            if folder.path.is_dir():
                raise
            end(f"{folder.path} was removed during the run", 1)


def train_options() -> type:
    """Options of `vae-jax train` with the flags of every recipe, as help and completion need them."""
    recipe = tyro.extras.subcommand_type_from_defaults(
        {name: flags_of(recipe.defaults) for name, recipe in RECIPES.items()},
        {name: recipe.description for name, recipe in RECIPES.items()},
        sort_subcommands=False,
    )
    return dataclasses.make_dataclass(
        "TrainByRecipe", [("recipe", recipe)], bases=(Train,), namespace={"__doc__": Train.__doc__}, frozen=True
    )


def train(recipe: Recipe, arguments: Sequence[str]) -> None:
    """Runs `vae-jax train RECIPE` with the arguments that follow it."""
    main(recipe, recipe.description, f"vae-jax train {recipe.name}", arguments)
