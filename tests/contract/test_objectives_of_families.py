"""Contract tests of objectives on conditional models, whose examples are `Example(x, context)`.

The type of an objective says if it is a mean over examples. If so, it must equal the mean of its values for each
example and the model of its context. If not, it must equal its value for the model of a context that all examples of
the batch share.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.checks import assert_trees_close
from contract.objectives_table import CODE_MODEL, IMAGES, OBJECTIVES, VAE_MODEL, VAE_PARAMS
from vae_jax import objectives as o
from vae_jax.distributions import Normal
from vae_jax.models import VAE, Conditional, Example, with_vamp_prior
from vae_jax.models.contexts import labels

CONTEXTS = np.array([0.3, -0.2, 0.1, -0.4], np.float32)
KEYS = jax.random.split(jax.random.key(0), 4)
# One objective of each kind: a mean over examples, a statistic of the batch, an update of buffers by the batch.
QUICK = ("negative_elbo", "dip_vae_ii_loss(2.0)", "vq_vae_loss")


def family_of(model):
    """Conditional model with network weights multiplied by 1 + context, and a Normal prior shifted by the context."""

    def given(context):
        def scaled(params):
            networks = {name: params[name] for name in ("encoder", "decoder")}
            return {**params, **jax.tree.map(lambda leaf: (1 + context) * leaf, networks)}

        def prior(params):
            prior = model.prior(params)
            return Normal(prior.mean + context, prior.log_variance) if isinstance(prior, Normal) else prior

        encode, decode = (lambda params, x, part=part: part(scaled(params), x) for part in (model.encode, model.decode))
        return VAE(model.init, encode, prior, decode)

    return Conditional(model.init, given)


def is_mean(row):
    return isinstance(o.at_step(row.objective, 0), o.mean_over_batch)


def needs_known_examples(row):
    """Returns whether the objective estimates the aggregate posterior by all examples, whose contexts it lacks."""
    return not row.needs_batch and not is_mean(row)


def rows(*names):
    return pytest.mark.parametrize("row", [OBJECTIVES[name] for name in names], ids=names)


def test_the_kind_of_every_row_is_given_by_its_type():
    names = [name for name, row in OBJECTIVES.items() if needs_known_examples(row)]
    assert names == ["beta_tcvae_loss(6.0), exact"]
    assert not any(is_mean(row) and (row.needs_batch or row.needs_size) for row in OBJECTIVES.values())
    assert sum(map(is_mean, OBJECTIVES.values())) >= 15


def test_every_docstring_says_its_kind():
    for row in OBJECTIVES.values():
        if row.name != "scheduled":  # whose kind is that of what it schedules
            words = " ".join(getattr(o, row.name).__doc__.split()).lower()
            assert ("a mean over the batch" in words) == is_mean(row), row.name
            assert ("it needs its batch as a whole: no microbatches." in words) != is_mean(row), row.name


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, row in OBJECTIVES.items()
        if not needs_known_examples(row) and not isinstance(row.problem.model, Conditional)
    ],
)
def test_an_objective_of_a_conditional_model_has_the_value_of_its_kind_for_any_batch_size_and_under_vmap(row):
    model, params, xs = row.problem
    objective, family = row.objective, family_of(model)

    def value(model, keys, batch):
        loss, aux = objective(model, params, keys, batch)
        return {"loss": loss, **aux.metrics}, aux.buffers

    def single(example):
        key, x, context = example
        return value(family.given(context), key[None], x[None])[0]

    @jax.jit
    def program(keys, xs, contexts):
        # Two batches, mapped by vmap, with four contexts each for a mean over examples, and one context each otherwise.
        pair = jnp.stack([contexts, contexts[::-1]] if is_mean(row) else jnp.broadcast_to(contexts[:2, None], (2, 4)))
        found = jax.vmap(lambda contexts: value(family, keys, Example(xs, contexts)))(pair)
        if is_mean(row):
            mean_by_loop = lambda contexts: jax.tree.map(jnp.mean, jax.lax.map(single, (keys, xs, contexts)))
            expected = (jax.lax.map(mean_by_loop, pair), found[1])  # buffers do not change
        else:
            expected = jax.lax.map(lambda context: value(family.given(context), keys, xs), contexts[:2])
        twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), (keys, Example(xs, pair[0])))
        return found, expected, value(family, *twice)[0]

    found, expected, twice = program(KEYS, xs, CONTEXTS)
    assert_trees_close(found, expected, rtol=1e-5, atol=1e-5)
    losses = found[0]["loss"]
    assert abs(losses[0] - losses[1]) > 1e-3 * abs(losses[0])  # the loss depends on the context
    if not row.needs_size:
        assert_trees_close(twice["loss"], losses[0], rtol=1e-5)


@rows(*QUICK[:2])
def test_an_objective_of_a_conditional_model_under_jit_agrees_with_eager_mode(row):
    model, params, xs = row.problem
    family, batch = family_of(model), Example(xs, CONTEXTS)
    eager = row.objective(family, params, KEYS, batch)
    jitted = jax.jit(lambda keys, batch: row.objective(family, params, keys, batch))(KEYS, batch)
    assert_trees_close(jitted, eager, rtol=2e-5)


def test_unexpected_and_missing_contexts_are_refused_by_every_kind():
    for name in QUICK:
        model, params, xs = OBJECTIVES[name].problem
        with pytest.raises(TypeError, match="model takes no context"):
            OBJECTIVES[name].objective(model, params, KEYS, Example(xs, CONTEXTS))
        with pytest.raises(TypeError, match="model is a Conditional and needs a context"):
            OBJECTIVES[name].objective(family_of(model), params, KEYS, xs)
        with pytest.raises(ValueError, match=r"batch\.x has 4, batch\.context has 3"):
            OBJECTIVES[name].objective(family_of(model), params, KEYS, Example(xs, CONTEXTS[:3]))
    assert OBJECTIVES["vq_vae_loss"].problem.model is CODE_MODEL


def test_a_label_out_of_range_is_refused_by_every_kind_unless_it_is_traced():
    for name in QUICK:
        model, params, xs = OBJECTIVES[name].problem
        family, batch = Conditional(model.init, lambda label, m=model: m, labels(3).check), Example(xs, jnp.arange(4))
        with pytest.raises(ValueError, match=r"batch\.context must be an integer label from 0 to 2, got 3"):
            OBJECTIVES[name].objective(family, params, KEYS, batch)
        jax.eval_shape(partial(OBJECTIVES[name].objective, family, params, KEYS), batch)


@pytest.mark.parametrize("objective", [o.negative_sampled_elbo, o.negative_iwae(3)], ids=["elbo", "iwae"])
def test_the_pseudo_inputs_of_a_conditional_model_are_encoded_once_per_call(objective):
    encoded = []

    def counting(params, x):
        jax.debug.callback(lambda x: encoded.append(x), jnp.sum(x))
        return VAE_MODEL.encode(params, x)

    family = with_vamp_prior(family_of(VAE_MODEL._replace(encode=counting)), 3, IMAGES.shape[1:], contexts=CONTEXTS[:3])
    params = {**family.init(jax.random.key(0)), **VAE_PARAMS}
    encoded.clear()
    jax.block_until_ready(jax.jit(objective, static_argnums=0)(family, params, KEYS, Example(IMAGES, CONTEXTS)))
    jax.effects_barrier()
    assert len(encoded) == 3 + 4  # pseudo-inputs and examples; 3 * 4 + 4 if pseudo-inputs were encoded for each example
