"""Training problem on a table: its columns, encoded rows with masks, and cells that are hidden while training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.data import Encoding, Table, fit_encoding, load_table
from vae_jax.data._arrays import HOLD_OUT_NOTE, held_out, held_out_tenth
from vae_jax.data.tables._hiding import hide_entries
from vae_jax.data.tables._table import KINDS
from vae_jax.models import Example
from vae_jax.runs import per_seed
from vae_jax.runs.checks import check_data_dir
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.contexts import Contexts
from vae_jax.runs.settings import Settings
from vae_jax.text import printable
from vae_jax.training import Examples

HIDE_CELLS = 0.5  # default of --hide-cells for a table
SPLIT_SEED = 0  # the validation rows are the same for all training seeds
_OF_IMAGES = Contexts()  # no labels, and no masks of pixels


class Split(NamedTuple):
    """Indices of the rows of a table."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class TableProblem:
    """Rows of a table as a model sees them: `Example(values, observed)`, each a dict of arrays by group of columns."""

    encoding: Encoding
    hide_cells: float
    table: Table | None = None  # None: the problem has no data
    split: Split | None = None
    prepare: None = None  # rows are encoded once
    num_classes: None = None
    contexts: Contexts = _OF_IMAGES
    image_shape: tuple[int, ...] = ()  # rows are no images

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-like facts of config.json from which the problem is made again without its table."""
        return {"table": self.encoding.to_json()}

    @property
    def example(self) -> Example:
        """Shapes of one encoded row and its mask."""
        groups = self.encoding.groups
        shape = lambda group, dtype: jax.ShapeDtypeStruct((len(groups[group]),), dtype)
        values = {group: shape(group, columns[0].array_dtype) for group, columns in groups.items()}
        return Example(values, {group: shape(group, bool) for group in groups})

    @property
    def num_examples(self) -> int:
        """Number of training rows."""
        return 1 if self.split is None else len(self.split.train)

    @property
    def num_test(self) -> int:
        """Number of test rows."""
        return 0 if self.split is None else len(self.split.test)

    @cached_property
    def train_examples(self) -> Examples:
        """Training data of `fit`, of which each step hides some cells."""
        return Examples(self._rows("train"), self.num_examples, HidingCells(self.hide_cells))

    @cached_property
    def validation_examples(self) -> Example:
        """Validation rows with all that is observed in them."""
        return self._rows("validation")

    @cached_property
    def test_examples(self) -> Example:
        """Test rows with all that is observed in them."""
        return self._rows("test")

    def _rows(self, part: str) -> Example:
        assert self.table is not None
        # A category that no training row has cannot be encoded; `unseen_note` says that these cells are left out.
        return Example(*self.encoding.encode(self.table, getattr(self.split, part), unseen_as_missing=True))

    @property
    def unseen_note(self) -> str | None:
        """Line about cells of held-out rows that count as missing, or None if there are none."""
        if self.table is None or not (cells := self.encoding.unseen(self.table)):
            return None
        first = cells[0]
        return (
            f"{len(cells):,} cells of validation and test rows hold a category that no training row has, and count as "
            f"missing, such as {printable(str(first.value))!r} in column {printable(first.column)!r} of row "
            f"{printable(first.row)}"
        )


@dataclasses.dataclass(frozen=True)
class HidingCells:
    """The `at` of `training.Examples` that hides each row's cells at a rate drawn uniformly from [0, most]."""

    most: float  # equal instances are one function, for which a program is compiled once

    def __call__(self, data: Example, key: jax.Array, indices: jax.Array) -> Example:
        values, observed = jax.tree.map(lambda leaf: leaf[indices], data)
        keys = jax.random.split(key, indices.shape[0])
        return Example(values, jax.vmap(lambda key, seen: hide_entries(key, seen, self.most))(keys, observed))


