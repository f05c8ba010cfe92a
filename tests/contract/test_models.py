"""Contract tests of models, which every row of the table passes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from contract.checks import assert_all_finite, assert_trees_close, params_of
from contract.models_table import IMAGE_SHAPE, LATENT_DIM, MODELS
from contract.objectives_table import IMAGES
from vae_jax import distributions
from vae_jax.params import join_buffers, split_buffers

model_rows = pytest.mark.parametrize("row", MODELS.values(), ids=MODELS.keys())


@pytest.mark.slow
@model_rows
def test_params_are_plain_dicts_of_arrays_with_stable_paths(row):
    params = params_of(row.model)
    paths = set()

    def walk(tree, prefix):
        for name, value in tree.items():
            path = f"{prefix}{name}"
            if type(value) is dict:
                walk(value, f"{path}/")
            else:
                assert isinstance(value, jax.Array)
                assert value.dtype == jnp.float32
                paths.add(path)

    assert type(params) is dict
    walk(params, "")
    assert paths == row.paths


@pytest.mark.slow
@model_rows
def test_init_is_a_function_of_its_key(row):
    first, repeated, other = (ravel_pytree(row.model.init(jax.random.key(seed)))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, repeated)
    assert np.mean(first != other) > 0.5  # the kernels differ; biases are initially zero


def _examples(row):
    return IMAGES if row.examples is None else row.examples


def _chain(model, params, key, x):
    """Draws z ~ q(z | x) and x' ~ p(x | z), and evaluates all densities."""
    z_key, x_key = jax.random.split(key)
    posterior, prior = model.encode(params, x), model.prior(params)
    # A Delta of floating-point values has no density (its TypeError is tested elsewhere); 0 is used instead.
    point = isinstance(posterior, distributions.Delta)
    z, log_q = (posterior.sample(z_key), jnp.zeros(())) if point else posterior.sample_and_log_prob(z_key)
    likelihood = model.decode(params, z)
    drawn = likelihood.sample(x_key)
    return {
        "z": z,
        "log_q": log_q,
        "log_prior": prior.log_prob(z),
        "log_likelihood": likelihood.log_prob(x),
        "x": drawn,
        "log_likelihood_of_draw": likelihood.log_prob(drawn),
    }


@pytest.mark.slow
@model_rows
def test_encode_sample_decode_chain_is_finite_and_has_the_right_shapes(row):
    x = jax.tree.map(lambda leaf: leaf[0], _examples(row))
    chain = _chain(row.model, params_of(row.model), jax.random.key(1), x)
    assert_all_finite(chain)
    assert {name: jax.tree.map(jnp.shape, value) for name, value in chain.items()} == {
        "z": row.z_shape,
        "log_q": (),
        "log_prior": (),
        "log_likelihood": (),
        "x": jax.tree.map(jnp.shape, x),
        "log_likelihood_of_draw": (),
    }
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(chain["z"]))
    assert jax.tree.map(lambda leaf: leaf.dtype, chain["x"]) == jax.tree.map(lambda leaf: leaf.dtype, x)
    assert all(value.dtype == jnp.float32 for name, value in chain.items() if name not in ("z", "x"))
    if not row.standard_prior:
        return
    # The prior is the standard Normal, in float64: -1/2 |z|^2 - D/2 log 2 pi.
    z = np.asarray(chain["z"], np.float64)
    np.testing.assert_allclose(chain["log_prior"], -0.5 * (z**2).sum() - LATENT_DIM / 2 * np.log(2 * np.pi), rtol=1e-5)


@pytest.mark.slow
@model_rows
def test_model_under_jit_and_vmap_agrees_with_a_python_loop(row):
    params, keys, examples = params_of(row.model), jax.random.split(jax.random.key(2), len(IMAGES)), _examples(row)
    chain = lambda key, x: _chain(row.model, params, key, x)
    one = lambda i: chain(keys[i], jax.tree.map(lambda leaf: leaf[i], examples))
    loop = jax.tree.map(lambda *a: jnp.stack(a), *map(one, range(len(keys))))
    batched = jax.jit(jax.vmap(chain))(keys, examples)
    assert_trees_close(batched["x"], loop["x"], rtol=1e-5, atol=1 / 255 + 1e-5)  # a pixel at the edge between two bins
    for name in set(loop) - {"x", "log_likelihood_of_draw"}:
        assert_trees_close(batched[name], loop[name], rtol=2e-5, atol=1e-5)


@pytest.mark.slow
@model_rows
def test_model_is_finite_with_finite_gradients_at_extreme_latent_codes(row):
    # Latent codes at 30 prior standard deviations, and black and white images: outputs are about +-20.
    trained, buffers = split_buffers(params_of(row.model))

    def log_joint(trained, z, x):
        params = join_buffers(trained, buffers)
        return row.model.decode(params, z).log_prob(x) + row.model.prior(params).log_prob(z)

    grads_of = jax.jit(jax.value_and_grad(log_joint, argnums=(0, 1), allow_int=True))
    ordinary = row.model.prior(params_of(row.model)).sample(jax.random.key(0))
    # Integers and one-hot vectors have no extreme values, and integers no gradients.
    may_be_extreme = lambda a: row.any_code and jnp.issubdtype(a.dtype, jnp.floating)
    extremes = np.stack([np.zeros(IMAGE_SHAPE, np.float32), np.ones(IMAGE_SHAPE, np.float32)])
    extremes = extremes if row.examples is None else row.examples
    for extreme, i in itertools.product((-30.0, 30.0), (0, 1)):
        x = jax.tree.map(lambda leaf, i=i: leaf[i], extremes)
        z = jax.tree.map(lambda a, value=extreme: jnp.full_like(a, value) if may_be_extreme(a) else a, ordinary)
        value, grads = grads_of(trained, z, x)
        assert np.isfinite(value)
        assert_all_finite([leaf for leaf in jax.tree.leaves(grads) if leaf.dtype != jax.dtypes.float0])
