"""`docs/results.md` from the records in `docs/results/`: nobody types a number."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from experiments.lib.records import Claim, Record, read_record
from vae_jax.atomic import write_atomically

HEADER = """# Results

This page holds the results that the project has measured. Every number comes from a JSON record beside it
(`results/*.json`) that the named command wrote; `python -m experiments.render_results` writes the page from them.
Likelihoods are in nats per image, lower is better; "spread" is the standard deviation over the seeds. A wall time is
that of the run, whatever else the machine did: the flax example's, the rate-distortion sweep's, the Burda rows' and
those of the VQ-VAE's curve, of the quantizers and of disentanglement shared two cores with other work, and say
nothing of speed. The scores of disentanglement are of a version that drew the images of each step in another order:
the same command now gives those of other draws. Where the weights of an image have a Pareto k above its limit,
importance sampling says its likelihood too low, by an amount that no standard error shows: the nll is an upper bound.
The papers measure so too. Where the first images were annealed as well, the two numbers for them show by how much, and
the gap between the two bounds of annealing, on images that the model itself drew, how far annealing can be trusted in
turn.
"""
TABLE_BEGINS, TABLE_ENDS = "<!-- results: written by experiments.render_results -->", "<!-- end of results -->"


def render(folder: Path, page: Path, readme: Path) -> None:
    """Writes the page, the table in the README, and those of other pages, from the records in the folder.

    The other pages beside it show claims as `with_claims` says. The picture images/NAME.png, beside the page, is shown
    with the record NAME.json, where there is one.
    """
    paths = sorted(folder.glob("*.json"))
    records = disambiguated([read_record(path) for path in paths])
    pictures = [f"images/{path.stem}.png" for path in paths]
    write_atomically(page, render_page(records, [p if (page.parent / p).exists() else None for p in pictures]))
    for other in page.parent.glob("*.md"):
        if (filled := with_claims(text := other.read_text(), folder)) != text:
            write_atomically(other, filled)
    before, _, rest = readme.read_text().partition(TABLE_BEGINS)
    _, _, after = rest.partition(TABLE_ENDS)
    if not after:
        raise ValueError(f"{readme} must hold the lines {TABLE_BEGINS} and {TABLE_ENDS}, between which the table goes")
    write_atomically(readme, f"{before}{TABLE_BEGINS}\n{render_table(records)}{TABLE_ENDS}{after}")


def with_claims(text: str, folder: Path) -> str:
    """A page with the claims of the records that it shows, and nothing where the folder has no such record.

    They stand between the lines `<!-- record: NAME.json -->` and `<!-- end of record -->`.
    """

    def filled(match: re.Match[str]) -> str:
        path = folder / match[2]
        table = "\n".join(_claims_table(read_record(path))) + "\n" if path.exists() else ""
        return f"{match[1]}{table}{match[3]}"

    return re.sub(r"(<!-- record: (\w+\.json) -->\n).*?(<!-- end of record -->)", filled, text, flags=re.DOTALL)


def disambiguated(records: Sequence[Record]) -> list[Record]:
    """The records, those that share a title with the first part of their protocol in it."""
    count = Counter(record.title for record in records)
    return [
        dataclasses.replace(record, title=f"{record.title}: {record.protocol.split(';')[0]}")
        if count[record.title] > 1
        else record
        for record in records
    ]


def render_table(records: Sequence[Record]) -> str:
    """The first claim of each record, and those that a paper has a number for, as one Markdown table."""
    lines = ["| experiment | claim | paper | here |", "|---|---|---|---|"]
    for record in records:
        for claim in record.claims:
            if claim is record.claims[0] or claim.paper is not None:
                lines.append(f"| {_cell(record.title)} | {_cell(claim.claim)} | {_paper(claim)} | {_here(claim)} |")
    return "\n".join(lines) + "\n"


def render_page(records: Sequence[Record], pictures: Sequence[str | None] | None = None) -> str:
    """The page as Markdown, with the picture of each record, or None, by its path from the page."""
    return HEADER + "".join(_section(*pair) for pair in zip(records, pictures or [None] * len(records), strict=True))


def _section(record: Record, picture: str | None) -> str:
    lines = [f"\n## {record.title}\n", *_claims_table(record)]
    seeds = f"Seeds: {', '.join(map(str, record.seeds))}. " if record.seeds else ""
    each = " a seed" if len(record.wall_seconds) == len(record.seeds) > 1 else ""
    wall = f"{_number(statistics.fmean(record.wall_seconds))} s{each}"
    packages = "".join(f"; {name} {number}" for name, number in record.versions.items())
    if picture is not None:
        lines.append(f"\n![{record.title}, as a figure]({picture})")
    lines += [
        f"\nProtocol: {record.protocol}\n",
        f"Command: `{record.command}`\n",
        f"{seeds}Wall time: {wall}, on {record.device}{packages}.",
    ]
    return "\n".join(lines) + "\n"


def _claims_table(record: Record) -> list[str]:
    """The lines of a table of all claims."""
    lines = ["| claim | paper | here | spread | bar | reached |", "|---|---|---|---|---|---|"]
    for claim in record.claims:
        spread = _number(statistics.stdev(claim.values)) if len(claim.values) > 1 else ""
        bar = "" if claim.at_most is None else f"<= {_number(claim.at_most)}"
        reached = {None: "", True: "yes", False: "**no**"}[claim.reached]
        lines.append(f"| {_cell(claim.claim)} | {_paper(claim)} | {_here(claim)} | {spread} | {bar} | {reached} |")
    return lines


def _cell(text: str) -> str:
    """The text in a table of Markdown, where a bar would end the cell."""
    return text.replace("|", r"\|")


def _paper(claim: Claim) -> str:
    return "" if claim.paper is None else _number(claim.paper)


def _here(claim: Claim) -> str:
    return f"{_number(claim.mean)} {claim.unit}".rstrip()


def _number(value: float) -> str:
    """Two decimals, and no sign of a zero; none for a whole number."""
    return str(round(value)) if math.isclose(value, round(value), abs_tol=1e-9) else f"{round(value, 2) + 0.0:.2f}"
