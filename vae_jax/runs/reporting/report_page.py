"""HTML report of a run in one file: numbers, figures, and the command that repeats it. It needs no network."""

from __future__ import annotations

import base64
import numbers
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.atomic import write_atomically
from vae_jax.runs.reporting.formatting import duration, is_number, listed
from vae_jax.runs.reporting.metrics import (
    DRAWN,
    NOTES,
    SECONDS,
    View,
    error_of,
    example_of,
    is_error,
    metric_of,
    shown_in,
    text_of,
    worded,
)
from vae_jax.runs.reporting.report_style import STYLESHEET
from vae_jax.text import as_html as _escape
from vae_jax.visualization._style import DPI

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLUS_MINUS = "\N{PLUS-MINUS SIGN}\N{NO-BREAK SPACE}"

# Keys that are shown in the first line, or in their own sections.
_STATED = ("experiment", "data", "seeds", "seed", "steps", "device", "command", "versions", "models", "shown_seed")


class ReportFigure(NamedTuple):
    """Figure of a report: `name` (a unique file stem), `title`, `caption` (how to read it), and the path of the PNG."""

    name: str
    title: str
    caption: str
    png: Path


def write_report(
    path: Path,
    *,
    title: str,
    summary: Mapping[str, Any],
    config: Mapping[str, Any],
    figures: Sequence[ReportFigure],
) -> None:
    """Writes the report of a run: title, what was run, its key numbers, the figures, and the configuration.

    Args:
      path: the HTML file; it is replaced as a whole or not at all.
      title: plain text, as are all other texts.
      summary: numbers of the run, all optional. The table `metrics.METRICS` has title, unit and place of each number.
        "<key>_standard_error", or "<key>_standard_deviation" of several models, is shown beside its number. The first
        line shows "experiment", "data", "seed" or "seeds", "steps" and "device". "models", a list with a mapping for
        each of several models, becomes a table; the figures show the model of "shown_seed". The NOTES follow as
        sentences. At the end come "command", "versions" (a mapping), and all other keys that are not DRAWN.
      config: settings; nested mappings become dotted names.
      figures: figures in reading order, which are embedded in the file.

    Raises:
      ValueError: two figures have the same name, or a picture is not a PNG.
      FileNotFoundError: a picture is missing.
    """
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise ValueError(f"figures must have different names, got {', '.join(names)}")
    sections = "".join(_section(figure) for figure in figures)
    links = "".join(f'<a href="#{_escape(each.name)}">{_escape(each.title)}</a>' for each in figures)
    statement = _statement(summary)
    command = summary.get("command")
    page = "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            # The browser itself then refuses anything from outside this file.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; ',
            "style-src 'unsafe-inline'\">\n",
            f"<title>{_escape(title)}</title>\n<style>{STYLESHEET}</style>\n</head>\n<body>\n<main>\n",
            f"<header>\n<h1>{_escape(title)}</h1>\n",
            f'<p class="statement">{_escape(statement)}</p>\n' if statement else "",
            _tiles(summary),
            _models(summary),
            "".join(
                f'<p class="note">{_escape(f"{lead}{summary[key]}")}</p>\n'
                for key, lead in NOTES.items()
                if summary.get(key)
            ),
            f'<nav aria-label="Figures">{links}</nav>\n' if len(figures) > 1 else "",
            "</header>\n",
            sections,
            _table("Other results", _others(summary)),
            _table("Configuration", config),
            _table("Versions", summary.get("versions")),
            f"<section><h2>Run it again</h2><pre><code>{_escape(command)}</code></pre></section>\n" if command else "",
            "</main>\n</body>\n</html>\n",
        ]
    )
    write_atomically(path, page.encode())


def _is_numeric(value: object) -> bool:
    """Returns whether the value is a number, or a list with one for each layer of a model."""
    return is_number(value) or (isinstance(value, list) and bool(value) and all(map(is_number, value)))


