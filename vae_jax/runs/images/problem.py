"""Training problem on images: splits, preprocessing, likelihood, labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data
from vae_jax.data import Images, ImageSource, ImageStream, hold_out, mean_image
from vae_jax.data._arrays import held_out
from vae_jax.data._sources import ArrayImages, evenly_spaced
from vae_jax.models import Likelihood
from vae_jax.runs.choices import BINARIZATIONS, LIKELIHOODS
from vae_jax.runs.choices.likelihoods import Prepare
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images.contexts import Contexts
from vae_jax.runs.per_seed import AnySettings
from vae_jax.training import Examples, permuted
from vae_jax.training._examples import Order

# Static bits, validation split, and test bits and noise are drawn once for all training seeds, so that results differ
# by the training alone. --seed does not accept the seed of the test draws.
BITS_SEED = 0
SPLIT_SEED = 0
# Largest number of images that are read from disk for a mean over the training images.
_READ_FOR_MEANS = 10_000
TEST_KEY_SEED = 2**32 - 1
# Largest number of classes of a conditional model, whose networks take a one-hot vector of this length.
MOST_CLASSES = 100_000


class Problem(NamedTuple):
    """Images of a run, with preprocessing and likelihood."""

    train: np.ndarray | ImageSource  # uint8 [N, H, W, C], in memory or read from disk
    mean_image: np.ndarray  # float [H, W, C] in [0, 1]
    validation: np.ndarray  # uint8 [M, H, W, C], held out of train, or the data's own split
    test: jax.Array  # float32 [L, H, W, C], preprocessed with one draw of bits and noise
    test_labels: np.ndarray | None
    prepare: Prepare  # preprocessing of the training images
    prepare_raw: Prepare  # preprocessing of gray images whose bits are not drawn yet
    likelihood: Likelihood
    train_contexts: np.ndarray | None = None  # int32 [N] labels or bool [N, H, W, C] masks; None without contexts
    validation_contexts: np.ndarray | None = None  # as train_contexts, [M]
    test_contexts: np.ndarray | None = None  # as train_contexts, [L]
    contexts: Contexts = Contexts()  # side information that the model takes
    order: Order = permuted  # of the training images

    @property
    def num_classes(self) -> int | None:
        """Number of labels that the model takes; None: it takes no labels."""
        return self.contexts.num_classes

    @property
    def num_examples(self) -> int:
        """Number of training images."""
        return self.train.shape[0]

    @property
    def example(self) -> Any:
        """Shapes of one preprocessed example."""
        return self.contexts.shape_of_example(self.image_shape)

    @property
    def num_test(self) -> int:
        """Number of test images."""
        return len(self.test)

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-like facts of config.json from which the problem is made again without its images."""
        labels = {} if self.num_classes is None else {"num_classes": self.num_classes}
        return {"image_shape": list(self.image_shape), **labels}

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (H, W, C) of an image."""
        return tuple(self.train.shape[1:])

    @property
    def train_examples(self) -> Any:
        """Training data of `fit`: the images, or an `Example` of images and contexts, in the order of the problem."""
        examples = self.contexts.examples(self.train, self.train_contexts, self.train_contexts)
        return examples if self.order is permuted else Examples(examples, self.num_examples, order=self.order)

    @property
    def validation_examples(self) -> Any:
        """Validation data of `fit`: the images, or an `Example` of images and contexts."""
        return self.contexts.examples(self.validation, self.validation_contexts, self.validation_contexts)

    @property
    def test_examples(self) -> Any:
        """Test data for evaluators: the preprocessed images, or an `Example` of them and their contexts."""
        return self.contexts.examples(self.test, self.test_contexts, self.test_contexts)


def count_classes(settings: AnySettings, images: Images | ImageStream) -> int | None:
    """Number of labels that the model takes: 1 + the largest label of all splits; None if it takes no labels.

    Raises:
      ValueError: if the data has no labels, or labels outside 0 to C - 1, with C >= 2.
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
        raise ValueError(f"{asked} has no labels for its {' and '.join(without)} images: give data with labels")
    labels = np.concatenate([found for found in splits.values() if found is not None])
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or not 1 <= most < MOST_CLASSES:
        raise ValueError(
            f"{asked} must have labels that count from 0, for 2 to {MOST_CLASSES:,} classes, got {least} to {most}"
        )
    return most + 1


def _preparations(settings: AnySettings) -> tuple[Prepare, Prepare]:
    """Preprocessing of the training images, and of raw images whose bits are not drawn yet."""
    bits = BINARIZATIONS.of(settings).prepare
    gray = LIKELIHOODS.of(settings).prepare
    return (gray, gray) if bits is None else (bits, data.binarize)


