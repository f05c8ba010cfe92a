"""One run as one HTML file: the numbers, the figures and how to repeat it; it opens anywhere, with no network."""

from __future__ import annotations

import base64
import io
import numbers
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from vae_jax.atomic import write_atomically
from vae_jax.text import as_html as _escape
from vae_jax.visualization._page import STYLESHEET
from vae_jax.visualization._style import DPI, styled

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Key of the summary, name, unit. Wall time and standard errors are treated below.
TILES = (
    ("negative_elbo", "Negative ELBO", "nats per image"),
    ("rate", "Rate (KL)", "nats per image"),
    ("distortion", "Distortion", "nats per image"),
    ("nll", "Negative log-likelihood", "nats per image"),
    ("bits_per_dim", "Bits per dimension", "bits"),
    ("active_units", "Active units", "latent dimensions"),
    ("bits_per_code", "Bits per code, by the prior", "bits"),
    ("codebook_usage", "Codes in use", "share of the codebook"),
    ("wall_seconds", "Wall time", ""),
)
STATED = ("experiment", "data", "seeds", "seed", "steps", "device", "command", "versions", "models", "shown_seed")
# Sentences, below the tiles, and how each begins.
NOTES = {"posterior_collapse": "", "nll_warning": "Caution: ", "ais_warning": "Caution: "}
# What goes beside a number, and how a tile says what it is.
ERRORS = {"_standard_error": "s.e.", "_standard_deviation": "s.d. of the models"}
# Of a run of several models, the columns of their table: key, heading.
MODEL_COLUMNS = (
    ("beta", "Weight"),
    ("seed", "Seed"),
    ("best_epoch", "Best epoch"),
    ("negative_elbo", "Negative ELBO"),
    ("rate", "Rate"),
    ("distortion", "Distortion"),
    ("nll", "Negative log-likelihood"),
    ("bits_per_dim", "Bits per dimension"),
    ("active_units", "Active units"),
    ("mig", "MIG"),
    ("factor_vae_score", "FactorVAE score"),
    ("beta_vae_score", "BetaVAE score"),
    ("dci_disentanglement", "DCI"),
    ("sap", "SAP"),
    ("modularity", "Modularity"),
    ("explicitness", "Explicitness"),
    ("irs", "IRS"),
    ("udr", "UDR"),
    ("diverged", "Diverged in epoch"),
)
DRAWN = ("kl_per_dimension", "code_counts")  # too long for a table, and in a figure

# What the rows of "Other results" are called, where their key does not say it all.
WORDS = {
    "best_epoch": "best epoch, by the validation loss",
    "seconds_to_first_step": "seconds from the command to the first step",
    "unigram_bits_per_code": "entropy of the codes one by one, in bits",
    "uniform_bits_per_code": "bits of a code where all are as likely, log2 K",
    "perplexity": "perplexity of the codes of all test images",
    "codes_per_example": "codes an image",
    "psnr": "peak signal-to-noise ratio of the reconstructions, in decibels",
    "elbo_samples": "draws of z an image, for the ELBO",
    "nll_samples": "importance samples an image, for the negative log-likelihood",
    "effective_sample_size": "effective importance samples, median over the images",
    "pareto_k": "Pareto k of the importance weights, median over the images",
    "pareto_k_limit": "the largest k with which so many samples are enough",
    "pareto_k_above_limit": "share of images with k above it, whose likelihood is not to be trusted",
    "average_kl": "average KL, by sampling, in nats",
    "mutual_information": "mutual information of image and code, in nats",
    "mutual_information_limit": "limit of the mutual information, the logarithm of the number of images",
    "marginal_kl": "KL of the aggregate posterior to the prior, in nats",
    "total_correlation": "total correlation of the aggregate posterior, in nats",
    "dimension_wise_kl": "dimension-wise KL of the aggregate posterior, in nats",
    "surgery_points": "draws of z for these parts",
    "ais_nll": "negative log-likelihood by annealing, of the first images, in nats",
    "ais_images_nll": "the same images by importance sampling, in nats",
    "ais_images_nll_samples": "importance samples of each of them",
    "ais_images": "images annealed",
    "ais_chains": "chains an image",
    "ais_temperatures": "temperatures of a chain",
    "ais_acceptance_rate": "accepted moves, mean over images",
    "ais_effective_sample_size": "effective chains, median over the images",
    "bdmc_lower_bound": "log-likelihood of simulated images, lower bound, in nats",
    "bdmc_upper_bound": "the same, upper bound, in nats",
    "bdmc_gap": "gap between the two, in nats",
    "mig": "mutual information gap (MIG)",
    "sap": "separated attribute predictability (SAP)",
    "irs": "interventional robustness (IRS)",
    "gaussian_total_correlation": "Gaussian total correlation of the posterior means, in nats",
    "evaluation_seconds": "seconds of the latest evaluation",
    "evaluation_device": "device of the latest evaluation",
}


