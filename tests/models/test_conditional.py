"""Families of VAEs: bound to a context, built by `models.conditional`, with priors of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from fresh import some_params
from models import linear_gaussian_family as lg
from vae_jax import quantizers as q
from vae_jax.distributions import Bernoulli, Distribution, Mixture, Normal
from vae_jax.models import (
    VAE,
    Conditional,
    Example,
    bind,
    code,
    conditional,
    conditional_conv_vae,
    conditional_vae,
    contexts,
    decode,
    encode,
    for_each_context,
    gaussian_vae,
    hierarchical_vae,
    interpolate,
    mlp_vae,
    reconstruct,
    sample,
    traverse,
    vq_vae,
    with_mixture_prior,
    with_vamp_prior,
)
from vae_jax.models._checks import check_examples
from vae_jax.models._model import common_prior, given, model_input
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import elbo, negative_elbo, negative_sampled_elbo, sampled_elbo, vq_vae_loss

IMAGE = (2, 2, 1)
XS = np.random.default_rng(0).integers(0, 2, (6, *IMAGE)).astype(np.float32)
YS = np.arange(6, dtype=np.int32) % 3
LABELS = contexts.labels(3)
FAMILY = conditional_vae(IMAGE, LABELS, 2, (5,))
PARAMS = some_params(FAMILY)
KEY = jax.random.key(1)


def loss(objective, model, params, xs, ys):
    return jax.jit(lambda p, xs, ys: objective(model, p, KEY, Example(xs, ys))[0])(params, xs, ys)


def one_by_one(bound, given, params, xs, ys):
    """The same by a loop over the examples, each under its own VAE."""
    keys = jax.random.split(KEY, len(ys))
    at = lambda i: jax.tree.map(lambda leaf: leaf[i], xs)
    return -np.mean([bound(given(y), params, key, at(i)) for i, (y, key) in enumerate(zip(ys, keys, strict=True))])


# ------------------------------------------------------------------------------------------- a family of known numbers


def test_a_batch_of_a_family_is_the_mean_over_each_examples_own_model():
    params, (xs, ys) = lg.wrong_params(), lg.examples(7)
    value = loss(negative_elbo, lg.FAMILY, params, xs, ys)
    np.testing.assert_allclose(value, one_by_one(elbo, lg.FAMILY.given, params, xs, ys), rtol=1e-5)
    draws = jax.jit(jax.vmap(lambda key: negative_elbo(lg.FAMILY, params, key, Example(xs, ys))[0]))(
        jax.random.split(KEY, 4000)
    )
    assert abs(np.mean(draws) + lg.elbo_value(params, xs, ys).mean()) < 4 * np.std(draws) / np.sqrt(4000)
    vae, x = bind(lg.FAMILY, Example(xs[1], ys[1]))
    posterior, (mean, variance) = vae.encode(lg.exact_params(), x), lg.posterior(params, xs[1:2], ys[1:2])
    np.testing.assert_allclose(posterior.mean, mean[0], rtol=1e-5)
    np.testing.assert_allclose(np.exp(posterior.log_variance), variance, rtol=1e-5)


def test_the_prior_is_computed_once_if_it_is_one_and_none_is_given_if_it_depends_on_the_context():
    params, ys = lg.exact_params(), jnp.arange(3)
    assert common_prior(lg.FAMILY, params, ys) is None
    one = common_prior(lg.COMMON_PRIOR_FAMILY, params, ys)
    np.testing.assert_array_equal(one.mean, np.zeros(2))  # no axis of contexts
    np.testing.assert_array_equal(common_prior(lg.FAMILY.given(1), params, None).mean, lg.PRIOR_MEANS[1])


def test_what_a_familys_own_prior_raises_is_no_sign_that_it_depends_on_the_context():
    def given(context):
        def prior(params):
            raise ValueError("my prior: out_axes")

        return lg.FAMILY.given(context)._replace(prior=prior)

    params = lg.exact_params()
    with pytest.raises(ValueError, match="my prior: out_axes"):
        common_prior(lg.FAMILY._replace(given=given), params, np.arange(3))
    with pytest.raises(ValueError, match="contexts must have a leading axis"):
        common_prior(lg.COMMON_PRIOR_FAMILY, params, 1)
    unknown = lg.FAMILY._replace(given=lambda y: lg.FAMILY.given(y)._replace(prior=lambda params: object()))
    assert common_prior(unknown, params, np.arange(3)) is None  # no pytree


def test_a_transformation_of_each_member_has_the_parameters_and_the_numbers_of_the_transformed_one():
    family = for_each_context(lambda vae: with_mixture_prior(vae, 2, 4), lg.FAMILY)
    params = family.init(jax.random.key(0))
    assert set(params) == {*lg.exact_params(), "prior"}
    np.testing.assert_array_equal(params["offsets"], lg.OFFSETS)
    xs, ys = lg.examples(2)
    for x, y in zip(xs, ys, strict=True):
        vae = with_mixture_prior(lg.FAMILY.given(y), 2, 4)
        np.testing.assert_allclose(
            sampled_elbo(family.given(y), params, KEY, x), sampled_elbo(vae, params, KEY, x), rtol=1e-6
        )
    assert isinstance(common_prior(family, params, jnp.asarray(ys)), Mixture)
    encodes = lambda vae: vae._replace(init=lambda key: vae.encode(vae.init(key), xs[0]))
    with pytest.raises(TypeError, match="transform: its init must not encode, decode or take the prior"):
        for_each_context(encodes, lg.FAMILY).init(KEY)


# ------------------------------------------------------------------------------------------------- models.conditional


def perceptron(layers, x):
    """The MLP of some params in float64."""
    for i in range(len(layers) - 1):
        x = np.maximum(x @ np.float64(layers[f"hidden_{i}"]["kernel"]) + np.float64(layers[f"hidden_{i}"]["bias"]), 0)
    return x @ np.float64(layers["output"]["kernel"]) + np.float64(layers["output"]["bias"])


def test_the_conditional_vae_is_two_perceptrons_of_input_and_one_hot_label():
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


def test_a_learnt_prior_reads_the_context_and_an_embedding_is_trained_with_the_rest():
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


def test_no_part_of_a_family_starts_from_the_key_of_another():
    kind = contexts.embedded_labels(3, 4)
    keys = []
    seen = kind._replace(init=lambda key: keys.append(key) or kind.init(key))
    conditional_vae(IMAGE, seen, 2, (5,), prior_hidden=()).init(KEY)
    for count in (2, 4, 8):  # split(key, n)[i] is fold_in(key, i)
        splits = np.asarray(jax.random.key_data(jax.random.split(KEY, count)))
        assert not (splits == np.asarray(jax.random.key_data(keys[0]))).all(axis=1).any()


@pytest.mark.slow
def test_a_convolutional_family_is_the_unconditional_model_until_it_has_learnt():
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


EVERYWHERE = ("encoder_1", "encoder_2", "prior_1", "decoder")


@pytest.mark.slow
def test_every_layer_of_a_hierarchy_is_told_and_its_chain_is_one_static_structure():
    family = conditional(two_layers(), LABELS, EVERYWHERE)
    params = some_params(family)
    assert sorted(params) == sorted(EVERYWHERE)
    chains = [family.given(label).encode(params, XS[0]) for label in (0, 1)]
    assert jax.tree.structure(chains[0]) == jax.tree.structure(chains[1])  # no context in a static field
    np.testing.assert_array_equal(chains[1].params[0]["context"], [0.0, 1.0, 0.0])
    z = np.array([0.3, -0.5, 1.0], np.float32), np.array([0.2, 0.8], np.float32)
    for label, one_hot in enumerate(np.eye(3)):
        vae = family.given(label)
        of = lambda name, x, one_hot=one_hot: perceptron(params[name], np.concatenate([np.ravel(x), one_hot]))
        normal = lambda value, outputs: scipy.stats.norm.logpdf(
            value,
            *(f(part) for f, part in zip((np.asarray, lambda lv: np.exp(lv / 2)), np.split(outputs, 2), strict=True)),
        ).sum()
        expected = normal(z[0], of("encoder_1", XS[0])) + normal(z[1], of("encoder_2", z[0]))
        np.testing.assert_allclose(vae.encode(params, XS[0]).log_prob(z), expected, rtol=1e-5)
        expected = scipy.stats.norm.logpdf(z[1]).sum() + normal(z[0], of("prior_1", z[1]))
        np.testing.assert_allclose(vae.prior(params).log_prob(z), expected, rtol=1e-5)
    value = loss(negative_sampled_elbo, family, params, XS[:2], YS[:2])
    np.testing.assert_allclose(value, one_by_one(sampled_elbo, family.given, params, XS[:2], YS[:2]), rtol=1e-5)


def test_a_hierarchys_networks_that_take_a_context_are_still_checked_against_each_other():
    encoders = mlp_encoder(IMAGE, 6, (5,), context_size=3), mlp_encoder((4,), 4, (5,), context_size=3)
    model = hierarchical_vae(encoders, [mlp_encoder((2,), 6, (5,), context_size=3)], mlp_decoder(3, (*IMAGE, 1), ()), 2)
    with pytest.raises(ValueError, match=r"encoders\[1\] must take z_1, of length 3, but fails on it"):
        jax.eval_shape(conditional(model, LABELS, EVERYWHERE[:3]).init, KEY)


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


# ------------------------------------------------------------------------------------------------------- the VampPrior

PSEUDO = np.random.default_rng(3).uniform(0.1, 0.9, (5, *IMAGE)).astype(np.float32)
OF_PSEUDO = np.array([0, 1, 2, 2, 0], np.int32)


def vamp(**choices):
    model = with_vamp_prior(FAMILY, 5, IMAGE, PSEUDO, contexts=OF_PSEUDO, **choices)
    params = {**PARAMS, "prior": {"pseudo_inputs": jnp.asarray(PSEUDO)}, "buffers": {"pseudo_contexts": OF_PSEUDO}}
    made = model.init(jax.random.key(0))
    np.testing.assert_array_equal(made["buffers"]["pseudo_contexts"], OF_PSEUDO)
    np.testing.assert_array_equal(made["prior"]["pseudo_inputs"], PSEUDO)
    z = np.array([0.3, -1.0], np.float32)
    each = np.array(
        [float(FAMILY.given(y).encode(PARAMS, u).log_prob(z)) for u, y in zip(PSEUDO, OF_PSEUDO, strict=True)]
    )
    return model, params, z, each


def test_a_vamp_prior_of_contexts_is_over_all_pseudo_inputs_each_with_its_own():
    model, params, z, each = vamp()
    prior = common_prior(model, params, jnp.asarray(YS))  # one for all examples
    np.testing.assert_allclose(prior.log_prob(z), scipy.special.logsumexp(each) - np.log(5), rtol=1e-5)


def test_a_vamp_prior_of_the_same_context_is_over_the_pseudo_inputs_with_that_label():
    model, params, z, each = vamp(of_same_context=True)
    assert common_prior(model, params, jnp.asarray(YS)) is None
    log_probs = jax.jit(jax.vmap(lambda y: model.given(y).prior(params).log_prob(z)))(jnp.arange(3))
    for label in range(3):
        own = each[label == OF_PSEUDO]
        np.testing.assert_allclose(log_probs[label], scipy.special.logsumexp(own) - np.log(len(own)), rtol=1e-5)
    by_vector = conditional_vae(IMAGE, contexts.vector(2), 2, (5,))
    rows = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    model = with_vamp_prior(by_vector, 2, IMAGE, contexts=rows, of_same_context=True)
    logits = (
        model.given(jnp.array([2.0, 1.0])).prior(some_params(model) | {"buffers": {"pseudo_contexts": rows}}).logits
    )
    np.testing.assert_array_equal(logits, [-np.inf, 0.0])
    with pytest.raises(
        ValueError, match=r"ys must hold contexts of the pseudo-inputs, got \[2.0, 3.0\] .* at example 1"
    ):
        model.check("ys", np.array([[2.0, 1.0], [2.0, 3.0]], np.float32))


def test_the_prior_of_a_traced_label_that_no_pseudo_input_has_is_nan_and_so_are_its_draws():
    model = with_vamp_prior(FAMILY, 2, IMAGE, PSEUDO[:2], contexts=np.array([0, 2], np.int32), of_same_context=True)
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


def matrix_products(jaxpr):
    """The shapes of the results of all matrix products in a jaxpr, those of inner jaxprs included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.outvars[0].aval.shape
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                yield from matrix_products(getattr(value, "jaxpr", value))


