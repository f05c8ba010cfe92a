"""What training on images that stay on disk costs: reading alone, and a VAE's step, beside one on images in memory.

    python -m experiments.streaming_speed

Contestants take turns; medians of --rounds. Reading alone: batches of 128 from MNIST and CIFAR-10 as TFDS stores them
(PNG in array_record), by one and two threads, from the same pixels decoded once into an .npy file, and from a folder of
64 x 64 PNG files (MNIST's, each pixel a square). Training: the 784-400-20 VAE, Adam, batch 128, dynamic binarization,
resident and on each of MNIST's two streams; the time includes the reading. Five minutes on two quiet cores.
"""

import dataclasses
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import jax
import numpy as np
import optax
import tyro

from experiments.lib.records import Claim, Record, write_record
from vae_jax import data, mlp_vae
from vae_jax.cli.exits import exit_on_bad_input
from vae_jax.objectives import negative_elbo, with_preprocessing
from vae_jax.runs import device_name, versions
from vae_jax.training import init_train_state, make_train_epoch, make_train_step, make_train_stream_epoch

BATCH_SIZE, KEY = 128, jax.random.key(0)
Contestant = Callable[[], float]  # () -> microseconds an image


@dataclasses.dataclass(frozen=True)
class Options:
    """What the experiment can be told."""

    rounds: int = 9
    """timings of each contestant"""
    steps: int = 160
    """batches in each timing"""
    data_dir: str | None = None
    """folder of TFDS datasets; None: the environment's TFDS_DATA_DIR, else TFDS's own"""
    record: Path = Path("docs/results/streaming_speed.json")
    """where the numbers go"""


def reading(source: data.ImageSource, steps: int, threads: int) -> float:
    """Microseconds an image of `steps` batches, what Grain reads ahead of them included."""
    batches = data.Batches(source, BATCH_SIZE, 0, threads=threads, read_ahead=threads)
    start = time.perf_counter()
    for _ in islice(batches, steps):
        pass
    seconds = time.perf_counter() - start
    batches.close()
    return 1e6 * seconds / (steps * BATCH_SIZE)


def training(sources: dict[str, data.ImageSource], images: np.ndarray, steps: int) -> dict[str, Contestant]:
    """An epoch of `steps` steps of the MLP VAE, on resident images and on each of the sources."""
    model, optimizer = mlp_vae(images.shape[1:], 20, (400,)), optax.adam(1e-3)
    step = make_train_step(model, with_preprocessing(negative_elbo, data.binarize), optimizer)
    resident, streamed = make_train_epoch(step, BATCH_SIZE), make_train_stream_epoch(step, steps)
    on_device = jax.device_put(images[: steps * BATCH_SIZE])

    def timed(epoch: Callable, examples: object) -> float:
        state = jax.block_until_ready(init_train_state(model, optimizer, KEY))
        start = time.perf_counter()
        jax.block_until_ready(epoch(state, KEY, examples))
        return 1e6 * (time.perf_counter() - start) / (steps * BATCH_SIZE)

    contestants: dict[str, Contestant] = {"training, in memory": partial(timed, resident, on_device)}
    for name, source in sources.items():
        # What is read ahead between the turns is not timed: two batches.
        contestants[f"training, {name}"] = partial(timed, streamed, data.Batches(source, BATCH_SIZE, 0, read_ahead=2))
    return contestants


def folder_of_squares(images: np.ndarray, folder: Path) -> data.ImageSource:
    """Images of 28 x 28 as PNG files of 64 x 64: padded to 32 x 32, each pixel two by two."""
    from PIL import Image

    folder.mkdir()
    for number, image in enumerate(np.pad(images[..., 0], ((0, 0), (2, 2), (2, 2))).repeat(2, 1).repeat(2, 2)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return data.stream_images(str(folder)).train


def main(options: Options) -> None:
    start = time.monotonic()
    contestants: dict[str, Contestant] = {}
    with exit_on_bad_input(), tempfile.TemporaryDirectory() as scratch:
        if options.rounds < 1 or options.steps < 1:
            raise ValueError(f"--rounds and --steps must be at least 1, got {options.rounds} and {options.steps}")
        for name in ("mnist", "cifar10"):
            stream = data.stream_images(name, options.data_dir)
            pixels = data.decoded(stream, f"{scratch}/{name}.npy")
            for label, source, threads in (("PNG", stream, 1), ("PNG, 2 threads", stream, 2), ("pixels", pixels, 1)):
                contestants[f"reading {name}, {label}"] = partial(reading, source.train, options.steps, threads)
            if name == "mnist":
                images = pixels.train.read(np.arange(max(3_000, options.steps * BATCH_SIZE)))
                contestants |= training({"PNG": stream.train, "pixels": pixels.train}, images, options.steps)
        squares = folder_of_squares(images[:3_000], Path(scratch) / "squares")
        contestants["reading 64 x 64 PNG files"] = partial(reading, squares, min(options.steps, 40), 1)
        turns: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(options.rounds + 1):  # the first compiles, and is not counted
            for name, measure in contestants.items():
                value = measure()
                print(f"round {turn}: {name} {value:.2f} us an image", file=sys.stderr)
                turns[name] += [value] if turn else []
    median = {name: statistics.median(values) for name, values in turns.items()}

    def by(name: str) -> float:
        return median[name] / median["training, in memory"]

    record = Record(
        title="Images on disk against images in memory",
        protocol=f"{options.steps} batches of {BATCH_SIZE} a timing, contestants in turns, medians of {options.rounds} "
        "rounds; the 784-400-20 VAE; files in the page cache.",
        command=shlex.join(["python", "-m", "experiments.streaming_speed", *sys.argv[1:]]),
        claims=[
            Claim("time to read pixels by that to train on them", "", [by("reading mnist, pixels")], at_most=1),
            Claim("the same, PNG", "", [by("reading mnist, PNG")]),
            Claim("time of a step that reads its pixels from disk by one in memory", "", [by("training, pixels")]),
            Claim("the same, PNG", "", [by("training, PNG")]),
            *(Claim(f"{name}, time an image", "us", [value]) for name, value in median.items()),
        ],
        seeds=[],
        wall_seconds=[round(time.monotonic() - start, 1)],
        device=device_name(),
        versions=versions(),
        details=turns,
    )
    write_record(options.record, record)
    print(json.dumps(dataclasses.asdict(record)))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__, prog="python -m experiments.streaming_speed"))
