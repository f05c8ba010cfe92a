"""Writes docs/results.md, the README's table, and the numbers and tables of choices in the pages of docs/.

The numbers come from the records in docs/results, the choices from the tables of the command.

python -m experiments.render_results
"""

import dataclasses
from pathlib import Path

import tyro

from experiments.lib.results_page import render


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    folder: Path = Path("docs/results")  # folder of the records
    page: Path = Path("docs/results.md")  # results page; numbers in the pages beside it are updated too
    readme: Path = Path("README.md")  # README with the table of headline results


def main(options: Options) -> None:
    render(options.folder, options.page, options.readme)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.render_results"))
