"""Optimizers of optax in `fit`: supported ones, and those that need more arguments than a training step passes."""

from functools import partial

import chex
import numpy as np
import optax
import pytest
from optax import contrib

from training.quadratic import HELD_OUT, KEY, MODEL, STEPS, TRAIN, Stream, loop, quadratic
from vae_jax.training import fit, fit_ensemble, fit_stream, partitioned


def test_the_optimizers_of_optax_train_as_in_a_loop_of_their_own():
    for name, optimizer in (
        ("adamw", optax.adamw(0.05)),
        ("lion", optax.lion(0.01)),
        ("muon", contrib.muon(0.02)),
        ("schedule_free_adamw", contrib.schedule_free_adamw(0.05)),
        ("reduce_on_plateau", optax.chain(optax.sgd(0.05), contrib.reduce_on_plateau(patience=1, rtol=0.5))),
        ("polyak_sgd", optax.polyak_sgd(max_learning_rate=0.02)),
    ):
        params, _ = loop(optimizer, STEPS)[-1]
        progress = fit(MODEL, quadratic, optimizer, TRAIN, HELD_OUT, KEY, epochs=1, batch_size=4)
        chex.assert_trees_all_close(progress.state.params, params, rtol=1e-5, custom_message=name)
        assert np.abs(params["encoder"]).min() > 1e-3, name


def began(*_):
    pytest.fail("it began")


def test_an_optimizer_that_asks_for_more_than_a_step_gives_is_refused_before_anything_is_computed():
    # Every second step of sam is away from the minimum, on another batch than the step back, and may end an epoch.
    sam = partial(contrib.sam, optax.sgd(0.1), optax.sgd(0.1))
    refused = {
        r"scale_by_zoom_linesearch.* missing 2 required .*'grad' and 'value_fn'": optax.lbfgs(),
        r"scale_by_backtracking_linesearch.*'grad' and 'value_fn'": optax.scale_by_backtracking_linesearch(5),
        r"sam\.<locals>\.transparent_update_fn\(\) got an unexpected keyword argument 'value'": sam(),
        r"sam\.<locals>\.opaque_update_fn\(\)": sam(opaque_mode=True),
        r"obj_fn must be provided to hutchinson": contrib.sophia(0.1),
        r"'dict' object has no attribute 'fast'": optax.lookahead(optax.sgd(0.1), 5, 0.5),
        r"transparent_update_fn\(\)": partitioned(optax.sgd(0.1), {"critic": sam()}),
    }
    expected = r"^optimizer must compute its update from the gradient, the parameters and the loss \(value\) of a step"
    for message, optimizer in refused.items():
        with pytest.raises(ValueError, match=f"{expected}.*{message}") as caught:
            fit(MODEL, began, optimizer, TRAIN, HELD_OUT, KEY, epochs=1, batch_size=4)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=expected):
        fit_stream(MODEL, began, sam(), Stream(), HELD_OUT, KEY, epochs=1)
    with pytest.raises(ValueError, match=expected):
        fit_ensemble(MODEL, lambda _: (began, sam()), None, TRAIN, HELD_OUT, KEY[None], epochs=1, batch_size=4)
