"""From settings to what is trained on: images, pixels, likelihood, networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from vae_jax import data
from vae_jax.data import Images, ImageSource, ImageStream, hold_out, mean_image
from vae_jax.data._arrays import held_out
from vae_jax.data._sources import ArrayImages, evenly_spaced
from vae_jax.experiment.settings import Settings
from vae_jax.models import Example, Likelihood, conditional, contexts, gaussian_vae, likelihoods, output_bias
from vae_jax.models._model import Model
from vae_jax.networks import (
    Network,
    conv_decoder,
    conv_encoder,
    in_precision,
    mlp_decoder,
    mlp_encoder,
    rematerialized,
)
from vae_jax.runs import RunFolder

# One draw of the static bits, of the validation split, and of the test bits and noise, for every training seed: results
# differ by the training alone. The key is of a seed that --seed does not take.
BITS_SEED = 0
SPLIT_SEED = 0
# Of images that stay on disk, so many are read for what is a mean over the training images.
_READ_FOR_MEANS = 10_000
TEST_KEY_SEED = 2**32 - 1


# Classes of a conditional model, each a number of what its networks are given.
MOST_CLASSES = 100_000


class Pixels(NamedTuple):
    """How 8-bit pixels reach the model."""

    prepare: Callable[[jax.Array, ArrayLike], jax.Array]  # (key, uint8) -> float32, inside the jitted step
    # 1: p(x | z) is of the 8-bit pixels; 256: a density of them, dequantised on [0, 1]; None: neither
    levels: int | None


_LIKELIHOODS = {
    "bernoulli": (likelihoods.bernoulli, Pixels(data.scale, None)),
    "continuous_bernoulli": (likelihoods.continuous_bernoulli, Pixels(data.scale, None)),
    "logistic": (likelihoods.logistic, Pixels(data.scale, 1)),
    "normal": (likelihoods.normal, Pixels(data.dequantize, 256)),
    "laplace": (likelihoods.laplace, Pixels(data.dequantize, 256)),
}
_BITS = Pixels(data.binarize, None)


class Problem(NamedTuple):
    """The data of an experiment, and how a model meets it."""

    train: np.ndarray | ImageSource  # uint8 [N, H, W, C], in memory or where they are read from
    mean_image: np.ndarray  # float [H, W, C] in [0, 1]
    validation: np.ndarray  # uint8 [M, H, W, C], held out of train, or the data's own split
    test: jax.Array  # float32 [L, H, W, C], as the model sees them: the bits and noise of one draw
    test_labels: np.ndarray | None
    pixels: Pixels
    likelihood: Likelihood
    train_labels: np.ndarray | None = None  # int32 [N]; of a problem with num_classes alone, as the next
    validation_labels: np.ndarray | None = None  # int32 [M]
    num_classes: int | None = None  # of labels that the model is given; None: it is given none

    @property
    def train_examples(self) -> Any:
        """Training data of `fit`: the images, or an `Example` of images and labels."""
        return with_labels(self.train, self.train_labels, self.num_classes)

    @property
    def validation_examples(self) -> Any:
        """Validation data of `fit`: the images, or an `Example` of images and labels."""
        return with_labels(self.validation, self.validation_labels, self.num_classes)

    @property
    def test_examples(self) -> Any:
        """Test data as evaluators take them: the images as the model sees them, or an `Example` with their labels."""
        return with_labels(self.test, self.test_labels, self.num_classes)


def with_labels(xs: Any, labels: np.ndarray | None, num_classes: int | None) -> Any:
    """Examples of a model: xs alone if num_classes is None, else an `Example` of xs and their labels."""
    return xs if num_classes is None else Example(xs, labels)


def count_classes(settings: Settings, images: Images | ImageStream) -> int | None:
    """Number of labels that the model is given: 1 + the largest of all splits; None if it is given none.

    Raises:
      ValueError: if the data has no labels, or they are not the numbers 0 to C - 1 with C >= 2.
    """
    if settings.condition == "none":
        return None
    asked = f"--condition {settings.condition}: data {images.name}"
    splits: dict[str, np.ndarray | None] = {"train": None, "test": images.test_labels}
    if isinstance(images, Images):  # resolve refuses a stream
        splits["train"] = images.train_labels
        if images.validation is not None:
            splits["validation"] = images.validation_labels
    if without := [name for name, labels in splits.items() if labels is None]:
        raise ValueError(f"{asked} has no labels of its {' and '.join(without)} images: leave it out, or give labels")
    labels = np.concatenate([found for found in splits.values() if found is not None])
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or not 1 <= most < MOST_CLASSES:
        raise ValueError(
            f"{asked} must have labels that count from 0, of 2 to {MOST_CLASSES:,} classes, has {least} to {most}"
        )
    return most + 1


def make_problem(settings: Settings, images: Images | ImageStream) -> Problem:
    """The problem that resolved settings describe on these images."""
    likelihood, pixels = _LIKELIHOODS[settings.likelihood]
    train, test = images.train, images.test
    if settings.binarization != "none":
        # The same test bits for static and dynamic, so that the two can be compared.
        test = data.static_binarization(test, BITS_SEED + 1)
    if settings.binarization == "static" and isinstance(train, np.ndarray):  # of no stream: resolve refuses it
        train = data.static_binarization(train, BITS_SEED)
    if settings.binarization == "dynamic":
        pixels = _BITS
    rest: ImageSource = ArrayImages(train) if isinstance(train, np.ndarray) else train
    num_classes = count_classes(settings, images)
    train_labels = validation_labels = None
    if num_classes is not None and isinstance(images, Images):
        train_labels, validation_labels = images.train_labels, images.validation_labels
    validation = images.validation
    if validation is None:
        if train_labels is not None:
            places = held_out(len(train_labels), settings.validation_size or 0, SPLIT_SEED)  # those of hold_out
            train_labels, validation_labels = np.delete(train_labels, places), train_labels[places]
        rest, validation = hold_out(rest, settings.validation_size or 0, SPLIT_SEED)
    elif settings.binarization == "static":
        validation = data.static_binarization(validation, BITS_SEED + 2)
    in_memory = isinstance(train, np.ndarray)
    return Problem(
        train=rest.read(np.arange(rest.shape[0])) if in_memory else rest,
        mean_image=mean_image(rest, rest.shape[0] if in_memory else _READ_FOR_MEANS) / 255.0,
        validation=validation,
        test=pixels.prepare(jax.random.key(TEST_KEY_SEED), test),
        test_labels=images.test_labels,
        pixels=pixels,
        likelihood=likelihood,
        train_labels=train_labels,
        validation_labels=validation_labels,
        num_classes=num_classes,
    )


def without_data(settings: Settings, image_shape: Sequence[int], num_classes: int | None = None) -> Problem:
    """A problem of images of that shape that holds none: enough to build the model, whose start it leaves undefined."""
    likelihood, pixels = _LIKELIHOODS[settings.likelihood]
    if settings.binarization == "dynamic":
        pixels = _BITS
    none = np.zeros((0, *image_shape), np.uint8)
    mean = np.full(tuple(image_shape), 0.5)
    train = np.zeros((1, *image_shape), np.uint8)
    return Problem(train, mean, none, jnp.zeros(none.shape), None, pixels, likelihood, num_classes=num_classes)


def fitted_to(problem: Problem, key: jax.Array) -> jax.Array:
    """Training images as the model sees them: all, or of those that stay on disk as many as a fit needs."""
    train = problem.train
    if not isinstance(train, np.ndarray):
        train = train.read(evenly_spaced(train.shape[0], _READ_FOR_MEANS))
    return problem.pixels.prepare(key, train)


def make_networks(settings: Settings, problem: Problem, code_outputs: int) -> tuple[Network, Network]:
    """An encoder to `code_outputs` numbers and a decoder from `latent_dim`, its bias at the mean training image.

    Both compute in `precision`, and again on the way back with `rematerialize`; both take the labels of a problem with
    num_classes, as a context.

    Raises:
      ValueError: where the image size does not suit the network.
    """
    image_shape = problem.train.shape[1:]
    outputs = problem.likelihood.output_shape(image_shape)
    bias, size = output_bias(problem.likelihood, problem.mean_image), problem.num_classes or 0
    if settings.network == "conv":
        encoder = conv_encoder(image_shape, code_outputs, settings.channels, settings.hidden[0], context_size=size)
        decoder = conv_decoder(
            settings.latent_dim, outputs, settings.channels, settings.hidden[0], bias, context_size=size
        )
    else:
        encoder = mlp_encoder(image_shape, code_outputs, settings.hidden, context_size=size)
        decoder = mlp_decoder(settings.latent_dim, outputs, settings.hidden[::-1], bias, context_size=size)
    return as_told(settings, encoder), as_told(settings, decoder)


def as_told(settings: Settings, network: Network) -> Network:
    """The network in the settings' precision, and with its activations computed again where they say so."""
    if settings.precision != "float32":
        network = in_precision(network, settings.precision)
    return rematerialized(network) if settings.rematerialize else network


def make_gaussian_vae(settings: Settings, problem: Problem) -> Model:
    """The Gaussian VAE that the settings describe; with --condition labels, a `Conditional` of them."""
    encoder, decoder = make_networks(settings, problem, 2 * settings.latent_dim)
    model = gaussian_vae(encoder, decoder, settings.latent_dim, problem.likelihood)
    return model if problem.num_classes is None else conditional(model, contexts.labels(problem.num_classes))


def num_classes_of(folder: RunFolder) -> int:
    """Number of labels of a run whose model is given the label of each image.

    Raises:
      ValueError: config.json holds no such number.
    """
    number = folder.about().get("num_classes")
    if type(number) is int and 2 <= number <= MOST_CLASSES:
        return number
    raise ValueError(
        f"{folder.argument} {folder.path}: config.json must hold for num_classes a whole number from 2 to "
        f"{MOST_CLASSES:,}, got {number!r}"
    )
