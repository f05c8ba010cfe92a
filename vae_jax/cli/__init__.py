"""The `vae-jax` command, which trains models and shows, measures and shares runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

import tyro

from vae_jax.cli import options as given
from vae_jax.cli.exits import exit_in_a_line, exit_on_bad_input, exit_on_parser_error
from vae_jax.cli.flags import with_plain_defaults
from vae_jax.runs.limits import check_numbers
from vae_jax.runs.options import Evaluate

# Options of each command, and the function that checks them and returns the work to do; it is imported when needed.
COMMANDS: dict[str, tuple[type, str]] = {
    "list": (given.List, "vae_jax.cli.listing:prepare_list"),
    "show": (given.Show, "vae_jax.cli.listing:prepare_show"),
    "evaluate": (Evaluate, "vae_jax.cli.evaluate:prepare_evaluate"),
    "encode": (given.Encode, "vae_jax.cli.encoding:prepare_encode"),
    "score": (given.Score, "vae_jax.cli.scoring:prepare_score"),
    "impute": (given.Impute, "vae_jax.cli.tables:prepare_impute"),
    "sample": (given.Sample, "vae_jax.cli.pictures:prepare_sample"),
    "reconstruct": (given.Reconstruct, "vae_jax.cli.pictures:prepare_reconstruct"),
    "interpolate": (given.Interpolate, "vae_jax.cli.pictures:prepare_interpolate"),
    "traverse": (given.Traverse, "vae_jax.cli.pictures:prepare_traverse"),
    "compare": (given.Compare, "vae_jax.cli.compare:prepare_compare"),
    "report": (given.Report, "vae_jax.cli.report:prepare_report"),
    "export": (given.Export, "vae_jax.cli.exporting:prepare_export"),
    "explore": (given.Explore, "vae_jax.cli.explore:prepare_explore"),
    "doctor": (given.Doctor, "vae_jax.cli.doctor:prepare_doctor"),
}
DESCRIPTION = """Train variational autoencoders, and show, measure, compare and share the finished runs.

`vae-jax COMMAND --help` explains a command. Completion for your shell: vae-jax --tyro-print-completion bash|zsh|tcsh
"""


def main() -> None:
    """Parses the command line and runs the command.

    Progress and messages go to stderr, results to stdout. Exit codes: 0 for success; 1 for a failure; 2 for a bad
    argument, with one line that says what would be right; 130 after Ctrl-C and 143 after SIGTERM.
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
            if "jax" in sys.modules:  # `list` and `show` do not need it
                import_module("vae_jax.runs.machine").keep_compiled_programs()
            work = prepare(options)
        work()


def parse(arguments: list[str]) -> Any:
    """Parses the command line into the options of its subcommand."""
    kinds: dict[str, Callable[..., Any]] = {"train": given.Train}
    # The flags of the recipes import JAX, so they are made only for `train` and for a shell's completion.
    if arguments[:1] == ["train"] or any(word.startswith("--tyro-") for word in arguments):
        from vae_jax.cli.train import train_options

        kinds = {"train": train_options()}
    # The help of a command has its whole description, the list of commands a line of each.
    kinds |= {
        name: with_plain_defaults(options, _first_line(options) if name not in arguments else options.__doc__)
        for name, (options, _) in COMMANDS.items()
    }
    with exit_on_parser_error():
        return tyro.extras.subcommand_cli_from_dict(
            kinds,
            prog="vae-jax",
            description=DESCRIPTION,
            args=arguments,
            sort_subcommands=False,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
        )


def _first_line(options: type) -> str:
    return (options.__doc__ or "").partition("\n")[0]
