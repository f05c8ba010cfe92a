"""VAE with several stochastic layers: z is a tuple (z_1, ..., z_L), posterior and prior are chains of Normals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from vae_jax.distributions import Chain, Normal, standard_normal
from vae_jax.distributions._chain import Link
from vae_jax.models._checks import check_latent_dim
from vae_jax.models._model import VAE
from vae_jax.models.likelihoods import Likelihood, bernoulli
from vae_jax.networks import Network
from vae_jax.params import Params


def hierarchical_vae(
    encoders: Sequence[Network],
    priors: Sequence[Network],
    decoder: Network,
    latent_dim: int,
    likelihood: Likelihood = bernoulli,
) -> VAE:
    """q(z|x) = q(z_1|x) q(z_2|z_1) ... q(z_L|z_{L-1}), p(z) = p(z_L) p(z_{L-1}|z_L) ... p(z_1|z_2), p(x|z_1).

    p(z_L) is N(0, I); every other factor is a diagonal Normal whose mean and log-variance are computed by a network.
    (The networks of Burda et al. compute log sigma, half of the log-variance.) The divergence between two chains has no
    closed form: train with `negative_sampled_elbo` or an importance-weighted objective; `elbo` raises UndefinedError.

    The parameters are "encoder_1" ... "encoder_L", "prior_1" ... "prior_{L-1}" ("prior_1" is p(z_1|z_2)), and
    "decoder".

    Args:
      encoders: L >= 2 networks, x -> `[2 D_1]`, then z_l -> `[2 D_{l+1}]`: the mean followed by the log-variance.
      priors: L - 1 networks, the l-th z_{l+1} -> `[2 D_l]`.
      decoder: z_1 -> outputs of shape `likelihood.output_shape(x.shape)`.
      latent_dim: D_L, the length of z_L, which the prior draws first; at least 1.
      likelihood: likelihood of x.

    Raises:
      ValueError: if there are fewer than two encoders, the number of priors is not L - 1, or latent_dim is below 1; by
        `init`, if the inputs or outputs of a network do not have the lengths of the parts of z.

    Source: Burda et al. 2016 (arXiv:1509.00519), section 2 and figure 1b.
    """
    check_latent_dim(latent_dim)
    if len(encoders) < 2:
        raise ValueError(f"encoders must be at least 2 networks (gaussian_vae takes 1), got {len(encoders)}")
    if len(priors) != len(encoders) - 1:
        raise ValueError(f"priors must be {len(encoders) - 1} networks, one fewer than encoders, got {len(priors)}")
    networks = {f"encoder_{layer}": network for layer, network in enumerate(encoders, start=1)}
    networks |= {f"prior_{layer}": network for layer, network in enumerate(priors, start=1)}
    networks |= {"decoder": decoder}
    up = [f"encoder_{layer}" for layer in range(1, len(encoders) + 1)]
    down = [f"prior_{layer}" for layer in range(len(priors), 0, -1)]
    # Created once, because jit compares the conditionals of a chain by identity.
    upward, downward = (tuple(_normal_given_by(networks[name]) for name in names) for names in (up, down))

    def init(key: jax.Array) -> Params:
        keys = jax.random.split(key, len(networks))
        params = {name: network.init(k) for (name, network), k in zip(networks.items(), keys, strict=True)}
        _check_lengths(networks, params, len(encoders), latent_dim)
        return params

    def encode(params: Params, x: jax.Array) -> Chain:
        return Chain(upward[0](params[up[0]], x), tuple(params[name] for name in up[1:]), upward[1:])

    def prior(params: Params) -> Chain:
        return Chain(standard_normal(latent_dim), tuple(params[name] for name in down), downward, from_last=True)

    return VAE(
        init=init,
        encode=encode,
        prior=prior,
        decode=lambda params, z: likelihood.distribution(decoder.apply(params["decoder"], z[0])),
    )


def _check_lengths(networks: Mapping[str, Network], params: Params, num_layers: int, latent_dim: int) -> None:
    """Raises ValueError if a network does not have the lengths of z_1, ..., z_L, which the priors determine."""

    def output_shape(name: str, argument: str, layer: int) -> tuple[int, ...]:
        """Shape of the output of a network for z_layer, by tracing."""
        length, size, network_params = lengths[layer], networks[name].context_size, params[name]
        network_params = {**network_params, "context": jnp.zeros(size)} if size else network_params
        try:
            return jax.eval_shape(networks[name].apply, network_params, jnp.zeros(length)).shape
        except Exception as error:  # network libraries raise different errors for an input of the wrong shape
            raise ValueError(f"{argument} must take z_{layer}, of length {length}, but fails on it: {error}") from error

    lengths = {num_layers: latent_dim}
    for layer in range(num_layers - 1, 0, -1):
        argument = f"priors[{layer - 1}]"
        shape = output_shape(f"prior_{layer}", argument, layer + 1)
        if len(shape) != 1 or shape[0] % 2:
            raise ValueError(
                f"{argument} must return [2 D_{layer}], the mean and log-variance of z_{layer}, got {shape}"
            )
        lengths[layer] = shape[0] // 2
    for layer in range(2, num_layers + 1):
        argument, expected = f"encoders[{layer - 1}]", (2 * lengths[layer],)
        shape = output_shape(f"encoder_{layer}", argument, layer - 1)
        if shape != expected:
            raise ValueError(f"{argument} must return the mean and log-variance of z_{layer}, {expected}, got {shape}")
    output_shape("decoder", "decoder", 1)


def _normal_given_by(network: Network) -> Link:
    def conditional(params: Params, before: jax.Array) -> Normal:
        mean, log_variance = jnp.split(network.apply(params, before), 2)
        return Normal(mean, log_variance)

    return conditional