@pytest.mark.parametrize("of_same_context", [False, True])
def test_a_batch_encodes_the_pseudo_inputs_of_a_family_once(of_same_context):
    # Sizes that differ from one another: batch 11, 4 pseudo-inputs, hidden layer 7.
    family = conditional_vae(IMAGE, LABELS, 2, (7,))
    model = with_vamp_prior(family, 4, IMAGE, contexts=np.array([0, 1, 2, 0]), of_same_context=of_same_context)
    params = jax.eval_shape(model.init, KEY)
    batch = Example(jax.ShapeDtypeStruct((11, *IMAGE), jnp.float32), jax.ShapeDtypeStruct((11,), jnp.int32))
    objective = lambda params, batch: negative_sampled_elbo(model, params, KEY, batch)[0]
    shapes = list(matrix_products(jax.make_jaxpr(objective)(params, batch).jaxpr))
    assert (4, 7) in shapes and (11, 7) in shapes
    assert not [shape for shape in shapes if 4 in shape and 11 in shape and 7 in shape]


def test_pseudo_contexts_are_no_parameters():
    model, params, _, _ = vamp()
    trained = {name: leaf for name, leaf in params.items() if name != "buffers"}
    aux = negative_sampled_elbo(model, params, KEY, Example(XS, YS))[1]
    np.testing.assert_array_equal(aux.buffers["pseudo_contexts"], OF_PSEUDO)
    gradient = jax.grad(lambda t: loss(negative_sampled_elbo, model, {**t, "buffers": params["buffers"]}, XS, YS))(
        trained
    )
    assert np.abs(gradient["prior"]["pseudo_inputs"]).min() > 0


