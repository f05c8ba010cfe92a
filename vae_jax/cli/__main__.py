"""`python -m vae_jax.cli`: the `vae-jax` command."""

from vae_jax.cli import main

if __name__ == "__main__":
    main()
