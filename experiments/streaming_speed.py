"""Cost of training on images that stay on disk: reading alone, and a VAE's training step against images in memory.

    python -m experiments.streaming_speed

Contestants take turns, and medians over --rounds are compared. Reading alone: batches of 128 from MNIST and CIFAR-10 as
stored by TFDS (PNG in array_record), with one and two threads; from the same pixels decoded once into an .npy file; and
from a folder of 64 x 64 PNG files (MNIST's, each pixel a 2 x 2 square). Training: the 784-400-20 VAE, Adam, batch 128,
dynamic binarization, on images in memory and on MNIST's two streams, reading included. Five minutes on two idle cores.
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
    """Options of the experiment."""

    rounds: int = 9
    """number of timings of each contestant"""
    steps: int = 160
    """batches per timing"""
    data_dir: str | None = None
    """folder of TFDS datasets; default: the environment's TFDS_DATA_DIR, else TFDS's own"""
    record: Path = Path("docs/results/streaming_speed.json")
    """path of the JSON record to write"""


def reading(source: data.ImageSource, steps: int, threads: int) -> float:
    """Microseconds per image over `steps` batches, including the batches that Grain reads ahead."""
    batches = data.Batches(source, BATCH_SIZE, 0, threads=threads, read_ahead=threads)
    start = time.perf_counter()
    for _ in islice(batches, steps):
        pass
    seconds = time.perf_counter() - start
    batches.close()
    return 1e6 * seconds / (steps * BATCH_SIZE)


def training(sources: dict[str, data.ImageSource], images: np.ndarray, steps: int) -> dict[str, Contestant]:
    """Contestants that train the MLP VAE for an epoch of `steps` steps, on images in memory and on each source."""
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
        # The two batches that are read ahead between the turns are not timed.
        contestants[f"training, {name}"] = partial(timed, streamed, data.Batches(source, BATCH_SIZE, 0, read_ahead=2))
    return contestants


def folder_of_squares(images: np.ndarray, folder: Path) -> data.ImageSource:
    """Writes 28 x 28 images as 64 x 64 PNG files: padded to 32 x 32, each pixel repeated two by two."""
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
        for turn in range(options.rounds + 1):  # the first round compiles and is not counted
            for name, measure in contestants.items():
                value = measure()
                print(f"round {turn}: {name} {value:.2f} us per image", file=sys.stderr)
                turns[name] += [value] if turn else []
    median = {name: statistics.median(values) for name, values in turns.items()}

    relative = {name: [value / median["training, in memory"]] for name, value in median.items()}

    of_training, of_memory = "files relative to training on them", "files relative to images in memory"
    record = Record(
        title="Images on disk against images in memory",
        protocol=f"{options.steps} batches of {BATCH_SIZE} per timing, contestants take turns, medians of "
        f"{options.rounds} rounds; the 784-400-20 VAE; files in the page cache.",
        command=shlex.join(["python", "-m", "experiments.streaming_speed", *sys.argv[1:]]),
        claims=[
            Claim(f"time to read decoded {of_training}", "", relative["reading mnist, pixels"], at_most=1),
            Claim(f"time to read PNG {of_training}", "", relative["reading mnist, PNG"]),
            Claim(f"training step on decoded {of_memory}", "", relative["training, pixels"]),
            Claim(f"training step on PNG {of_memory}", "", relative["training, PNG"]),
            *(Claim(f"{name}, time per image", "us", [value]) for name, value in median.items()),
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