def kinds_of(settings: Settings) -> dict[str, str]:
    """Kinds of columns by name, from the texts NAME=KIND of --columns.

    Raises:
      ValueError: a text is not NAME=KIND, or a name is given twice.
    """
    kinds: dict[str, str] = {}
    for text in settings.columns:
        # A name may hold an equals sign, and so may the levels of an ordinal column.
        places = [i for i, sign in enumerate(text) if sign == "=" and text[i + 1 :].partition(":")[0] in KINDS]
        if not places or not text[: places[0]]:
            raise ValueError(f"--columns must be NAME=KIND, with a kind of {', '.join(KINDS)}, got {text}")
        name, kind = text[: places[0]], text[places[0] + 1 :]
        if name in kinds:
            raise ValueError(f"--columns gives {name} twice: give each column once")
        kinds[name] = kind
    return kinds


def load(settings: Settings) -> Table:
    """Loads the table that the settings name; its note says how rows are held out.

    Raises:
      ValueError: if it cannot be loaded, or --columns does not suit it.
    """
    check_data_dir(settings.data, settings.data_dir)
    try:
        table = load_table(settings.data, kinds_of(settings))
    except ValueError as error:
        raise ValueError(f"--data {error}") from error
    held = len(held_out_tenth(table.num_rows, table.name))
    sizes = f"{table.num_rows - held:,} train and {held:,} test rows"
    note = f"{table.name}: {sizes}, {HOLD_OUT_NOTE}" + (f"; {table.note}" if table.note else "")
    return dataclasses.replace(table, note=note)


def split_of(table: Table, validation_size: int) -> Split:
    """Rows for training, validation and test, by the fixed seeds that images have too."""
    test = held_out_tenth(table.num_rows, table.name)
    rest = np.delete(np.arange(table.num_rows), test)
    places = held_out(len(rest), validation_size, SPLIT_SEED)
    return Split(np.delete(rest, places), rest[places], test)


def resolve(settings: Settings, table: Table) -> Settings:
    """Settings in which all values that depend on the table are filled in, as `config.json` has them.

    Raises:
      ValueError: if a number does not suit the number of rows.
    """
    total = table.num_rows - len(held_out_tenth(table.num_rows, table.name))
    size = per_seed.validation_size(settings, total)
    counted = f"{total} less {size} for validation"
    return dataclasses.replace(
        settings,
        likelihood="normal" if settings.likelihood == "auto" else settings.likelihood,
        validation_size=size,
        batch_size=per_seed.batch_size(settings, total - size, counted, "rows"),
        hide_cells=HIDE_CELLS if settings.hide_cells is None else settings.hide_cells,
    )


def make_problem(settings: Settings, table: Table, folder: RunFolder | None) -> TableProblem:
    """Makes the problem of a table: with the encoding of the run in the folder, or fitted to the training rows.

    Raises:
      ValueError: if no encoding can be fitted, or config.json does not hold one.
    """
    assert settings.validation_size is not None
    split = split_of(table, settings.validation_size)
    if folder is not None:
        encoding = encoding_of(folder)
    else:
        try:
            encoding = fit_encoding(table, split.train)
        except ValueError as error:
            raise ValueError(f"--data {error}") from error
    return TableProblem(encoding, _rate(settings), table, split)


def without_data(settings: Settings, folder: RunFolder) -> TableProblem:
    """Problem without rows, from which the model of the run in a folder can be built."""
    return TableProblem(encoding_of(folder), _rate(settings))


def encoding_of(folder: RunFolder) -> Encoding:
    """Encoding of the table that the run in a folder was trained on.

    Raises:
      ValueError: config.json does not hold one.
    """
    stored: Mapping[str, Any] = folder.about()
    try:
        return Encoding.from_json(stored.get("table"))
    except ValueError as error:
        raise ValueError(f"{folder}: config.json: table: {error}") from None


def _rate(settings: Settings) -> float:
    return HIDE_CELLS if settings.hide_cells is None else settings.hide_cells
