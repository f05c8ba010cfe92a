"""What of a model is exported: pure functions of batches, each with a description of what goes in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import DiscreteUniform, Normal, mean_of
from vae_jax.models import VAE, CodebookPrior, QuantizedPosterior
from vae_jax.models.codes import sequence_of, sequence_sizes
from vae_jax.models.vae import Params
from vae_jax.models.with_code_prior import PriorSequence


class Tensor(NamedTuple):
    """An input or output of an exported function: a batch of arrays of this shape."""

    name: str
    shape: tuple[int, ...]  # of one example
    dtype: str
    meaning: str  # with units


class Function(NamedTuple):
    """A function of batches with all that it needs inside."""

    name: str  # of its file
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    call: Callable[..., dict[str, jax.Array]]  # (one array [N, ...] for each input) -> those of the outputs by name


class Functions(NamedTuple):
    """Those of a model, and why others are not among them."""

    written: tuple[Function, ...]
    left_out: dict[str, str]  # name -> reason


def functions_of(model: VAE, params: Params, image_shape: Sequence[int]) -> Functions:
    """The encoder, the decoder and the sampler of a model.

    Args:
      model: whose z is a vector, or codes on grids.
      params: its parameters, which the functions hold.
      image_shape: `[H, W, C]` of one example x.

    Raises:
      ValueError: where z is something else.
    """
    x = jax.ShapeDtypeStruct(tuple(image_shape), jnp.float32)
    posterior = jax.eval_shape(lambda x: model.encode(params, x), x)
    if isinstance(posterior, QuantizedPosterior):
        return _of_codes(model, params, tuple(image_shape))
    mean = posterior.mean if hasattr(posterior, "mean") else None
    if not isinstance(mean, jax.ShapeDtypeStruct | jax.Array) or mean.ndim != 1:
        raise ValueError(
            f"model must have a z that is one vector, or codes on grids, to be exported, got a posterior of the type "
            f"{type(posterior).__name__}"
        )
    return _of_vectors(model, params, tuple(image_shape), int(mean.shape[0]))


def _images(name: str, shape: tuple[int, ...], meaning: str) -> Tensor:
    return Tensor(name, shape, "float32", f"{meaning}; height, width, channels; the data's own scale, 0 to 1")


def _of_vectors(model: VAE, params: Params, shape: tuple[int, ...], dim: int) -> Functions:
    def encode(x: jax.Array) -> dict[str, jax.Array]:
        def one(x: jax.Array) -> dict[str, jax.Array]:
            posterior = model.encode(params, x)
            mean = {"mean": mean_of(posterior)}
            if not isinstance(posterior, Normal):
                return mean
            return mean | {"standard_deviation": jnp.exp(0.5 * posterior.log_variance)}

        return jax.vmap(one)(x)

    def decode(z: jax.Array) -> dict[str, jax.Array]:
        return {"mean": jax.vmap(lambda z: mean_of(model.decode(params, z)))(z)}

    def sample(noise: jax.Array) -> dict[str, jax.Array]:
        prior = model.prior(params)
        assert isinstance(prior, Normal)
        z = prior.mean[None] + jnp.exp(0.5 * prior.log_variance)[None] * noise
        return {"images": decode(z)["mean"]}

    image = _images("x", shape, "images as the model sees them")
    vector = lambda name, meaning: Tensor(name, (dim,), "float32", meaning)
    made = jax.eval_shape(encode, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    meanings = {"mean": "mean of q(z | x)", "standard_deviation": "standard deviation of each dimension of q(z | x)"}
    codes = tuple(vector(name, meaning) for name, meaning in meanings.items() if name in made)
    written = [
        Function("encoder", (image,), codes, encode),
        Function("decoder", (vector("z", "latent code"),), (_images("mean", shape, "mean of p(x | z)"),), decode),
    ]
    prior = jax.eval_shape(lambda: model.prior(params))
    if not isinstance(prior, Normal):
        reason = f"the prior is a {type(prior).__name__}; only a Normal prior is drawn from by noise alone"
        return Functions(tuple(written), {"sampler": reason})
    noise = vector("noise", "independent draws of a standard normal distribution")
    drawn = _images("images", shape, "means of p(x | z) at z = prior mean + prior standard deviation * noise")
    return Functions((*written, Function("sampler", (noise,), (drawn,), sample)), {})


def _of_codes(model: VAE, params: Params, shape: tuple[int, ...]) -> Functions:
    prior = model.prior(params)
    assert isinstance(prior, CodebookPrior)

    def encode(x: jax.Array) -> dict[str, jax.Array]:
        return {"indices": jax.vmap(lambda x: sequence_of(model.encode(params, x).mean))(x)}

    def decode(indices: jax.Array) -> dict[str, jax.Array]:
        return {"mean": jax.vmap(lambda i: mean_of(model.decode(params, prior.lookup(i))))(indices)}

    length = len(sequence_sizes(prior.levels))
    image = _images("x", shape, "images as the model sees them")
    codes = Tensor("indices", (length,), "int32", "codes in [0, K): the coarsest grid first, row by row")
    encoder = Function("encoder", (image,), (codes,), encode)
    decoder = Function("decoder", (codes,), (_images("mean", shape, "mean of p(x | z)"),), decode)
    draw, reason = _from_uniforms(prior)
    if draw is None:
        return Functions((encoder, decoder), {"sampler": reason})

    def sample(uniforms: jax.Array) -> dict[str, jax.Array]:
        return {"images": decode(jax.vmap(draw)(uniforms))["mean"]}

    uniforms = Tensor("uniforms", (length,), "float32", "independent draws of the uniform distribution on (0, 1)")
    meaning = "means of p(x | z), code t of z where the distribution function given the codes before passes uniforms[t]"
    sampler = Function("sampler", (uniforms,), (_images("images", shape, meaning),), sample)
    return Functions((encoder, decoder, sampler), {})


def _from_uniforms(prior: CodebookPrior) -> tuple[Callable[[jax.Array], jax.Array] | None, str]:
    """Uniform numbers `[T]` -> codes int32 `[T]`; or None, and why there is no such function."""
    sequence = prior.sequence
    if isinstance(sequence, DiscreteUniform):
        sizes = jnp.asarray(sequence.sizes)
        # A number just below 1 may round to K.
        return lambda uniforms: jnp.minimum((uniforms * sizes).astype(jnp.int32), sizes - 1), ""
    if not isinstance(sequence, PriorSequence):
        return None, f"codes of a {type(sequence).__name__} are drawn by its own generator"
    draw = sequence.prior.from_uniforms
    if draw is None:
        return None, "the prior decodes many codes at once, in an order that it draws, not one after another"
    return lambda uniforms: draw(sequence.params, uniforms, sequence.label, sequence.how), ""
