"""Semi-supervised runs on images: few labels, a conditional VAE and a classifier."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vae_jax.data import Images, hide_labels
from vae_jax.evaluation import Measures, classifier_posteriors, measure_vae
from vae_jax.evaluation._examples import mean_over_examples
from vae_jax.models import Conditional, Example, conditional, contexts, gaussian_vae, output_bias, with_classifier
from vae_jax.models._with_classifier import NO_LABEL
from vae_jax.networks import Network, mlp_decoder, mlp_encoder
from vae_jax.objectives import Objective, label_weights, semi_supervised_loss
from vae_jax.params import Params
from vae_jax.runs.choices import BINARIZATIONS, LIKELIHOODS, OPTIMIZERS, SCHEDULES
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.images import kind
from vae_jax.runs.images.problem import Problem
from vae_jax.runs.images.vae import configured
from vae_jax.runs.settings import LabelSettings
from vae_jax.training import grouped

AXES = (LIKELIHOODS, BINARIZATIONS, OPTIMIZERS, SCHEDULES)


def check(settings: LabelSettings) -> None:
    """Raises ValueError if settings contradict one another for any images."""
    kind.check(settings)
    if settings.condition != "labels":
        raise ValueError("--condition must be labels for semi_supervised, which learns from labels; leave it out")
    if settings.alpha < 0:
        raise ValueError(f"--alpha must be at least 0, got {settings.alpha:g}")


def resolve(settings: LabelSettings, images: Images) -> LabelSettings:
    """Settings with the values that depend on the data; raises ValueError as for other images."""
    resolved: LabelSettings = kind.resolve(settings, images)
    if settings.labels_per_batch >= resolved.resolved_batch_size:
        raise ValueError(
            f"--labels-per-batch must be below --batch-size {resolved.batch_size}, so that there is room for images "
            f"without a label, got {settings.labels_per_batch}"
        )
    return resolved


def make_few_labels(settings: LabelSettings, images: Images, folder: RunFolder | None = None) -> Problem:
    """Problem whose training images, those with a label first, have a label of -1 if they are to have none.

    Validation images have none, so that the best epoch is chosen without further labels.

    Raises:
      ValueError: if a class has fewer images than labels are asked for, or no image is left without a label.
    """
    problem: Problem = kind.IMAGES.problem(settings, images, folder)
    assert problem.train_contexts is not None
    assert isinstance(problem.train, np.ndarray)
    try:
        labels = hide_labels(problem.train_contexts, settings.labels_per_class, settings.labels_seed)
    except ValueError as error:
        message = str(error).replace("per_class", "--labels-per-class")
        raise ValueError(f"{message} (data {images.name})") from error
    order = np.argsort(labels == NO_LABEL, kind="stable")
    num_labeled = int(np.sum(labels != NO_LABEL))
    if num_labeled == len(labels):
        raise ValueError(
            f"--labels-per-class {settings.labels_per_class} leaves no image without a label: give fewer, or train vae "
            "with --condition labels"
        )
    per_batch = settings.labels_per_batch, settings.resolved_batch_size - settings.labels_per_batch
    return problem._replace(
        train=problem.train[order],
        train_contexts=labels[order],
        validation_contexts=np.full(len(problem.validation), NO_LABEL, np.int32),
        order=grouped((num_labeled, len(labels) - num_labeled), per_batch),
    )


def make_classifier(settings: LabelSettings, image_shape: tuple[int, ...], num_classes: int) -> Network:
    """MLP of q(y | x): image -> logits."""
    return configured(settings, mlp_encoder(image_shape, num_classes, settings.classifier_hidden, jax.nn.softplus))


def make_model(settings: LabelSettings, problem: Problem) -> Conditional:
    """Builds the model M2 that the settings describe: a conditional VAE of MLPs, and a classifier."""
    classes, shape, hidden = problem.num_classes, problem.image_shape, settings.hidden
    assert classes is not None
    outputs, bias = problem.likelihood.output_shape(shape), output_bias(problem.likelihood, problem.mean_image)
    common: dict[str, Any] = {"activation": jax.nn.softplus, "context_size": classes}
    encoder = configured(settings, mlp_encoder(shape, 2 * settings.latent_dim, hidden, **common))
    decoder = configured(settings, mlp_decoder(settings.latent_dim, outputs, hidden[::-1], bias, **common))
    vae = gaussian_vae(encoder, decoder, settings.latent_dim, problem.likelihood)
    family = _ignoring_labels(conditional(vae, contexts.labels(classes)), "hidden_0" if hidden else "output", classes)
    return with_classifier(family, make_classifier(settings, shape, classes))


def _ignoring_labels(family: Conditional, layer: str, num_classes: int) -> Conditional:
    """Returns the family with initial weights of the labels so small that encoder and decoder ignore them at first.

    With larger ones the model of one label is by many nats the best for all images, and the classifier learns to choose
    it before it learns the labels.
    """

    def init(key: jax.Array) -> Params:
        params = family.init(key)
        for name in ("encoder", "decoder"):
            kernel = params[name][layer]["kernel"]
            first = {**params[name][layer], "kernel": kernel.at[-num_classes:].multiply(0.01)}
            params = {**params, name: {**params[name], layer: first}}
        return params

    return family._replace(init=init)


def make_objective(
    settings: LabelSettings, problem: Problem, model: Conditional, num_steps: int, weight: Any
) -> Objective:
    """Builds the objective, in which --alpha is a share of the number of training images, as in the paper."""
    assert problem.train_contexts is not None
    assert problem.num_classes is not None
    num_labeled = int(np.sum(problem.train_contexts != NO_LABEL))
    per_batch = settings.labels_per_batch, settings.resolved_batch_size - settings.labels_per_batch
    return semi_supervised_loss(
        make_classifier(settings, problem.image_shape, problem.num_classes).apply,
        settings.alpha * problem.num_examples / num_labeled,
        label_weights(num_labeled, problem.num_examples - num_labeled, *per_batch),
    )


def measure(settings: LabelSettings) -> Any:
    """Function that measures a model given the labels of the test images, and the test error of its classifier."""

    def measure_few_labels(
        model: Conditional, params: Params, key: jax.Array, test: Example, elbo_samples: int, nll_samples: int
    ) -> Measures:
        measures = measure_vae(model, params, key, test, elbo_samples, nll_samples)
        num_classes = params["classifier"]["output"]["bias"].shape[0]
        classifier = make_classifier(settings, test.x.shape[1:], num_classes)
        posteriors = classifier_posteriors(classifier.apply, params["classifier"], test.x)
        wrong = np.argmax(posteriors, axis=1) != np.asarray(test.context)
        error = mean_over_examples(100.0 * wrong)
        numbers = {"test_error": error.mean, "test_error_standard_error": error.standard_error}
        return measures._replace(summary=numbers | measures.summary)

    return measure_few_labels


LABELED_IMAGES = kind.IMAGES._replace(resolve=resolve, problem=make_few_labels)
