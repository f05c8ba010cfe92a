"""`vae-jax explore`: the latent explorer, served on this machine or written as one file."""

from __future__ import annotations

from collections.abc import Callable

import jax

from vae_jax.atomic import check_writable
from vae_jax.cli.inputs import check_no_masks, load_for_images
from vae_jax.cli.options import Explore
from vae_jax.explorer import explorer_page, payload_of, serve, write_page
from vae_jax.explorer._serve import server_of
from vae_jax.runs.loading import images_of
from vae_jax.runs.progress import working
from vae_jax.runs.reporting.metrics import View, shown_numbers
from vae_jax.runs.reporting.summaries import summary_of_model
from vae_jax.text import printable


def prepare_explore(options: Explore) -> Callable[[], None]:
    if options.export is None:  # before the page, whose building takes a while
        server_of("", options.port, "--port").server_close()
    elif options.export.is_dir() or options.export.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--export must be a file to write that ends in .html, got {options.export}")
    else:
        check_writable(options.export, "--export")
    loaded = load_for_images(options, "explore")
    check_no_masks(loaded, "explore")
    images = images_of(loaded, options.data_dir)
    shown = shown_numbers(summary_of_model(loaded.summary, loaded.member), View.EXPLORER)
    facts = [(title, text, unit.removesuffix(" per image")) for title, text, unit in shown]  # for the head's one line
    with working("building the page"):
        payload = payload_of(
            loaded.model,
            loaded.params,
            images.xs,
            title=loaded.recipe.title,
            data=str(loaded.config["data"]),
            raw=images.pixels,
            labels=images.labels,
            facts=facts,
            num_classes=loaded.num_classes,
            key=jax.random.key(0),
        )

    def work() -> None:
        if options.export is None:
            serve(explorer_page(payload), options.port, options.browser)
            return
        path = write_page(payload, options.export)
        print(f"page: {printable(path)} ({path.stat().st_size / 1e6:.1f} MB)")

    return work
