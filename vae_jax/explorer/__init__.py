"""Latent explorer: a single HTML page that runs a model in the browser and moves through its latent space."""

from vae_jax.explorer._page import explorer_page as explorer_page
from vae_jax.explorer._page import write_page as write_page
from vae_jax.explorer._payload import Payload as Payload
from vae_jax.explorer._payload import payload_of as payload_of
from vae_jax.explorer._serve import serve as serve
