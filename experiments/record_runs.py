"""Writes a record in docs/results from finished runs of one experiment that differ only in their seed.

python -m experiments.record_runs --record docs/results/digits.json --title TITLE --command COMMAND runs/*
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax.runs.folder import RunFolder

_MEASURES = {
    "negative_elbo": ("test negative ELBO", "nats"),
    "rate": ("rate (KL)", "nats"),
    "distortion": ("distortion", "nats"),
    "nll": ("importance-sampled negative log-likelihood", "nats"),
    "active_units": ("active units", "of {latent_dim}"),
    "bits_per_dim": ("negative ELBO per dimension", "bits"),
    "bits_per_code": ("cost of a code of a test image under the prior", "bits"),
    "unigram_bits_per_code": ("entropy of a single code", "bits"),
    "uniform_bits_per_code": ("cost of a code if all codes are equally likely", "bits"),
    "codebook_usage": ("share of the codes that are used", ""),
    "perplexity": ("perplexity of the codes", "of {num_codes}"),
    "wall_seconds": ("wall time", "s"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the command."""

    record: Path  # path of the JSON record to write, in docs/results
    title: str  # title of the record's section
    command: str  # command that made the runs, as in the README
    runs: tyro.conf.Positional[tuple[Path, ...]]  # run folders; a run of several seeds counts as a model for each seed


def main(options: Options) -> None:
    of_runs = [json.loads((run / "summary.json").read_text()) for run in options.runs]
    summaries = [run | model for run in of_runs for model in run.get("models", [run])]
    configs = [RunFolder(run, "runs").config() for run in options.runs]
    first, config = summaries[0], configs[0]
    if diverged := [summary["seed"] for summary in summaries if summary.get("diverged")]:
        names = ", ".join(map(str, diverged))
        raise ValueError(f"all models of the runs must have trained to the end, but those of seeds {names} diverged")
    if any(c | {"seed": None} != config | {"seed": None} for c in configs):
        raise ValueError("the runs must have one configuration, except for their seeds, but their config.json differ")
    claims = [
        Claim(claim, unit.format(**config), [s[name] for s in (of_runs if name == "wall_seconds" else summaries)])
        for name, (claim, unit) in _MEASURES.items()
        if first.get(name) is not None
    ]
    settings = ", ".join(
        f"{name} {_plain(value)}" for name, value in config.items() if name not in ("experiment", "seed")
    )
    protocol = f"{first['test_images']:,} test images; {settings}."
    seeds, walls = [s["seed"] for s in summaries], [s["wall_seconds"] for s in of_runs]
    record = Record(options.title, protocol, options.command, claims, seeds, walls, first["device"], first["versions"])
    write_record(options.record, record)


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.record_runs"))
