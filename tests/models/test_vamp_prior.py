"""VampPrior of a conditional model, whose pseudo-inputs have contexts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from fresh import some_params
from models.matrix_products import matrix_products
from models.small_family import FAMILY, IMAGE, KEY, LABELS, PARAMS, XS, YS, loss
from vae_jax.models import (
    Example,
    conditional_vae,
    contexts,
    sample,
    with_vamp_prior,
)
from vae_jax.models._model import common_prior
from vae_jax.objectives import negative_sampled_elbo

PSEUDO = np.random.default_rng(3).uniform(0.1, 0.9, (5, *IMAGE)).astype(np.float32)
PSEUDO_CONTEXTS = np.array([0, 1, 2, 2, 0], np.int32)


def vamp(**choices):
    model = with_vamp_prior(FAMILY, 5, IMAGE, PSEUDO, contexts=PSEUDO_CONTEXTS, **choices)
    params = {
        **PARAMS,
        "prior": {"pseudo_inputs": jnp.asarray(PSEUDO)},
        "buffers": {"pseudo_contexts": PSEUDO_CONTEXTS},
    }
    initial = model.init(jax.random.key(0))
    np.testing.assert_array_equal(initial["buffers"]["pseudo_contexts"], PSEUDO_CONTEXTS)
    np.testing.assert_array_equal(initial["prior"]["pseudo_inputs"], PSEUDO)
    z = np.array([0.3, -1.0], np.float32)
    log_probs = np.array(
        [float(FAMILY.given(y).encode(PARAMS, u).log_prob(z)) for u, y in zip(PSEUDO, PSEUDO_CONTEXTS, strict=True)]
    )
    return model, params, z, log_probs


@pytest.mark.slow
def test_by_default_the_prior_is_the_mean_over_all_pseudo_inputs_with_their_contexts():
    model, params, z, log_probs = vamp()
    prior = common_prior(model, params, jnp.asarray(YS))  # one prior for all examples
    np.testing.assert_allclose(prior.log_prob(z), scipy.special.logsumexp(log_probs) - np.log(5), rtol=1e-5)


def test_with_match_context_the_prior_is_the_mean_over_the_pseudo_inputs_with_that_label():
    model, params, z, log_probs = vamp(match_context=True)
    assert common_prior(model, params, jnp.asarray(YS)) is None
    found = jax.jit(jax.vmap(lambda y: model.given(y).prior(params).log_prob(z)))(jnp.arange(3))
    for label in range(3):
        matching = log_probs[label == PSEUDO_CONTEXTS]
        expected = scipy.special.logsumexp(matching) - np.log(len(matching))
        np.testing.assert_allclose(found[label], expected, rtol=1e-5)
    by_vector = conditional_vae(IMAGE, contexts.vector(2), 2, (5,))
    rows = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    model = with_vamp_prior(by_vector, 2, IMAGE, contexts=rows, match_context=True)
    logits = (
        model.given(jnp.array([2.0, 1.0])).prior(some_params(model) | {"buffers": {"pseudo_contexts": rows}}).logits
    )
    np.testing.assert_array_equal(logits, [-np.inf, 0.0])
    with pytest.raises(
        ValueError, match=r"ys must hold contexts of the pseudo-inputs, got \[2.0, 3.0\] .* at example 1"
    ):
        model.check("ys", np.array([[2.0, 1.0], [2.0, 3.0]], np.float32))


def test_prior_and_draws_are_nan_for_a_traced_label_that_no_pseudo_input_has():
    model = with_vamp_prior(FAMILY, 2, IMAGE, PSEUDO[:2], contexts=np.array([0, 2], np.int32), match_context=True)
    params = model.init(KEY)

    @jax.jit
    @jax.vmap
    def drawn(y):
        prior = model.given(y).prior(params)
        z, log_prob = prior.sample_and_log_prob(KEY)
        return prior.sample(KEY), z, log_prob, prior.log_prob(jnp.zeros(2)), prior.mean

    for values in drawn(jnp.arange(3)):
        np.testing.assert_array_equal(np.isnan(values).reshape(3, -1).all(axis=1), [False, True, False])
        assert np.isfinite(values[::2]).all()
    with pytest.raises(ValueError, match="context must hold contexts of the pseudo-inputs, got 1"):
        sample(model, params, KEY, context=1)


@pytest.mark.parametrize("match_context", [False, True])
def test_a_batch_encodes_the_pseudo_inputs_of_a_family_once(match_context):
    # Distinct sizes: batch 11, 4 pseudo-inputs, hidden layer 7.
    family = conditional_vae(IMAGE, LABELS, 2, (7,))
    model = with_vamp_prior(family, 4, IMAGE, contexts=np.array([0, 1, 2, 0]), match_context=match_context)
    params = jax.eval_shape(model.init, KEY)
    batch = Example(jax.ShapeDtypeStruct((11, *IMAGE), jnp.float32), jax.ShapeDtypeStruct((11,), jnp.int32))
    objective = lambda params, batch: negative_sampled_elbo(model, params, KEY, batch)[0]
    shapes = list(matrix_products(jax.make_jaxpr(objective)(params, batch).jaxpr))
    assert (4, 7) in shapes and (11, 7) in shapes
    assert not [shape for shape in shapes if 4 in shape and 11 in shape and 7 in shape]


@pytest.mark.slow
def test_pseudo_contexts_are_not_trained():
    model, params, _, _ = vamp()
    trained = {name: leaf for name, leaf in params.items() if name != "buffers"}
    aux = negative_sampled_elbo(model, params, KEY, Example(XS, YS))[1]
    np.testing.assert_array_equal(aux.buffers["pseudo_contexts"], PSEUDO_CONTEXTS)
    gradient = jax.grad(lambda t: loss(negative_sampled_elbo, model, {**t, "buffers": params["buffers"]}, XS, YS))(
        trained
    )
    assert np.abs(gradient["prior"]["pseudo_inputs"]).min() > 0
