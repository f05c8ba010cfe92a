"""Gain of a model that is given labels: log-likelihoods and Bayes' rule for each image."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import evaluation
from vae_jax.models import Conditional, Example
from vae_jax.runs.progress import CountDisplay, say
from vae_jax.runs.recipe import PreparedRun, TrainedModel

# Claim of each number in the record.
CLAIMS = {
    "nll_given_label": "-log p(x | y)",
    "nll_marginal": "-log sum_y p(y) p(x | y)",
    "nll_unconditional": "-log p(x) of a model without labels",
    "nll_gain": "gain from the label: -log p(x) minus -log p(x | y)",
    "label_information": "information in the label: log p(x | y) - log sum_y p(y) p(x | y), a part of the gain",
    "twin_excess": "excess of the model without labels: log sum_y p(y) p(x | y) - log p(x) of that model, the rest of "
    "the gain",
    "annealed_nll_gain": "gain from the label, annealed, on the annealed images",
    "inference_gain": "importance-sampled minus annealed gain: inference loss of the model without labels",
}


def label_gain(
    prepared: PreparedRun,
    family: TrainedModel,
    twin: TrainedModel,
    key: jax.Array,
    test_images: int,
    nll_samples: int,
    ais_images: int,
) -> dict[str, list[float]]:
    """Returns each measure for every test image; log-likelihoods in nats.

    Args:
      prepared: the run of the family, with its data.
      family: a model that is given labels.
      twin: a model with the same networks and data that is given no labels.
      key: PRNG key, consumed.
      test_images: number of test images to measure, from the first; all if there are fewer.
      nll_samples: importance samples for each image and label.
      ais_images: number of test images, from the first, that are also measured by annealed importance sampling.
    """
    assert isinstance(family.model, Conditional)
    problem, num_classes = prepared.problem, prepared.problem.num_classes
    xs, labels = problem.test[:test_images], np.asarray(problem.test_examples.context[:test_images])
    counts = np.bincount(problem.train_examples.context, minlength=num_classes)
    with np.errstate(divide="ignore"):  # log 0 for a label that no training image has
        log_prior = np.log(counts / counts.sum())
    keys = jax.random.split(key, 3)
    with CountDisplay("importance sampling", 2 * len(xs)) as display:
        by_label = evaluation.class_posteriors(
            family.model,
            family.params,
            keys[0],
            xs,
            jnp.arange(num_classes),
            log_prior,
            nll_samples,
            on_batch=lambda batch: display.add(len(batch.log_marginal)),
        )
        sampled = evaluation.importance_sampling(
            twin.model,
            twin.params,
            keys[1],
            xs,
            nll_samples,
            on_batch=lambda batch: display.add(len(batch.log_likelihood)),
        )
    numbers = {
        "nll_given_label": -np.asarray(by_label.log_likelihood)[np.arange(len(labels)), labels],
        "nll_marginal": -np.asarray(by_label.log_marginal),
        "nll_unconditional": -np.asarray(sampled.log_likelihood),
        "classification_accuracy": np.argmax(by_label.log_posterior, axis=1) == labels,
    }
    if ais_images:
        say(f"annealing of {ais_images} test images")
        first = slice(ais_images)
        for name, trained, examples in (
            ("annealed_nll_given_label", family, Example(xs[first], jnp.asarray(labels[first]))),
            ("annealed_nll_unconditional", twin, xs[first]),
        ):
            annealed = evaluation.annealed_importance_sampling(trained.model, trained.params, keys[2], examples)
            numbers[name] = -np.asarray(annealed.log_likelihood)
    return {name: np.asarray(values, float).tolist() for name, values in numbers.items()}


def with_differences(numbers: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """Numbers of `label_gain` and the differences between them, for each image."""
    found = {name: np.asarray(values) for name, values in numbers.items()}
    found["nll_gain"] = found["nll_unconditional"] - found["nll_given_label"]
    found["label_information"] = found["nll_marginal"] - found["nll_given_label"]
    found["twin_excess"] = found["nll_unconditional"] - found["nll_marginal"]
    if "annealed_nll_unconditional" in found:
        gain = found["annealed_nll_unconditional"] - found["annealed_nll_given_label"]
        found["annealed_nll_gain"] = gain
        found["inference_gain"] = found["nll_gain"][: len(gain)] - gain
    return found


def summary_of(seeds: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """Means over seeds and images, each with its standard error over the images."""
    summary = {}
    for name in seeds[0]:
        images = np.mean([numbers[name] for numbers in seeds], axis=0)
        summary[name] = float(images.mean())
        summary[f"{name}_standard_error"] = float(images.std(ddof=1) / len(images) ** 0.5)
    return summary