class ReportFigure(NamedTuple):
    """A figure of a report: `name` (a unique file stem), `title`, `caption` (how to read it), the PNG or its path."""

    name: str
    title: str
    caption: str
    png: bytes | str | os.PathLike[str]


@styled
def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure as PNG, cut to what is drawn; the same figure gives the same bytes (no time, no version inside).

    The folder of the path is made if it is missing (copies of a run often leave out empty ones), but not its parents.

    Raises:
      ValueError: a path that does not end in ".png".
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {os.fspath(path)!r}")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1, metadata={"Software": None})
    Path(path).parent.mkdir(exist_ok=True)
    write_atomically(Path(path), stream.getvalue())


def write_report(
    path: str | os.PathLike[str],
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
      summary: the numbers of the run. Shown as tiles: those of TILES, such as "negative_elbo" and "wall_seconds";
        "<key>_standard_error", or of several models "<key>_standard_deviation", goes beside its number. In the first
        line: "experiment", "data", "seed" or "seeds", "steps", "device". As a table: "models", a mapping for each of
        several, of which the figures show that of "shown_seed". Below, as sentences: those of NOTES. At the end:
        "command" (a string or a list of arguments), "versions" (a mapping), and all that is not named here but what is
        DRAWN.
        Everything may be absent.
      config: the settings; nested mappings become dotted names.
      figures: in reading order; the pictures go into the file.

    Raises:
      ValueError: two figures of one name, or a picture that is not a PNG.
      FileNotFoundError: a picture that is not there.
    """
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise ValueError(f"figures must have a name each, got {names}")
    sections = "".join(_section(figure) for figure in figures)
    links = "".join(f'<a href="#{_escape(each.name)}">{_escape(each.title)}</a>' for each in figures)
    statement = _statement(summary)
    shown = {*STATED, *NOTES, *DRAWN, *(key for key, _, _ in TILES if _in_tile(summary.get(key)))}
    others = {WORDS.get(k, k): _with_error(summary, k) for k in summary if k not in shown and not _is_error(k, summary)}
    command = summary.get("command")
    if isinstance(command, Sequence) and not isinstance(command, str):
        command = " ".join(map(str, command))
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
            _table("Other results", others),
            _table("Configuration", config),
            _table("Versions", summary.get("versions")),
            f"<section><h2>Run it again</h2><pre><code>{_escape(command)}</code></pre></section>\n" if command else "",
            "</main>\n</body>\n</html>\n",
        ]
    )
    write_atomically(Path(path), page.encode())


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _in_tile(value: object) -> bool:
    """A number, or one for each layer of a model."""
    return _is_number(value) or (isinstance(value, list) and bool(value) and all(map(_is_number, value)))


def _is_error(key: str, summary: Mapping[str, Any]) -> bool:
    """Whether this goes beside the number that it belongs to."""
    return any(key.endswith(suffix) and key.removesuffix(suffix) in summary for suffix in ERRORS)


def _error_of(summary: Mapping[str, Any], key: str) -> tuple[Any, str]:
    """The error that the summary has for a number, and what it is called; None where there is none."""
    found = ((summary.get(f"{key}{suffix}"), name) for suffix, name in ERRORS.items())
    return next(((error, name) for error, name in found if _is_number(error)), (None, ""))


def _with_error(summary: Mapping[str, Any], key: str) -> object:
    value, (error, _) = summary[key], _error_of(summary, key)
    if value is None:
        return "not defined"
    if not _is_number(value):
        return value
    return _number(value) + (f" {_error(value, error)}" if error is not None else "")


def _error(value: float, standard_error: Any) -> str:
    """To the decimals of the number that it belongs to."""
    spread = format(standard_error, ".2f" if abs(value) >= 1 else ".1g")
    return f"\N{PLUS-MINUS SIGN}\N{NO-BREAK SPACE}{spread}"


def _statement(summary: Mapping[str, Any]) -> str:
    """Such as "vae on digits, 3 seeds, 20,000 steps, on one CPU", of what the summary has."""
    run = " on ".join(str(summary[key]) for key in ("experiment", "data") if summary.get(key) is not None)
    parts = [run] if run else []
    seeds = summary.get("seeds", summary.get("seed"))
    if isinstance(seeds, Sequence) and not isinstance(seeds, str):
        parts.append(f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}")
    elif seeds is not None:
        counted = "seeds" in summary
        parts.append(f"{seeds} {'seed' if seeds == 1 else 'seeds'}" if counted else f"seed {seeds}")
    if summary.get("steps") is not None:
        steps = summary["steps"]
        parts.append(f"{steps:,} training steps" if isinstance(steps, numbers.Integral) else f"{steps} training steps")
    if summary.get("device") is not None:
        parts.append(str(summary["device"]))
    return ", ".join(parts)


def _tiles(summary: Mapping[str, Any]) -> str:
    cells = []
    for key, name, unit in TILES:
        value: Any = summary.get(key)
        if not _in_tile(value):
            continue
        text, error = ", ".join(map(_number, value if isinstance(value, list) else [value])), ""
        if isinstance(value, list):
            unit += ", layer by layer"
        if key == "wall_seconds":
            text, unit = _duration(float(value))
        spread, called = _error_of(summary, key)
        if spread is not None:
            error = f' <span class="error">{_error(value, spread)}</span>'
            unit += f" (\N{PLUS-MINUS SIGN} {called})"
        cells.append(f'<div><dt>{name}</dt><dd>{text}{error}<span class="unit">{unit}</span></dd></div>')
    columns = 4 if len(cells) in (4, 7) else 3  # the fewest gaps in the last row
    return f'<dl class="tiles" style="--columns:{columns}">{"".join(cells)}</dl>\n' if cells else ""


def _models(summary: Mapping[str, Any]) -> str:
    """A row for each of several models, and which of them the figures show."""
    models = summary.get("models")
    if not models or not isinstance(models, list) or not all(isinstance(model, Mapping) for model in models):
        return ""
    columns = [(key, heading) for key, heading in MODEL_COLUMNS if any(model.get(key) is not None for model in models)]
    headings = "".join(f'<th scope="col">{_escape(heading)}</th>' for _, heading in columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_escape(_cell(model, key))}</td>' for key, _ in columns)}</tr>" for model in models
    )
    table = f'<table class="models"><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table>\n'
    if "shown_seed" not in summary:
        return table
    shown = _escape(summary["shown_seed"])
    return f'{table}<p class="note">The figures show the model of seed {shown}.</p>\n'


def _cell(model: Mapping[str, Any], key: str) -> object:
    value = model.get(key)
    if value is None:
        return ""
    if key in ("seed", "beta") and _is_number(value):
        return f"{value:g}"
    return _with_error(model, key) if _is_number(value) else value


def _number(value: Any) -> str:
    if isinstance(value, numbers.Integral):
        return f"{value:,}"
    text = f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _duration(seconds: float) -> tuple[str, str]:
    if seconds < 120:
        return f"{seconds:.1f}", "seconds"
    hours, minutes = divmod(round(seconds / 60), 60)
    return (f"{hours}:{minutes:02d}", "hours and minutes") if hours else (f"{seconds / 60:.1f}", "minutes")


def _section(figure: ReportFigure) -> str:
    png = figure.png if isinstance(figure.png, bytes) else Path(figure.png).read_bytes()
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
