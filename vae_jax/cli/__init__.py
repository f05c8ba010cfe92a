"""The `vae-jax` command: trains models, and looks at, measures and shares the runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import tyro

from vae_jax.cli import options as of
from vae_jax.cli.exits import exit_in_a_line, exit_on_bad_input
from vae_jax.cli.flags import with_plain_defaults
from vae_jax.runs.limits import check_numbers
from vae_jax.runs.options import Evaluate


class Command(NamedTuple):
    """A command: its options, and the place of the function that does its work, imported when it is needed."""

    options: type
    module: str
    function: str  # takes the options, checks them, and returns the work

    def prepare(self, options: Any) -> Callable[[], None]:
        prepare = getattr(import_module(self.module), self.function)
        if "jax" in sys.modules:  # `list` and `show` do without
            import_module("vae_jax.runs.machine").keep_compiled_programs()
        return prepare(options)


COMMANDS = {
    "list": Command(of.List, "vae_jax.cli.listing", "prepare_list"),
    "show": Command(of.Show, "vae_jax.cli.listing", "prepare_show"),
    "evaluate": Command(Evaluate, "vae_jax.cli.evaluate", "prepare_evaluate"),
    "encode": Command(of.Encode, "vae_jax.cli.encoding", "prepare_encode"),
    "score": Command(of.Score, "vae_jax.cli.scoring", "prepare_score"),
    "sample": Command(of.Sample, "vae_jax.cli.pictures", "prepare_sample"),
    "reconstruct": Command(of.Reconstruct, "vae_jax.cli.pictures", "prepare_reconstruct"),
    "interpolate": Command(of.Interpolate, "vae_jax.cli.pictures", "prepare_interpolate"),
    "traverse": Command(of.Traverse, "vae_jax.cli.pictures", "prepare_traverse"),
    "compare": Command(of.Compare, "vae_jax.cli.compare", "prepare_compare"),
    "report": Command(of.Report, "vae_jax.cli.report", "prepare_report"),
    "export": Command(of.Export, "vae_jax.cli.exporting", "prepare_export"),
    "explore": Command(of.Explore, "vae_jax.cli.explore", "prepare_explore"),
    "doctor": Command(of.Doctor, "vae_jax.cli.doctor", "prepare_doctor"),
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
        words = sys.argv[1:]
        if words[:1] == ["train"]:
            from vae_jax.cli.train import is_recipe, train

            if is_recipe(words):
                train(words)
                return
        options = parse(words)
        command = next(command for command in COMMANDS.values() if isinstance(options, command.options))
        with exit_on_bad_input():
            check_numbers(options)
            work = command.prepare(options)
        work()


def parse(words: list[str]) -> Any:
    """The options of the command that the words are of."""
    kinds: dict[str, Callable[..., Any]] = {"train": of.Train}
    # The flags of the recipes import JAX, so they are there only for `train` and for a shell's completion.
    if words[:1] == ["train"] or any(word.startswith("--tyro-") for word in words):
        from vae_jax.cli.train import train_options

        kinds = {"train": train_options()}
    return tyro.extras.subcommand_cli_from_dict(
        kinds | {name: with_plain_defaults(command.options) for name, command in COMMANDS.items()},
        prog="vae-jax",
        description=DESCRIPTION,
        args=words,
        sort_subcommands=False,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )
