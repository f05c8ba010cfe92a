"""docs/results.md, and the tables of other pages, from the records in docs/results.

python -m experiments.render_results
"""

import dataclasses
from pathlib import Path

import tyro

from experiments.lib.results_page import render


@dataclasses.dataclass(frozen=True)
class Options:
    """Where the records and the pages lie."""

    folder: Path = Path("docs/results")  # of the records
    page: Path = Path("docs/results.md")
    readme: Path = Path("README.md")


def main(options: Options) -> None:
    render(options.folder, options.page, options.readme)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.render_results"))
