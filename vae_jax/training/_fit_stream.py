"""The training loop on examples that come from outside the device, batch by batch: `fit` for data of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from vae_jax.models._model import VAE
from vae_jax.objectives import Objective, warm_up_steps_of
from vae_jax.objectives._batch import Metrics
from vae_jax.training._begun import Progress, begin, run_to_end
from vae_jax.training._checks import check_finite, check_first_batch
from vae_jax.training._fit import check_numbers
from vae_jax.training._fitting import Fitting, make_judge, split_key
from vae_jax.training._loop import IN_MEMORY, Checkpoints, History
from vae_jax.training._streamed import make_train_stream_epoch
from vae_jax.training.sharding import Rules


class BatchStream(Iterator[np.ndarray], Protocol):
    """An endless iterator of batches `[batch_size, ...]`, each of which follows from its number alone.

    `vae_jax.data.Batches` is one; in a run of several processes each has its own part of every batch.
    """

    batch_size: int  # over all processes
    steps_per_epoch: int

    def seek(self, batch: int) -> None:
        """Makes batch number `batch`, from 0, the next one."""
        ...


def fit_stream(
    model: VAE,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    batches: BatchStream,
    validation: ArrayLike,
    key: jax.Array,
    *,
    epochs: int,
    patience: int | None = None,
    mesh: Mesh | None = None,
    rules: Rules = (),
    checkpoints: Checkpoints = IN_MEMORY,
    on_start: Callable[[], Any] = lambda: None,
    on_epoch: Callable[[History], Any] = lambda history: None,
) -> Progress:
    """`fit` on a stream of batches: only a few of them are in memory, and the next are read while the device works.

    The step number is the position in the stream, so that the checkpoint of a run holds both: a run that is stopped and
    restored goes on with the batches that would have come. Batches are shuffled by the stream; all else that is random
    follows from the key, as in `fit`.

    Args:
      model, objective, optimizer, key: as `fit` takes them.
      batches: of the training examples, for this run alone.
      validation: `[M, ...]` examples, held out of them and held in memory.
      epochs, patience, mesh, rules, checkpoints: as `fit` takes them. Of several processes each must hold its own part
        of the mesh's axis "data".
      on_epoch: called with the history after every epoch.
      on_start: called once, when the first steps have been compiled and handed to the device.

    Returns:
      The progress after the last epoch.

    Raises:
      ValueError, Diverged: as `fit`.
      Exception: what the stream raises.
    """
    num_steps, batch_size = batches.steps_per_epoch, batches.batch_size
    validation = jnp.asarray(validation)
    check_numbers(objective, validation, epochs, num_steps, patience)
    check_finite("validation", validation)
    check_first_batch(model, objective, split_key(key).train, "validation", validation[:batch_size])
    begun = begin(model, objective, optimizer, key, batch_size, mesh, rules, checkpoints)

    def put(chunk: np.ndarray) -> jax.Array:
        check_finite("the next chunk of the stream", chunk)
        if mesh is None:
            return jax.device_put(chunk)
        # [k, this process's part of the batch, ...], all processes' parts one after the other.
        sharding, whole = NamedSharding(mesh, PartitionSpec(None, "data")), (len(chunk), batch_size, *chunk.shape[2:])
        return jax.make_array_from_process_local_data(sharding, chunk, whole)

    started = False

    def on_chunk() -> None:
        nonlocal started
        if not started:
            on_start()
        started = True

    def make_program() -> Callable[[Fitting], tuple[Fitting, Metrics]]:
        batches.seek(int(begun.fitting.state.step))
        epoch = make_train_stream_epoch(begun.step, num_steps, put=put, on_chunk=on_chunk)
        judge = make_judge(begun.evaluate, num_steps, warm_up_steps_of(objective), patience)
        judge = jax.jit(judge, donate_argnums=0, out_shardings=begun.out_shardings)
        held_out = begun.everywhere(validation)

        def program(fitting: Fitting) -> tuple[Fitting, Metrics]:
            # A copy: the epoch takes the memory of its state.
            state, metrics = epoch(jax.tree.map(jnp.copy, fitting.state), begun.keys.train, batches)
            return judge(fitting, state, metrics, begun.keys, held_out)

        return program

    def batch_of(step: int) -> tuple[jax.Array, None]:
        batches.seek(step)
        return put(next(batches)[None])[0], None  # the stream does not say which examples it took

    return run_to_end(
        make_program,
        begun,
        batch_of=batch_of,
        steps_per_epoch=num_steps,
        epochs=epochs,
        patience=patience,
        runs_ahead=False,  # the stream would be read for an epoch that there may not be
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )
