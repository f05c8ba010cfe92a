"""Exported functions of a model: pure functions of batches, with descriptions of their inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import (
    UndefinedError,
    from_standard_normal_of,
    mean_of,
    point_estimate_of,
    standard_deviation_of,
)
from vae_jax.models import VAE, CodebookPrior, Conditional, QuantizedPosterior
from vae_jax.models._codes import sequence_of, sequence_sizes
from vae_jax.models._latent_space import latent_code
from vae_jax.models._model import Model, check_takes_context, given
from vae_jax.models.code_priors._with_code_prior import PriorSequence
from vae_jax.params import Params


class Tensor(NamedTuple):
    """An input or output of an exported function: a batch of arrays of this shape."""

    name: str
    shape: tuple[int, ...]  # shape of one example
    dtype: str
    meaning: str  # description, with units


class Function(NamedTuple):
    """A function of batches that holds the model's parameters."""

    name: str  # "encoder", "decoder" or "sampler", also the name of its file
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    call: Callable[..., dict[str, jax.Array]]  # (an array [N, ...] for each input) -> {name: array [N, ...]}


class Functions(NamedTuple):
    """Functions of a model that can be exported, and the reasons why others cannot."""

    written: tuple[Function, ...]
    left_out: dict[str, str]  # name -> reason


def functions_of(model: Model, params: Params, image_shape: Sequence[int], num_classes: int | None = None) -> Functions:
    """Encoder, decoder and sampler of a model, as functions of batches; those of a `Conditional` also take labels.

    Args:
      model: A VAE whose z is a vector, several vectors of a chain, or codes on grids; or a `Conditional` of labels
        whose z is a vector.
      params: Its parameters, which the functions hold.
      image_shape: `[H, W, C]` of one example x.
      num_classes: Number C of labels, 0 to C - 1, of a `Conditional`; None for a VAE.

    Returns:
      The functions, and the reasons why others cannot be exported.

    Raises:
      ValueError: If z is something else.
      TypeError: If num_classes is None for a `Conditional`, or is given for a VAE.
    """
    check_takes_context(model, num_classes is not None)
    x = jax.ShapeDtypeStruct(tuple(image_shape), jnp.float32)
    label = None if num_classes is None else jax.ShapeDtypeStruct((), jnp.int32)
    posterior = jax.eval_shape(lambda x, label: given(model, label).encode(params, x), x, label)
    try:
        z = jax.eval_shape(lambda x, label: point_estimate_of(given(model, label).encode(params, x)), x, label)
    except UndefinedError:
        z = None
    if isinstance(model, Conditional):
        if isinstance(z, tuple):
            raise ValueError(
                "model must be a Conditional with a single vector z to be exported, got a chain of vectors"
            )
    elif isinstance(posterior, QuantizedPosterior):
        return _code_functions(model, params, tuple(image_shape))
    elif isinstance(z, tuple) and all(isinstance(part, jax.ShapeDtypeStruct) for part in z):
        return _chain_functions(model, params, tuple(image_shape))
    if not isinstance(z, jax.ShapeDtypeStruct) or len(z.shape) != 1:
        raise ValueError(
            "model must have a z that is a vector, several vectors of a Chain, or codes on grids, to be exported, got "
            f"a posterior of type {type(posterior).__name__}"
        )
    return _vector_functions(model, params, tuple(image_shape), z.shape[0], num_classes)


def _images(name: str, shape: tuple[int, ...], meaning: str) -> Tensor:
    return Tensor(name, shape, "float32", f"{meaning}; height, width, channels; scale of the data, 0 to 1")


def _vector_functions(
    model: Model, params: Params, shape: tuple[int, ...], dim: int, num_classes: int | None
) -> Functions:
    def encode(x: jax.Array, label: jax.Array | None = None) -> dict[str, jax.Array]:
        def one(x: jax.Array, label: jax.Array | None) -> dict[str, jax.Array]:
            posterior = given(model, label).encode(params, x)
            mean = {"mean": mean_of(posterior)}
            try:
                return mean | {"standard_deviation": standard_deviation_of(posterior)}
            except UndefinedError:
                return mean

        return jax.vmap(one)(x, label)

    def decode(z: jax.Array, label: jax.Array | None = None) -> dict[str, jax.Array]:
        return {"mean": jax.vmap(lambda z, label: mean_of(given(model, label).decode(params, z)))(z, label)}

    def sample(noise: jax.Array, label: jax.Array | None = None) -> dict[str, jax.Array]:
        draw = lambda noise, label: from_standard_normal_of(given(model, label).prior(params), noise)
        return {"images": decode(jax.vmap(draw)(noise, label), label)["mean"]}

    image = _images("x", shape, "preprocessed images")
    vector = lambda name, meaning: Tensor(name, (dim,), "float32", meaning)
    labels: tuple[Tensor, ...] = ()
    struct = None
    if num_classes is not None:
        labels = (Tensor("label", (), "int32", f"label of each image, 0 to {num_classes - 1}; others give NaN"),)
        struct = jax.ShapeDtypeStruct((1,), jnp.int32)
    made = jax.eval_shape(encode, jax.ShapeDtypeStruct((1, *shape), jnp.float32), struct)
    meanings = {"mean": "mean of q(z | x)", "standard_deviation": "standard deviation of each dimension of q(z | x)"}
    codes = tuple(vector(name, meaning) for name, meaning in meanings.items() if name in made)
    written = [
        Function("encoder", (image, *labels), codes, encode),
        Function(
            "decoder", (vector("z", "latent code"), *labels), (_images("mean", shape, "mean of p(x | z)"),), decode
        ),
    ]
    one = None if struct is None else jax.ShapeDtypeStruct((), jnp.int32)
    prior = jax.eval_shape(lambda label: given(model, label).prior(params), one)
    if not hasattr(prior, "from_standard_normal"):
        reason = f"the prior is a {type(prior).__name__}; only a Normal prior can be sampled by a function of noise"
        return Functions(tuple(written), {"sampler": reason})
    noise = vector("noise", "independent draws of a standard normal distribution")
    drawn = _images("images", shape, "means of p(x | z) at z = prior mean + prior standard deviation * noise")
    return Functions((*written, Function("sampler", (noise, *labels), (drawn,), sample)), {})


