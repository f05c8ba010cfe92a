"""`vae-jax export`: a trained model as files that other programs load."""

from __future__ import annotations

from collections.abc import Callable

from vae_jax.cli.inputs import check_no_masks, is_of_table, load
from vae_jax.cli.options import Export
from vae_jax.export import check_can_write
from vae_jax.runs.progress import working
from vae_jax.runs.share import export_run
from vae_jax.text import printable


def prepare_export(options: Export) -> Callable[[], None]:
    loaded = load(options)
    check_no_masks(loaded, "export")
    if is_of_table(loaded) and options.format != "safetensors":
        raise ValueError(
            f"--format {options.format} is for images, and RUN {options.run} was trained on a table: give --format "
            "safetensors"
        )
    folder = options.output or options.run / f"export-{options.format}"
    model = loaded.model, loaded.params, loaded.image_shape
    check_can_write(*model, options.format, folder, "--output", loaded.num_classes)

    def work() -> None:
        with working(f"writing {options.format} to {folder}"):
            paths = export_run(loaded, options.format, folder)
        for path in paths:
            print(printable(path))

    return work
