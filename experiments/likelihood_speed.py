"""Speed of importance sampling: against PyTorch and pythae in one run, and at K = 5000 on all MNIST test images.

    python -m venv peers && peers/bin/pip install torch==2.13.0 pythae==0.1.2
    python -m experiments.likelihood_speed --peer-python peers/bin/python

The contestants take turns at K = 1000 on 200 test images, with the same weights of a 784-400-20 VAE after one epoch:
vae_jax and pythae's `get_nll` with their defaults, and a hand-written PyTorch loop that encodes once and processes one
image and its samples at a time. Medians over --rounds are compared, and the estimates must agree. Then vae_jax alone
measures a 784-200-200-50 tanh VAE once, compilation included. Two to eight minutes on two idle cores.
"""

import dataclasses
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax import VAE, data, gaussian_vae, mlp_vae
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.evaluation import importance_sampling
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import negative_elbo, with_preprocessing
from vae_jax.params import Params
from vae_jax.runs import device_name, versions
from vae_jax.training import init_train_state, make_train_epoch, make_train_step

IMAGE, TEST_BITS_SEED = (28, 28, 1), 1
Contestant = Callable[[], tuple[float, float]]  # () -> (seconds, nll)
Turns = dict[str, dict[str, list[float]]]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the experiment."""

    peer_python: Path
    """Python interpreter of an environment that has torch and pythae"""
    rounds: int = 7
    """number of timings of each contestant"""
    record: Path = Path("docs/results/likelihood_speed.json")
    """path of the JSON record to write"""


def train_model(model: VAE, images: np.ndarray) -> Params:
    """Parameters after one epoch: weights of a usual size, not a good model."""
    optimizer, objective = optax.adam(1e-3), with_preprocessing(negative_elbo, data.binarize)
    step, state = make_train_step(model, objective, optimizer), init_train_state(model, optimizer, jax.random.key(0))
    return make_train_epoch(step, 100)(state, jax.random.key(1), jnp.asarray(images))[0].params


def timed_nll(model: VAE, params: Params, xs: jax.Array, num_samples: int) -> tuple[float, float]:
    """Seconds of one measurement, and its mean nll in nats."""
    start = time.perf_counter()
    estimates = importance_sampling(model, params, jax.random.key(2), xs, num_samples)
    nll = -float(jnp.mean(estimates.log_likelihood))
    return time.perf_counter() - start, nll


def take_turns(contestants: Mapping[str, Contestant], rounds: int) -> Turns:
    """Seconds and nll of every round, after a first round that is not counted."""
    results: Turns = {name: {"seconds": [], "nll": []} for name in contestants}
    for turn in range(rounds + 1):
        for name, measure in contestants.items():
            seconds, nll = measure()
            print(f"round {turn}: {name} {seconds:.2f} s, {nll:.3f} nats", file=sys.stderr)
            if turn:
                results[name] = {"seconds": [*results[name]["seconds"], seconds], "nll": [*results[name]["nll"], nll]}
    return results


def compare(options: Options, train: np.ndarray, test: jax.Array) -> tuple[Turns, dict[str, Any]]:
    """Timings of all contestants on the same weights and images, and the peers' versions and instructions."""
    model, num_samples = mlp_vae(IMAGE, 20, (400,)), 1000
    params, xs = train_model(model, train), test[:200]
    arrays = {f"{network}/{layer}": params[network][layer] for network in params for layer in params[network]}
    weights = {f"{layer}/{name}": array for layer, named in arrays.items() for name, array in named.items()}
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, xs=xs, num_samples=num_samples, **weights)
        file.flush()
        command = [str(options.peer_python), f"{Path(__file__).parent}/peers/torch_likelihood.py", file.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as peer:
            questions, answers = cast(IO[str], peer.stdin), cast(IO[str], peer.stdout)

            def ask(name: str) -> tuple[float, float]:
                print(name, file=questions)
                seconds, nll = answers.readline().split()
                return float(seconds), float(nll)

            contestants = {"vae_jax": partial(timed_nll, model, params, xs, num_samples)}
            contestants |= {name: partial(ask, name) for name in ("pytorch", "pythae")}
            peers = json.loads(answers.readline())
            results = take_turns(contestants, options.rounds)
    return results, peers


def main(options: Options) -> None:
    start = time.monotonic()
    with exit_on_bad_input():
        if options.rounds < 1:
            raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
        command = [str(options.peer_python), "-c", "import torch, pythae"]
        if not shutil.which(command[0]) or subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
            raise ValueError(f"--peer-python must be a Python with torch and pythae, got {options.peer_python}")
        images = data.load_images("mnist")
    test = data.scale(jax.random.key(0), data.static_binarization(images.test, TEST_BITS_SEED))
    turns, peers = compare(options, images.train, test)
    median = {name: statistics.median(values["seconds"]) for name, values in turns.items()}
    nlls = [statistics.fmean(values["nll"]) for values in turns.values()]
    decoder = mlp_decoder(50, (*IMAGE, 1), (200, 200), None, jnp.tanh)
    model = gaussian_vae(mlp_encoder(IMAGE, 100, (200, 200), jnp.tanh), decoder, 50)
    seconds = timed_nll(model, train_model(model, images.train), test, 5000)[0]
    record = Record(
        title=f"Speed of importance sampling, {peers['instructions']}",
        protocol="784-400-20 ReLU, K = 1000 on 200 test images: contestants take turns on the same weights, medians of "
        f"{options.rounds} rounds; 784-200-200-50 tanh, K = 5000 on 10,000 test images: once, with compilation.",
        command=shlex.join(["python", "-m", "experiments.likelihood_speed", *sys.argv[1:]]),
        claims=[
            Claim("time of K = 5000 on 10,000 images", "s", [seconds], at_most=360),
            *(Claim(f"time of K = 1000 on 200 images, {name}", "s", [value]) for name, value in median.items()),
            Claim("time relative to pythae", "", [median["vae_jax"] / median["pythae"]], at_most=1 / 4),
            Claim("time relative to PyTorch", "", [median["vae_jax"] / median["pytorch"]], at_most=1 / 1.2),
            Claim("largest difference between the estimates of the nll", "nats", [max(nlls) - min(nlls)], at_most=0.1),
        ],
        seeds=[],
        wall_seconds=[round(time.monotonic() - start, 1)],
        device=f"{device_name()}, {peers['instructions']}",
        versions=versions() | peers["versions"],
        details=turns,
    )
    write_record(options.record, record)
    print(json.dumps(dataclasses.asdict(record)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.likelihood_speed"))
