"""Optimizers of optax by name, and the schedules of their learning rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import optax
import optax.contrib

from vae_jax.runs.choices._choice import Axis, Choice, alternatives
from vae_jax.runs.choices.objectives import OBJECTIVES
from vae_jax.training import as_trained, averaged, averaged_params

Evaluated = Callable[[Any, Any], Any]  # (opt_state, params) -> the parameters that are validated and saved


class Optimizer(NamedTuple):
    """An optimizer, and the function that gives the parameters to validate and save."""

    transformation: optax.GradientTransformation
    evaluated: Evaluated = as_trained


@dataclasses.dataclass(frozen=True)
class OptimizerChoice(Choice):
    """An optimizer; `build` takes the learning rate as a function of the step."""

    averages: bool = False  # whether the optimizer itself averages the weights for evaluation


def _plain(make: Callable[..., optax.GradientTransformation]) -> Callable[..., Optimizer]:
    return lambda rate: Optimizer(make(rate))


def _decaying(make: Callable[..., optax.GradientTransformation], decay: float) -> Callable[..., Optimizer]:
    return lambda rate, *, weight_decay=decay: Optimizer(make(rate, weight_decay=weight_decay))


def _schedule_free(rate: optax.ScalarOrSchedule, *, weight_decay: float = 0.0) -> Optimizer:
    make = optax.contrib.schedule_free_adamw(rate(0) if callable(rate) else rate, weight_decay=weight_decay)
    return Optimizer(make, optax.contrib.schedule_free_eval_params)


_NOT_CONSTANT = ("linear", "cosine", "warmup_cosine", "exponential")
OPTIMIZERS = Axis(
    "optimizer",
    OptimizerChoice("adam", _plain(optax.adam), "Adam (Kingma & Ba 2015)"),
    OptimizerChoice("adamw", _decaying(optax.adamw, 1e-4), "Adam with decoupled weight decay"),
    OptimizerChoice("nadam", _plain(optax.nadam), "Adam with Nesterov momentum"),
    OptimizerChoice("nadamw", _decaying(optax.nadamw, 1e-4), "Adam with Nesterov momentum and decoupled weight decay"),
    OptimizerChoice("radam", _plain(optax.radam), "rectified Adam"),
    OptimizerChoice("adabelief", _plain(optax.adabelief), "AdaBelief"),
    OptimizerChoice(
        "adamax", _plain(optax.adamax), "Adam with the largest recent gradient instead of the second moment"
    ),
    OptimizerChoice("ademamix", _decaying(optax.contrib.ademamix, 0.0), "Adam with two averages of the gradient"),
    OptimizerChoice("lamb", _decaying(optax.lamb, 0.0), "LAMB, for large batches"),
    OptimizerChoice("lion", _decaying(optax.lion, 1e-3), "Lion, whose step is the sign of a momentum"),
    OptimizerChoice("muon", _decaying(optax.contrib.muon, 0.0), "Muon for matrices, Adam for the rest"),
    OptimizerChoice(
        "prodigy", _decaying(optax.contrib.prodigy, 0.0), "Prodigy; the learning rate is a factor, usually 1"
    ),
    OptimizerChoice("rmsprop", _plain(optax.rmsprop), "RMSProp"),
    OptimizerChoice(
        "sgd",
        lambda rate, *, momentum=0.9: Optimizer(optax.sgd(rate, momentum=momentum or None)),
        "gradient descent with momentum",
    ),
    OptimizerChoice(
        "schedule_free",
        _schedule_free,
        "AdamW without a schedule, evaluated at an average of its iterates",
        # The average is read from the optimizer's own state, which a partition of the parameters would wrap.
        not_with={"schedule": _NOT_CONSTANT, "objective": ("factor",)},
        averages=True,
    ),
)
# Names of optax that a training step cannot use as its optimizer, and why.
_NOT_OF_A_STEP = {
    "sam": "needs the gradient at a second point, which a training step does not compute",
    "reduce_on_plateau": "only scales the steps of another optimizer",
    "lbfgs": "needs the loss along a line, which a training step does not compute",
    "sophia": "needs the Hessian, which a training step does not compute",
}


def check_optimizer(settings: Any) -> None:
    """Checks the optimizer that the settings name.

    Raises:
      ValueError: the optimizer needs more than the gradient, or both the optimizer and --ema average the weights.
    """
    name = settings.optimizer
    if name in _NOT_OF_A_STEP:
        raise ValueError(f"--optimizer {name} {_NOT_OF_A_STEP[name]}: give {alternatives(OPTIMIZERS.names)}")
    if settings.ema is not None and name in OPTIMIZERS.names and OPTIMIZERS[name].averages:
        raise ValueError(
            f"--ema averages the weights, which --optimizer {name} already does: leave --ema out, or give another "
            "--optimizer"
        )


def _warmup_cosine(peak: float, steps: int) -> optax.Schedule:
    # At least one step is left for the cosine: a run of a single step has no warm-up.
    return optax.warmup_cosine_decay_schedule(0.0, peak, min(max(1, steps // 20), steps - 1), steps)


SCHEDULES = Axis(
    "schedule",
    Choice("constant", lambda peak, steps: optax.constant_schedule(peak), "peak learning rate at every step"),
    Choice("linear", lambda peak, steps: optax.linear_schedule(peak, 0.0, steps), "falls to 0 linearly"),
    Choice("cosine", lambda peak, steps: optax.cosine_decay_schedule(peak, steps), "falls to 0 by half a cosine"),
    Choice("warmup_cosine", _warmup_cosine, "rises from 0 over the first twentieth of the steps, then falls as cosine"),
    Choice(
        "exponential",
        lambda peak, steps: optax.exponential_decay(peak, steps, 0.01),
        "falls exponentially to a hundredth",
    ),
)


def make_optimizer(
    settings: Any, num_steps: int, constant: Callable[[float], optax.ScalarOrSchedule] = optax.constant_schedule
) -> Optimizer:
    """Optimizer that the settings describe, with gradient clipping and an average of the weights if they ask for them.

    Args:
      num_steps: training steps of the run, over which the learning rate follows its schedule.
      constant: makes a constant learning rate: a schedule, or a number (for which optax keeps no step count).
    """
    rate: Any = constant(settings.learning_rate)
    if settings.schedule != "constant":
        rate = SCHEDULES.build(settings, settings.learning_rate, num_steps)
    optimizer, evaluated = OPTIMIZERS.build(settings, rate)
    if settings.clip_norm is not None:
        optimizer = optax.chain(optax.clip_by_global_norm(settings.clip_norm), optimizer)
        of_optimizer = evaluated
        evaluated = lambda state, params: of_optimizer(state[-1], params)
    if hasattr(settings, "objective"):
        optimizer = OBJECTIVES.of(settings).optimizer(optimizer)
    if settings.ema is None:
        return Optimizer(optimizer, evaluated)
    return Optimizer(averaged(optimizer, settings.ema), averaged_params)
