"""Encoding, sampling, decoding and interpolation with conditional models and examples that are dicts; bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fresh import some_params
from models import linear_gaussian_family as lg
from models.small_family import FAMILY, IMAGE, KEY, LABELS, PARAMS, XS, YS, loss_by_loop
from vae_jax.distributions import Bernoulli, Distribution, Normal
from vae_jax.models import (
    VAE,
    Conditional,
    Example,
    bind,
    conditional,
    contexts,
    decode,
    encode,
    gaussian_vae,
    interpolate,
    latent_code,
    mlp_vae,
    reconstruct,
    sample,
    traverse,
    with_vamp_prior,
)
from vae_jax.models._checks import check_examples
from vae_jax.models._model import given, model_input
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import elbo, negative_elbo


def test_all_functions_of_a_trained_model_take_a_context():
    params, (xs, ys) = lg.exact_params(), lg.examples(4)
    model, x, y, vae = lg.FAMILY, xs[1], ys[1], lg.FAMILY.given(ys[1])
    mean = lg.posterior(params, xs[1:2], ys[1:2])[0][0]
    decoded_mean = lambda z: lg.WEIGHTS @ z + lg.OFFSETS[y]
    np.testing.assert_allclose(encode(model, params, x, context=y).mean, mean, rtol=1e-4)
    np.testing.assert_allclose(latent_code(model, params, x, context=y), mean, rtol=1e-4)
    np.testing.assert_allclose(decode(model, params, mean, context=y).mean, decoded_mean(mean), rtol=1e-4)
    np.testing.assert_allclose(reconstruct(model, params, x, context=y), decoded_mean(mean), rtol=1e-4)
    z = vae.prior(params).sample(KEY)
    np.testing.assert_allclose(sample(model, params, KEY, context=y), decoded_mean(z), rtol=1e-4)
    path = interpolate(model, params, xs[0], x, 3, context=y)
    np.testing.assert_allclose(path[2], decoded_mean(mean), rtol=1e-4)
    grid = traverse(model, params, x, np.array([0.5], np.float32), context=y)
    np.testing.assert_allclose(grid[1, 0], decoded_mean(np.array([mean[0], 0.5])), rtol=1e-4)


def test_another_label_does_not_compile_again():
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
    """Product of distributions over the columns of a dict."""

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
    """VAE whose x is a dict of a number and three bits; the label shifts the number."""
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
    x = {"age": xs["age"][0], "bits": xs["bits"][0]}
    np.testing.assert_allclose(reconstruct(model, params, x, context)["age"], 2.5, rtol=1e-6)  # 0.5 + 1 + the shift
    value = negative_elbo(model, params, KEY, with_labels(xs))[0]
    labels = YS[:2] if family else (0, 0)
    np.testing.assert_allclose(value, loss_by_loop(elbo, columns_of, params, xs, labels), rtol=1e-5)
    for bad, message in (
        (
            {**xs, "bits": np.zeros((2, 4), np.float32)},
            rf"{prefix}\['bits'\]: expected one vector of shape \(3,\), got \(4,\)",
        ),
        ({**xs, "more": xs["age"]}, rf"{prefix} must hold the arrays that the model decodes, .*; got .*\['more'\]"),
        ({**xs, "bits": 2 * xs["bits"]}, rf"{prefix} holds values outside"),
        ({**xs, "age": np.float32([0.5, np.nan])}, rf"{prefix} holds 1 value that is not finite .* at example 1"),
        ({**xs, "age": xs["age"][:1]}, r"\['bits'\] has 2|\['age'\] has 1"),
    ):
        with pytest.raises(ValueError, match=message):
            check_examples(model, with_labels(bad), "xs")
    with pytest.raises(TypeError, match=r"x\['bits'\] holds raw uint8 pixels"):
        encode(model, params, {**x, "bits": np.zeros(3, np.uint8)}, context)


def test_arguments_that_do_not_match_are_refused_by_name():
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
            "x must not be an Example: give the x of the Example, and its context as context=",
        ),
        (lambda: encode(FAMILY, PARAMS, Example(XS[0], 1), context=1), TypeError, "x must not be an Example"),
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
        (lambda: conditional(FAMILY, LABELS), TypeError, "got a Conditional, which already has a context"),
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
            r"to must hold names of networks of the model \(decoder, encoder\), got 'coder'",
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
            "contexts must have 2 entries, one for each .*, got 6",
        ),
        (lambda: with_vamp_prior(FAMILY, 2, IMAGE, contexts=YS[:2] + 2), ValueError, "contexts must be .* got 3"),
    ):
        with pytest.raises(error, match=message):
            call()
    checked = model_input("xs", Example(XS, YS.astype(np.uint8)))  # labels may be uint8, unlike pixels
    assert checked.context.dtype == jnp.uint8
