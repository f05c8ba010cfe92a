"""Semi-supervised model of the codes of a trained VAE: M1+M2 of Kingma et al. 2014 (arXiv:1406.5298)."""

from __future__ import annotations

import json
import sys

import jax
import numpy as np
import optax

from vae_jax.data import hide_labels
from vae_jax.distributions import mean_of
from vae_jax.evaluation import classifier_posteriors
from vae_jax.models import Example, conditional_vae, contexts, likelihoods, with_classifier
from vae_jax.networks import mlp_encoder
from vae_jax.objectives import label_weights, semi_supervised_loss, with_preprocessing
from vae_jax.runs.recipe import PreparedRun, TrainedModel
from vae_jax.training import Examples, fit, grouped

CODE, HELD_OUT = 50, 1_000  # length of a code of M1, and of M2; images that are not trained on


def error_on_codes(
    prepared: PreparedRun,
    m1: TrainedModel,
    labels_per_class: int,
    hidden: int,
    epochs: int,
    alpha_share: float,
    learning_rate: float,
    split: int,
) -> float:
    """Trains M2 on codes of images that are drawn anew at every step; returns its test error in percent.

    Args:
      prepared: the run of M1 with its data.
      m1: M1, with codes of length 50.
      labels_per_class: number of training images of each class that keep their label.
      hidden: width of the hidden layer of encoder and decoder.
      epochs: number of passes over the images.
      alpha_share: weight of the classifier's mean cross-entropy, as a share of the number of images.
      learning_rate: peak learning rate, of a cosine schedule.
      split: seed of the images that keep their label, and of the training.
    """
    images, test, classes = prepared.data, prepared.problem.test, int(prepared.data.train_labels.max()) + 1
    labels = hide_labels(images.train_labels[:-HELD_OUT], labels_per_class, split)
    order, num_labeled = np.argsort(labels < 0, kind="stable"), int(np.sum(labels >= 0))
    sizes, per_batch = (num_labeled, len(labels) - num_labeled), (10, 90)
    train = Example(images.train[:-HELD_OUT][order], labels[order])
    unlabeled = Example(images.train[-HELD_OUT:], np.full(HELD_OUT, -1, np.int32))
    classifier = mlp_encoder((CODE,), classes, (500,), jax.nn.softplus)
    family = conditional_vae((CODE,), contexts.labels(classes), CODE, (hidden,), likelihoods.normal)
    model = with_classifier(family, classifier)

    def codes(key: jax.Array, pixels: jax.Array) -> jax.Array:
        bits_key, codes_key = jax.random.split(key)
        posterior_of = lambda x: m1.model.encode(m1.params, x)
        draw = lambda key, x: posterior_of(x).sample(key)
        bits = prepared.problem.prepare(bits_key, pixels)
        return jax.vmap(draw)(jax.random.split(codes_key, len(pixels)), bits)

    alpha = alpha_share * len(labels) / num_labeled
    objective = semi_supervised_loss(classifier.apply, alpha, label_weights(*sizes, *per_batch))
    steps = epochs * (len(labels) // sum(per_batch))
    progress = fit(
        model,
        with_preprocessing(objective, codes),
        optax.adam(optax.cosine_decay_schedule(learning_rate, steps)),
        Examples(train, len(labels), order=grouped(sizes, per_batch)),
        unlabeled,
        jax.random.key(split),
        epochs=epochs,
        batch_size=sum(per_batch),
        on_epoch=lambda history: print(json.dumps(history[-1]), file=sys.stderr, flush=True),
    )
    means = jax.lax.map(lambda x: mean_of(m1.model.encode(m1.params, x)), test, batch_size=1_000)
    posteriors = classifier_posteriors(classifier.apply, progress.state.params["classifier"], means)
    return 100 * float(np.mean(np.argmax(posteriors, axis=1) != images.test_labels))
