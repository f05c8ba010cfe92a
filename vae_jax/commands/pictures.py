"""`vae-jax sample`, `reconstruct`, `interpolate`, `traverse`: what a trained model makes, as one PNG each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.commands.of_run import images, load
from vae_jax.commands.options import Interpolate, Reconstruct, Sample, Traverse
from vae_jax.commands.output import new_file
from vae_jax.distributions import UndefinedError
from vae_jax.evaluation import kl_per_dimension
from vae_jax.experiment.load import images_of
from vae_jax.experiment.loaded import Loaded
from vae_jax.experiment.progress import say, working
from vae_jax.models import great_circle, interpolate, reconstruct, sample, straight_line, traverse
from vae_jax.text import printable
from vae_jax.visualization import image_grid, interpolations, reconstructions, save_figure, traversal
from vae_jax.visualization._model_figures import traversed_values

_MOST = 10_000


def prepare_sample(options: Sample) -> Callable[[], None]:
    _check("count", options.count, 1, _MOST)
    _check("random-seed", options.random_seed, 0, 2**32 - 1)
    loaded, output = load(options), new_file(options.output, "sample.png")

    def drawn() -> jax.Array:
        keys = jax.random.split(jax.random.key(options.random_seed), options.count)
        draw_one = jax.jit(lambda key: sample(loaded.model, loaded.params, key))
        # One by one or all at once: a prior over codes is itself a program of many steps.
        return jax.lax.map(draw_one, keys, batch_size=min(64, options.count))

    return lambda: write_picture(lambda: image_grid(drawn()), output)


def prepare_reconstruct(options: Reconstruct) -> Callable[[], None]:
    if not options.images_:
        raise ValueError("IMAGE: give at least one picture file, or the number of a test image")
    loaded = load(options)
    _, xs = images(options, loaded, options.images_)
    output = new_file(options.output, "reconstruct.png")
    back = lambda: jax.jit(jax.vmap(lambda x: reconstruct(loaded.model, loaded.params, x)))(xs)
    return lambda: write_picture(lambda: reconstructions(xs, back()), output)


def prepare_interpolate(options: Interpolate) -> Callable[[], None]:
    _check("steps", options.steps, 2, 101)
    loaded = load(options)
    _, (x0, x1) = images(options, loaded, (options.a, options.b), "A or B")
    output = new_file(options.output, "interpolate.png")

    def along(path: Callable[..., jax.Array]) -> jax.Array:
        walk = lambda a, b: interpolate(loaded.model, loaded.params, a, b, options.steps, path)
        return jax.jit(walk)(x0, x1)

    draw = lambda: interpolations(along(straight_line)[None], along(great_circle)[None])
    return lambda: write_picture(draw, output)


def prepare_traverse(options: Traverse) -> Callable[[], None]:
    _check("steps", options.steps, 2, 101)
    if not 0 < options.span < float("inf"):
        raise ValueError(f"--span must be a number above 0, got {options.span}")
    loaded = load(options)
    prior = loaded.model.prior(loaded.params)
    steps = jnp.linspace(-options.span, options.span, options.steps)
    values = traversed_values(prior, steps)
    if values is None:
        raise ValueError(
            f"RUN {options.run}: a traversal needs a code that is one vector whose prior has a standard deviation, got "
            f"a {type(prior).__name__} for its prior; take `vae-jax sample` or `vae-jax explore`"
        )
    _, xs = images(options, loaded, (options.image,), "--image")
    output = new_file(options.output, "traverse.png")
    return lambda: write_picture(lambda: _traversal(options, loaded, steps, values, xs[0]), output)


def _traversal(options: Traverse, loaded: Loaded, steps: jax.Array, values: jax.Array, x: jax.Array) -> Any:
    images = jax.jit(lambda x: traverse(loaded.model, loaded.params, x, values))(x)
    return traversal(images, _kl(options, loaded), steps)


def _kl(options: Traverse, loaded: Loaded) -> np.ndarray | None:
    """Of each dimension, over the test images; None where these are not to be had, or there is no KL."""
    try:
        xs = images_of(loaded, options.data_dir).xs[:1000]
    except ValueError as error:
        say(f"the data is not here: dimensions in their own order ({error})")
        return None
    try:
        return np.asarray(kl_per_dimension(loaded.model, loaded.params, xs))
    except UndefinedError:  # a posterior without a density, of an autoencoder
        return None


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"--{name} must be between {least} and {most}, got {value}")


def write_picture(draw: Callable[[], Any], output: Path) -> None:
    """Writes the figure that `draw` makes to the file of `new_file`, in a folder that is made where there is none."""
    with working("drawing"):
        figure = draw()
    output.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, output)
    print(f"picture: {printable(output)}")
