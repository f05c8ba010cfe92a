"""Conditional models built by `models.conditional`: MLPs, convolutions, hierarchies, codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from fresh import some_params
from models.small_family import FAMILY, IMAGE, KEY, LABELS, PARAMS, XS, YS, loss, loss_by_loop
from vae_jax import quantizers as q
from vae_jax.models import (
    Example,
    conditional,
    conditional_conv_vae,
    conditional_vae,
    contexts,
    hierarchical_vae,
    transformer_prior,
    vq_vae,
    vq_vae_2,
    with_code_prior,
    with_codes_fitted,
    with_prior_params,
)
from vae_jax.models._model import common_prior
from vae_jax.models.code_priors._with_code_prior import code_sizes
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import negative_elbo, negative_sampled_elbo, sampled_elbo, vq_vae_loss


def perceptron(layers, x):
    """MLP with the given layers in float64."""
    for i in range(len(layers) - 1):
        x = np.maximum(x @ np.float64(layers[f"hidden_{i}"]["kernel"]) + np.float64(layers[f"hidden_{i}"]["bias"]), 0)
    return x @ np.float64(layers["output"]["kernel"]) + np.float64(layers["output"]["bias"])


def test_the_conditional_vae_is_two_mlps_of_the_input_and_a_one_hot_label():
    assert sorted(PARAMS) == ["decoder", "encoder"]
    for label in range(3):
        vae, one_hot = FAMILY.given(label), np.eye(3)[label]
        outputs = perceptron(PARAMS["encoder"], np.concatenate([XS[0].ravel(), one_hot]))
        np.testing.assert_allclose(vae.encode(PARAMS, XS[0]).mean, outputs[:2], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(vae.encode(PARAMS, XS[0]).log_variance, outputs[2:], rtol=1e-4, atol=1e-6)
        z = np.array([0.5, -1.0], np.float32)
        logits = perceptron(PARAMS["decoder"], np.concatenate([z, one_hot]))
        expected = scipy.stats.bernoulli.logpmf(XS[0].ravel(), scipy.special.expit(logits)).sum()
        np.testing.assert_allclose(vae.decode(PARAMS, z).log_prob(XS[0]), expected, rtol=1e-5)
        np.testing.assert_allclose(vae.prior(PARAMS).log_prob(z), scipy.stats.norm.logpdf(z).sum(), rtol=1e-6)


@pytest.mark.slow
def test_a_learned_prior_depends_on_the_context_and_an_embedding_is_trained():
    family = conditional_vae(IMAGE, contexts.embedded_labels(3, 4), 2, (5,), prior_hidden=(7,))
    params = some_params(family)
    assert sorted(params) == ["context", "decoder", "encoder", "prior"]
    for label in range(3):
        outputs = perceptron(params["prior"], np.float64(params["context"]["table"][label]))
        prior = family.given(label).prior(params)
        np.testing.assert_allclose(prior.mean, outputs[:2], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(prior.log_variance, outputs[2:], rtol=1e-4, atol=1e-6)
    gradient = jax.grad(lambda p: negative_elbo(family, p, KEY, Example(XS[:2], YS[:2]))[0])(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    rows = np.abs(np.asarray(gradient["context"]["table"])).max(axis=1)
    np.testing.assert_array_equal(rows > 0, [True, True, False])  # the third label is not in the batch
    assert np.abs(gradient["prior"]["output"]["kernel"]).max() > 0


def test_the_parts_of_a_conditional_model_have_different_keys():
    kind = contexts.embedded_labels(3, 4)
    keys = []
    recorded = kind._replace(init=lambda key: keys.append(key) or kind.init(key))
    conditional_vae(IMAGE, recorded, 2, (5,), prior_hidden=()).init(KEY)
    for count in (2, 4, 8):  # split(key, n)[i] is fold_in(key, i)
        splits = np.asarray(jax.random.key_data(jax.random.split(KEY, count)))
        assert not (splits == np.asarray(jax.random.key_data(keys[0]))).all(axis=1).any()


@pytest.mark.slow
def test_an_untrained_convolutional_family_ignores_the_context():
    family, shape = conditional_conv_vae((4, 4, 1), contexts.vector(2), 2, (3, 2), 5), (4, 4, 1)
    params, x = jax.jit(family.init)(jax.random.key(0)), jnp.ones(shape)
    mean = jax.jit(lambda p, c: family.given(c).encode(p, x).mean)
    np.testing.assert_array_equal(mean(params, jnp.ones(2)), mean(params, jnp.zeros(2)))
    params["encoder"]["conv_0_context"]["kernel"] = jnp.ones((2, 6))
    assert np.abs(mean(params, jnp.ones(2)) - mean(params, jnp.zeros(2))).max() > 1e-3


def two_layers():
    encoders = mlp_encoder(IMAGE, 6, (5,), context_size=3), mlp_encoder((3,), 4, (5,), context_size=3)
    priors = [mlp_encoder((2,), 6, (5,), context_size=3)]
    return hierarchical_vae(encoders, priors, mlp_decoder(3, (*IMAGE, 1), (5,), context_size=3), 2)


ALL_NETWORKS = ("encoder_1", "encoder_2", "prior_1", "decoder")


@pytest.mark.slow
def test_every_layer_of_a_hierarchy_depends_on_the_context_and_its_chain_has_one_static_structure():
    family = conditional(two_layers(), LABELS, ALL_NETWORKS)
    params = some_params(family)
    assert sorted(params) == sorted(ALL_NETWORKS)
    chains = [family.given(label).encode(params, XS[0]) for label in (0, 1)]
    assert jax.tree.structure(chains[0]) == jax.tree.structure(chains[1])  # no context in a static field
    np.testing.assert_array_equal(chains[1].params[0]["context"], [0.0, 1.0, 0.0])
    z = np.array([0.3, -0.5, 1.0], np.float32), np.array([0.2, 0.8], np.float32)
    for label, one_hot in enumerate(np.eye(3)):
        vae = family.given(label)
        outputs_of = lambda name, x, one_hot=one_hot: perceptron(params[name], np.concatenate([np.ravel(x), one_hot]))
        normal = lambda value, outputs: scipy.stats.norm.logpdf(
            value,
            *(f(part) for f, part in zip((np.asarray, lambda lv: np.exp(lv / 2)), np.split(outputs, 2), strict=True)),
        ).sum()
        expected = normal(z[0], outputs_of("encoder_1", XS[0])) + normal(z[1], outputs_of("encoder_2", z[0]))
        np.testing.assert_allclose(vae.encode(params, XS[0]).log_prob(z), expected, rtol=1e-5)
        expected = scipy.stats.norm.logpdf(z[1]).sum() + normal(z[0], outputs_of("prior_1", z[1]))
        np.testing.assert_allclose(vae.prior(params).log_prob(z), expected, rtol=1e-5)
    value = loss(negative_sampled_elbo, family, params, XS[:2], YS[:2])
    np.testing.assert_allclose(value, loss_by_loop(sampled_elbo, family.given, params, XS[:2], YS[:2]), rtol=1e-5)


def test_networks_of_a_hierarchy_with_a_context_are_checked_against_each_other():
    encoders = mlp_encoder(IMAGE, 6, (5,), context_size=3), mlp_encoder((4,), 4, (5,), context_size=3)
    model = hierarchical_vae(encoders, [mlp_encoder((2,), 6, (5,), context_size=3)], mlp_decoder(3, (*IMAGE, 1), ()), 2)
    with pytest.raises(ValueError, match=r"encoders\[1\] must take z_1, of length 3, but fails on it"):
        jax.eval_shape(conditional(model, LABELS, ALL_NETWORKS[:3]).init, KEY)


@pytest.mark.slow
def test_a_quantized_model_has_one_prior_over_codes_for_all_contexts():
    encoder = mlp_encoder(IMAGE, 12, (5,), context_size=3)
    decoder = mlp_decoder(12, (*IMAGE, 1), (5,), context_size=3)
    family = conditional(vq_vae(encoder, decoder, q.ema_vector_quantizer(7, 3), (2, 2)), LABELS)
    params = family.init(jax.random.key(0))
    prior = common_prior(family, params, jnp.asarray(YS))
    codes = family.given(1).encode(params, XS[0]).mean
    np.testing.assert_allclose(prior.log_prob(codes), -4 * np.log(7), rtol=1e-6)
    np.testing.assert_array_equal(prior.lookup(codes[0].indices.ravel())[0].vectors, codes[0].vectors)
    outputs = [perceptron(params["encoder"], np.concatenate([XS[0].ravel(), one_hot])) for one_hot in np.eye(3)]
    for label in range(3):
        grid = family.given(label).encode(params, XS[0]).grids[0]
        np.testing.assert_allclose(grid.inputs.ravel(), outputs[label], rtol=1e-4, atol=1e-5)
    value, aux = jax.jit(lambda p: vq_vae_loss(family, p, KEY, Example(XS, YS)))(params)
    assert np.isfinite(value) and jax.tree.structure(aux.buffers) == jax.tree.structure(params["buffers"])


@pytest.mark.slow
def test_a_hierarchy_of_codes_takes_the_context_in_features_and_decoder():
    image = (8, 8, 1)
    model = vq_vae_2(image, q.vector_quantizer(6, 3), q.vector_quantizer(5, 2), (4,), 2, 1, context_size=3)
    family = conditional(model, LABELS, to=("features", "decoder"))
    params = some_params(family)  # not initial parameters, for which the context has no effect
    x = np.random.default_rng(0).random(image).astype(np.float32)
    given = [family.given(label).encode(params, x) for label in range(2)]
    assert (
        np.abs(given[0].grids[1].inputs - given[1].grids[1].inputs).max() > 1e-3
    )  # the coarse grid depends on the features
    z = given[0].mean
    means = [family.given(label).decode(params, z).mean for label in range(2)]
    assert np.abs(means[0] - means[1]).max() > 1e-3
    with pytest.raises(ValueError, match="takes a context of 3 numbers"):
        jax.eval_shape(lambda: conditional(model, LABELS, to=("features",)).given(1).decode(params, z))


@pytest.mark.slow
def test_a_trained_prior_over_codes_is_common_to_all_contexts_or_depends_on_the_label():
    encoder = mlp_encoder(IMAGE, 12, (5,), context_size=3)
    decoder = mlp_decoder(12, (*IMAGE, 1), (5,), context_size=3)
    family = conditional(vq_vae(encoder, decoder, q.ema_vector_quantizer(7, 3), (2, 2)), LABELS)
    unconditional, by_class = (transformer_prior(7, 4, num_classes=n, layers=1, width=8, heads=2) for n in (0, 3))

    common = with_code_prior(family, unconditional)
    params = with_prior_params(family.init(KEY), jax.tree.map(lambda leaf: leaf + 0.1, unconditional.init(KEY)))
    codes = family.given(1).encode(params, XS[0]).mean
    sequence = codes[0].indices.ravel()
    expected = unconditional.log_prob(params["prior"], sequence, None)
    np.testing.assert_allclose(common_prior(common, params, jnp.asarray(YS)).log_prob(codes), expected, rtol=1e-5)
    assert jax.tree.structure(common.init(KEY)) == jax.tree.structure(params)

    labeled = with_code_prior(family, by_class, label=lambda context: context)
    params = with_prior_params(family.init(KEY), jax.tree.map(lambda leaf: leaf + 0.1, by_class.init(KEY)))
    assert common_prior(labeled, params, jnp.asarray(YS)) is None
    found = jax.jit(jax.vmap(lambda label: labeled.given(label).prior(params).log_prob(codes)))(jnp.arange(3))
    expected = [by_class.log_prob(params["prior"], sequence, jnp.int32(label)) for label in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.ptp(found) > 1e-3

    wrong = with_code_prior(family, transformer_prior(7, 5, layers=1, width=8, heads=2))
    with pytest.raises(ValueError, match="prior must be over 4 places of 7 codes"):
        wrong.given(1).prior(params)
    with pytest.raises(TypeError, match=r"model must be a VAE, such as .*, got a Conditional"):
        code_sizes(family)


@pytest.mark.slow
def test_the_codes_of_a_family_are_fitted_to_vectors_of_examples_with_their_contexts():
    encoder = mlp_encoder(IMAGE, 12, (5,), context_size=3)
    decoder = mlp_decoder(12, (*IMAGE, 1), (5,), context_size=3)
    family = conditional(vq_vae(encoder, decoder, q.ema_vector_quantizer(7, 3), (2, 2)), LABELS)
    fitted = with_codes_fitted(family, Example(XS, YS)).init(KEY)
    codebook = np.asarray(fitted["buffers"]["quantizers"]["level_1"]["codebook"])
    params = family.init(jax.random.split(KEY, 2)[0])
    rows = [family.given(y).encode(params, x).grids[0].inputs.reshape(-1, 3) for x, y in zip(XS, YS, strict=True)]
    rows = np.concatenate(rows)
    nearest = np.argmin(((rows[:, None] - codebook) ** 2).sum(axis=-1), axis=1)
    for code in np.unique(nearest):  # k-means has converged: each code is the mean of the nearest vectors
        np.testing.assert_allclose(codebook[code], rows[nearest == code].mean(axis=0), rtol=1e-4, atol=1e-5)
    assert len(np.unique(nearest)) > 3
    with pytest.raises(ValueError, match=r"xs\.context"):
        with_codes_fitted(family, Example(XS, np.where(YS[1] == YS, 7, YS)))