# --------------------------------------------------------------------------------------------------- use, and bad input


def test_what_one_does_with_a_model_takes_a_context():
    params, (xs, ys) = lg.exact_params(), lg.examples(4)
    model, x, y, vae = lg.FAMILY, xs[1], ys[1], lg.FAMILY.given(ys[1])
    mean = lg.posterior(params, xs[1:2], ys[1:2])[0][0]
    picture = lambda z: lg.WEIGHTS @ z + lg.OFFSETS[y]
    np.testing.assert_allclose(encode(model, params, x, context=y).mean, mean, rtol=1e-4)
    np.testing.assert_allclose(code(model, params, x, context=y), mean, rtol=1e-4)
    np.testing.assert_allclose(decode(model, params, mean, context=y).mean, picture(mean), rtol=1e-4)
    np.testing.assert_allclose(reconstruct(model, params, x, context=y), picture(mean), rtol=1e-4)
    z = vae.prior(params).sample(KEY)
    np.testing.assert_allclose(sample(model, params, KEY, context=y), picture(z), rtol=1e-4)
    path = interpolate(model, params, xs[0], x, 3, context=y)
    np.testing.assert_allclose(path[2], picture(mean), rtol=1e-4)
    grid = traverse(model, params, x, np.array([0.5], np.float32), context=y)
    np.testing.assert_allclose(grid[1, 0], picture(np.array([mean[0], 0.5])), rtol=1e-4)


