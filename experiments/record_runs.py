"""A record in docs/results from finished runs of one experiment that differ in their seed.

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
    "bits_per_dim": ("bits per dimension of the bound", "bits"),
    "bits_per_code": ("a code of a test image under the prior", "bits"),
    "unigram_bits_per_code": ("entropy of the codes one by one", "bits"),
    "uniform_bits_per_code": ("a code where all are as likely", "bits"),
    "codebook_usage": ("share of the codes in use", ""),
    "perplexity": ("perplexity of the codes", "of {num_codes}"),
    "wall_seconds": ("wall time of the command's work", "s"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Which runs become which record."""

    record: Path  # the JSON file to write, in docs/results
    title: str  # of its section
    command: str  # that made the runs, as in the README
    runs: tyro.conf.Positional[tuple[Path, ...]]  # their folders; one of a run of several seeds holds all its models


def main(options: Options) -> None:
    wholes = [json.loads((run / "summary.json").read_text()) for run in options.runs]
    summaries = [whole | model for whole in wholes for model in whole.get("models", [whole])]
    configs = [RunFolder(run, "runs").config() for run in options.runs]
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
    record = Record(options.title, protocol, options.command, claims, seeds, walls, first["device"], first["versions"])
    write_record(options.record, record)


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.record_runs"))