def _others(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Titles and texts of all keys that are not shown elsewhere."""
    tiles = (metric.key for metric in shown_in(View.TILE) if _is_numeric(summary.get(metric.key)))
    elsewhere = {*_STATED, *NOTES, *DRAWN, *tiles}
    example = example_of(summary)
    return {
        worded(metric_of(key), example).label: _text(summary, key)
        for key in summary
        if not (key in elsewhere or is_error(key, summary))
    }


def _text(summary: Mapping[str, Any], key: str) -> Any:
    """Text of a number, or of each number of a mapping."""
    value = summary[key]
    if isinstance(value, Mapping):
        return {metric_of(name).label: _text(value, name) for name in value}
    return _typeset(text_of(summary, key)) if _is_numeric(value) else text_of(summary, key)


def _typeset(number: str) -> str:
    """Number with a typographic minus sign, and with a "±" that is not separated from its number."""
    return number.replace("-", "\N{MINUS SIGN}").replace("\N{PLUS-MINUS SIGN} ", _PLUS_MINUS)


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]


def _statement(summary: Mapping[str, Any]) -> str:
    """First line, such as "vae on digits, seed 0, 20,000 training steps, cpu (2 cores)", without missing parts."""
    run = " on ".join(str(summary[key]) for key in ("experiment", "data") if summary.get(key) is not None)
    parts = [run] if run else []
    seeds = summary.get("seeds", summary.get("seed"))
    if seeds is not None:
        several = seeds if isinstance(seeds, list) else [seeds]
        parts.append(f"{'seed' if len(several) == 1 else 'seeds'} {', '.join(map(str, several))}")
    if summary.get("steps") is not None:
        steps = summary["steps"]
        parts.append(f"{steps:,} training steps" if isinstance(steps, numbers.Integral) else f"{steps} training steps")
    if summary.get("device") is not None:
        parts.append(str(summary["device"]))
    return ", ".join(parts)


def _tiles(summary: Mapping[str, Any]) -> str:
    cells = []
    for metric in (worded(each, example_of(summary)) for each in shown_in(View.TILE)):
        value: Any = summary.get(metric.key)
        if not _is_numeric(value):
            continue
        text, unit = metric.text(value), metric.unit
        if isinstance(value, list):
            unit += ", layer by layer"
        elif metric.unit == SECONDS:
            text, unit = duration(value)
        error, name = error_of(summary, metric.key)
        if error:
            error = f' <span class="error">{_typeset(error)}</span>'
            unit += f" (\N{PLUS-MINUS SIGN} {name})"
        title = _capital(metric.title)
        cells.append(f'<div><dt>{title}</dt><dd>{_typeset(text)}{error}<span class="unit">{unit}</span></dd></div>')
    columns = 4 if len(cells) in (4, 7) else 3  # the fewest gaps in the last row
    return f'<dl class="tiles" style="--columns:{columns}">{"".join(cells)}</dl>\n' if cells else ""


def _models(summary: Mapping[str, Any]) -> str:
    """Table with a row for each of several models, and a note about the model that the figures show."""
    models = listed(summary.get("models"))
    if not models:
        return ""
    columns = [each for each in shown_in(View.COLUMN) if any(model.get(each.key) is not None for model in models)]
    headings = "".join(f'<th scope="col">{_capital(metric.heading)}</th>' for metric in columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(model, each.key)}</td>' for each in columns)}</tr>" for model in models)
    table = f"<table><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table>"
    table = f'<div class="models">{table}</div>\n'
    if "shown_seed" not in summary:
        return table
    shown = _escape(summary["shown_seed"])
    return f'{table}<p class="note">The figures show the model of seed {shown}.</p>\n'


def _cell(model: Mapping[str, Any], key: str) -> str:
    return "" if model.get(key) is None else _escape(_text(model, key))


def _section(figure: ReportFigure) -> str:
    png = figure.png.read_bytes()
    if not png.startswith(PNG_SIGNATURE) or len(png) < 24:
        raise ValueError(f"figures: {figure.name!r} must be a PNG, got {len(png)} bytes that start with {png[:8]!r}")
    width, height = (round(pixels * 96 / DPI) for pixels in struct.unpack(">II", png[16:24]))  # CSS pixels
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    alt = _escape(f"{figure.title}. {figure.caption}")
    return (
        f'<section id="{_escape(figure.name)}"><h2>{_escape(figure.title)}</h2>'
        f'<figure><figcaption>{_escape(figure.caption)}</figcaption><div class="card">'
        f'<img src="{source}" width="{width}" height="{height}" alt="{alt}">'
        "</div></figure></section>\n"
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in values.items():
        nested = isinstance(value, Mapping) and value
        rows.extend(_flat(value, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", value)])
    return rows


def _table(heading: str, values: object) -> str:
    if not values or not isinstance(values, Mapping):
        return ""
    rows = "".join(f'<tr><th scope="row">{_escape(k)}</th><td>{_escape(v)}</td></tr>' for k, v in _flat(values))
    return f"<section><h2>{heading}</h2><table>{rows}</table></section>\n"
