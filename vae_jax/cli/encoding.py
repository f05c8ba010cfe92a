"""`vae-jax encode`: the latent code of every example of a data set."""

from __future__ import annotations

from collections.abc import Callable

from vae_jax.cli.options import Encode
from vae_jax.cli.rows import prepare_rows, write_rows
from vae_jax.evaluation._per_example import encoded_at
from vae_jax.runs.each_example import computed


def prepare_encode(options: Encode) -> Callable[[], None]:
    work = prepare_rows(options, options.output, "codes.npz", lambda loaded: None)
    compute = lambda model, params, key, indices, xs: encoded_at(model, params, xs)
    rows = (
        about | {name: values for name, values in encoded._asdict().items() if values is not None}
        for about, encoded in computed(work.part, compute, "encoding")
    )
    return lambda: write_rows(work, rows, "codes")