def test_another_label_is_no_new_program():
    traces = []

    @jax.jit
    def reconstructed(params, x, context):
        traces.append(context)
        return reconstruct(FAMILY, params, x, context=context)

    static = jax.jit(lambda model, params, x, y: model.given(y).encode(params, x).mean, static_argnums=0)
    means = []
    for label in (0, 2, 1):
        images = reconstructed(PARAMS, XS[0], label)
        np.testing.assert_allclose(images, reconstruct(FAMILY, PARAMS, XS[0], context=label), rtol=1e-5)
        means.append(static(FAMILY, PARAMS, XS[0], label))
    assert len(traces) == 1 and static._cache_size() == 1
    assert np.abs(means[0] - means[1]).max() > 1e-3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Columns(Distribution):
    """A product of distributions over the columns of a dict."""

    columns: dict

    @property
    def mean(self):
        return {name: column.mean for name, column in self.columns.items()}

    def sample(self, key):
        return {name: column.sample(key) for name, column in self.columns.items()}

    def log_prob(self, value):
        return sum(column.log_prob(value[name]) for name, column in self.columns.items())

    def supports(self, value):
        return jnp.all(jnp.stack([column.supports(value[name]) for name, column in self.columns.items()]))


def columns_of(label):
    """x is a dict of a number and three bits; the label shifts the number."""
    return VAE(
        init=lambda key: {"shift": jnp.ones(3)},
        encode=lambda params, x: Normal((x["age"] + x["bits"][0])[None], jnp.zeros(1)),
        prior=lambda params: Normal(jnp.zeros(1), jnp.zeros(1)),
        decode=lambda params, z: Columns(
            {"age": Normal(z[0] + params["shift"][label], jnp.zeros(())), "bits": Bernoulli(jnp.tile(z, 3))}
        ),
    )


