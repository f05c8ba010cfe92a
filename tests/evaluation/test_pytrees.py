"""Evaluators on examples that are dicts of two arrays: same results as for a model of one array."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluation.linear_gaussian_of import examples_of, log_likelihood_of, model_of, wrong_params_of
from quick import quick
from vae_jax import VAE, Normal
from vae_jax.distributions import Distribution
from vae_jax.evaluation import (
    annealed_importance_sampling,
    bidirectional,
    elbo_surgery,
    importance_sampling,
    mean_over_samples,
    measure_vae,
    over_examples,
    sigmoid_temperatures,
)
from vae_jax.evaluation._importance_sampling import default_chunk_size
from vae_jax.objectives import elbo_terms

KEY, MODEL, WRONG, XS = jax.random.key(0), model_of(2), wrong_params_of(2), examples_of(2, 7)
COLUMNS = {"age": XS[:, 0], "others": XS[:, 1:]}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Columns(Distribution):
    """Normal of four numbers, given as dict of one number and three."""

    normal: Normal

    @property
    def mean(self):
        return split(self.normal.mean)

    def sample(self, key):
        return split(self.normal.sample(key))

    def log_prob(self, value):
        return self.normal.log_prob(joined(value))


def split(x):
    return {"age": x[0], "others": x[1:]}


def joined(x):
    return jnp.concatenate([x["age"][None], x["others"]])


TABLE = VAE(
    init=MODEL.init,
    encode=lambda params, x: MODEL.encode(params, joined(x)),
    prior=MODEL.prior,
    decode=lambda params, z: Columns(MODEL.decode(params, z)),
)

EVALUATORS = {
    "importance_sampling": lambda model, xs: importance_sampling(model, WRONG, KEY, xs, 50, batch_size=3),
    "annealing": lambda model, xs: annealed_importance_sampling(
        model, WRONG, KEY, xs, temperatures=sigmoid_temperatures(5), num_chains=4, num_leapfrog=2, batch_size=3
    ),
    "elbo": lambda model, xs: mean_over_samples(elbo_terms, model, WRONG, KEY, xs, 5, 3),
    "surgery": lambda model, xs: elbo_surgery(model, WRONG, KEY, xs, 20),
    "measures": lambda model, xs: measure_vae(model, WRONG, KEY, xs, 5, 30).summary,
}


@pytest.mark.parametrize("name", quick(EVALUATORS, "elbo", "surgery"))
def test_examples_that_are_a_dict_have_the_numbers_of_one_array(name):
    columns, array = EVALUATORS[name](TABLE, COLUMNS), EVALUATORS[name](MODEL, XS)
    assert jax.tree.structure(columns) == jax.tree.structure(array)
    for one, other in zip(jax.tree.leaves(columns), jax.tree.leaves(array), strict=True):
        if not isinstance(other, str):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_model_draws_such_examples_between_whose_bounds_is_log_p():
    sandwich = bidirectional(TABLE, WRONG, KEY, 60, temperatures=sigmoid_temperatures(30), num_chains=32)
    truth = log_likelihood_of(WRONG, jax.vmap(joined)(sandwich.xs))
    for difference in (sandwich.lower - truth, truth - sandwich.upper):
        ratio = np.expm1(np.asarray(difference, np.float64))
        assert abs(ratio.mean()) < 5 * ratio.std(ddof=1) / np.sqrt(60)


def test_a_chunk_is_of_the_numbers_of_all_leaves():
    assert default_chunk_size({"a": jnp.zeros((2, 30_000)), "b": jnp.zeros((2, 100, 100))}, 2) == 100


def test_leaves_of_different_lengths_and_empty_trees_are_refused():
    unequal = {**COLUMNS, "age": XS[:3, 0]}
    for evaluate in EVALUATORS.values():
        with pytest.raises(ValueError, match=r"xs\['age'\] has 3, xs\['others'\] has 7"):
            evaluate(TABLE, unequal)
    with pytest.raises(ValueError, match="xs must hold at least one array"):
        over_examples(lambda vae, params, key, x: 0.0, TABLE, WRONG, KEY, {}, 3)
    with pytest.raises(TypeError, match=r"xs\['age'\] holds raw uint8 pixels"):
        importance_sampling(TABLE, WRONG, KEY, {**COLUMNS, "age": np.zeros(7, np.uint8)}, 5)