def make_problem(settings: AnySettings, images: Images | ImageStream) -> Problem:
    """Makes the problem that resolved settings describe on these images."""
    binarization, (prepare, prepare_raw) = BINARIZATIONS.of(settings), _preparations(settings)
    train, validation, test = images.train, images.validation, images.test
    if binarization.prepare is not None:
        # Static and dynamic binarization share these test bits, so that their numbers can be compared.
        test = data.static_binarization(test, BITS_SEED + 1)
    if binarization.once and isinstance(train, np.ndarray):  # `check` refuses a stream
        train = data.static_binarization(train, BITS_SEED)
        validation = None if validation is None else data.static_binarization(validation, BITS_SEED + 2)
    rest: ImageSource = ArrayImages(train) if isinstance(train, np.ndarray) else train
    contexts, of_train, of_validation, of_test = _contexts(settings, images)
    if validation is None:
        if of_train is not None:
            places = held_out(len(of_train), settings.validation_size or 0, SPLIT_SEED)  # the same as in hold_out
            of_train, of_validation = np.delete(of_train, places, axis=0), of_train[places]
        rest, validation = hold_out(rest, settings.validation_size or 0, SPLIT_SEED)
    in_memory = isinstance(train, np.ndarray)
    read = rest.read(np.arange(rest.shape[0])) if in_memory else rest
    mean = mean_image(rest, rest.shape[0] if in_memory else _READ_FOR_MEANS)
    if contexts.masked and isinstance(read, np.ndarray):
        # Only observed pixels count; a pixel that is observed in no image is gray.
        count = np.sum(of_train, axis=0)
        mean = np.where(count > 0, np.sum(read, axis=0, where=of_train) / np.maximum(count, 1), 127.5)
    return Problem(
        train=read,
        mean_image=mean / 255.0,
        validation=validation,
        test=prepare(jax.random.key(TEST_KEY_SEED), test),
        test_labels=images.test_labels,
        prepare=prepare,
        prepare_raw=prepare_raw,
        likelihood=LIKELIHOODS.build(settings),
        train_contexts=of_train,
        validation_contexts=of_validation,
        test_contexts=of_test,
        contexts=contexts,
    )


def is_masked(settings: AnySettings) -> bool:
    """Returns whether the settings ask for a model of images with missing pixels."""
    return settings.missing is not None or settings.mask_file is not None


def _contexts(settings: AnySettings, images: Images | ImageStream) -> tuple[Contexts, Any, Any, Any]:
    """Kind of side information, and the contexts of the training, validation and test images."""
    if isinstance(images, Images) and is_masked(settings):
        return Contexts(masked=True), images.train_mask, images.validation_mask, images.test_mask
    num_classes = count_classes(settings, images)
    if num_classes is None or not isinstance(images, Images):
        return Contexts(), None, None, None
    return Contexts(num_classes), images.train_labels, images.validation_labels, images.test_labels


def without_data(settings: AnySettings, image_shape: Sequence[int], num_classes: int | None = None) -> Problem:
    """Problem without images, from which the model can be built and loaded, but not trained."""
    prepare, prepare_raw = _preparations(settings)
    return Problem(
        train=np.zeros((1, *image_shape), np.uint8),
        mean_image=np.full(tuple(image_shape), 0.5),
        validation=np.zeros((0, *image_shape), np.uint8),
        test=jnp.zeros((0, *image_shape)),
        test_labels=None,
        prepare=prepare,
        prepare_raw=prepare_raw,
        likelihood=LIKELIHOODS.build(settings),
        contexts=Contexts(num_classes, is_masked(settings)),
    )


def train_images(problem: Problem, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Training images at some indices, uint8, and their contexts, or None if the model takes none."""
    images = problem.train[places] if isinstance(problem.train, np.ndarray) else problem.train.read(places)
    return images, None if problem.train_contexts is None else problem.train_contexts[places]


def spread_images(problem: Problem, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """At most `most` evenly spaced training images and their contexts, as `train_images` returns them."""
    return train_images(problem, evenly_spaced(problem.num_examples, min(most, problem.num_examples)))


def fitted_to(problem: Problem, key: jax.Array) -> Any:
    """Preprocessed training examples for fits: all, or evenly spaced ones if the images stay on disk."""
    if isinstance(problem.train, np.ndarray):
        images, contexts = problem.train, problem.train_contexts
    else:
        images, contexts = spread_images(problem, _READ_FOR_MEANS)
    return problem.contexts.examples(problem.prepare(key, images), contexts, contexts)


def num_classes_of(folder: RunFolder) -> int:
    """Number of labels of a run whose model takes labels.

    Raises:
      ValueError: config.json does not hold a valid number.
    """
    number = folder.about().get("num_classes")
    if type(number) is int and 2 <= number <= MOST_CLASSES:
        return number
    raise ValueError(
        f"{folder}: config.json: num_classes must be a whole number from 2 to {MOST_CLASSES:,}, got "
        f"{json.dumps(number)}"
    )
