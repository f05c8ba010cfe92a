import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.linear_gaussian import exact_params, examples, linear_gaussian
from vae_jax.objectives import mean_over_batch


def test_mean_over_batch_gives_each_example_a_key_and_takes_means():
    def objective(model, params, key, x):
        return x[0] * params["scale"], {"noise": jax.random.normal(key), "square": x[0] ** 2}

    batch = np.array([[1.0], [2.0], [6.0]], np.float32)
    key = jax.random.key(0)
    params = {"scale": jnp.asarray(2.0)}
    loss, aux = jax.jit(mean_over_batch(objective), static_argnums=0)(None, params, key, batch)
    assert loss == 6.0
    np.testing.assert_allclose(aux.metrics["square"], 41 / 3, rtol=1e-6)
    noises = [jax.random.normal(k) for k in jax.random.split(key, 3)]
    assert len({float(noise) for noise in noises}) == 3
    np.testing.assert_allclose(aux.metrics["noise"], np.mean(noises), rtol=1e-5)
    assert aux.buffers is None


@pytest.mark.slow
def test_the_gradient_is_the_mean_of_the_examples_gradients():
    model, params, batch = linear_gaussian(), exact_params(), examples(3)
    gradient = jax.grad(
        lambda p, xs: mean_over_batch(lambda m, p, k, x: (m.decode(p, x[:2]).log_prob(x), {}))(
            model, p, jax.random.key(0), xs
        )[0]
    )
    alone = [gradient(params, batch[i : i + 1])["weights"] for i in range(3)]
    np.testing.assert_allclose(gradient(params, batch)["weights"], np.mean(alone, axis=0), rtol=1e-5)
