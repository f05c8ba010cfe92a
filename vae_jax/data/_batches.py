"""Batches from a source on disk, shuffled globally and read ahead by Grain."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np

from vae_jax.data._checks import as_integer, integer_between
from vae_jax.data._sources import ImageSource

_MOST_AHEAD = 10_000  # largest number of prefetched batches


class Unreadable(ValueError):
    """Raised if an image of a source cannot be read, for example in the middle of training."""


class Batches:
    """Endless iterator of uint8 `[batch_size / process_count, H, W, C]`: this process's part of each batch.

    Every epoch visits the images in a new order, drawn over the whole data set without replacement. The last
    `N mod batch_size` images of that order are left out of the epoch. Batch t depends on the seed, N, the batch size
    and t only: iteration may begin at any batch, the number of threads does not change the batches, and the parts of
    all processes, concatenated, equal the batch of a single process. A run may therefore continue with another number
    of processes.

    Memory: `read_ahead + threads` batches; no list of the images is kept.

    Args:
      source: N training images.
      batch_size: Images per step, over all processes together; at most N.
      seed: Random seed of the order, 0 to 2^32 - 1.
      process_index: Index of this process, 0 to process_count - 1; `jax.process_index()`.
      process_count: Number of processes, a divisor of batch_size; `jax.process_count()`.
      threads: Number of reading threads; each reads whole batches. More than one helps if reading waits (a network
        disk, large pictures); with small pictures the threads wait for the interpreter lock.
      read_ahead: Number of batches read in advance, at most 10,000.

    Raises:
      ValueError: If a number is out of range.
      Unreadable: A ValueError, raised by `next` if the batch holds an image that cannot be read.
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
        batch_size, seed = as_integer("batch_size", batch_size), as_integer("seed", seed)
        if not 1 <= batch_size <= total:
            raise ValueError(f"batch_size must be between 1 and the {total} training examples, got {batch_size}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must be between 0 and 2**32 - 1, got {seed}")
        process_count = integer_between("process_count", process_count, 1, 2**31 - 1)
        process_index = as_integer("process_index", process_index)
        if not 0 <= process_index < process_count:
            raise ValueError(f"process_index must be between 0 and {process_count - 1}, got {process_index}")
        if batch_size % process_count:
            raise ValueError(f"batch_size must be a multiple of the {process_count} processes, got {batch_size}")
        threads, read_ahead = as_integer("threads", threads), as_integer("read_ahead", read_ahead)
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
            # One shuffling seed per (seed, epoch): with seed + epoch, the epochs of two seeds would coincide.
            shuffling = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
            first = step * batch_size + process_index * share
            # A pseudo-random permutation evaluated index by index: the order of 10^9 images takes no memory.
            places = [index_shuffle(place, total - 1, shuffling, 4) for place in range(first, first + share)]
            return source.read(places)

        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=read_ahead)
        # Grain's elements are batches, not images: its overhead of some 10 us per element is then paid once per batch.
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
        """Moves the iterator: the next batch is number `batch`, counted from 0."""
        self._seek(integer_between("batch", batch, 0, sys.maxsize - 1))

    def state(self) -> dict[str, Any]:
        """Position of the iterator with the settings that it depends on; JSON-like, equal in every process."""
        return {**self._identity, "batch": self._position()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues where `state()` was taken, with the same batches.

        Raises:
          ValueError: If the state has another number of images, batch size or seed.
        """
        for name, value in self._identity.items():
            if state[name] != value:
                raise ValueError(
                    f"state must belong to a stream with {name} {value}, got a state with {name} {state[name]}"
                )
        self.seek(state["batch"])

    def close(self) -> None:
        """Stops reading ahead."""
        self._iterator.close()
