"""Imputation of hidden pixels for a classifier of complete images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.data import load_images, static_binarization
from vae_jax.evaluation import impute_examples
from vae_jax.models import Example, gaussian_vae, likelihoods, output_bias, with_missing
from vae_jax.networks import conv_encoder, mlp_decoder, mlp_encoder
from vae_jax.objectives import Aux, negative_iwae
from vae_jax.runs.images.masks import hide_at_random
from vae_jax.training import fit

PROTOCOL = (
    "Half of the pixels are hidden, in training and test images; static bits of the pixels. Two dense layers of 500 in "
    "encoder and decoder, 50 latent dimensions, Bernoulli likelihood, Adam 1e-3 with cosine schedule, batches of 128, "
    "best epoch by the bound of a twelfth of the training images; 100 importance samples to impute. Classifier of 4x4 "
    "convolutions, trained on complete images for 8 epochs; all test images."
)


class Training(NamedTuple):
    """Sizes of the model and of its training."""

    epochs: int
    samples: int
    draws: int
    imputing_samples: int = 100
    latent_dim: int = 50
    hidden: tuple[int, ...] = (500, 500)
    classifier_epochs: int = 8
    missing: float = 0.5


class Classifier(NamedTuple):
    """A network that `fit` trains; its parameters are those of the network."""

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, jax.Array], jax.Array]


def cross_entropy(model: Any, params: Any, key: jax.Array, batch: Any) -> tuple[jax.Array, Aux]:
    logits = jax.vmap(lambda x: model.apply(params, x))(batch["x"])
    wrong = jnp.argmax(logits, axis=-1) != batch["label"]
    return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch["label"])), Aux(
        {"error": jnp.mean(wrong)}, None
    )


def adam(steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(1e-3, steps))


def _classifier(
    xs: jax.Array,
    labels: jax.Array,
    held: tuple[slice, slice],
    sizes: Training,
    key: jax.Array,
    say: Callable[[str], Any],
) -> Callable[[jax.Array], jax.Array]:
    """Trains a convolutional classifier; returns its probabilities of images `[N, H, W, C]`."""
    network = conv_encoder(xs.shape[1:], int(labels.max()) + 1, (32, 64), 256)
    fitted_on, checked_on = ({"x": xs[part], "label": labels[part]} for part in held)
    fitted = fit(
        Classifier(network.init, network.apply),
        cross_entropy,
        adam(sizes.classifier_epochs * (len(fitted_on["x"]) // 128)),
        fitted_on,
        checked_on,
        key,
        epochs=sizes.classifier_epochs,
        on_epoch=lambda history: say(f"classifier: {history[-1]}"),
    )
    one = lambda x: jax.nn.softmax(network.apply(fitted.best_params, x))
    return jax.jit(lambda xs: jax.lax.map(one, xs, batch_size=500))


def accuracies(
    data: str, data_dir: str | None, seed: int, sizes: Training, say: Callable[[str], Any]
) -> dict[str, float]:
    """Accuracy on complete test images and on three kinds of imputed ones, and the squared errors of imputation."""
    images = hide_at_random(load_images(data, data_dir), sizes.missing)
    if images.train_labels is None or images.test_labels is None:
        raise ValueError(f"--data {data} has no labels, which a classifier needs")
    model_key, classifier_key, impute_key, train_key = jax.random.split(jax.random.key(seed), 4)
    bits = (static_binarization(images.train, 0), static_binarization(images.test, 1))
    train, test = (jnp.asarray(pixels, jnp.float32) / 255 for pixels in bits)
    validation = len(train) // 12
    held = slice(validation, None), slice(0, validation)
    shape = train.shape[1:]

    classify = lambda xs: _classifier(xs, jnp.asarray(images.train_labels), held, sizes, classifier_key, say)
    probabilities = classify(train)
    accuracy = lambda found: float(np.mean(np.argmax(found, axis=1) == images.test_labels))

    masks, hidden = jnp.asarray(images.train_mask), ~jnp.asarray(images.test_mask)
    mean = jnp.sum(train, axis=0, where=masks) / jnp.maximum(jnp.sum(masks, axis=0), 1)
    encoder = mlp_encoder((*shape[:-1], 2 * shape[-1]), 2 * sizes.latent_dim, sizes.hidden)
    outputs, bias = likelihoods.bernoulli.output_shape(shape), output_bias(likelihoods.bernoulli, mean)
    decoder = mlp_decoder(sizes.latent_dim, outputs, sizes.hidden[::-1], bias)
    model = with_missing(gaussian_vae(encoder, decoder, sizes.latent_dim))
    of_train, example = Example(jnp.where(masks, train, 0.0), masks), Example(jnp.where(hidden, 0.0, test), ~hidden)
    fitted_on, checked_on = (Example(of_train.x[part], of_train.context[part]) for part in held)
    optimizer = adam(sizes.epochs * (len(fitted_on.x) // 128))
    report = lambda history: say(f"seed {seed}: {history[-1]}")
    trained = fit(
        model,
        negative_iwae(sizes.samples),
        optimizer,
        fitted_on,
        checked_on,
        model_key,
        epochs=sizes.epochs,
        on_epoch=report,
    )
    imputed = impute_examples(
        model, trained.best_params, impute_key, example, sizes.imputing_samples, sizes.draws, batch_size=100
    )
    of_draws = [probabilities(imputed.draws[:, i]) for i in range(sizes.draws)]
    # As in the paper, a classifier of imputed images is trained on imputed images.
    filled = impute_examples(model, trained.best_params, train_key, of_train, sizes.imputing_samples).value
    return {
        "retrained": accuracy(classify(filled)(imputed.value)),
        "complete": accuracy(probabilities(test)),
        "zeros": accuracy(probabilities(example.x)),
        "imputed": accuracy(probabilities(imputed.value)),
        "draws": accuracy(sum(of_draws)),
        "squared_error": float(jnp.mean(jnp.square(imputed.value - test), where=hidden)),
        "effective_sample_size": float(jnp.mean(imputed.effective_sample_size)),
    }
