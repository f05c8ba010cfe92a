"""The `vae-jax` command: trains models, and looks at, measures and shares the runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

import tyro

from vae_jax.cli import options as of
from vae_jax.cli.exits import exit_in_a_line, exit_on_bad_input
from vae_jax.cli.flags import with_plain_defaults
from vae_jax.runs.limits import check_numbers
from vae_jax.runs.options import Evaluate

# The options of each command, and the function that checks them and returns its work, imported when it is needed.
COMMANDS: dict[str, tuple[type, str]] = {
    "list": (of.List, "vae_jax.cli.listing:prepare_list"),
    "show": (of.Show, "vae_jax.cli.listing:prepare_show"),
    "evaluate": (Evaluate, "vae_jax.cli.evaluate:prepare_evaluate"),
    "encode": (of.Encode, "vae_jax.cli.encoding:prepare_encode"),
    "score": (of.Score, "vae_jax.cli.scoring:prepare_score"),
    "sample": (of.Sample, "vae_jax.cli.pictures:prepare_sample"),
    "reconstruct": (of.Reconstruct, "vae_jax.cli.pictures:prepare_reconstruct"),
    "interpolate": (of.Interpolate, "vae_jax.cli.pictures:prepare_interpolate"),
    "traverse": (of.Traverse, "vae_jax.cli.pictures:prepare_traverse"),
    "compare": (of.Compare, "vae_jax.cli.compare:prepare_compare"),
    "report": (of.Report, "vae_jax.cli.report:prepare_report"),
    "export": (of.Export, "vae_jax.cli.exporting:prepare_export"),
    "explore": (of.Explore, "vae_jax.cli.explore:prepare_explore"),
    "doctor": (of.Doctor, "vae_jax.cli.doctor:prepare_doctor"),
}
DESCRIPTION = """Train variational autoencoders, and look at, measure, compare and share what the runs leave.

`vae-jax COMMAND --help` explains a command. Completion for your shell: vae-jax --tyro-print-completion bash|zsh|tcsh
"""


def main() -> None:
    """Parses the command line and does what it says.

    Progress and messages go to stderr, results to stdout. Exit codes: 0; 1 for a fault; 2 if an argument is not as it
    must be, with one line that says what would be right; 130 after Ctrl-C and 143 after SIGTERM.
    """
    with exit_in_a_line():
        arguments = sys.argv[1:]
        if arguments[:1] == ["train"]:
            from vae_jax.cli.train import RECIPES, train

            if arguments[1:] and arguments[1] in RECIPES:
                train(RECIPES[arguments[1]], arguments[2:])
                return
        options = parse(arguments)
        place = next(place for kind, place in COMMANDS.values() if isinstance(options, kind))
        with exit_on_bad_input():
            check_numbers(options)
            prepare = resolve_name(place)
            if "jax" in sys.modules:  # `list` and `show` do without
                import_module("vae_jax.runs.machine").keep_compiled_programs()
            work = prepare(options)
        work()


def parse(arguments: list[str]) -> Any:
    """Parses the command line into the options of its subcommand."""
    kinds: dict[str, Callable[..., Any]] = {"train": of.Train}
    # The flags of the recipes import JAX, so they are there only for `train` and for a shell's completion.
    if arguments[:1] == ["train"] or any(word.startswith("--tyro-") for word in arguments):
        from vae_jax.cli.train import train_options

        kinds = {"train": train_options()}
    return tyro.extras.subcommand_cli_from_dict(
        kinds | {name: with_plain_defaults(options) for name, (options, _) in COMMANDS.items()},
        prog="vae-jax",
        description=DESCRIPTION,
        args=arguments,
        sort_subcommands=False,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )
