"""Builder of a VAE from two networks, a posterior and a likelihood."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.models._model import VAE
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.models.posteriors import Posterior
from vae_jax.networks import Network
from vae_jax.params import Params

# Folded into the key of `init` for the parameters of the posterior; `split` folds in 0, 1, ..., and never this number.
_POSTERIOR_KEY = 2**32 - 3


def vae(encoder: Network, decoder: Network, posterior: Posterior, likelihood: Likelihood = bernoulli) -> VAE:
    """VAE with q(z|x) = posterior(encoder(x)), the prior p(z) of the posterior, p(x|z) = likelihood(decoder(z)).

    The parameters are "encoder", "decoder", and "posterior" if the posterior has parameters.

    Args:
      encoder: x -> outputs of shape `posterior.output_shape`.
      decoder: z -> outputs of shape `likelihood.output_shape(x.shape)`.
      posterior: one of `vae_jax.models.posteriors`, or your own.
      likelihood: one of `vae_jax.models.likelihoods`, or your own.

    Raises:
      ValueError: by `encode`, if the encoder's outputs do not have the shape `posterior.output_shape`.

    Source: Kingma & Welling 2014 (arXiv:1312.6114).
    """

    def init(key: jax.Array) -> Params:
        encoder_key, decoder_key = jax.random.split(key)
        params = {"encoder": encoder.init(encoder_key), "decoder": decoder.init(decoder_key)}
        posterior_params = posterior.init(jax.random.fold_in(key, _POSTERIOR_KEY))
        return {**params, "posterior": posterior_params} if posterior_params else params

    def encode(params: Params, x: Any) -> Distribution:
        outputs = encoder.apply(params["encoder"], x)
        given, wanted = jax.tree.map(jnp.shape, outputs), _as_tuples(posterior.output_shape)
        if given != wanted:
            raise ValueError(f"encoder must give outputs of shape {wanted}, got {given}")
        return posterior.distribution(params.get("posterior", {}), outputs)

    return VAE(
        init=init,
        encode=encode,
        prior=lambda params: posterior.prior(),
        decode=lambda params, z: likelihood.distribution(decoder.apply(params["decoder"], z)),
    )


def _as_tuples(shapes: Any) -> Any:
    """Converts every shape (a tuple or list of whole numbers) in a tree of shapes to a tuple."""
    is_shape = lambda node: isinstance(node, tuple | list) and all(isinstance(size, int | np.integer) for size in node)
    return jax.tree.map(lambda node: tuple(node) if is_shape(node) else node, shapes, is_leaf=is_shape)
