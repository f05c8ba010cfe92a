"""Priors over the codes of a quantized model, exported by `vae_jax.models`."""
