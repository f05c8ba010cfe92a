"""Many models trained as one program: they may differ in seed and in numbers of the objective or the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from vae_jax.memory import check_fits
from vae_jax.objectives import Objective
from vae_jax.objectives._batch import Metrics
from vae_jax.params import Params
from vae_jax.training._checks import check_fit
from vae_jax.training._divergence import Diverged, Divergence, Replay
from vae_jax.training._epoch import num_steps_of
from vae_jax.training._evaluated import Evaluated, as_trained
from vae_jax.training._examples import Examples, examples_of
from vae_jax.training._fit import batches_in_memory
from vae_jax.training._history import History, Progress, best_epoch
from vae_jax.training._plan import FitState, Keys, Plan, split_key
from vae_jax.training._run import IN_MEMORY, Checkpoints, Loop, Program, run_to_end
from vae_jax.training._step import Trainable, TrainState

# numbers of one model (a pytree of scalars, or None) -> its objective and optimizer
Setup = Callable[[Any], tuple[Objective, optax.GradientTransformation]]


class EnsembleProgress(NamedTuple):
    """Progress of M runs: `Progress` whose arrays have a leading axis `[M]`."""

    state: TrainState
    best_params: Params
    history: tuple[History, ...]  # one for each model; a model that diverged ends with a row that is not finite
    diverged: tuple[Divergence | None, ...] = ()  # cause for each model that diverged; empty until the fit has ended

    def member(self, index: int) -> Progress:
        """The progress of one model, as `fit` returns it."""
        take = lambda tree: jax.tree.map(lambda leaf: leaf[index], tree)
        return Progress(take(self.state), take(self.best_params), self.history[index])


def fit_ensemble(
    model: Trainable,
    setup: Setup,
    numbers: Any,
    train: Any,
    validation: Any,
    keys: jax.Array,
    *,
    epochs: int,
    batch_size: int = 128,
    steps_per_epoch: int | None = None,
    microbatches: int = 1,
    patience: int | None = None,
    evaluated: Evaluated = as_trained,
    checkpoints: Checkpoints = IN_MEMORY,
    on_start: Callable[[], Any] = lambda: None,
    on_epoch: Callable[[tuple[History, ...]], Any] = lambda history: None,
) -> EnsembleProgress:
    """Trains M models as `fit` does, in one program: one compilation, one checkpoint, M results.

    Model i is the model that `fit(model, *setup(numbers[i]), train, validation, keys[i])` trains, up to the rounding of
    matrix products. After early stopping, or if its loss is no longer finite, a model stays unchanged while the others
    are trained further. On accelerators the models are mapped by `vmap`; on a CPU, which one model already uses fully,
    the program trains one model after the other in each epoch.

        setup = lambda n: (beta_vae_loss(n["beta"]), optax.adam(n["rate"]))
        fit_ensemble(model, setup, {"beta": [1, 2, 4], "rate": [1e-3] * 3}, train, validation,
                     jax.random.split(key, 3), epochs=10)

    Args:
      model: the model, the same for all; each is initialized with its own key.
      setup: numbers of one model -> (objective, optimizer). The numbers are traced: only arithmetic may use them, and
        they cannot set the length of a warm-up, which is the same for all models.
      numbers: a pytree (dict, ...) whose leaves hold one number for each model, `[M]`; None if only keys differ.
      train: the training examples of all models: a pytree of arrays `[N, ...]`, or `Examples`.
      validation: the held-out examples, in the form of train.
      keys: `[M]`, a run's key for each model, for its parameters, the order of its data and its noise.
      epochs, batch_size, steps_per_epoch, microbatches, patience, checkpoints, on_start: as `fit` takes them.
      evaluated: as `fit` takes it, for one model.
      on_epoch: called with the M histories after every epoch.

    Returns:
      The progress of all models after the last has ended. A model that diverged has its last finite state; `diverged`
      names the step, the term of the loss and the example.

    Raises:
      ValueError, TypeError: as `fit`; ValueError also if numbers and keys are not for the same number of models.
      DoesNotFit: a ValueError, if M models do not fit in the memory of the device; it says how many would.
      Diverged: if no model has an epoch of finite loss.
    """
    numbers = jax.tree.map(jnp.asarray, numbers, is_leaf=lambda leaf: isinstance(leaf, (list, tuple)))
    num_models = _num_models(numbers, keys)
    # Called once with untraced numbers: checks of their values are skipped for traced numbers.
    setups = [setup(jax.tree.map(lambda leaf, i=i: leaf[i], numbers)) for i in range(num_models)]
    train, validation = examples_of("train", train), examples_of("validation", validation)
    num_steps = num_steps_of(train, batch_size, steps_per_epoch)

    def plan_of(setup: tuple[Objective, optax.GradientTransformation]) -> Plan:
        return Plan(model, *setup, num_steps, batch_size, microbatches, patience, evaluated=evaluated)

    check_fit(plan_of(setups[0]), epochs, train, validation, keys[0])
    split = jax.vmap(split_key)(keys)

    def epoch(fit_state: FitState, numbers: Any, keys: Keys, *examples: Examples) -> tuple[FitState, Metrics]:
        return plan_of(setup(numbers)).validated_epoch(fit_state, keys, *examples)

    inits = jax.jit(jax.vmap(lambda numbers, keys: plan_of(setup(numbers)).init(keys.init)))
    arguments = (jax.eval_shape(inits, numbers, split), numbers, split, train, validation)
    program = jax.jit(over_models(epoch, num_shared=2), donate_argnums=0).lower(*arguments).compile()
    check_fits(program, num_models, sum(leaf.nbytes for leaf in jax.tree.leaves((train, validation))))

    def make_program(fit_state: FitState) -> Program:
        on_start()
        return lambda fit_state: program(fit_state, numbers, split, train, validation)

    def replay_of(i: int) -> Replay:
        keys, own = jax.tree.map(lambda leaf: leaf[i], (split, numbers))
        plan = plan_of(setup(own))
        return Replay(plan, keys, batches_in_memory(plan, keys, train))

    init, loop = lambda: inits(numbers, split), Loop(epochs, patience, checkpoints, on_epoch)
    progress, diverged = run_to_end(EnsembleProgress, init, make_program, replay_of, loop, num_models=num_models)
    if not any(best_epoch(rows) for rows in progress.history):
        first = next(divergence for divergence in diverged if divergence is not None)
        raise Diverged(f"all models diverged in their first epoch; for the first model, {first.message}")
    return progress._replace(diverged=diverged)


def over_models(function: Callable[..., Any], num_shared: int) -> Callable[..., Any]:
    """Maps a function of one model's arrays over arrays of M models, with a leading axis `[M]`, in one program.

    On a CPU the models are computed one after the other: one model uses all cores, and its matrix products are faster
    there than batched ones. Elsewhere all are computed at once, by `vmap`.

    Args:
      function: takes arrays of one model, and then num_shared arguments that are the same for all models.
      num_shared: number of last arguments without the leading axis, at least 1.
    """

    def mapped(*arguments: Any) -> Any:
        own, shared = arguments[:-num_shared], arguments[-num_shared:]
        one = lambda own: function(*own, *shared)
        return jax.lax.map(one, own) if jax.default_backend() == "cpu" else jax.vmap(one)(own)

    return mapped


def _num_models(numbers: Any, keys: jax.Array) -> int:
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) or keys.ndim != 1 or not len(keys):
        raise ValueError(f"keys must be one key for each model, as jax.random.split makes them, got {jnp.shape(keys)}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(numbers):
        if leaf.shape != keys.shape:
            name = jax.tree_util.keystr(path)
            raise ValueError(
                f"numbers{name} must hold one number for each of the {len(keys)} keys, got the shape {leaf.shape}"
            )
    return len(keys)
