"""Networks with a context, which MLPs concatenate to the input and convolutions turn into scales and shifts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from fresh import some_params
from vae_jax.networks import (
    conv_decoder,
    conv_encoder,
    from_linen,
    from_nnx,
    gated_mlp_decoder,
    gated_mlp_encoder,
    in_precision,
    mlp_decoder,
    mlp_encoder,
    rematerialized,
    residual_decoder,
    residual_encoder,
    resnet_decoder,
    resnet_encoder,
    with_context,
)

CONTEXT = jnp.array([0.5, -1.0, 2.0])
IMAGE, CODE = jax.random.normal(jax.random.key(1), (4, 4, 1)), jax.random.normal(jax.random.key(2), (2,))


def given(params, context=CONTEXT):
    return {**params, "context": context}


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (mlp_encoder((4, 4, 1), 6, (5,), context_size=3), mlp_decoder(2, (4, 4, 1, 1), (5,), context_size=3)),
        (
            gated_mlp_encoder((4, 4, 1), 6, (5,), context_size=3),
            gated_mlp_decoder(2, (4, 4, 1, 1), (5,), context_size=3),
        ),
    ],
    ids=["mlp", "gated_mlp"],
)
def test_perceptrons_take_the_input_concatenated_with_the_context(encoder, decoder):
    plain = {"mlp": mlp_encoder, "gated_mlp": gated_mlp_encoder}[
        "gated_mlp" if "gate_0" in some_params(encoder) else "mlp"
    ]
    for network, x, size in ((encoder, IMAGE, 6), (decoder, CODE, 16)):
        params = some_params(network)
        assert "context" not in params
        expected = plain((x.size + 3,), size, (5,)).apply(params, jnp.concatenate([x.ravel(), CONTEXT]))
        np.testing.assert_allclose(network.apply(given(params), x).ravel(), expected, rtol=1e-5, atol=1e-6)


def test_a_perceptron_multiplies_x_once_for_all_contexts():
    params, contexts = some_params(network := mlp_encoder((4, 4, 1), 6, (5,), context_size=3)), jnp.eye(3)
    program = jax.make_jaxpr(jax.vmap(lambda context: network.apply(given(params, context), IMAGE)))(contexts)
    products = [e for e in program.jaxpr.eqns if e.primitive.name == "dot_general"]
    assert [tuple(product.outvars[0].aval.shape) for product in products] == [(5,), (3, 5), (3, 6)]


CONVOLUTIONAL = {
    "conv_encoder": (conv_encoder, ((4, 4, 1), 6, (3, 2), 5), IMAGE),
    "conv_decoder": (conv_decoder, (2, (4, 4, 1, 1), (3, 2), 5), CODE),
    "residual_encoder": (residual_encoder, ((4, 4, 1), 2, (3, 2), 2, 1), IMAGE),
    "residual_decoder": (residual_decoder, (2, (4, 4, 1, 1), (6, 5), 2, 1), CODE),
    "resnet_encoder": (resnet_encoder, ((4, 4, 1), 6, (3, 2), 2, 1), IMAGE),
    "resnet_decoder": (resnet_decoder, (2, (4, 4, 1, 1), (3, 2), 2, 1), CODE),
}


@pytest.mark.slow
@pytest.mark.parametrize(("build", "arguments", "x"), CONVOLUTIONAL.values(), ids=CONVOLUTIONAL.keys())
def test_convolutions_initially_ignore_the_context_and_scale_and_shift_channels_by_it(build, arguments, x):
    plain, network = build(*arguments), build(*arguments, context_size=3)
    params = jax.jit(network.init)(jax.random.key(0))
    names = sorted(name for name in params if name.endswith("_context"))
    assert names and set(params) - set(names) == set(plain.init(jax.random.key(0)))
    without = {name: leaf for name, leaf in params.items() if name not in names}
    apply, gradient = jax.jit(network.apply), jax.jit(jax.grad(lambda p: jnp.sum(network.apply(p, x) ** 2)))
    np.testing.assert_allclose(apply(given(params), x), plain.apply(without, x), rtol=1e-5, atol=1e-6)
    # The initial gradients of all scales and shifts are not zero, so that the context is learned.
    gradients = gradient(given(params))
    assert all(np.abs(gradients[name]["kernel"]).max() > 0 for name in names)
    # Constant scales and shifts of the channels are equivalent to scaled kernels and shifted biases.
    rng = np.random.default_rng(0)
    for name in names:
        layer, dense = name.removesuffix("_context"), params[name]
        dense = {
            "kernel": jnp.zeros_like(dense["kernel"]),
            "bias": jnp.asarray(rng.normal(size=dense["bias"].shape), "f"),
        }
        scale, shift = np.split(np.asarray(dense["bias"]), 2)
        folded, channels = without[layer], len(scale)
        per_output = np.tile(1 + scale, folded["bias"].size // channels)
        # The second to last axis of the kernel of a transposed convolution is the output axis.
        outputs = folded["kernel"].ndim - (1 if folded["kernel"].shape[-1] == per_output.size else 2)
        axes = [axis for axis in range(folded["kernel"].ndim) if axis != outputs]
        without[layer] = {
            "kernel": folded["kernel"] * jnp.expand_dims(per_output, axes),
            "bias": folded["bias"] * per_output + np.tile(shift, folded["bias"].size // channels),
        }
        params[name] = dense
    np.testing.assert_allclose(apply(given(params), x), plain.apply(without, x), rtol=1e-4, atol=1e-5)
    # Scales and shifts are linear in the context.
    params[names[0]]["kernel"] = jnp.ones_like(params[names[0]]["kernel"])
    moved = {**params, names[0]: {**params[names[0]], "bias": params[names[0]]["bias"] + jnp.sum(CONTEXT)}}
    moved[names[0]]["kernel"] = jnp.zeros_like(moved[names[0]]["kernel"])
    np.testing.assert_allclose(apply(given(params), x), apply(given(moved), x), rtol=1e-4, atol=1e-5)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, context):
        return linen.Dense(2)(x) * context[0]


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.output = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, x, context):
        return self.output(x) * context[0]


@pytest.mark.parametrize(
    "network",
    [
        from_linen(Linen(), (2,), context_size=3),
        from_nnx(lambda rngs: Nnx(rngs), context_size=3),
        with_context(
            lambda key: {"dense": {"kernel": jnp.eye(2), "bias": jnp.ones(2)}},
            lambda params, x, context: (x @ params["dense"]["kernel"] + params["dense"]["bias"]) * context[0],
            3,
        ),
    ],
    ids=["linen", "nnx", "own"],
)
def test_a_network_of_the_user_is_called_with_the_context(network):
    params = network.init(jax.random.key(0))
    (layer,) = params.values()
    expected = (np.asarray(CODE) @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])) * 0.5
    for equal in (network, rematerialized(network)):
        assert equal.context_size == 3
        np.testing.assert_allclose(equal.apply(given(params), CODE), expected, rtol=1e-5)
    np.testing.assert_allclose(in_precision(network, jnp.bfloat16).apply(given(params), CODE), expected, rtol=0.05)


class Named(linen.Module):
    @linen.compact
    def __call__(self, x):
        return x + self.param("context", linen.initializers.zeros, (2,))


def test_a_context_that_is_missing_too_long_unexpected_or_a_parameter_is_refused():
    takes, takes_none = mlp_encoder((2,), 2, (), context_size=3), mlp_encoder((2,), 2, ())
    params, others = some_params(takes), some_params(takes_none)
    for call, message in (
        (lambda: takes.apply(params, CODE), "takes a context of 3 numbers, and params have none.*models.conditional"),
        (
            lambda: takes.apply(given(params, jnp.zeros(4)), CODE),
            r"context: expected one vector of shape \(3,\), got \(4",
        ),
        (lambda: takes_none.apply(given(others), CODE), "this network takes no context.*context_size"),
        (lambda: from_linen(Named(), (2,)).init(jax.random.key(0)), 'has the name "context".*rename it'),
        (lambda: mlp_encoder((2,), 2, (), context_size=-1), "context_size must be at least 0, got -1"),
        (lambda: with_context(lambda key: {}, lambda p, x, c: x, 0), "context_size must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
