"""Strictness for every test: a silent broadcast is an error (`filterwarnings = error` is in pyproject.toml)."""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
