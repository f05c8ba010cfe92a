"""Unsuitable training data: each is refused before anything is compiled, in a message that names the leaf's path."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fresh import soon_started
from vae_jax.distributions import Bernoulli
from vae_jax.models import VAE, Conditional, contexts, mlp_vae
from vae_jax.models._model import Example
from vae_jax.objectives import Aux, negative_elbo, with_preprocessing
from vae_jax.training import Examples, drawn, fit, fit_ensemble, fit_stream, make_evaluate, permuted, rows

IMAGES = (np.random.default_rng(0).random((12, 4, 4, 1)) < 0.5).astype(np.float32)
LABELS = np.arange(12) % 3
WITH_LABELS = Example(IMAGES, LABELS)
PLAIN = soon_started(mlp_vae((4, 4, 1), 2, (4,)))
OF_LABELS = Conditional(PLAIN.init, lambda label: PLAIN, contexts.labels(3).check)
SHORT_OF_AN_AXIS = PLAIN._replace(decode=lambda params, z: Bernoulli(PLAIN.decode(params, z).logits[..., 0]))
TABLE = {"age": np.arange(12, dtype=np.float32), "marks": np.ones((12, 2), np.float32)}
NOTHING = VAE(lambda key: {"w": jnp.ones(())}, None, None, None)


def with_value(value, array=TABLE["age"], at=3):
    changed = array.copy()
    changed[at] = value
    return changed


def squares(model, params, key, batch):
    return params["w"] * jnp.mean(jnp.square(batch["age"])), Aux({}, None)


def tables(train=TABLE, validation=TABLE, **options):
    return {"model": NOTHING, "objective": squares, "train": train, "validation": validation, **options}


def labeled(train, validation=WITH_LABELS, model=OF_LABELS, objective=negative_elbo, **options):
    return {"model": model, "objective": objective, "train": train, "validation": validation, **options}


def images_alone(data, key, indices):
    return data.x[indices]


def named(data, key, indices):
    return Example({"image": data.x[indices]}, data.context[indices])


def transposed(data, key, indices):
    return Example(data.x[indices].reshape(-1, 16), data.context[indices])


BAD = {
    "leaves of different length": (
        tables({**TABLE, "age": np.zeros(9, np.float32)}),
        "train must hold the same number of examples in every leaf: train['age'] has 9, train['marks'] has 12",
    ),
    "a leaf without an axis": (
        tables({**TABLE, "age": np.float32(3)}),
        "train['age'] must have a leading axis, one entry for each example; it has none",
    ),
    "no leaf": (tables({}), "train must hold at least one array"),
    "no example": (
        tables(validation={"age": TABLE["age"][:0], "marks": TABLE["marks"][:0]}),
        "validation must hold at least 1 example",
    ),
    "not finite": (
        tables({**TABLE, "age": with_value(np.nan)}),
        "train['age'] holds 1 value that is not finite (first at example 3)",
    ),
    "not finite, of two axes": (
        tables(validation={**TABLE, "marks": with_value(np.inf, TABLE["marks"], at=(5, 1))}),
        "validation['marks'] holds 1 value that is not finite (first at example 5, position (1,))",
    ),
    "generated, not finite": (
        tables(Examples({}, 12, lambda data, key, i: {"age": i / 0.0, "marks": jnp.ones((len(i), 2))}, drawn)),
        "train['age'] holds 8 values that are not finite (first at example 0)",
    ),
    "another structure": (
        tables(validation={"age": TABLE["age"]}),
        "validation must have the structure of train: validation lacks train['marks']",
    ),
    "another structure, the other way round": (
        tables(validation={**TABLE, "name": TABLE["age"]}),
        "validation must have the structure of train: train lacks validation['name']",
    ),
    "another shape": (
        tables(validation={**TABLE, "marks": np.ones((12, 3), np.float32)}),
        "validation['marks'] must hold examples of train['marks']'s shape, (2,), got (3,)",
    ),
    "another shape of one array": (
        labeled(IMAGES, np.zeros((12, 4, 5, 1), np.float32), PLAIN),
        "validation must hold examples of train's shape, (4, 4, 1), got (4, 5, 1)",
    ),
    "steps that are not of a permutation": (
        tables(steps_per_epoch=3),
        "steps_per_epoch must be 1 for 12 permuted examples in batches of 8, got 3",
    ),
    "no steps": (tables(Examples(TABLE, 12, order=drawn), steps_per_epoch=0), "steps_per_epoch must be at least 1"),
    "no context": (labeled(IMAGES, IMAGES), "train: model is a Conditional and needs a context"),
    "a context too many": (labeled(WITH_LABELS, model=PLAIN), "train: model takes no context"),
    "raw pixels and a context too many": (
        labeled(Example((255 * IMAGES).astype(np.uint8), LABELS), model=PLAIN,
                objective=with_preprocessing(negative_elbo, lambda key, x: x / 255)),
        "train: model takes no context",
    ),
    "a label out of range": (
        labeled(Example(IMAGES, with_value(3, LABELS, at=10))),
        "train.context must be an integer label from 0 to 2, got 3",
    ),
    "labels of another dtype": (
        labeled(Example(IMAGES, LABELS.astype(np.float32)), Example(IMAGES, LABELS.astype(np.float32))),
        "train.context must be an integer label from 0 to 2, got dtype float32",
    ),
    "rows of another number than the count": (
        tables(Examples(TABLE, 20)),
        "train must hold as many rows as its count, 20, got 12",
    ),
    "rows of leaves of different length": (
        labeled(Examples(Example(IMAGES, LABELS[:7]), 12)),
        "train must hold the same number of examples in every leaf: train.x has 12, train.context has 7",
    ),
    "generated, fewer than there are indices": (
        tables(Examples(TABLE, 12, lambda data, key, i: rows(data, key, i[1:]))),
        "train.at must return one example for each index, 8, got 7",
    ),
    "an order of another shape": (
        tables(Examples(TABLE, 12, order=lambda *args: permuted(*args)[:, :5])),
        "train.order must return indices of shape [num_steps, batch_size], (1, 8), got (1, 5)",
    ),
    "fewer labels": (
        labeled(Example(IMAGES, LABELS[:7])),
        "train must hold the same number of examples in every leaf: train.x has 12, train.context has 7",
    ),
    "generated, without the context": (
        labeled(Examples(WITH_LABELS, 12, images_alone), Examples(WITH_LABELS, 12, images_alone)),
        "train: model is a Conditional and needs a context",
    ),
    "generated, of another structure than validation": (
        labeled(Examples(WITH_LABELS, 12, images_alone)),
        "validation must have the structure of train: validation lacks train",
    ),
    "generated, of another shape than validation": (
        labeled(Examples(WITH_LABELS, 12, transposed)),
        "validation.x must hold examples of train.x's shape, (16,), got (4, 4, 1)",
    ),
    "another shape than the model's": (
        labeled(*2 * [Examples(WITH_LABELS, 12, transposed)]),
        "train.x: expected one example of shape (4, 4, 1), got (16,)",
    ),
    "a decoder without the last axis of its likelihood": (
        labeled(IMAGES, IMAGES, SHORT_OF_AN_AXIS),
        "train: expected one example of shape (4, 4), got (4, 4, 1); or the decoder's outputs lack their last axis: "
        "they need likelihood.output_shape(x.shape)",
    ),
    "generated, of another structure than the model's": (
        labeled(*2 * [Examples(WITH_LABELS, 12, named)]),
        "train.x must hold the arrays that the model decodes, train.x; got train.x['image']",
    ),
    "outside the support": (
        labeled(Example(IMAGES + 1, LABELS), Example(IMAGES + 1, LABELS)),
        "train.x holds values outside [0, 1] for a Bernoulli",
    ),
}  # fmt: skip


def options_of(case):
    options = {"epochs": 1, "batch_size": 8, "on_start": lambda: pytest.fail("it began"), **case}
    return {name: options.pop(name) for name in ("model", "objective", "train", "validation")}, options


@pytest.mark.slow
def test_each_is_refused_with_the_path_of_its_leaf():
    for name, (case, message) in BAD.items():
        given, options = options_of(case)
        with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}") as caught:
            fit(given["model"], given["objective"], optax.sgd(0.1),
                given["train"], given["validation"], jax.random.key(0), **options)  # fmt: skip
        assert message in str(caught.value), name


def test_an_ensemble_and_an_evaluation_name_it_too():
    for name in ("leaves of different length", "not finite", "another shape", "a label out of range"):
        given, options = options_of(BAD[name][0])
        setup = lambda _, given=given: (given["objective"], optax.sgd(0.1))
        keys = jax.random.split(jax.random.key(0), 2)
        with pytest.raises(ValueError, match=f"^{re.escape(BAD[name][1])}"):
            fit_ensemble(given["model"], setup, None, given["train"], given["validation"], keys, **options)
    with pytest.raises(ValueError, match=re.escape("data['age'] has 9, data['marks'] has 12")):
        make_evaluate(NOTHING, squares, 8)({"w": 1.0}, jax.random.key(0), {**TABLE, "age": np.zeros(9)})


def test_a_label_of_a_stream_is_refused_by_its_value():
    class Stream:
        batch_size, steps_per_epoch = 12, 1
        seek = lambda self, batch: None
        __iter__ = lambda self: self
        __next__ = lambda self: Example(IMAGES, with_value(3, LABELS, at=10))

    with pytest.raises(ValueError, match=r"chunk of the stream\.context must be an integer label from 0 to 2, got 3"):
        fit_stream(OF_LABELS, negative_elbo, optax.sgd(0.1), Stream(), WITH_LABELS, jax.random.key(0), epochs=1)
