"""Settings of a fit of one model, and its epoch with validation as one program on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vae_jax.objectives import Objective, warm_up_steps_of
from vae_jax.objectives._batch import Metrics
from vae_jax.params import Params, split_buffers
from vae_jax.training._epoch import make_evaluate, make_train_epoch
from vae_jax.training._evaluated import Evaluated, as_trained, evaluated_params
from vae_jax.training._examples import Examples
from vae_jax.training._step import Trainable, TrainState, TrainStep, init_train_state, make_train_step
from vae_jax.training.sharding import Rules, examples_per_device, keep_shardings, replicated_sharding, shardings_of


class FitState(NamedTuple):
    """State of `fit`: everything that an epoch changes. It stays on the device and is donated to the next epoch."""

    state: TrainState
    best_params: Params  # evaluated parameters of the best epoch since the warm-up; during it, of the last epoch
    best_loss: jax.Array  # validation loss of the best epoch; infinity until the warm-up has ended
    best_epoch: jax.Array  # number of the best epoch, from 1
    running: jax.Array  # False after early stopping or a loss that is not finite: then an epoch changes nothing


class Keys(NamedTuple):
    """Keys of everything random in a fit."""

    init: jax.Array
    train: jax.Array
    validation: jax.Array  # the same after every epoch, so that only the parameters differ between validations


def split_key(key: jax.Array) -> Keys:
    """Splits the key of a fit into the keys of its parts."""
    return Keys(*jax.random.split(key, 3))


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings of a fit of one model, without its data; may be made inside a traced function."""

    model: Trainable
    objective: Objective
    optimizer: optax.GradientTransformation
    steps_per_epoch: int
    batch_size: int
    microbatches: int
    patience: int | None
    mesh: Mesh | None = None
    rules: Rules = ()
    evaluated: Evaluated = as_trained

    @cached_property
    def out_shardings(self) -> tuple[FitState, Any] | None:
        """Shardings of the fit state, as an epoch takes and returns it, and of the row; None without a mesh."""
        if self.mesh is None:
            return None
        examples_per_device(self.batch_size, self.mesh)
        shapes = jax.eval_shape(self._init, jax.random.key(0))
        return shardings_of(shapes, self.mesh, self.rules), replicated_sharding(self.mesh)

    @cached_property
    def init(self) -> Callable[[jax.Array], FitState]:
        """Jitted (key) -> the state before the first epoch."""
        return jax.jit(self._init, out_shardings=self.out_shardings and self.out_shardings[0])

    def _init(self, key: jax.Array) -> FitState:
        state = init_train_state(self.model, self.optimizer, key)
        # A copy, because the state and the best parameters are both donated to the epoch.
        best_params = jax.tree.map(jnp.copy, state.params)
        return FitState(state, best_params, jnp.float32(jnp.inf), jnp.int32(0), jnp.bool_(True))

    @cached_property
    def step(self) -> TrainStep:
        """Training step that keeps the sharding of the state on the mesh."""
        step = make_train_step(self.model, self.objective, self.optimizer, self.microbatches)
        return step if self.out_shardings is None else keep_shardings(step, self.out_shardings[0].state)

    def validated_epoch(
        self, fit_state: FitState, keys: Keys, train: Examples, validation: Examples
    ) -> tuple[FitState, Metrics]:
        """Trains and validates for one epoch; returns the new fit state and the row. Pure: may be jitted or vmapped.

        If `fit_state.running` is False, the fit state is returned unchanged, and the row holds zeros.
        """

        # Jitted so that it is traced once: for the shape of the row, and for the epoch itself.
        @jax.jit
        def advance(fit_state: FitState, *arguments: Any) -> tuple[FitState, Metrics]:
            keys, train, validation = arguments
            train_epoch = make_train_epoch(self.step, self.batch_size, num_steps=self.steps_per_epoch, mesh=self.mesh)
            state, metrics = train_epoch(fit_state.state, keys.train, train)
            return self.finish_epoch(fit_state, state, metrics, keys, validation)

        arguments = keys, train, validation
        row = jax.eval_shape(advance, fit_state, *arguments)[1]
        stay = lambda fit_state, *_: (fit_state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), row))
        return jax.lax.cond(fit_state.running, advance, stay, fit_state, *arguments)

    def finish_epoch(
        self, fit_state: FitState, state: TrainState, metrics: Metrics, keys: Keys, validation: Examples
    ) -> tuple[FitState, Metrics]:
        """Validates after an epoch; returns the new fit state and the row. Pure: may be jitted or vmapped.

        If training was not finite, the state before the epoch is kept, and `_divergence` finds the step that failed
        from it: a check of every step would cost 3 to 8 percent of the step's time, a copy of the state per epoch costs
        next to nothing. The row's train/loss is then not finite, even if only a parameter was not finite.

        The row holds `epoch` and `step`, and the means of the metrics, `train/...` and `validation/...`. For an
        objective with a warm-up it also holds `warm_up`, which is 1 if the epoch ended during the warm-up and then
        counts neither as the best nor against patience.

        Args:
          fit_state: state before the epoch.
          state: training state after the epoch.
          metrics: mean training metrics of the epoch.
          keys: keys of the fit.
          validation: the held-out examples.
        """
        warm_up_steps = warm_up_steps_of(self.objective)
        evaluate = make_evaluate(self.model, self.objective, self.batch_size, self.mesh)
        trained = is_finite_step(fit_state.state, state, metrics["loss"])
        failed = jnp.where(jnp.isfinite(metrics["loss"]), jnp.nan, metrics["loss"])
        metrics = {**metrics, "loss": jnp.where(trained, metrics["loss"], failed)}
        params = evaluated_params(self.evaluated, state)
        validation_metrics = evaluate(params, keys.validation, validation)
        epoch = state.step // self.steps_per_epoch
        row = {"epoch": epoch, "step": state.step}
        if warm_up_steps:
            row["warm_up"] = (state.step < warm_up_steps).astype(jnp.float32)
        row |= {f"train/{name}": value for name, value in metrics.items()}
        row |= {f"validation/{name}": value for name, value in validation_metrics.items()}

        loss = validation_metrics["loss"].astype(jnp.float32)
        warm = state.step >= warm_up_steps
        finite = trained & jnp.isfinite(loss)
        best = finite & ((loss < fit_state.best_loss) | ~warm)
        best_epoch = jnp.where(best, epoch, fit_state.best_epoch)
        within_patience = True if self.patience is None else epoch - best_epoch < self.patience
        best_params = jax.tree.map(lambda new, old: jnp.where(best, new, old), params, fit_state.best_params)
        best_loss = jnp.where(best & warm, loss, fit_state.best_loss)
        kept = jax.tree.map(lambda new, old: jnp.where(trained, new, old), state, fit_state.state)
        return FitState(kept, best_params, best_loss, best_epoch, finite & within_patience), row


def is_finite_step(before: TrainState, after: TrainState, loss: jax.Array) -> jax.Array:
    """Boolean scalar, True if the loss and all trained parameters are finite.

    Values that were already not finite before the step and are unchanged (a mask of -inf) do not count.
    """
    old, new = (jax.tree.leaves(split_buffers(state.params)[0]) for state in (before, after))
    finite = jnp.isfinite(loss)
    for a, b in zip(old, new, strict=True):
        if jnp.issubdtype(b.dtype, jnp.inexact):
            finite &= jnp.all(jnp.isfinite(b) | (a == b))
    return finite
