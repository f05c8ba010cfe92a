"""Renders `docs/results.md`, and the numbers in other pages, from the records in `docs/results/`."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from experiments.lib.choice_tables import with_choices
from experiments.lib.records import Claim, Record, read_record
from experiments.lib.results_layout import LAYOUT, Headline, Layout
from vae_jax.atomic import write_atomically

HEADER = """# Results

This page shows how close vae_jax comes to published numbers, what its methods gain, and how fast they train. Each row
below is one result; it links to the protocol, the command, the seeds and all other numbers of the same record.

"""
NOTES = """
The spread is the standard deviation over the seeds. Negative log-likelihoods (nll) and ELBOs are in nats per image:
lower is better. A relative time below 1 means that vae_jax is faster. The VAE with one stochastic layer and IWAE with 5
and 50 samples train with one cosine schedule of the learning rate instead of the paper's eight stages; section
"Likelihood" also has the VAE with seven of these stages.

## How to read the numbers

- Every number comes from a JSON record in `docs/results/` that the named command wrote, and `python -m
  experiments.render_results` writes this page from the records. "Bar" is the limit that the project has set itself, and
  "reached" says whether the mean over the seeds is within it.
- An nll is estimated by importance sampling. If the weights of an image have a Pareto k above its limit, its
  log-likelihood is underestimated by an amount that no standard error shows: the nll is an upper bound. The papers
  measure in the same way. If the first images were also measured by annealed importance sampling, the two estimates
  show the size of the error. The gap between the two bounds of annealing, on images that the model itself draws, shows
  how far annealing can be trusted in turn.
- A wall time includes delays by other work on the machine. These runs shared two cores with other work, so their wall
  times say nothing about speed: Burda et al.'s rows, the flax example, the rate-distortion sweep, the training curve of
  the VQ-VAE, the quantizers and disentanglement. Section "Speed" has the times that were measured for their own sake.
- The disentanglement scores were measured with a version that drew the training images in another order: with the same
  command, the present version trains on other draws.
"""
TABLE_BEGINS, TABLE_ENDS = "<!-- results: written by experiments.render_results -->", "<!-- end of results -->"


def render(folder: Path, page: Path, readme: Path, layout: Layout = LAYOUT) -> None:
    """Writes the results page, the README's table, and numbers and tables of choices in the pages beside the first.

    Other pages show numbers as described in `with_records`. If images/NAME.png is beside the page, it is shown with the
    record NAME.json.

    Raises:
      ValueError: the layout and the folder disagree on the records, a headline's claim does not exist, or the README
        has no place for the table.
    """
    records = {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}
    images = {name: f"images/{name}.png" for name in records if (page.parent / f"images/{name}.png").exists()}
    write_atomically(page, render_page(records, layout, images))
    for other in page.parent.glob("*.md"):
        if (filled := with_choices(with_records(text := other.read_text(), folder))) != text:
            write_atomically(other, filled)
    before, _, rest = readme.read_text().partition(TABLE_BEGINS)
    _, _, after = rest.partition(TABLE_ENDS)
    if not after:
        raise ValueError(f"{readme} must hold the lines {TABLE_BEGINS} and {TABLE_ENDS}, between which the table goes")
    write_atomically(readme, f"{before}{TABLE_BEGINS}\n{render_table(records, layout)}{TABLE_ENDS}{after}")


def with_records(text: str, folder: Path) -> str:
    """Fills a page's placeholders from the records in the folder.

    A number stands between `<!-- number: NAME.json: CLAIM -->` and `<!-- end -->`, within a line. A table of all claims
    of a record stands between the lines `<!-- record: NAME.json -->` and `<!-- end of record -->`. A placeholder is
    left empty if the folder does not have its record.

    Raises:
      ValueError: a record has no such claim.
    """

    def table(match: re.Match[str]) -> str:
        path = folder / match[2]
        rows = "\n".join(_claims_table(read_record(path))) + "\n" if path.exists() else ""
        return f"{match[1]}{rows}{match[3]}"

    def number(match: re.Match[str]) -> str:
        path = folder / match[2]
        value = _here(_find_claim(read_record(path), path.stem, match[3])) if path.exists() else ""
        return f"{match[1]}{value}{match[4]}"

    text = re.sub(r"(<!-- record: (\w+\.json) -->\n).*?(<!-- end of record -->)", table, text, flags=re.DOTALL)
    return re.sub(r"(<!-- number: (\w+\.json): (.*?) -->).*?(<!-- end -->)", number, text)


def disambiguated(records: Mapping[str, Record]) -> dict[str, Record]:
    """Appends the first part of the protocol to titles that several records share."""
    count = Counter(record.title for record in records.values())
    return {
        name: dataclasses.replace(record, title=f"{record.title}: {record.protocol.split(';')[0]}")
        if count[record.title] > 1
        else record
        for name, record in records.items()
    }


def render_table(records: Mapping[str, Record], layout: Layout) -> str:
    """The headline rows as a short Markdown table, for the README."""
    lines = ["| experiment | paper | here |", "|---|---|---|"]
    for row in layout.headlines:
        claim = _headline_claim(records, row)
        lines.append(f"| {_cell(row.experiment)} | {_paper(claim)} | {_here(claim)} |")
    return "\n".join(lines) + "\n"


def render_page(records: Mapping[str, Record], layout: Layout, images: Mapping[str, str]) -> str:
    """The results page as Markdown.

    Args:
      records: the records by name.
      layout: its sections must hold every record once.
      images: paths from the page to the figures of records, by name.
    """
    placed = [name for names in layout.sections.values() for name in names]
    if sorted(placed) != sorted(records):
        differing = ", ".join(sorted(set(placed) ^ set(records)) or [n for n, c in Counter(placed).items() if c > 1])
        raise ValueError(
            "experiments/lib/results_layout.py must place every record of docs/results in one section, and no other; "
            f"this does not hold for: {differing}"
        )
    records = disambiguated(records)
    lines = ["| result | paper | here | spread | seeds |", "|---|---|---|---|---|"]
    for row in layout.headlines:
        claim, seeds = _headline_claim(records, row), len(records[row.record].seeds)
        paper = f"{_paper(claim)} ({row.source})" if row.source else _paper(claim)
        name = f"[{_cell(row.experiment)}](#{row.record})"
        lines.append(f"| {name} | {paper} | {_here(claim)} | {_spread(claim)} | {seeds or ''} |")
    sections = [
        f"\n## {title}\n" + "".join(_section(name, records[name], images.get(name)) for name in names)
        for title, names in layout.sections.items()
    ]
    return HEADER + "\n".join(lines) + "\n" + NOTES + "".join(sections)


def _section(name: str, record: Record, image: str | None) -> str:
    lines = [f'\n<a id="{name}"></a>\n', f"### {record.title}\n", *_claims_table(record)]
    seeds = f"Seeds: {', '.join(map(str, record.seeds))}. " if record.seeds else ""
    each = " a seed" if len(record.wall_seconds) == len(record.seeds) > 1 else ""
    wall = f"{_number(statistics.fmean(record.wall_seconds))} s{each}"
    packages = "".join(f"; {package} {version}" for package, version in record.versions.items())
    if image is not None:
        lines.append(f"\n![Figure: {record.title}]({image})")
    lines += [
        f"\nProtocol: {record.protocol}\n",
        f"Command: `{record.command}`\n",
        f"{seeds}Wall time: {wall}, on {record.device}{packages}.",
    ]
    return "\n".join(lines) + "\n"


def _claims_table(record: Record) -> list[str]:
    """Markdown lines of a table of all claims, with the columns that at least one claim fills."""
    columns = {
        "claim": [_cell(claim.claim) for claim in record.claims],
        "paper": [_paper(claim) for claim in record.claims],
        "here": [_here(claim) for claim in record.claims],
        "spread": [_spread(claim) for claim in record.claims],
        "bar": ["" if claim.at_most is None else f"<= {_number(claim.at_most)}" for claim in record.claims],
        "reached": [{None: "", True: "yes", False: "**no**"}[claim.reached] for claim in record.claims],
    }
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [f"| {' | '.join(cells)} |" for cells in zip(*filled.values(), strict=True)]
    return [f"| {' | '.join(filled)} |", "|---" * len(filled) + "|", *rows]


def _headline_claim(records: Mapping[str, Record], row: Headline) -> Claim:
    if row.record not in records:
        raise ValueError(f"a headline of experiments/lib/results_layout.py names {row.record}.json, which is missing")
    return _find_claim(records[row.record], row.record, row.claim)


def _find_claim(record: Record, name: str, text: str) -> Claim:
    """The claim whose text, without a note in parentheses at its end, is `text`."""
    found = [claim for claim in record.claims if text in (claim.claim, re.sub(r" \([^()]*\)$", "", claim.claim))]
    if len(found) != 1:
        raise ValueError(f"{name}.json must have one claim {text!r}, but has {len(found)}")
    return found[0]


def _cell(text: str) -> str:
    """Text in a cell of a Markdown table, its bars escaped."""
    return text.replace("|", r"\|")


def _paper(claim: Claim) -> str:
    return "" if claim.paper is None else _number(claim.paper)


def _here(claim: Claim) -> str:
    return f"{_number(claim.mean)} {claim.unit}".rstrip()


def _spread(claim: Claim) -> str:
    return _number(statistics.stdev(claim.values)) if len(claim.values) > 1 else ""


def _number(value: float) -> str:
    """Two decimals, or none if the number is whole or at least 1,000; zero has no sign."""
    whole = abs(value) >= 1000 or math.isclose(value, round(value), abs_tol=1e-9)
    return f"{round(value):,}" if whole else f"{round(value, 2) + 0.0:.2f}"
