"""Likelihoods of counts: VAEs on data from a known negative binomial factor model, against the truth.

    python -m experiments.counts --record docs/results/counts.json

The truth: z ~ N(0, I) of 5 dimensions, 30 columns x_j ~ NB(mean exp(w_j^T z + b_j), dispersion 2). Each seed draws its
own w and b, training and test rows. VAEs with the same networks and budget, one for each likelihood, are trained on the
same rows and measured by log p(x) of the test rows, in nats per row. All likelihoods are probabilities of counts: the
Normal is integrated over [k - 1/2, k + 1/2].

  true log p(x)  of the model that drew the rows, by annealed importance sampling: a lower bound and, since z of each
                 row is known, an upper bound, each in expectation; their difference bounds the error
  shortfall      (upper bound of the true log p(x) - log p(x) of the VAE) / |upper bound|

The log p(x) of a VAE is importance-sampled, which in expectation is a lower bound. A seed that was measured before with
the same options is read from --run-dir.
"""

import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import optax
import tyro

from experiments.lib.count_model import LIKELIHOODS, count_vae, draws_of, factor_model
from experiments.lib.records import Claim, Record, write_record
from vae_jax import evaluation, fit
from vae_jax.atomic import write_atomically
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.objectives import negative_elbo
from vae_jax.runs import device_name, versions
from vae_jax.runs.progress import say

COLUMNS, FACTORS, HIDDEN = 30, 5, 64


@dataclasses.dataclass(frozen=True)
class Options:
    seeds: tuple[int, ...] = (0, 1, 2)
    """random seeds of data and models"""
    rows: int = 10_000
    """training rows; a tenth of them is held out to choose the best epoch"""
    test_rows: int = 1_000
    """test rows"""
    epochs: int = 100
    """maximum number of passes over the training rows"""
    temperatures: int = 400
    """temperatures of the annealing, for the true log p(x)"""
    nll_samples: int = 1_000
    """importance samples of each test row, for the log p(x) of the VAEs"""
    run_dir: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/counts")
    """folder of the measured numbers of each seed"""
    record: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """path of a JSON record to write; default: no record"""


def check(options: Options) -> None:
    """Raises ValueError if an option is out of range."""
    least = {"rows": 1_280, "test_rows": 2, "epochs": 1, "temperatures": 1, "nll_samples": 1}
    for name, number in least.items():
        if (given := getattr(options, name)) < number:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {number:,}, got {given:,}")
    if not (seeds := options.seeds) or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        given = " ".join(map(str, seeds)) or "none"
        raise ValueError(f"--seeds must be one or more different numbers, none below 0, got {given}")


def measure(options: Options, seed: int) -> dict[str, Any]:
    """Log-likelihoods of every test row by model, and the seconds they took; the seed's file keeps them."""
    how = dataclasses.asdict(options) | {"seeds": seed, "run_dir": None, "record": None}
    path = options.run_dir / f"seed{seed}.json"
    if path.exists() and (stored := json.loads(path.read_text()))["how"] == how:
        return stored
    started = time.monotonic()
    say(f"seed {seed}: annealing of {options.test_rows:,} test rows")
    truth, keys = factor_model(COLUMNS, FACTORS), jax.random.split(jax.random.key(seed), 5)
    params, temperatures = truth.init(keys[0]), evaluation.sigmoid_temperatures(options.temperatures)
    bounds = evaluation.bidirectional(
        truth, params, keys[1], options.test_rows, start=evaluation.from_prior, temperatures=temperatures
    )
    rows = draws_of(truth, params, keys[2], options.rows)
    train, held_out = rows[options.rows // 10 :], rows[: options.rows // 10]
    found = {"lower": bounds.lower, "upper": bounds.upper}
    for name, likelihood in LIKELIHOODS.items():
        model = count_vae(COLUMNS, FACTORS, HIDDEN, likelihood, train.mean(axis=0))
        length: dict[str, Any] = {"epochs": options.epochs, "patience": 20}
        progress = fit(model, negative_elbo, optax.adam(2e-3), train, held_out, keys[3], **length)
        sampled = evaluation.importance_sampling(model, progress.best_params, keys[4], bounds.xs, options.nll_samples)
        found[name] = sampled.log_likelihood
        say(f"seed {seed}: {name}, {len(progress.history)} epochs, log p(x) {np.mean(found[name]):.2f}")
    numbers = {name: np.asarray(values, float).tolist() for name, values in found.items()}
    stored = {"how": how, "seconds": round(time.monotonic() - started, 1), "rows": numbers}
    options.run_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(stored) + "\n")
    return stored


def make_record(options: Options, done: list[dict[str, Any]]) -> Record:
    seeds = [{name: np.asarray(values) for name, values in stored["rows"].items()} for stored in done]
    means = lambda of: [float(np.mean(of(rows))) for rows in seeds]
    claims = [
        Claim("true log p(x): lower bound by annealing", "nats", means(lambda rows: rows["lower"])),
        Claim("true log p(x): upper minus lower bound", "nats", means(lambda rows: rows["upper"] - rows["lower"])),
    ]
    claims += [Claim(f"{name}: log p(x)", "nats", means(lambda rows, name=name: rows[name])) for name in LIKELIHOODS]
    for name in LIKELIHOODS:
        shortfalls = [100 * float((rows["upper"] - rows[name]).mean() / -rows["upper"].mean()) for rows in seeds]
        bar = 1.0 if name == "negative binomial" else None
        claims.append(Claim(f"{name}: shortfall from the true log p(x)", "%", shortfalls, at_most=bar))
    differences = [rows["integrated Normal"] - rows["negative binomial"] for rows in seeds]
    error = max(float(np.std(rows, ddof=1)) for rows in differences) / options.test_rows**0.5
    claim = f"log p(x): integrated Normal minus negative binomial (standard error over the rows at most {error:.2f})"
    claims.append(Claim(claim, "nats", [float(rows.mean()) for rows in differences], at_most=0.0))
    return Record(
        title="Likelihoods of counts, against the truth",
        protocol=f"{COLUMNS} columns of negative binomial counts (dispersion 2) with log-means W z + b, {FACTORS} "
        f"factors; W, b and rows drawn anew for each seed; {options.rows:,} training rows, a tenth of them to choose "
        f"the best epoch, and {options.test_rows:,} test rows; one hidden layer of {HIDDEN} in encoder and decoder, "
        f"the encoder sees log(1 + x); ELBO, batch 128, Adam 2e-3, at most {options.epochs} epochs; log p(x) per row "
        f"by {options.nll_samples:,} importance samples; true log p(x): 16 chains from the prior over "
        f"{options.temperatures} temperatures. Shortfalls are from the upper bound of the truth.",
        command=shlex.join(["python", "-m", "experiments.counts", *sys.argv[1:]]),
        claims=claims,
        seeds=options.seeds[: len(done)],
        wall_seconds=[stored["seconds"] for stored in done],
        device=device_name(),
        versions=versions(),
    )


def main(options: Options) -> None:
    with exit_on_bad_input():
        check(options)
    done: list[dict[str, Any]] = []
    for seed in options.seeds:
        done.append(measure(options, seed))
        record = make_record(options, done)
        if options.record:
            write_record(options.record, record)
    print(json.dumps({claim.claim: claim.mean for claim in record.claims}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.counts"))