@pytest.mark.parametrize("family", [False, True], ids=["vae", "conditional"])
def test_an_example_may_be_a_dict_whose_leaves_are_checked_by_path(family):
    model = Conditional(lambda key: columns_of(0).init(key), columns_of, LABELS.check) if family else columns_of(0)
    xs = {"age": np.float32([0.5, 1.0]), "bits": np.float32([[1, 0, 1], [0, 0, 1]])}
    with_labels = lambda xs: Example(xs, YS[:2]) if family else xs
    prefix, params, context = (r"xs\.x" if family else "xs"), model.init(KEY), 1 if family else None
    check_examples(model, with_labels(xs), "xs")
    one = {"age": xs["age"][0], "bits": xs["bits"][0]}
    np.testing.assert_allclose(reconstruct(model, params, one, context)["age"], 2.5, rtol=1e-6)  # 0.5 + 1 + the shift
    value = negative_elbo(model, params, KEY, with_labels(xs))[0]
    labels = YS[:2] if family else (0, 0)
    np.testing.assert_allclose(value, one_by_one(elbo, columns_of, params, xs, labels), rtol=1e-5)
    for bad, message in (
        (
            {**xs, "bits": np.zeros((2, 4), np.float32)},
            rf"{prefix}\['bits'\]: expected one vector of shape \(3,\), got \(4,\)",
        ),
        ({**xs, "more": xs["age"]}, rf"{prefix} must hold the arrays that the model decodes, .*, got .*\['more'\]"),
        ({**xs, "bits": 2 * xs["bits"]}, rf"{prefix} holds values outside"),
        ({**xs, "age": np.float32([0.5, np.nan])}, rf"{prefix} holds 1 value that is not finite .* at example 1"),
        ({**xs, "age": xs["age"][:1]}, r"\['bits'\] has 2|\['age'\] has 1"),
    ):
        with pytest.raises(ValueError, match=message):
            check_examples(model, with_labels(bad), "xs")
    with pytest.raises(TypeError, match=r"x\['bits'\] holds raw uint8 pixels"):
        encode(model, params, {**one, "bits": np.zeros(3, np.uint8)}, context)