def _chain_functions(model: VAE, params: Params, shape: tuple[int, ...]) -> Functions:
    """Functions of a model whose z is a tuple of vectors z0, z1, ..., with z0 next to the data."""

    def encode(x: jax.Array) -> dict[str, jax.Array]:
        parts = jax.vmap(lambda x: latent_code(model, params, x))(x)
        return {f"z{i}": part for i, part in enumerate(parts)}

    def decode(*z: jax.Array) -> dict[str, jax.Array]:
        return {"mean": jax.vmap(lambda *z: mean_of(model.decode(params, z)))(*z)}

    def draw(*noise: jax.Array) -> tuple[jax.Array, ...]:
        return from_standard_normal_of(model.prior(params), noise)

    def sample(*noise: jax.Array) -> dict[str, jax.Array]:
        return {"images": decode(*jax.vmap(draw)(*noise))["mean"]}

    made = jax.eval_shape(encode, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    vectors = lambda name, meaning: tuple(
        Tensor(f"{name}{i}", part.shape[1:], "float32", meaning) for i, part in enumerate(made.values())
    )
    meaning = "a part of the latent code, the mean of its distribution given the previous part; z0 is next to the data"
    z, image = vectors("z", meaning), _images("x", shape, "preprocessed images")
    noise = vectors("noise", "independent draws of a standard normal distribution, for the part of z of that number")
    drawn = _images("images", shape, "means of p(x | z), each part of z being mean + standard deviation * noise")
    written = (
        Function("encoder", (image,), z, encode),
        Function("decoder", z, (_images("mean", shape, "mean of p(x | z)"),), decode),
    )
    try:
        jax.eval_shape(draw, *(jax.ShapeDtypeStruct(tensor.shape, jnp.float32) for tensor in noise))
    except UndefinedError as error:
        return Functions(written, {"sampler": f"a part of the prior cannot be sampled by a function of noise: {error}"})
    return Functions((*written, Function("sampler", noise, (drawn,), sample)), {})


def _code_functions(model: VAE, params: Params, shape: tuple[int, ...]) -> Functions:
    prior = model.prior(params)
    assert isinstance(prior, CodebookPrior)

    def encode(x: jax.Array) -> dict[str, jax.Array]:
        return {"indices": jax.vmap(lambda x: sequence_of(mean_of(model.encode(params, x))))(x)}

    def decode(indices: jax.Array) -> dict[str, jax.Array]:
        return {"mean": jax.vmap(lambda i: mean_of(model.decode(params, prior.lookup(i))))(indices)}

    length = len(sequence_sizes(prior.levels))
    image = _images("x", shape, "preprocessed images")
    codes = Tensor("indices", (length,), "int32", "code indices in [0, K): the coarsest grid first, row by row")
    encoder = Function("encoder", (image,), (codes,), encode)
    decoder = Function("decoder", (codes,), (_images("mean", shape, "mean of p(x | z)"),), decode)
    draw, reason = _from_uniforms(prior)
    if draw is None:
        return Functions((encoder, decoder), {"sampler": reason})

    def sample(uniforms: jax.Array) -> dict[str, jax.Array]:
        return {"images": decode(jax.vmap(draw)(uniforms))["mean"]}

    uniforms = Tensor("uniforms", (length,), "float32", "independent draws of the uniform distribution on (0, 1)")
    meaning = (
        "means of p(x | z), code t being the first whose cumulative probability given codes < t exceeds uniforms[t]"
    )
    sampler = Function("sampler", (uniforms,), (_images("images", shape, meaning),), sample)
    return Functions((encoder, decoder, sampler), {})


def _from_uniforms(prior: CodebookPrior) -> tuple[Callable[[jax.Array], jax.Array] | None, str]:
    """Function from uniform numbers `[T]` to codes, int32 `[T]`; or None and the reason why there is none."""
    sequence = prior.sequence
    if hasattr(sequence, "from_uniforms"):
        return sequence.from_uniforms, ""
    if not isinstance(sequence, PriorSequence):
        return None, f"codes of a {type(sequence).__name__} cannot be sampled by a function of uniform numbers"
    draw = sequence.prior.from_uniforms
    if draw is None:
        return None, "the prior samples many codes at once, in a random order, not one after another"
    return lambda uniforms: draw(sequence.params, uniforms, sequence.label, sequence.sampling), ""
