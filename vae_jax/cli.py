"""The `vae-jax` command: what can be done with the folders that runs leave, and how they are made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import tyro

from vae_jax.commands.compare import Compare, prepare_compare
from vae_jax.commands.doctor import Doctor, prepare_doctor
from vae_jax.commands.evaluate import prepare_evaluate
from vae_jax.commands.explore import Explore, prepare_explore
from vae_jax.commands.exporting import Export, prepare_export
from vae_jax.commands.listing import List, Show, prepare_list, prepare_show
from vae_jax.commands.pictures import (
    Interpolate,
    Reconstruct,
    Sample,
    Traverse,
    prepare_interpolate,
    prepare_reconstruct,
    prepare_sample,
    prepare_traverse,
)
from vae_jax.commands.report import Report, prepare_report
from vae_jax.commands.train import Train, is_recipe, train
from vae_jax.experiment.command_line import exit_on_bad_input, exit_where_interrupted
from vae_jax.experiment.environment import keep_compiled_programs
from vae_jax.experiment.evaluate import Evaluate
from vae_jax.experiment.limits import check_numbers

# Each command: its options, and what checks them and returns the work.
COMMANDS: dict[str, tuple[type, Callable[[Any], Callable[[], None]]]] = {
    "list": (List, prepare_list),
    "show": (Show, prepare_show),
    "evaluate": (Evaluate, prepare_evaluate),
    "sample": (Sample, prepare_sample),
    "reconstruct": (Reconstruct, prepare_reconstruct),
    "interpolate": (Interpolate, prepare_interpolate),
    "traverse": (Traverse, prepare_traverse),
    "compare": (Compare, prepare_compare),
    "report": (Report, prepare_report),
    "export": (Export, prepare_export),
    "explore": (Explore, prepare_explore),
    "doctor": (Doctor, prepare_doctor),
}
DESCRIPTION = """Train variational autoencoders, and look at, measure, compare and share what the runs leave.

`vae-jax COMMAND --help` explains a command. Completion for your shell: vae-jax --tyro-print-completion bash|zsh|tcsh
"""


def main() -> None:
    """Parses the command line and does what it says.

    Progress and messages go to stderr, results to stdout. Exit codes: 0; 1 for a fault; 2 where an argument is not as
    it must be, with one line that says what would be right; 130 where the user interrupted.
    """
    with exit_where_interrupted():
        keep_compiled_programs()
        if is_recipe(sys.argv[1:]):
            train(sys.argv[1:])
            return
        options = parse(sys.argv[1:])
        prepare = next(prepare for kind, prepare in COMMANDS.values() if isinstance(options, kind))
        with exit_on_bad_input():
            check_numbers(options)
            work = prepare(options)
        work()


def parse(words: list[str]) -> Any:
    """The options of the command that the words are of."""
    return tyro.extras.subcommand_cli_from_dict(
        {"train": Train} | {name: kind for name, (kind, _) in COMMANDS.items()},
        prog="vae-jax",
        description=DESCRIPTION,
        args=words,
        sort_subcommands=False,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )


if __name__ == "__main__":
    main()
