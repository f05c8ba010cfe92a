"""Time that the cache of keys and values saves when codes are drawn from a transformer.

    python -m experiments.code_sampling_speed

16 grids of 8 x 8 codes, K = 512, the default transformer (4 layers of width 256), one jitted program each. With the
cache, one position is computed at a time; without it, all 64 are computed again for each position. The same keys must
give the same codes. The programs take turns, and medians over --rounds are compared. Under a minute on two idle cores.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import tyro

from experiments.lib.benchmark.measure import Contestant, take_turns, timed
from experiments.lib.records import Claim, Record, write_record
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.models import CodePrior, Sampling, transformer_prior, uncached_transformer_prior
from vae_jax.runs import device_name, versions
from vae_jax.runs.progress import say

GRIDS, LENGTH, NUM_CODES, PAUSE = 16, 64, 512, 0.5


@dataclasses.dataclass(frozen=True)
class Options:
    rounds: int = 7  # number of timings of each program
    record: Path = Path("docs/results/code_sampling_speed.json")  # path of the JSON record to write


def contestant(prior: CodePrior, params: dict, drawn: dict[str, np.ndarray], name: str) -> Contestant:
    """Contestant that draws the grids in each round, and stores its last codes in `drawn[name]`."""
    draw: Callable = jax.jit(jax.vmap(lambda key: prior.sample(params, key, None, Sampling())))
    keys = jax.random.split(jax.random.key(1), GRIDS)

    def round() -> float:
        drawn[name] = np.asarray(draw(keys))
        return float(drawn[name].mean())

    return timed(round)


def main() -> None:
    options, started = tyro.cli(Options, description=__doc__), time.monotonic()
    with exit_on_bad_input():
        if options.rounds < 1:
            raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    priors = {
        "cached": transformer_prior(NUM_CODES, LENGTH),
        "uncached": uncached_transformer_prior(NUM_CODES, LENGTH),
    }
    params, drawn = jax.jit(priors["cached"].init)(jax.random.key(0)), dict[str, np.ndarray]()
    contestants = {name: contestant(prior, params, drawn, name) for name, prior in priors.items()}
    turns = take_turns(contestants, options.rounds, say, PAUSE)
    seconds = {name: turn.seconds for name, turn in turns.items()}
    different = 100 * float(np.mean(drawn["cached"] != drawn["uncached"]))
    claims = [
        Claim("time with the cache relative to without", "", [seconds["cached"] / seconds["uncached"]], at_most=0.2),
        *(Claim(f"time of {GRIDS} grids, {name}", "ms", [1e3 * value]) for name, value in seconds.items()),
        Claim("codes that differ for the same keys", "%", [different], at_most=0),
    ]
    protocol = (
        f"{GRIDS} grids of 8 x 8 codes, K = {NUM_CODES}, 4 layers of width 256, fresh weights, a jitted program each; "
        f"contestants take turns, medians of {options.rounds} rounds."
    )
    walls = [round(time.monotonic() - started, 1)]
    command = "python -m experiments.code_sampling_speed"
    title = "Sampling codes from a transformer prior"
    write_record(options.record, Record(title, protocol, command, claims, [], walls, device_name(), versions()))
    print(json.dumps({claim.claim: claim.values[0] for claim in claims}))


if __name__ == "__main__":
    main()