def test_what_does_not_fit_is_refused_by_name():
    plain = mlp_vae(IMAGE, 2, (5,))
    plain_params = some_params(plain)
    takes = gaussian_vae(mlp_encoder(IMAGE, 4, (5,), context_size=3), mlp_decoder(2, (*IMAGE, 1), (5,)), 2)
    batch, none = Example(XS, YS), "takes no context"
    for call, error, message in (
        (lambda: given(plain, 1), TypeError, none),
        (lambda: given(FAMILY, None), TypeError, "model is a Conditional and needs a context"),
        (lambda: bind(FAMILY, XS[0]), TypeError, "is a Conditional and needs a context"),
        (lambda: negative_elbo(plain, plain_params, KEY, batch), TypeError, none),
        (lambda: negative_elbo(FAMILY, PARAMS, KEY, XS), TypeError, "needs a context"),
        (
            lambda: negative_elbo(FAMILY, PARAMS, KEY, Example(XS, YS[:4])),
            ValueError,
            r"batch\.x has 6, batch\.context has 4",
        ),
        (
            lambda: negative_elbo(FAMILY, PARAMS, KEY, Example(XS, YS * 1.0)),
            TypeError,
            "context must be an integer label",
        ),
        (lambda: negative_elbo(FAMILY, PARAMS, KEY, Example(XS.astype(np.uint8), YS)), TypeError, "raw uint8 pixels"),
        (lambda: encode(plain, plain_params, XS[0], context=1), TypeError, none),
        (lambda: sample(FAMILY, PARAMS, KEY), TypeError, "needs a context"),
        (
            lambda: encode(FAMILY, PARAMS, Example(XS[0], 1)),
            TypeError,
            "x must be x alone, got an Example: give its context as context=",
        ),
        (lambda: encode(FAMILY, PARAMS, Example(XS[0], 1), context=1), TypeError, "x must be x alone"),
        (lambda: encode(plain, plain_params, Example(XS[0], 1)), TypeError, none),
        (
            lambda: sample(FAMILY, PARAMS, KEY, context=3),
            ValueError,
            "context must be an integer label from 0 to 2, got 3",
        ),
        (lambda: decode(FAMILY, PARAMS, np.zeros(2), context=1.0), TypeError, "context must be .* got dtype float64"),
        (lambda: encode(FAMILY, PARAMS, XS, context=1), ValueError, r"^x: .* got a batch of shape \(6, 2, 2, 1\)"),
        (lambda: encode(FAMILY, PARAMS, 2 * XS[0], context=1), ValueError, r"x holds values outside \[0, 1\]"),
        (lambda: check_examples(FAMILY, Example(XS, YS + 1), "xs"), ValueError, r"xs\.context must be .* got 3"),
        (lambda: check_examples(FAMILY, Example(2 * XS, YS), "xs"), ValueError, r"xs\.x holds values outside"),
        (lambda: check_examples(plain, batch, "xs"), TypeError, none),
        (lambda: conditional(FAMILY, LABELS), TypeError, "got a Conditional, which has a context already"),
        (
            lambda: conditional(
                takes._replace(init=lambda key: takes.init(key) | {"context": {"mine": jnp.ones(1)}}),
                contexts.embedded_labels(3, 3),
            ).init(KEY),
            ValueError,
            'model must not have params under "context"',
        ),
        (
            lambda: conditional(takes, LABELS, ("coder",)).init(KEY),
            ValueError,
            r"to must name .*\['decoder', 'encoder'\], got 'coder'",
        ),
        (
            lambda: conditional(takes, LABELS).given(1).decode(PARAMS, np.zeros(2)),
            ValueError,
            "network takes no context",
        ),
        (lambda: takes.encode(PARAMS, XS[0]), ValueError, r"takes a context of 3 numbers.*models\.conditional"),
        (
            lambda: conditional(takes, contexts.labels(4)).given(1).encode(PARAMS, XS[0]),
            ValueError,
            r"context: expected one vector of shape \(3,\), got \(4,\)",
        ),
        (lambda: with_vamp_prior(FAMILY, 2, IMAGE), TypeError, "contexts must be those of the pseudo-inputs"),
        (lambda: with_vamp_prior(plain, 2, IMAGE, contexts=YS[:2]), TypeError, "for a Conditional, got a VAE"),
        (
            lambda: with_vamp_prior(FAMILY, 2, IMAGE, contexts=YS),
            ValueError,
            "contexts must be 2, one for each .*, got 6",
        ),
        (lambda: with_vamp_prior(FAMILY, 2, IMAGE, contexts=YS[:2] + 2), ValueError, "contexts must be .* got 3"),
    ):
        with pytest.raises(error, match=message):
            call()
    seen = model_input("xs", Example(XS, YS.astype(np.uint8)))  # labels may be bytes: they are no pixels
    assert seen.context.dtype == jnp.uint8
