"""`docs/results.md` from JSON records: `python -m experiments.lib.results --help`.

A record is what one script measured for one or more claims. Scripts write records; this file renders them; nobody
types a number.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from vae_jax.atomic import write_atomically
from vae_jax.runs import RunFolder

HEADER = """# Results

What the project has measured. Every number below comes from a JSON record beside this page (`results/*.json`) that the
named command wrote; `python -m experiments.lib.results render` writes the page from them. Likelihoods are in nats per
image, lower is better; "spread" is the standard deviation over the seeds. A wall time is that of the run, whatever else
the machine did: the flax example's, the rate-distortion sweep's, the Burda rows' and those of the VQ-VAE's curve, of
the quantisers and of disentanglement shared two cores with other work, and say nothing of speed. Where the weights of
an image have a Pareto k above its limit, importance sampling says its likelihood too low, by an amount that no standard
error shows: the nll is an upper bound. The papers measure so too. Where the first images were annealed as well, the two
numbers for them show by how much, and the gap between the two bounds of annealing, on images that the model itself
drew, how far annealing can be trusted in turn.
"""
TABLE_BEGINS, TABLE_ENDS = "<!-- results: written by experiments.lib.results -->", "<!-- end of results -->"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One number that can be wrong."""

    claim: str
    unit: str
    values: Sequence[float]  # one a seed
    paper: float | None = None  # the published number
    at_most: float | None = None  # the bar that the project has set itself

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def reached(self) -> bool | None:
        return None if self.at_most is None else self.mean <= self.at_most


@dataclasses.dataclass(frozen=True)
class Record:
    """What one command measured."""

    title: str
    protocol: str  # data, model, training, evaluation: what one must know to measure it again
    command: str
    claims: Sequence[Claim]
    seeds: Sequence[int]
    wall_seconds: Sequence[float]  # one a seed, or one of all that were trained at once
    device: str
    versions: dict[str, str]
    details: dict[str, Any] = dataclasses.field(default_factory=dict)  # curves and the like; not rendered


def write_record(path: Path, record: Record) -> None:
    """Writes the record as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def read_record(path: Path) -> Record:
    fields = json.loads(path.read_text())
    return Record(**fields | {"claims": [Claim(**claim) for claim in fields["claims"]]})


def render(
    folder: Path = Path("docs/results"), page: Path = Path("docs/results.md"), readme: Path = Path("README.md")
) -> None:
    """Writes the page, the table in the README, and those of other pages, from the records in the folder.

    The other pages beside it show claims as `with_claims` says. The picture images/NAME.png, beside the page, is shown
    with the record NAME.json, where there is one.
    """
    paths = sorted(folder.glob("*.json"))
    records = told_apart([read_record(path) for path in paths])
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


def told_apart(records: Sequence[Record]) -> list[Record]:
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


_MEASURES = {
    "negative_elbo": ("test negative ELBO", "nats"),
    "rate": ("rate (KL)", "nats"),
    "distortion": ("distortion", "nats"),
    "nll": ("importance-sampled negative log-likelihood", "nats"),
    "active_units": ("active units", "of {latent_dim}"),
    "bits_per_dim": ("bits per dimension of the bound", "bits"),
    "bits_per_code": ("a code of a test image under the prior", "bits"),
    "unigram_bits_per_code": ("entropy of the codes one by one", "bits"),
    "uniform_bits_per_code": ("a code where all are as likely", "bits"),
    "codebook_usage": ("share of the codes in use", ""),
    "perplexity": ("perplexity of the codes", "of {num_codes}"),
    "wall_seconds": ("wall time of the command's work", "s"),
}


def from_runs(record: Path, title: str, command: str, runs: tyro.conf.Positional[tuple[Path, ...]]) -> None:
    """Writes a record from finished runs of one experiment that differ in their seed.

    Args:
      record: the JSON file to write, in docs/results.
      title: of its section.
      command: that made the runs, as in the README.
      runs: their folders; one of a run of several seeds holds all its models.
    """
    wholes = [json.loads((run / "summary.json").read_text()) for run in runs]
    summaries = [whole | model for whole in wholes for model in whole.get("models", [whole])]
    configs = [RunFolder(run, "runs").config() for run in runs]
    first, config = summaries[0], configs[0]
    if diverged := [summary["seed"] for summary in summaries if summary.get("diverged")]:
        raise ValueError(f"runs must hold models that were trained to the end, but those of seeds {diverged} diverged")
    if any(c | {"seed": None} != config | {"seed": None} for c in configs):
        raise ValueError("runs must be of one experiment with one configuration, their seeds apart")
    claims = [
        Claim(claim, unit.format(**config), [s[name] for s in (wholes if name == "wall_seconds" else summaries)])
        for name, (claim, unit) in _MEASURES.items()
        if first.get(name) is not None
    ]
    settings = ", ".join(
        f"{name} {_plain(value)}" for name, value in config.items() if name not in ("experiment", "seed")
    )
    protocol = f"{first['test_images']:,} test images; {settings}."
    seeds, walls = [s["seed"] for s in summaries], [s["wall_seconds"] for s in wholes]
    write_record(record, Record(title, protocol, command, claims, seeds, walls, first["device"], first["versions"]))


def from_tests(record: Path, junit: Path, command: str, device: str) -> None:
    """Writes the record of the test suite from pytest's `--junit-xml`.

    Args:
      record: the JSON file to write, in docs/results.
      junit: the XML file.
      command: that ran the tests, as in the README.
      device: what it ran on.
    """
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert suite is not None
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    seconds = float(suite.get("time", "nan"))
    claims = [
        Claim("tests", "", [count["tests"]]),
        Claim("failed", "", [count["failures"] + count["errors"]], at_most=0),
        Claim("skipped", "", [count["skipped"]]),
        Claim("wall time", "s", [seconds], at_most=900),
    ]
    protocol = "all tests, a process for each core, nothing compiled beforehand"
    write_record(record, Record("The test suite", protocol, command, claims, [], [seconds], device, {}))


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"render": render, "from-runs": from_runs, "from-tests": from_tests})
