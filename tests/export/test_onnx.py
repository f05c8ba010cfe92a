"""ONNX export of every kind of model: the runtime computes the same as the model, for any number of examples."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnx
import pytest

from export.onnx_runtime import run, session
from export.small_models import MODELS, convolutional, inputs_of, made
from fresh import some_params
from vae_jax.distributions import MultivariateNormal, Normal, standard_normal
from vae_jax.export import functions_of, to_stablehlo
from vae_jax.export._files import onnx_bytes
from vae_jax.models import conditional, contexts, gaussian_vae
from vae_jax.models._model import given
from vae_jax.networks import mlp_decoder, mlp_encoder


def of_the_model(model, params, function, inputs):
    """Expected outputs: those of the model for encoder and decoder, of the exported function in JAX for the sampler."""
    if function.name == "encoder":
        posterior = jax.vmap(lambda x: model.encode(params, x))
        if function.outputs[0].name == "indices":
            levels = posterior(inputs["x"]).mean[::-1]
            return {"indices": jnp.concatenate([c.indices.reshape(len(inputs["x"]), -1) for c in levels], 1)}
        if function.outputs[0].name == "z0":
            first = jax.vmap(lambda x: model.encode(params, x).first.mean)(inputs["x"])
            after = jax.vmap(
                lambda z: model.encode(params, inputs["x"][0]).conditionals[0](params["encoder_2"], z).mean
            )
            return {"z0": first, "z1": after(first)}
        found = posterior(inputs["x"])
        if isinstance(found, MultivariateNormal):
            variances = jax.vmap(lambda factor: jnp.diagonal(factor @ factor.T))(found.scale_tril)
            return {"mean": found.mean, "standard_deviation": jnp.sqrt(variances)}
        deviation = {"standard_deviation": jnp.sqrt(jnp.exp(found.log_variance))} if isinstance(found, Normal) else {}
        return {"mean": found.mean, **deviation}
    if function.name == "decoder":
        if "indices" in inputs:
            z_of = lambda i: model.prior(params).lookup(i)
            return {"mean": jax.vmap(lambda i: model.decode(params, z_of(i)).mean)(inputs["indices"])}
        z = tuple(inputs.values())
        return {"mean": jax.vmap(lambda *z: model.decode(params, z if len(z) > 1 else z[0]).mean)(*z)}
    return function.call(*inputs.values())


def check(name, function, opened):
    """Compares the runtime with JAX on three examples, and on the first of them alone."""
    model, params, _ = made(name)
    inputs = inputs_of(function, 3)
    expected = jax.jit(lambda inputs: of_the_model(model, params, function, inputs))(inputs)
    for size in (3, 1):
        found = run(opened, **{name: array[:size] for name, array in inputs.items()})
        assert found.keys() == expected.keys() == {tensor.name for tensor in function.outputs}
        for tensor in function.outputs:
            assert found[tensor.name].dtype == tensor.dtype and found[tensor.name].shape == (size, *tensor.shape)
            np.testing.assert_allclose(found[tensor.name], expected[tensor.name][:size], rtol=1e-5, atol=1e-5)


# All operations also have tests of their own, so that one model of codes, whose sampler is a long program, is enough.
CODES = "cosine", "sim", "residual", "product", "finite_scalar", "lookup_free", "spherical", "vq_vae_2", "pixel_cnn"
SLOW = (*CODES, "transformer", "ema of odd sides")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in MODELS if name != "bfloat16"],
)
def test_the_runtime_computes_what_the_model_does(name):
    for function in made(name)[2].written:
        check(name, function, session(onnx.load_from_string(onnx_bytes(function))))


@pytest.mark.slow
def test_a_network_in_bfloat16_is_written_as_it_is_in_float32():
    _, params, functions = made("bfloat16")
    precise = functions_of(convolutional(), params, (8, 8, 1))
    for function, wide in zip(functions.written, precise.written, strict=True):
        inputs = inputs_of(function, 3)
        found = run(session(onnx.load_from_string(onnx_bytes(function))), **inputs)
        short, expected = (jax.jit(f.call)(*inputs.values()) for f in (function, wide))
        for output in found:
            np.testing.assert_allclose(found[output], expected[output], atol=1e-6)
            assert np.abs(np.asarray(short[output]) - expected[output]).max() > 1e-4  # the effect of rounding to 8 bits


def test_a_file_names_its_opset_and_holds_each_parameter_once():
    _, params, functions = made("conv")
    size = sum(leaf.size for leaf in jax.tree.leaves(params["decoder"]))
    decoder = next(f for f in functions.written if f.name == "decoder")
    model = onnx.load_from_string(onnx_bytes(decoder))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)] and model.ir_version == 8
    dims = lambda value: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
    assert [(v.name, dims(v)) for v in model.graph.input] == [("z", ["N", 3])]
    assert [(v.name, dims(v)) for v in model.graph.output] == [("mean", ["N", 8, 8, 1])]
    numbers = sum(np.prod(w.dims) for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT)
    assert size <= numbers <= size + 8


@pytest.mark.slow
def test_a_large_batch_runs_in_the_same_file():
    function = made("transformer")[2].written[2]
    inputs = inputs_of(function, 300)
    found = run(session(onnx.load_from_string(onnx_bytes(function))), **inputs)["images"]
    np.testing.assert_allclose(found, jax.jit(function.call)(**inputs)["images"], atol=1e-5)


def test_a_conditional_model_takes_the_label_of_each_example():
    networks = mlp_encoder((8, 8, 1), 6, (8,), context_size=4), mlp_decoder(3, (8, 8, 1, 1), (8,), context_size=4)
    model = conditional(gaussian_vae(*networks, 3), contexts.labels(4))
    params = some_params(model)
    functions = functions_of(model, params, (8, 8, 1), num_classes=4)
    assert [[tensor.name for tensor in f.inputs] for f in functions.written] == [
        ["x", "label"],
        ["z", "label"],
        ["noise", "label"],
    ]
    labels = np.array([3, 0, 3], np.int32)
    vae = lambda label: given(model, label)
    prior = standard_normal(3)
    expected = {
        "encoder": lambda x, label: {
            "mean": (q := vae(label).encode(params, x)).mean,
            "standard_deviation": q.standard_deviation,
        },
        "decoder": lambda z, label: {"mean": vae(label).decode(params, z).mean},
        "sampler": lambda noise, label: {"images": vae(label).decode(params, prior.from_standard_normal(noise)).mean},
    }
    for function in functions.written:
        inputs = inputs_of(function, 3) | {"label": labels}
        found = run(session(onnx.load_from_string(onnx_bytes(function))), **inputs)
        compiled = jax.export.deserialize(bytearray(to_stablehlo(function))).call(*inputs.values())
        for name, value in jax.jit(jax.vmap(expected[function.name]))(*inputs.values()).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(compiled[name], value, rtol=1e-5, atol=1e-5)
    outside = run(
        session(onnx.load_from_string(onnx_bytes(functions.written[1]))),
        z=np.zeros((1, 3), np.float32),
        label=np.array([4], np.int32),
    )
    assert np.isnan(outside["mean"]).all()
    with pytest.raises(TypeError, match="model is a Conditional and needs a context"):
        functions_of(model, params, (8, 8, 1))
    with pytest.raises(TypeError, match="model takes no context"):
        functions_of(convolutional(), params, (8, 8, 1), num_classes=4)
