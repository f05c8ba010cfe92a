"""The `vae-jax` command: what can be done with the folder of a run."""

from __future__ import annotations

import json
import sys

import tyro

from vae_jax.experiment.command_line import exit_on_bad_input
from vae_jax.experiment.disentanglement.evaluate import prepare_scoring
from vae_jax.experiment.evaluate import Evaluate, prepare_evaluation, run_evaluation


def main() -> None:
    """Parses the command line and does what it says.

    Progress and messages go to stderr. On stdout come the place of the report and, last, the summary as one line of
    JSON. Exit codes: 0; 2 where an argument is not as it must be, with one line that says what would be right; 130
    where the user interrupted.
    """
    options = tyro.extras.subcommand_cli_from_dict(
        {"evaluate": Evaluate}, prog="vae-jax", description="Commands for the folders that runs leave."
    )
    with exit_on_bad_input():
        if options.metrics == "disentanglement":
            folder, evaluate = prepare_scoring(options)
            kept = "nothing was written"
        else:
            trained = prepare_evaluation(options)
            folder, evaluate = trained.folder, lambda: run_evaluation(trained, options)
            kept = f"the parts that were done are in {folder.path / 'summary.json'}"
    try:
        summary = evaluate()
    except KeyboardInterrupt:
        print(f"interrupted; {kept}", file=sys.stderr)
        sys.exit(130)
    print(f"report: {folder.report}")
    print(json.dumps(summary, allow_nan=False))


if __name__ == "__main__":
    main()
