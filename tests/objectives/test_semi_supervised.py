"""Semi-supervised objective against a sum over the classes written out in numpy, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from contract.objectives_table import CLASSIFIED, CLASSIFIED_PARAMS, CLASSIFIER, FEW_LABELS, IMAGES
from vae_jax import objectives as o
from vae_jax.models import Example, conditional_vae, contexts, mlp_vae, with_classifier
from vae_jax.networks import mlp_encoder
from vae_jax.training import Examples, fit, grouped

LOG_PRIOR = np.log([0.5, 0.2, 0.3])
KEY = jax.random.key(3)


def by_hand(log_joints, log_posterior, label, alpha):
    log_joints, log_posterior = np.asarray(log_joints, float), np.asarray(log_posterior, float)
    if label >= 0:
        return -log_joints[label] - alpha * log_posterior[label]
    q = np.exp(log_posterior)
    entropy = -sum(p * lp for p, lp in zip(q, log_posterior, strict=True) if p > 0)
    return -sum(p * lj for p, lj in zip(q, log_joints, strict=True)) - entropy


def expected(params, keys, batch, alpha, weights):
    """Loss and metrics of a batch, class by class and example by example."""
    losses, elbos, correct = [], [], []
    elbo_of = jax.jit(lambda y, key, x: o.elbo(CLASSIFIED.given(y), params, key, x))
    log_posterior_of = jax.jit(lambda x: jax.nn.log_softmax(CLASSIFIER.apply(params["classifier"], x)))
    for key, x, label in zip(keys, *batch, strict=True):
        elbos_of_classes, log_posterior = [elbo_of(y, key, x) for y in range(3)], log_posterior_of(x)
        log_joints = np.array(elbos_of_classes) + LOG_PRIOR
        weight = weights.labeled if label >= 0 else weights.unlabeled
        losses.append(weight * by_hand(log_joints, log_posterior, label, alpha))
        elbos.append(-by_hand(log_joints, log_posterior, -1, 0.0))
        correct.append(np.argmax(log_posterior) == label)
    return np.mean(losses), np.mean(elbos), np.mean(correct)


def test_loss_and_metrics_are_those_of_a_loop_over_classes_and_examples():
    keys, weights = jax.random.split(KEY, 4), o.LabelWeights(0.25, 1.75)
    objective = o.semi_supervised_loss(CLASSIFIER.apply, 5.0, weights, LOG_PRIOR)
    loss, aux = jax.jit(objective, static_argnums=0)(CLASSIFIED, CLASSIFIED_PARAMS, keys, FEW_LABELS)
    found = loss, aux.metrics["elbo"], aux.metrics["correct"]
    np.testing.assert_allclose(found, expected(CLASSIFIED_PARAMS, keys, FEW_LABELS, 5.0, weights), rtol=1e-5)
    assert aux.metrics["labeled"] == 0.5
    np.testing.assert_allclose(aux.metrics["elbo"], -aux.metrics["rate"] - aux.metrics["distortion"], rtol=1e-6)


def test_the_gradient_of_the_terms_is_its_closed_form_and_finite_at_extreme_logits():
    log_joints = jnp.array([-90.0, -88.0, -95.0])

    def loss(logits, log_joints, label):
        return o.semi_supervised_from_terms(log_joints, jax.nn.log_softmax(logits), label, 5.0)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    logits = jnp.array([0.4, -1.0, 2.0])
    q = np.asarray(jax.nn.softmax(logits), float)
    # d/d logits of S = sum_y q_y (log q_y - L_y): q (log q - L - S); of -alpha log q_y: alpha (q - one-hot y).
    terms = np.log(q) - np.asarray(log_joints, float)
    of_logits, of_bounds = gradient(logits, log_joints, -1)
    np.testing.assert_allclose(of_logits, q * (terms - q @ terms), rtol=1e-4)
    np.testing.assert_allclose(of_bounds, -q, rtol=1e-5)
    of_logits, of_bounds = gradient(logits, log_joints, 1)
    np.testing.assert_allclose(of_logits, 5.0 * (q - np.eye(3)[1]), rtol=1e-5)
    np.testing.assert_array_equal(of_bounds, -np.eye(3)[1])
    for extreme in ([200.0, -200.0, 0.0], [-200.0, -200.0, 200.0]):
        for label in (-1, 0, 2):
            log_posterior = np.asarray(jax.nn.log_softmax(jnp.array(extreme)), float)
            value = loss(jnp.array(extreme), log_joints, label)
            np.testing.assert_allclose(value, by_hand(log_joints, log_posterior, label, 5.0), rtol=1e-6)
            assert all(np.isfinite(part).all() for part in gradient(jnp.array(extreme), log_joints, label))


def test_the_loss_of_oversampled_batches_is_in_expectation_the_loss_of_the_data():
    # 2 labeled and 6 unlabeled examples; every batch of 3 with 1 labeled one is as likely as any other.
    losses = np.random.default_rng(0).normal(size=8)
    weights = o.label_weights(2, 6, 1, 2)
    batches = [(i, j, k) for i in range(2) for j in range(2, 8) for k in range(2, 8) if j != k]
    means = [(weights.labeled * losses[i] + weights.unlabeled * (losses[j] + losses[k])) / 3 for i, j, k in batches]
    np.testing.assert_allclose(np.mean(means), np.mean(losses), rtol=1e-12)
    assert o.label_weights(2, 6, 1, 3) == (1.0, 1.0)


def test_labels_that_are_wrong_are_refused_if_known_and_make_the_loss_nan_if_traced():
    objective = o.semi_supervised_loss(CLASSIFIER.apply, 1.0)
    call = lambda model=CLASSIFIED, params=CLASSIFIED_PARAMS, labels=FEW_LABELS.context, of=objective: of(
        model, params, KEY, Example(IMAGES, labels)
    )
    with pytest.raises(ValueError, match=r"batch\.context must be an integer label from 0 to 2, got 3"):
        call(labels=np.array([-1, 3, 0, 1]))
    with pytest.raises(ValueError, match=r"batch\.context must be an integer label from 0 to 2, got -2"):
        call(labels=np.array([-1, -2, 0, 1]))
    with pytest.raises(TypeError, match="integer label"):
        call(labels=np.array([-1.0, 1.0, 0.0, 1.0]))
    jitted = jax.jit(lambda labels: objective(CLASSIFIED, CLASSIFIED_PARAMS, KEY, Example(IMAGES, labels))[0])
    assert np.isfinite(jitted(np.array([-1, -1, 0, 0])))  # no labeled example of the classes 1 and 2
    assert np.isnan(jitted(np.array([-1, 3, 0, 1]))) and np.isnan(jitted(np.array([-1, -2, 0, 1])))
    without = {name: leaf for name, leaf in CLASSIFIED_PARAMS.items() if name != "classifier"}
    with pytest.raises(ValueError, match="needs a model with a classifier among its params"):
        call(params=without)
    with pytest.raises(TypeError, match="model takes no context"):
        call(model=mlp_vae(IMAGES.shape[1:], 2, (8,)))
    four = o.semi_supervised_loss(lambda params, x: jnp.zeros(4), 1.0)
    with pytest.raises(ValueError, match="the classes of classify must be an integer label from 0 to 2, got 3"):
        call(of=four)
    with pytest.raises(ValueError, match=r"a vector of logits, one for each class, got shape \(3, 1\)"):
        call(of=o.semi_supervised_loss(lambda params, x: jnp.zeros((3, 1)), 1.0))
    with pytest.raises(ValueError, match=r"log_prior must have an entry for each of 3 classes, got shape \(2,\)"):
        call(of=o.semi_supervised_loss(CLASSIFIER.apply, 1.0, log_prior=[-0.7, -0.7]))
    for bad in ({"alpha": -1.0}, {"alpha": 1.0, "weights": o.LabelWeights(-1.0, 1.0)}):
        with pytest.raises(ValueError, match="must be at least 0, got -1"):
            o.semi_supervised_loss(CLASSIFIER.apply, **bad)
    with pytest.raises(ValueError, match="labeled must be at least 1, got 0"):
        o.label_weights(10, 90, 0, 10)


def test_a_classifier_is_added_to_a_conditional_model_only():
    with pytest.raises(TypeError, match="conditional must be a Conditional of labels"):
        with_classifier(mlp_vae(IMAGES.shape[1:], 2, (8,)), CLASSIFIER)
    with pytest.raises(ValueError, match='must not have params under "classifier"'):
        jax.eval_shape(with_classifier(CLASSIFIED, CLASSIFIER).init, KEY)


@pytest.mark.slow
def test_ten_labels_of_two_separate_classes_are_enough_to_classify_all():
    # Two classes of bit patterns, with 4 of 16 bits flipped at random: a cluster each, of which 5 examples are labeled.
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    patterns = rng.random((2, 4, 4, 1)) < 0.5
    xs = (patterns[labels] ^ (rng.random((400, 4, 4, 1)) < 0.25)).astype(np.float32)
    model = with_classifier(
        conditional_vae((4, 4, 1), contexts.labels(2), 2, (16,)), two := mlp_encoder((4, 4, 1), 2, (16,))
    )
    seen = np.where(np.arange(400) < 10, labels, -1).astype(np.int32)
    train = Examples(Example(xs, seen), 400, order=grouped((10, 390), (5, 45)))
    objective = o.semi_supervised_loss(two.apply, 0.1 * 400 / 10, o.label_weights(10, 390, 5, 45))
    unlabeled = Example(xs, np.full(400, -1, np.int32))
    progress = fit(model, objective, optax.adam(1e-2), train, unlabeled, KEY, epochs=15, batch_size=50)
    params = progress.best_params
    likely = jax.vmap(lambda x: jnp.argmax(two.apply(params["classifier"], x)))(xs)
    ideal = np.mean(np.argmin(np.abs(xs[:, None] - patterns).sum((2, 3, 4)), axis=1) != labels)
    assert np.mean(likely != labels) < ideal + 0.03
