"""Memory for time: what a network computed on the way forward is computed again on the way back."""

from __future__ import annotations

import jax

from vae_jax.networks._network import Network


def rematerialized(network: Network) -> Network:
    """The network with the same values and gradients, of which only inputs and outputs are kept for the gradient.

    A model holds the activations of one of its networks at a time instead of all, for one more pass forward in each
    step (a third more arithmetic). That is on GPU and TPU: XLA for the CPU finds the two passes forward to be the same
    and makes them one again, so that it saves nothing there.

    Source: Chen et al. 2016 (arXiv:1604.06174).
    """
    return network._replace(apply=jax.checkpoint(network.apply))
