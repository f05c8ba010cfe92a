"""Priors over the codes of a quantized model: one file for each, and what they share. Import from `vae_jax.models`."""
