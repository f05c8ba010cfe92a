"""Batches from a source on disk, shuffled globally and read ahead by Grain."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np

from vae_jax.data._checks import whole, whole_number
from vae_jax.data._sources import ImageSource

_MOST_AHEAD = 10_000  # batches that wait in memory


class Unreadable(ValueError):
    """An image of a source that cannot be read, in the middle of a training."""


class Batches:
    """An endless iterator of uint8 `[batch_size / process_count, H, W, C]`: this process's part of each batch.

    Every epoch visits the images in a new order, without replacement, drawn over the whole data set; the last
    `N mod batch_size` of that order are left out of the epoch, different ones each time. Batch t follows from the seed,
    N, the batch size and t alone: any process may begin anywhere, any number of threads gives the same batches, and the
    parts of all processes, one after the other, are the batch of one process, so that a run may go on with another
    number of them.

    Memory: `read_ahead + threads` batches, and no list of the images.

    Args:
      source: of N training images.
      batch_size: images a step, over all processes together; at most N.
      seed: of the order, 0 to 2^32 - 1.
      process_index: of this process, 0 to process_count - 1; `jax.process_index()`.
      process_count: `jax.process_count()`; divides batch_size.
      threads: that read, each a batch. More than one helps where reading waits (a network disk, large pictures); with
        small pictures they wait for each other at the interpreter's lock.
      read_ahead: batches that are read before they are asked for, at most 10,000.

    Raises:
      ValueError: where a number is out of range.
      Unreadable: a ValueError; by `next`, if the batch holds an image that cannot be read.
    """

    def __init__(
        self,
        source: ImageSource,
        batch_size: int,
        seed: int,
        *,
        process_index: int = 0,
        process_count: int = 1,
        threads: int = 1,
        read_ahead: int = 16,
    ):
        total = source.shape[0]
        batch_size, seed = whole("batch_size", batch_size), whole("seed", seed)
        if not 1 <= batch_size <= total:
            raise ValueError(f"batch_size must be between 1 and the {total} training examples, got {batch_size}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must be between 0 and 2**32 - 1, got {seed}")
        process_count = whole_number("process_count", process_count, 1, 2**31 - 1)
        process_index = whole("process_index", process_index)
        if not 0 <= process_index < process_count:
            raise ValueError(f"process_index must be between 0 and {process_count - 1}, got {process_index}")
        if batch_size % process_count:
            raise ValueError(f"batch_size must be a multiple of the {process_count} processes, got {batch_size}")
        threads, read_ahead = whole("threads", threads), whole("read_ahead", read_ahead)
        if not 1 <= threads <= read_ahead <= _MOST_AHEAD:
            raise ValueError(
                f"threads must be at least 1, and read_ahead at least threads and at most {_MOST_AHEAD:,}, got "
                f"{threads} and {read_ahead}"
            )
        import grain
        from grain.experimental import get_next_index, index_shuffle, set_next_index

        self.batch_size = batch_size
        self.steps_per_epoch = total // batch_size
        self._identity = {"num_examples": total, "batch_size": batch_size, "seed": seed}
        share = batch_size // process_count

        def read(batch: int) -> np.ndarray:
            epoch, step = divmod(batch, self.steps_per_epoch)
            # A seed of its own for every seed and epoch: with seed + epoch, the next seed's epochs would be this one's.
            shuffling = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
            first = step * batch_size + process_index * share
            # A pseudo-random permutation evaluated place by place: the order of 10^9 images takes no memory.
            places = [index_shuffle(place, total - 1, shuffling, 4) for place in range(first, first + share)]
            return source.read(places)

        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=read_ahead)
        # Grain's elements are batches, not images: its cost of some 10 us an element is then paid once a batch.
        self._iterator = iter(grain.MapDataset.range(sys.maxsize).map(read).to_iter_dataset(options))
        self._position = partial(get_next_index, self._iterator)
        self._seek = partial(set_next_index, self._iterator)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> np.ndarray:
        try:
            return next(self._iterator)
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def seek(self, batch: int) -> None:
        """Makes batch number `batch`, from 0, the next one."""
        self._seek(whole_number("batch", batch, 0, sys.maxsize - 1))

    def state(self) -> dict[str, Any]:
        """The position, and what it is a position in; JSON-like, the same in every process."""
        return {**self._identity, "batch": self._position()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state()` was taken, with the same batches.

        Raises:
          ValueError: where the state is of another number of images, batch size or seed.
        """
        for name, value in self._identity.items():
            if state[name] != value:
                raise ValueError(
                    f"the position is of a stream with {name} {state[name]}, and this one has {name} {value}"
                )
        self.seek(state["batch"])

    def close(self) -> None:
        """Ends the reading ahead."""
        self._iterator.close()
