"""Exported functions of a model: the distribution of the sampler, and reasons why functions cannot be exported."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.models_table import MODELS as CONTRACT_MODELS
from export.small_models import IMAGE_SHAPE, made
from models.code_priors.tiny_priors import all_sequences, random_params
from vae_jax.distributions import Laplace
from vae_jax.export import functions_of
from vae_jax.models import Sampling, pixel_cnn_prior, transformer_prior
from vae_jax.models.code_priors._code_prior import code_from_uniform, sampling_logits

K = 3
DEFAULT_SAMPLING = Sampling()


def sampler(name):
    return next(f for f in made(name)[2].written if f.name == "sampler")


PRIORS = {
    "transformer": lambda: transformer_prior(K, 3, num_classes=2, layers=1, width=4, heads=2),
    "pixel_cnn": lambda: pixel_cnn_prior(K, (1, 3), layers=2, channels=4),
}


@pytest.mark.parametrize("name", PRIORS)
def test_each_sequence_of_codes_is_drawn_from_a_box_of_uniform_numbers_with_its_probability(name):
    """Checks that a sequence is drawn at both ends of the box whose side lengths are its conditional probabilities."""
    prior = PRIORS[name]()
    params, label = random_params(prior.init, deviation=0.7), 1 if prior.num_classes else None
    codes = all_sequences(K, 3)
    probabilities = np.exp(np.asarray(jax.jit(jax.vmap(lambda c: prior.log_prob(params, c, label)))(codes), np.float64))
    joint = probabilities.reshape(K, K, K) / probabilities.sum()
    # For each place given the previous ones: the probability of all smaller codes, and of the code itself.
    marginals = [joint.sum((1, 2)), joint.sum(2), joint]
    conditionals = [m / m.sum(-1, keepdims=True) for m in marginals]
    # A code depends on the previous ones, and no interval is too short for 24-bit numbers.
    assert conditionals[2].std((0, 1)).max() > 0.02 and min(c.min() for c in conditionals) > 1e-3
    own = np.stack([c[tuple(codes[:, : t + 1].T)] for t, c in enumerate(conditionals)], axis=1)
    below = np.stack([(np.cumsum(c, -1) - c)[tuple(codes[:, : t + 1].T)] for t, c in enumerate(conditionals)], axis=1)
    draw = jax.jit(jax.vmap(lambda u: prior.from_uniforms(params, u, label, DEFAULT_SAMPLING)))
    for ends in itertools.product((0.002, 0.998), repeat=3):
        uniforms = (below + own * np.array(ends)).astype(np.float32)
        np.testing.assert_array_equal(draw(uniforms), codes)


@pytest.mark.slow
def test_codes_of_probability_0_are_never_drawn_and_nan_probabilities_give_an_invalid_code():
    logits = jnp.array([-jnp.inf, 1.0, -jnp.inf, 0.5, -jnp.inf])
    uniforms = np.array([1e-30, 0.3, 0.62, 0.63, 0.99999994], np.float32)  # p of code 1 is 0.6225
    draw = lambda sampling: jax.vmap(lambda u: code_from_uniform(u, logits, sampling))(uniforms)
    np.testing.assert_array_equal(draw(DEFAULT_SAMPLING), [1, 1, 1, 3, 3])
    np.testing.assert_array_equal(draw(Sampling(temperature=0)), [1] * 5)
    np.testing.assert_array_equal(draw(Sampling(top_k=1)), [1] * 5)
    assert code_from_uniform(jnp.float32(0.5), logits.at[2].set(jnp.nan), DEFAULT_SAMPLING) == 5
    np.testing.assert_allclose(sampling_logits(logits, Sampling(temperature=2.0))[1], 0.5)


def test_the_sampler_of_a_vector_moves_noise_to_the_prior():
    model, params, _ = made("autoencoder")
    noise = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    mean, log_variance = params["buffers"]["prior_mean"], params["buffers"]["prior_log_variance"]
    assert np.abs(mean).min() > 1e-3 and np.abs(log_variance).min() > 1e-3
    z = np.asarray(mean)[None] + np.exp(0.5 * np.asarray(log_variance))[None] * noise
    expected = jax.vmap(lambda z: model.decode(params, z).mean)(z)
    np.testing.assert_allclose(sampler("autoencoder").call(noise)["images"], expected, atol=1e-6)


def test_the_sampler_of_a_chain_draws_the_last_part_first():
    model, params, _ = made("hierarchical")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(2, 2)).astype(np.float32)

    def one(noise0, noise1):
        given = model.prior(params).conditionals[0](params["prior_1"], noise1)  # the last part is N(0, I)
        return model.decode(params, (given.mean + jnp.exp(0.5 * given.log_variance) * noise0, noise1)).mean

    np.testing.assert_allclose(sampler("hierarchical").call(*noise)["images"], jax.vmap(one)(*noise), atol=1e-6)


@pytest.mark.slow
def test_the_sampler_of_uniform_codes_cuts_the_interval_in_equal_parts():
    model, params, _ = made("ema")
    middles = ((np.arange(7) + 0.5) / 7).astype(np.float32)
    uniforms = np.repeat(middles[:, None], 4, 1)
    uniforms[0], uniforms[-1] = 1e-7, 0.99999994
    lookup = lambda i: model.decode(params, model.prior(params).lookup(i)).mean
    expected = jax.vmap(lookup)(np.repeat(np.arange(7, dtype=np.int32)[:, None], 4, 1))
    np.testing.assert_allclose(jax.jit(sampler("ema").call)(uniforms)["images"], expected, atol=1e-6)


def test_functions_that_cannot_be_exported_have_a_reason():
    functions = made("masked")[2]
    assert [f.name for f in functions.written] == ["encoder", "decoder"]
    assert "samples many codes at once" in functions.left_out["sampler"]
    mixture = CONTRACT_MODELS["with_mixture_prior"].model
    left_out = functions_of(mixture, mixture.init(jax.random.key(0)), (4, 4, 1)).left_out
    assert left_out == {"sampler": "the prior is a Mixture; only a Normal prior can be sampled by a function of noise"}
    model, params, _ = made("hierarchical")
    laplace = lambda params: dataclasses.replace(model.prior(params), first=Laplace(jnp.zeros(2), jnp.zeros(2)))
    left_out = functions_of(model._replace(prior=laplace), params, IMAGE_SHAPE).left_out
    assert left_out == {
        "sampler": "a part of the prior cannot be sampled by a function of noise: Laplace has no from_standard_normal"
    }


def test_a_full_covariance_has_the_standard_deviations_of_its_diagonal_and_is_a_prior_to_sample():
    model, params, functions = made("full_covariance")
    x = np.random.default_rng(0).uniform(size=(1, *IMAGE_SHAPE)).astype(np.float32)
    posterior = model.encode(params, x[0])
    encoded = functions.written[0].call(x)
    factor = np.asarray(posterior.scale_tril, np.float64)
    np.testing.assert_allclose(encoded["mean"][0], posterior.mean, rtol=1e-5)
    np.testing.assert_allclose(encoded["standard_deviation"][0], np.sqrt(np.diag(factor @ factor.T)), rtol=1e-5)
    noise = np.array([[0.5, -1.0, 2.0]], np.float32)
    sample = functions_of(model._replace(prior=lambda _: posterior), params, IMAGE_SHAPE).written[2]
    expected = model.decode(params, posterior.mean + factor @ noise[0]).mean
    np.testing.assert_allclose(sample.call(noise)["images"][0], expected, atol=1e-6)


def test_another_z_is_refused():
    model = CONTRACT_MODELS["categorical_vae"].model
    with pytest.raises(ValueError, match="model must have a z that is a vector, several vectors of a Chain, or codes"):
        functions_of(model, model.init(jax.random.key(0)), (4, 4, 1))


def test_the_descriptions_of_all_tensors_match_their_values():
    for name in ("conv", "autoencoder", "hierarchical", "transformer"):
        for function in made(name)[2].written:
            found = jax.eval_shape(
                function.call, *(jax.ShapeDtypeStruct((5, *t.shape), t.dtype) for t in function.inputs)
            )
            described = {t.name: ((5, *t.shape), t.dtype) for t in function.outputs}
            assert {n: (a.shape, str(a.dtype)) for n, a in found.items()} == described
            assert all(tensor.meaning for tensor in (*function.inputs, *function.outputs))
    assert made("conv")[2].written[0].inputs[0].shape == IMAGE_SHAPE
