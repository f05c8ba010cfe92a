"""Fits that validate and keep parameters other than the trained ones, on a quadratic with a closed form."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from fresh import soon_started
from quick import quick
from training.quadratic import (
    EPOCHS,
    HELD_OUT,
    KEY,
    MODEL,
    RATE,
    STEPS,
    TRAIN,
    VALIDATION,
    Stream,
    loop,
    quadratic,
)
from vae_jax.models import vq_vae
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import vq_vae_loss
from vae_jax.quantizers import ema_vector_quantizer
from vae_jax.training import (
    as_trained,
    averaged,
    averaged_params,
    evaluated_params,
    fit,
    fit_ensemble,
    fit_stream,
    make_evaluate,
    partitioned,
)
from vae_jax.training._plan import split_key
from vae_jax.training.checkpoints import OrbaxCheckpoints


def fitted(optimizer, evaluated=as_trained, **options):
    options = {"epochs": EPOCHS, "batch_size": 4, "evaluated": evaluated} | options
    return fit(MODEL, quadratic, optimizer, TRAIN, HELD_OUT, KEY, **options)


def streamed(optimizer, evaluated, **options):
    options = {"epochs": EPOCHS, "evaluated": evaluated} | options
    return fit_stream(MODEL, quadratic, optimizer, Stream(), HELD_OUT, KEY, **options)


def ensemble(setup, numbers, evaluated, **options):
    keys = jax.random.split(KEY, len(numbers))
    options = {"epochs": EPOCHS, "batch_size": 4, "evaluated": evaluated} | options
    return fit_ensemble(MODEL, setup, jnp.asarray(numbers), TRAIN, HELD_OUT, keys, **options)


def half_path():
    """Entries of both parts after every step of gradient descent: half of the distance 1 - (1 - 2 rate)^t."""
    return 0.5 * (1.0 - (1.0 - 2.0 * RATE) ** np.arange(1.0, 1.0 + EPOCHS * STEPS))


def average(path, decay):
    weights = decay ** np.arange(len(path) - 1, -1, -1.0)
    return weights @ path / weights.sum()


def assert_kept(progress, ends):
    """Asserts that epoch e is validated with entries ends[e - 1] in both parts."""
    losses = [0.5 * 4 * (2 * end - VALIDATION[0, 0]) ** 2 for end in ends]
    np.testing.assert_allclose([row["validation/loss"] for row in progress.history], losses, rtol=1e-4, atol=1e-7)
    best = int(np.argmin(losses))
    assert progress.best_epoch == best + 1
    expected = {name: np.full((2, 2), ends[best]) for name in ("encoder", "critic")}
    chex.assert_trees_all_close(progress.best_params, expected, rtol=1e-5)
    return best


def averages(decay):
    return [average(half_path()[: (e + 1) * STEPS], decay) for e in range(EPOCHS)]


@pytest.mark.parametrize("way", [fitted, streamed])
def test_the_average_is_validated_and_kept_and_training_goes_on_from_the_trained_parameters(way):
    progress = way(averaged(optax.sgd(RATE), 0.9), averaged_params)
    path = half_path()
    # The average reaches the optimum of the validation loss later than the trained parameters.
    assert assert_kept(progress, averages(0.9)) > int(np.argmin(np.abs(2 * path[STEPS - 1 :: STEPS] - 0.55)))
    chex.assert_trees_all_close(progress.state.params["encoder"], np.full((2, 2), path[-1]), rtol=1e-5)
    last = evaluated_params(averaged_params, progress.state)
    chex.assert_trees_all_close(last["encoder"], np.full((2, 2), averages(0.9)[-1]), rtol=1e-5)


def test_by_default_the_trained_parameters_are():
    progress = fitted(optax.sgd(RATE))
    assert_kept(progress, half_path()[STEPS - 1 :: STEPS])
    chex.assert_trees_all_equal(evaluated_params(as_trained, progress.state), progress.state.params)


def test_the_models_of_an_ensemble_may_differ_in_their_decay():
    decays = [0.0, 0.5, 0.95]
    setup = lambda decay: (quadratic, averaged(optax.sgd(RATE), decay))
    progress = ensemble(setup, decays, averaged_params)
    best = [assert_kept(progress.member(i), averages(decay)) for i, decay in enumerate(decays)]
    assert best == sorted(best) and best[0] < best[-1]
    last = jax.vmap(partial(evaluated_params, averaged_params))(progress.state)
    expected = [averages(decay)[-1] for decay in decays]
    np.testing.assert_allclose(last["critic"][:, 0, 0], expected, rtol=1e-5)


@pytest.mark.slow
def test_schedule_free_parameters_are_those_of_optax_in_a_loop_of_its_own():
    optimizer = contrib.schedule_free_adamw(0.05, warmup_steps=3)
    evaluated = contrib.schedule_free_eval_params
    path = loop(optimizer, EPOCHS * STEPS)
    ends = [float(evaluated(state, params)["encoder"][0, 0]) for params, state in path[STEPS - 1 :: STEPS]]
    progress = fitted(optimizer, evaluated)
    assert_kept(progress, ends)
    params = path[-1][0]
    chex.assert_trees_all_close(progress.state.params, params, rtol=1e-5)
    assert abs(params["encoder"][0, 0] - ends[-1]) > 0.01
    # An ensemble keeps an optimizer's numbers in its state, one for each model.
    setup = lambda b1: (quadratic, contrib.schedule_free_sgd(0.05, b1=b1))
    many = ensemble(setup, [0.9, 0.5], evaluated)
    last = jax.vmap(partial(evaluated_params, evaluated))(many.state)
    for i in range(2):
        one = many.member(i).state
        expected = evaluated(one.opt_state, one.params)
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], last), expected, rtol=1e-6)
    assert abs(last["encoder"][0, 0, 0] - last["encoder"][1, 0, 0]) > 1e-3


class Stopped(Exception):
    pass


@pytest.mark.parametrize("way", quick(["fit", "fit_stream", "fit_ensemble"], "fit"))
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, way):
    optimizer = lambda decay: averaged(partitioned(optax.adam(0.05), {"critic": optax.sgd(0.03)}), decay)
    run = {
        "fit": partial(fitted, optimizer(0.9), averaged_params),
        "fit_stream": partial(streamed, optimizer(0.9), averaged_params),
        "fit_ensemble": partial(ensemble, lambda decay: (quadratic, optimizer(decay)), [0.9, 0.5], averaged_params),
    }[way]
    whole = run()

    def stop(history):
        if len(history[0] if way == "fit_ensemble" else history) == 3:
            raise Stopped

    checkpoints = lambda: OrbaxCheckpoints(tmp_path / "c", KEY, {}, every_seconds=0.0)
    with pytest.raises(Stopped):
        run(checkpoints=checkpoints(), on_epoch=stop)
    resumed = run(checkpoints=checkpoints())
    assert resumed.history == whole.history
    chex.assert_trees_all_equal(resumed.state, whole.state)
    chex.assert_trees_all_equal(resumed.best_params, whole.best_params)


@pytest.mark.slow
def test_buffers_are_not_averaged():
    encoder, decoder = mlp_encoder((4, 4, 1), 12, (8,)), mlp_decoder(12, (4, 4, 1, 1), (8,))
    model = soon_started(vq_vae(encoder, decoder, ema_vector_quantizer(8, 3, decay=0.5), (2, 2)))
    images = np.random.default_rng(0).integers(0, 2, (40, 4, 4, 1)).astype(np.float32)
    seen = []

    def evaluated(opt_state, params):
        seen.append(params.keys())
        return averaged_params(opt_state, params)

    progress = fit(
        model, vq_vae_loss, averaged(optax.adam(0.02), 0.9), images[:32], images[32:], KEY,
        epochs=1, batch_size=8, evaluated=evaluated,
    )  # fmt: skip
    assert seen and all("buffers" not in names for names in seen)
    state, best = progress.state, progress.best_params
    chex.assert_trees_all_equal(best, evaluated_params(evaluated, state))
    chex.assert_trees_all_equal(best["buffers"], state.params["buffers"])
    codes = [params["buffers"]["quantizers"]["level_1"]["codebook"] for params in (best, jax.jit(model.init)(KEY))]
    assert np.abs(codes[0] - codes[1]).max() > 0.01
    # The row's metrics are those of the average with the codebook after the epoch.
    evaluate = make_evaluate(model, vq_vae_loss, 8)
    losses = [evaluate(params, split_key(KEY).validation, images[32:])["loss"] for params in (best, state.params)]
    np.testing.assert_allclose(progress.history[0]["validation/loss"], losses[0], rtol=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-3


def began(*_):
    pytest.fail("it began")


def test_parameters_to_validate_that_do_not_suit_the_optimizer_or_the_model_are_refused():
    rounded = lambda opt_state, params: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    for evaluated, message in (
        (contrib.schedule_free_eval_params, "evaluated must take the state of this optimizer: .* no attribute 'b1'"),
        (averaged_params, r"evaluated must take the state of this optimizer: .*training\.averaged, got a tuple"),
        (
            rounded,
            r"evaluated must return params\['critic'\] with its type unchanged, float32\(2, 2\), got bfloat16\(2, 2\)",
        ),
        (
            lambda opt_state, params: {"encoder": params["encoder"]},
            r"params\['critic'\] .* float32\(2, 2\), got nothing",
        ),
        (
            lambda opt_state, params: params | {"more": params["critic"]},
            r"params\['more'\] .*, nothing, got float32\(2, 2\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            fit(MODEL, began, optax.adam(0.1), TRAIN, HELD_OUT, KEY, epochs=1, batch_size=4, evaluated=evaluated)
