"""Derivatives by the function that uses a parameter, on a model with separate parameters for each function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fresh import soon_started
from objectives.linear_gaussian import LATENT_DIM, examples, linear_gaussian, separated, wrong_params
from vae_jax import VAE, Normal
from vae_jax.distributions import Categorical, Delta
from vae_jax.models import mlp_vae
from vae_jax.objectives import (
    negative_dreg,
    negative_iwae,
    negative_stl,
    path_derivative,
    sampled_elbo,
    stop_generation,
    stop_inference,
)
from vae_jax.objectives._gradients import only_gradient, scale_gradient

MODEL, X, KEY = separated(linear_gaussian()), examples(1)[0], jax.random.key(0)
PARAMS = {part: wrong_params() for part in ("inference", "generation")}


@pytest.fixture(scope="module")
def results():
    """Values and gradients of the sampled ELBO, by the transformation of the model, computed in one program."""
    models = {
        "whole": MODEL,
        "no inference": stop_inference(MODEL),
        "no generation": stop_generation(MODEL),
        "path": path_derivative(MODEL),
        "path twice": path_derivative(MODEL, 2.0),
        "path only, from afar": stop_generation(path_derivative(MODEL)),
    }
    return jax.jit(
        lambda: {name: jax.value_and_grad(sampled_elbo, 1)(m, PARAMS, KEY, X) for name, m in models.items()}
    )()


@pytest.fixture
def whole(results):
    return results["whole"][1]


def assert_close(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), actual, expected)


@pytest.mark.slow
def test_the_value_is_the_same_to_the_bit_whatever_is_stopped(results):
    assert len({float(value) for value, _ in results.values()}) == 1


def test_each_half_of_the_gradient_alone(results, whole):
    nothing = jax.tree.map(jnp.zeros_like, wrong_params())
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(whole["inference"])) > 0.1
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(whole["generation"])) > 0.1
    assert_close(results["no inference"][1], {"inference": nothing, "generation": whole["generation"]})
    assert_close(results["no generation"][1], {"inference": whole["inference"], "generation": nothing})


def test_the_path_derivative_lacks_the_score_at_the_draw_and_a_factor_multiplies_it(results, whole):
    z = MODEL.encode(PARAMS, X).sample(KEY)
    score = jax.grad(lambda p: linear_gaussian().encode(p, X).log_prob(z))(PARAMS["inference"])
    assert np.abs(score["log_variance"]).max() > 0.1
    # The gradient of log q is along the path and of the parameters; the bound has it with a minus.
    path = jax.tree.map(jnp.add, whole["inference"], score)
    assert_close(results["path"][1], {"inference": path, "generation": whole["generation"]})
    twice = jax.tree.map(lambda g: 2 * g, path)
    assert_close(results["path twice"][1], {"inference": twice, "generation": whole["generation"]})
    assert_close(results["path only, from afar"][1]["inference"], path)


def test_only_gradient_and_scale_gradient():
    assert jax.value_and_grad(lambda x: only_gradient(x**3))(2.0) == (0.0, 12.0)
    value, (dx, dfactor) = jax.value_and_grad(lambda x, f: scale_gradient(x, f) ** 3, (0, 1))(2.0, 0.25)
    assert (value, dx, dfactor) == (8.0, 3.0, 0.0)
    # Forward mode too, and under vmap with a factor for each.
    _, tangents = jax.jvp(lambda x: jax.vmap(scale_gradient)(x, jnp.arange(3.0)), (jnp.ones(3),), (jnp.full(3, 5.0),))
    np.testing.assert_array_equal(tangents, [0.0, 5.0, 10.0])
    # The value is x itself, whatever x and the factor are.
    assert scale_gradient(jnp.inf, 1.0) == np.inf and scale_gradient(2.0, jnp.nan) == 2.0
    assert np.signbit(scale_gradient(-0.0, 1.0))


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_second_pass_of_dreg_is_compiled_into_the_first(beta):
    model = soon_started(mlp_vae((4, 4, 1), 2, hidden=(8,)))
    params, xs = model.init(jax.random.key(0)), jnp.zeros((3, 4, 4, 1))

    def products(objective):
        compiled = jax.jit(lambda params: objective(model, params, jax.random.key(1), xs)[0]).lower(params).compile()
        return compiled.as_text().count(" dot(")

    assert products(negative_dreg(5, beta=beta)) == products(negative_iwae(5)) > 0


def test_a_posterior_without_a_density_is_refused_in_words():
    deterministic = linear_gaussian()._replace(encode=lambda params, x: Delta(params["encoder"] @ x))
    # Like an autoregressive flow without an inverse, it has only the density of its own draws.

    class OneWay:
        def sample_and_log_prob(self, key):
            return jnp.zeros(LATENT_DIM), jnp.zeros(())

    one_way = linear_gaussian()._replace(encode=lambda params, x: OneWay())
    for objective, model, reason in (
        (negative_iwae(3), deterministic, "a Delta of floating-point values has no density"),
        (negative_dreg(3), deterministic, "a Delta of floating-point values has no density"),
        (negative_stl, deterministic, "a Delta of floating-point values has no density"),
        (negative_stl, one_way, "OneWay has no log_prob"),
    ):
        with pytest.raises(TypeError, match=rf"model: this objective needs log q\(z \| x\).*{reason}"):
            jax.eval_shape(lambda p, o=objective, m=model: o(m, p, KEY, X[None]), wrong_params())
    jax.eval_shape(lambda p: negative_iwae(2)(one_way, p, KEY, X[None]), wrong_params())


def test_a_posterior_of_integers_has_no_path_derivative():
    discrete = VAE(
        init=lambda key: {},
        encode=lambda params, x: Categorical(jnp.zeros((LATENT_DIM, 3))),
        prior=lambda params: Categorical(jnp.zeros((LATENT_DIM, 3))),
        decode=lambda params, z: Normal(z.sum() + jnp.zeros(4), jnp.zeros(4)),
    )
    for objective in (negative_stl, negative_dreg(2)):
        with pytest.raises(ValueError, match=r"model: a path derivative needs z.*got int32"):
            jax.eval_shape(lambda xs, o=objective: o(discrete, {}, KEY, xs), X[None])
