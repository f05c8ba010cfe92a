"""Gain of a model that is given labels: log-likelihoods and Bayes' rule, image by image."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import evaluation
from vae_jax.models import Conditional, Example
from vae_jax.runs.progress import CountDisplay, say
from vae_jax.runs.recipe import PreparedRun, TrainedModel

# Words of a record for the numbers that it claims.
CLAIMS = {
    "nll_given_label": "-log p(x | y)",
    "nll_marginal": "-log sum_y p(y) p(x | y)",
    "nll_unconditional": "-log p(x) of a twin that is given no label",
    "nll_gain": "gain by the label: -log p(x) less -log p(x | y)",
    "label_information": "what the label tells, log p(x | y) - log sum_y p(y) p(x | y), a part of the gain",
    "twin_excess": "what the twin lacks, log sum_y p(y) p(x | y) - log p(x) of the twin, the rest of the gain",
    "annealed_nll_gain": "gain by the label on the annealed images, annealed",
    "inference_gain": "importance-sampled less annealed gain: what the twin loses more than the family by inference",
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
    """Returns each number of every test image; log-likelihoods in nats.

    Args:
      prepared: the run of the family, with its data.
      family: a model that is given labels.
      twin: one that is given none, of the same networks and data.
      key: PRNG key, consumed.
      test_images: the first so many are measured, or all if there are fewer.
      nll_samples: importance samples for each image and label.
      ais_images: of them, the first so many that are annealed too.
    """
    assert isinstance(family.model, Conditional)
    some = slice(test_images)
    problem = prepared.problem
    xs, labels, num_classes = problem.test[some], np.asarray(problem.test_examples.context[some]), problem.num_classes
    counts = np.bincount(problem.train_examples.context, minlength=num_classes)
    with np.errstate(divide="ignore"):  # a label that no training image has: log 0
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
        some = slice(ais_images)
        for name, own, examples in (
            ("annealed_nll_given_label", family, Example(xs[some], jnp.asarray(labels[some]))),
            ("annealed_nll_unconditional", twin, xs[some]),
        ):
            annealed = evaluation.annealed_importance_sampling(own.model, own.params, keys[2], examples)
            numbers[name] = -np.asarray(annealed.log_likelihood)
    return {name: np.asarray(values, float).tolist() for name, values in numbers.items()}


def with_differences(numbers: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """The numbers of `label_gain`, and what follows from them, image by image."""
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
