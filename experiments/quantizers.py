"""Comparison of quantizers in one network at equal steps: codebook use, cost of the codes, and reconstruction.

    python -m experiments.quantizers
    python -m experiments.quantizers --only finite_scalar residual --epochs 1 --runs runs/short --record runs/short.json

Every quantizer is a run of experiments.vq_vae in its own folder, RUNS/NAME, prior included. The same command continues
an interrupted comparison and trains nothing twice; the record is rewritten after each quantizer. The network is the
VQ-VAE's on CIFAR-10 (van den Oord et al. 2017) with half of its channels, D = 64, and 512 codes at each place of the
grid; `residual` has two codes at each place, of 512 each. About five minutes per quantizer on one core.
"""

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import VQ_VAE, CodeSettings, device_name, prepare, run, versions
from vae_jax.runs.folder import RunFolder

VARIANTS: dict[str, dict[str, Any]] = {
    "vector": {"quantizer": "vector"},
    "ema": {"quantizer": "ema", "revival": 0.0},
    "ema_revival": {"quantizer": "ema", "revival": 0.1},
    "cosine": {"quantizer": "cosine"},
    "residual": {"quantizer": "residual"},
    "finite_scalar": {"quantizer": "finite_scalar"},
    "lookup_free": {"quantizer": "lookup_free"},
    "sim": {"quantizer": "sim"},
    "rotation": {"quantizer": "rotation"},
}
MEASURES = {
    "codebook_usage": ("share of the codes that are used", ""),
    "perplexity": ("perplexity", "codes"),
    "psnr": ("PSNR", "dB"),
    "bits_per_code": ("cost of a code under the prior", "bits"),
    "unigram_bits_per_code": ("entropy of a single code", "bits"),
    "bits_per_dim": ("bits per dimension", "bits"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the comparison."""

    only: tuple[str, ...] = tuple(VARIANTS)
    """quantizers to compare"""
    data: str = "cifar10"
    """data set, as for experiments.vq_vae"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    channels: tuple[int, ...] = (32, 64)
    """channels of the convolutions that halve the image"""
    epochs: int = 2
    """epochs of the model"""
    prior_epochs: int = 1
    """epochs of the prior over the codes"""
    batch_size: int = 64
    """images per training step"""
    seed: int = 0
    """random seed"""
    runs: Path = Path("runs/quantizers")
    """folder of the quantizers' run folders"""
    record: Path = Path("docs/results/quantizers.json")
    """path of the JSON record to write"""


def settings_of(options: Options, name: str) -> CodeSettings:
    path = options.runs / name
    return CodeSettings(
        data=options.data,
        data_dir=options.data_dir,
        run_dir=path,
        resume=RunFolder(path).exists(),
        channels=options.channels,
        epochs=options.epochs,
        prior_epochs=options.prior_epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        num_codes=512,
        latent_dim=64,
        **VARIANTS[name],
    )


def train_model(settings: CodeSettings) -> dict[str, Any]:
    """Begins or continues a run, unless it has finished; returns its summary."""
    with exit_on_bad_input():
        prepared = prepare(VQ_VAE, settings)
    return prepared.folder.summary() or run(prepared)


def make_record(options: Options, summaries: dict[str, dict[str, Any]]) -> Record:
    """Record of the quantizers that have finished."""
    claims = [
        Claim(f"{name}: {measure}", unit, [summary[key]])
        for name, summary in summaries.items()
        for key, (measure, unit) in MEASURES.items()
        if summary.get(key) is not None
    ]
    first = next(iter(summaries.values()))
    protocol = (
        f"{options.data}; one network (channels {' '.join(map(str, options.channels))}, D = 64), {first['steps']} "
        f"steps of batch {options.batch_size}, Adam 1e-3; 512 codes at each place (residual 512 x 512, two indices at "
        "each place); codebooks fitted to the first 256 images by k-means, except for sim, finite_scalar and "
        f"lookup_free; prior: a transformer with 2 layers of width 128 (epochs: {options.prior_epochs}); bits are per "
        f"index; {first['test_images']:,} test images."
    )
    return Record(
        title="Quantizers on " + options.data,
        protocol=protocol,
        command=shlex.join(["python", "-m", "experiments.quantizers", *sys.argv[1:]]),
        claims=claims,
        seeds=[options.seed],
        wall_seconds=[round(sum(summary["wall_seconds"] for summary in summaries.values()), 1)],
        device=device_name(),
        versions=versions(),
    )


def main(options: Options) -> None:
    with exit_on_bad_input():
        unknown = [name for name in options.only if name not in VARIANTS]
        if unknown or not options.only:
            given = " ".join(unknown) or "none"
            raise ValueError(f"--only must name one or more of the quantizers {', '.join(VARIANTS)}, got {given}")
    summaries: dict[str, dict[str, Any]] = {}
    for name in options.only:
        summaries[name] = train_model(settings_of(options, name))
        write_record(options.record, make_record(options, summaries))
    print(json.dumps({name: {key: summary.get(key) for key in MEASURES} for name, summary in summaries.items()}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.quantizers"))
