"""Tables on stdout, and names of the files that commands write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vae_jax.atomic import check_writable
from vae_jax.text import printable

# Width without a terminal: each row of the table is one line.
_UNBROKEN = 10_000


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Prints a table whose first `left` columns are aligned to the left and the others, of numbers, to the right.

    On a terminal the table is no wider than the terminal; elsewhere each row is one line without trailing blanks.
    """
    console = Console(width=None if sys.stdout.isatty() else _UNBROKEN, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, header in enumerate(headers):
        table.add_column(printable(header), justify="left" if place < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    with console.capture() as text:
        console.print(table)
    for line in text.get().splitlines():
        print(line.rstrip())  # otherwise one long cell would make every line as long


def new_file(output: Path | None, default: str) -> Path:
    """File to write: `output`, or a free name after `default`, such as sample-2.png.

    Raises:
      ValueError: if the file cannot be written, has another ending than `default`, or is a folder.
    """
    if output is not None:
        suffix = Path(default).suffix
        if output.suffix.lower() != suffix:
            raise ValueError(f"--output must end in {suffix}, got {output}")
        if output.is_dir():
            raise ValueError(f"--output must be a file to write, got the folder {output}")
    else:
        name = Path(default)
        free = (Path(f"{name.stem}{end}{name.suffix}") for end in ("", *(f"-{i}" for i in range(2, 10_000))))
        output = next(path for path in free if not path.exists())
    check_writable(output, "--output")
    return output
