"""Settings of a table: the kinds of its columns, and what is hidden while a model trains."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

import tyro


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of a table (--data FILE.csv)."""

    title: ClassVar[str] = "table"

    columns: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            metavar="NAME=KIND ...",
            help="kinds of columns, if others than the inferred ones are wanted, such as age=positive kind=category "
            "id=drop; a kind is continuous, positive, count, binary, category, ordinal, name (of the rows), keep or "
            "drop",
        ),
    ] = ()
    hide_cells: Annotated[
        float | None,
        tyro.conf.arg(
            help="largest share of its observed cells that is hidden from the model when it trains on a row; each time "
            "a share is drawn from 0 to this number, so that the model learns to fill in missing cells (default: 0.5)"
        ),
    ] = None
