"""Models composed of the choices of every axis, by what they have and compute."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks.programs import equations_of
from vae_jax.data import Images
from vae_jax.runs import VAE, Settings
from vae_jax.runs.checks import with_defaults
from vae_jax.runs.images.kind import resolve
from vae_jax.runs.images.problem import make_problem, without_data
from vae_jax.runs.images.vae import describe_kl, make_model, make_objective

RNG = np.random.default_rng(0)
IMAGES = Images(
    "noise",
    RNG.integers(0, 256, (60, 4, 4, 1)).astype(np.uint8),
    np.arange(60, dtype=np.int32) % 3,
    RNG.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8),
    np.arange(20, dtype=np.int32) % 3,
    "",
)


def composed(**given):
    """The problem and the model of some settings."""
    settings = resolve(Settings(**{"batch_size": 8, "validation_size": 10, "latent_dim": 3, **given}), IMAGES)
    problem = make_problem(settings, IMAGES)
    return problem, make_model(settings, problem)


def shapes_of(model):
    return jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(model.init, jax.random.key(0)))


def test_the_decoder_starts_at_the_mean_training_image():
    problem, model = composed(hidden=(6,))
    params = jax.jit(model.init)(jax.random.key(0))
    probability = 1 / (1 + np.exp(-np.asarray(params["decoder"]["output"]["bias"], np.float64)))
    np.testing.assert_allclose(probability, problem.train.mean(axis=0).ravel() / 255, rtol=1e-4)


def test_networks_are_of_the_widths_and_the_code_that_were_asked_for():
    params = shapes_of(composed(hidden=(7, 5))[1])
    kernels = lambda part: [params[part][name]["kernel"] for name in ("hidden_0", "hidden_1", "output")]
    assert kernels("encoder") == [(16, 7), (7, 5), (5, 6)]
    assert kernels("decoder") == [(3, 5), (5, 7), (7, 16)]
    params = shapes_of(composed(network="conv", hidden=(9,), channels=(2, 3))[1])
    assert params["encoder"]["hidden"]["kernel"] == (3, 9)
    assert params["encoder"]["conv_1"]["kernel"] == (4, 4, 2, 3)
    assert params["decoder"]["output"]["kernel"] == (4, 4, 1, 2)
    # A mean and a variance for each dimension of z; with a covariance between them; or one point.
    for posterior, outputs in (("normal", 6), ("full_covariance", 9), ("delta", 3)):
        prior = "fitted" if posterior == "delta" else "normal"
        assert shapes_of(composed(posterior=posterior, prior=prior)[1])["encoder"]["output"]["bias"] == (outputs,)


def test_a_dense_layer_of_two_widths_is_refused_by_the_network_that_has_one():
    message = "--network conv has one dense layer: give one width to --hidden, got 2"
    with pytest.raises(ValueError, match=message):
        composed(network="conv", hidden=(4, 4))


@pytest.mark.parametrize("network", ["mlp", "conv", "residual"])
@pytest.mark.parametrize("rematerialize", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_compute_in_the_precision_that_was_asked_for_and_again_where_told(network, precision, rematerialize):
    small = {"hidden": (6,), "channels": (2,), "residual_hidden": 2, "residual_layers": 1}
    _, model = composed(network=network, precision=precision, rematerialize=rematerialize, **small)
    params = jax.eval_shape(model.init, jax.random.key(0))
    for part, shape in ((model.encode, (4, 4, 1)), (model.decode, (3,))):
        equations = equations_of(part, params, jnp.ones(shape))
        products = [equation for equation in equations if equation.primitive.name == "dot_general"]
        assert {var.aval.dtype for product in products for var in product.invars} == {jnp.dtype(precision)}
        assert any(equation.primitive.name == "remat2" for equation in equations) == rematerialize


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "KL in closed form; "),
        ({"objective": "beta"}, "KL in closed form; "),
        ({"prior": "vamp"}, "KL estimated by sampling z, because it has no closed form with --prior vamp; "),
        ({"objective": "iwae"}, ""),
    ],
)
def test_a_run_says_which_kl_its_loss_takes(given, words):
    settings = with_defaults(VAE, Settings(likelihood="bernoulli", binarization="dynamic", hidden=(4,), **given))
    problem = without_data(settings, (4, 4, 1))
    prepared = SimpleNamespace(settings=settings, problem=problem, model=make_model(settings, problem))
    assert describe_kl(prepared) == words


def test_a_warm_up_is_given_in_epochs_and_counts_steps():
    problem, model = composed(kl_warm_up=2, epochs=10)
    settings = with_defaults(VAE, Settings(kl_warm_up=2, epochs=10))
    assert make_objective(settings, problem, model, 70, None).warm_up_steps == 14  # 7 steps in each epoch


@pytest.mark.parametrize("count", [5, 120])
def test_pseudo_inputs_start_at_training_images_evenly_spaced_with_their_labels(count):
    problem, model = composed(prior="vamp", pseudo_inputs=count, condition="labels", hidden=(4,))
    params = model.init(jax.random.key(0))
    total = len(problem.train)
    places = (np.arange(min(count, total)) * total // min(count, total))[np.arange(count) % total]
    expected = np.clip(problem.train[places] / 255.0, 0.01, 0.99)
    np.testing.assert_allclose(params["prior"]["pseudo_inputs"], expected, atol=1e-6)
    np.testing.assert_array_equal(params["buffers"]["pseudo_contexts"], problem.train_contexts[places])
