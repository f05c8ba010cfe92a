"""Disentanglement scores of the beta-VAE family on sprites against training steps, over seeds.

    python -m experiments.disentangle_curves
    python -m experiments.disentangle_curves --only factor --steps 200 --score-every 100 --runs runs/x --record x.json

Every objective is a run of experiments.disentangle in its own folder, RUNS/OBJECTIVE. The same command continues an
interrupted run and trains and scores nothing twice. The record and the figure RUNS/scores.png are rewritten after each
objective.
"""

import dataclasses
import json
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any, Literal

import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.runs import DISENTANGLE, FactorSettings, device_name, prepare, run, versions
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.machine import keep_compiled_programs
from vae_jax.runs.recipe import weight_in
from vae_jax.visualization import save_figure
from vae_jax.visualization._disentanglement import scores_by_step

# The weights of each objective, by the setting that holds them.
WEIGHTS: dict[str, Any] = {"beta": {"betas": (1, 4, 16)}, "beta_tc": {"betas": (6,)}, "factor": {"gammas": (30,)}}
WEIGHTS |= {"ada_gvae": {"betas": (1,)}}
NAMES = {"beta": "beta-VAE", "beta_tc": "beta-TCVAE", "factor": "FactorVAE", "ada_gvae": "Ada-GVAE"}
SCORES = {"factor_vae_score": "FactorVAE score", "mig": "MIG", "beta_vae_score": "BetaVAE score"}
SCORES |= {"dci_disentanglement": "DCI disentanglement", "sap": "SAP", "modularity": "modularity"}
# Medians after 300,000 steps (Locatello et al. 2019 and 2020), quoted from memory; for beta-VAE over all weights.
ANCHORS = {
    ("beta", "factor_vae_score"): 0.66,
    ("beta", "mig"): 0.10,
    ("beta", "dci_disentanglement"): 0.19,
    ("ada_gvae", "factor_vae_score"): 0.85,
    ("ada_gvae", "mig"): 0.27,
    ("ada_gvae", "dci_disentanglement"): 0.48,
    ("factor", "factor_vae_score"): 0.82,  # the best, not the median
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    only: tuple[Literal["beta", "beta_tc", "factor", "ada_gvae"], ...] = ("beta", "beta_tc", "factor", "ada_gvae")
    """objectives to train"""
    steps: int = 2000
    """training steps of each model"""
    score_every: int = 1000
    """training steps between two points of a curve"""
    seeds: int = 3
    """number of models of each weight"""
    dci_points: int = 1000
    """number of images that DCI is fitted to; disentanglement_lib uses 10,000"""
    whole_table: bool = False
    """compute the scores from all images, as for experiments.disentangle"""
    runs: Path = Path("runs/disentangle_curves")
    """folder of the objectives' run folders"""
    record: Path = Path("docs/results/disentangle.json")
    """path of the JSON record to write"""


def train_objective(options: Options, objective: str) -> dict[str, Any]:
    """Begins or continues a run, unless it has finished; returns its summary."""
    path = options.runs / objective
    names = ("seeds", "steps", "score_every", "dci_points", "whole_table")
    chosen: dict[str, Any] = {name: getattr(options, name) for name in names} | WEIGHTS[objective]
    settings = FactorSettings(objective=objective, run_dir=path, resume=RunFolder(path).exists(), **chosen)
    with exit_on_bad_input():
        prepared = prepare(DISENTANGLE, settings)
    return prepared.folder.summary() or run(prepared)


def model_names(summary: dict[str, Any]) -> dict[float, str]:
    """Name of the models of each weight."""
    name = NAMES[summary["objective"]]
    return {weight: f"{name} {weight:g}" for weight in dict.fromkeys(map(weight_in, summary["models"]))}


def make_record(options: Options, summaries: dict[str, dict[str, Any]]) -> Record:
    """Record of the objectives that have finished."""
    claims, details = [], {}
    for objective, summary in summaries.items():
        for weight, name in model_names(summary).items():
            records = [r for r in summary["models"] if weight_in(r) == weight and "diverged" not in r]
            for score, title in SCORES.items():
                values = [record[score] for record in records]
                spread = f"(median {statistics.median(values):.3f}, {min(values):.3f} to {max(values):.3f})"
                claims.append(Claim(f"{name}: {title} {spread}", "", values, ANCHORS.get((objective, score))))
        details[objective] = {name: summary[name] for name in ("models", "by_steps")}
    first = next(iter(summaries.values()))
    limits = "; ".join(f"{t} {first['floor'][s]:.2f} to {first['ceiling'][s]:.2f}" for s, t in SCORES.items())
    return Record(
        title="Disentanglement on sprites, regenerated after dSprites",
        protocol=f"{first['data_note']}, of which every step draws 64; disentanglement_lib's convolutional network, "
        f"10 latent dimensions, Adam 5e-4, {options.steps:,} steps (the papers' medians, quoted from memory, "
        "are after 300,000 steps and for beta-VAE over all weights, and are therefore no bar here); weights as named, "
        "pairs of Ada-GVAE differ in one factor; "
        f"{options.seeds} seeds; scores with disentanglement_lib's definitions and "
        f"{first['points']:,} points, DCI with {first['dci_points']:,}. Range of each score, from noise to one latent "
        f"for each factor: {limits}. FactorVAE and BetaVAE scores are computed on "
        f"{'every image' if options.whole_table else '8 values of each factor'}, the other scores on images drawn from "
        "all, the curves on 8 values of each factor.",
        command=shlex.join(["python", "-m", "experiments.disentangle_curves", *sys.argv[1:]]),
        claims=claims,
        seeds=first["seeds"],
        wall_seconds=[round(sum(summary["wall_seconds"] for summary in summaries.values()), 1)],
        device=device_name(),
        versions=versions(),
        details=details | {name: first[name] for name in ("ceiling", "floor")},
    )


def curves_of(summaries: dict[str, dict[str, Any]], score: str) -> dict[str, dict[int, list[float]]]:
    """Values of the seeds, by model name and number of training steps."""
    curves: dict[str, dict[int, list[float]]] = {}
    for summary in summaries.values():
        names = model_names(summary)
        for row in summary["by_steps"]:
            curves.setdefault(names[weight_in(row)], {}).setdefault(row["steps"], []).append(row[score])
    return curves


def main(options: Options) -> None:
    keep_compiled_programs()
    with exit_on_bad_input():
        unknown = [name for name in options.only if name not in WEIGHTS]
        if unknown or not options.only:
            given = " ".join(unknown) or "none"
            raise ValueError(f"--only must name one or more of the objectives {', '.join(WEIGHTS)}, got {given}")
    summaries: dict[str, dict[str, Any]] = {}
    for objective in options.only:
        summaries[objective] = train_objective(options, objective)
        write_record(options.record, make_record(options, summaries))
        panels = {SCORES[score]: curves_of(summaries, score) for score in ("factor_vae_score", "mig")}
        save_figure(scores_by_step(panels), options.runs / "scores.png")
    print(json.dumps({name: summary["over_seeds"] for name, summary in summaries.items()}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.disentangle_curves"))
