"""Figures that are drawn for each kind of model, and their captions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fresh import some_params
from vae_jax.distributions import Bernoulli, Categorical, Normal
from vae_jax.models import (
    VAE,
    conditional,
    contexts,
    gaussian_vae,
    hierarchical_vae,
    mlp_vae,
    reconstruct,
    sample,
    with_vamp_prior,
)
from vae_jax.models._model import given
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.visualization import _model_figures as figures
from vae_jax.visualization._model_figures import Subject, model_figures, surgery_figures

SHAPE = (6, 6, 1)
XS = jnp.asarray((np.random.default_rng(0).random((30, *SHAPE)) < 0.3).astype(np.float32))
HISTORY = [{"epoch": epoch, "train/elbo": -10.0 / epoch, "validation/elbo": -11.0 / epoch} for epoch in (1, 2)]


def names(model, means, kl):
    params = some_params(model)
    subject = Subject(model, params, XS, None, means, kl, HISTORY)
    return [captioned.name for captioned in model_figures(subject, jax.random.key(1))]


def two_layers():
    encoders = [mlp_encoder(SHAPE, 6, (8,)), mlp_encoder((3,), 4, (8,))]
    return hierarchical_vae(encoders, [mlp_encoder((2,), 6, (8,))], mlp_decoder(3, (*SHAPE, 1), (8,)), 2)


def categorical_model():
    """VAE with a code of four categories, which has neither a mean nor paths between codes."""
    return VAE(
        lambda key: {},
        lambda params, x: Categorical(jnp.zeros((1, 4))),
        lambda params: Categorical(jnp.zeros((1, 4))),
        lambda params, z: Bernoulli(jnp.full(SHAPE, z[0] - 1.5)),
    )


USUAL = ["reconstructions", "samples", "interpolations"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "means", "kl", "expected"),
    [
        (
            mlp_vae(SHAPE, 2, (8,)),
            np.zeros((30, 2)),
            np.ones(2),
            [*USUAL, "traversal", "kl_per_dimension", "posterior_means", "manifold"],
        ),
        (
            mlp_vae(SHAPE, 3, (8,)),
            np.eye(30, 3),
            np.ones(3),
            [*USUAL, "traversal", "kl_per_dimension", "posterior_means"],
        ),
        (with_vamp_prior(mlp_vae(SHAPE, 3, (8,)), 5, SHAPE), np.eye(30, 3), None, [*USUAL, "posterior_means"]),
        (two_layers(), None, None, USUAL),
        (categorical_model(), None, None, ["samples"]),
    ],
    ids=["plane", "vector", "vamp prior", "two layers", "letters"],
)
def test_a_model_gets_the_figures_that_are_defined_for_it(model, means, kl, expected):
    assert names(model, means, kl) == ["training_curves", *expected]


def test_the_mean_of_a_single_image_is_not_scattered():
    model = mlp_vae(SHAPE, 3, (8,))
    subject = Subject(model, some_params(model), XS[:1], None, np.ones((1, 3)), np.ones(3), HISTORY)
    drawn = [captioned.name for captioned in model_figures(subject, jax.random.key(1))]
    assert "reconstructions" in drawn and "posterior_means" not in drawn


def test_a_prior_of_several_axes_is_not_traversed():
    model = VAE(
        lambda key: {},
        lambda params, x: Normal(x[:2, :2, 0], jnp.zeros((2, 2))),
        lambda params: Normal(jnp.zeros((2, 2)), jnp.zeros((2, 2))),
        lambda params, z: Bernoulli(jnp.full(SHAPE, z.sum())),
    )
    assert "traversal" not in names(model, None, np.ones(4))


SUMMARY = {
    "average_kl": 10.0,
    "mutual_information": 4.0,
    "marginal_kl": 6.0,
    "total_correlation": 5.0,
    "dimension_wise_kl": 1.0,
    "mutual_information_limit": 6.9,
}


def surgery(**changes):
    (captioned,) = surgery_figures(SUMMARY | changes)
    widths = [bar.get_width() for bar in captioned.figure.axes[0].patches]
    return widths, captioned.caption


def test_the_surgery_shows_the_parts_that_are_defined():
    assert surgery()[0] == [10.0, 4.0, 5.0, 1.0]
    assert surgery(dimension_wise_kl=None)[0] == [10.0, 4.0, 6.0]
    assert surgery(dimension_wise_kl=None, total_correlation=None)[0] == [10.0, 4.0, 6.0]
    assert list(surgery_figures({"rate": 10.0})) == []


def test_the_caption_reports_a_mutual_information_near_its_limit():
    assert "near its limit" not in surgery()[1]
    assert "near its limit" in surgery(mutual_information=6.8)[1]


def conditional_model(num_classes):
    encoder = mlp_encoder(SHAPE, 4, (8,), context_size=num_classes)
    decoder = mlp_decoder(2, (*SHAPE, 1), (8,), context_size=num_classes)
    return conditional(gaussian_vae(encoder, decoder, 2), contexts.labels(num_classes))


@pytest.mark.slow
def test_a_conditional_model_gets_each_image_with_its_label_and_the_same_z_with_every_label(monkeypatch):
    drawn = {}
    for name in ("images_by_label", "reconstructions", "image_grid", "interpolations"):
        draw = getattr(figures, name)
        keep = lambda *arrays, name=name, draw=draw: (drawn.update({name: arrays}), draw(*arrays))[1]
        monkeypatch.setattr(figures, name, keep)
    model, labels = conditional_model(23), np.arange(30) % 3 + 20
    params = some_params(model)
    subject = Subject(model, params, XS, labels, np.zeros((30, 2)), np.ones(2), HISTORY, 23)
    captions = {figure.name: figure.caption for figure in model_figures(subject, jax.random.key(1))}
    expected = [*USUAL, "traversal", "kl_per_dimension", "posterior_means", "manifold"]
    expected.insert(2, "labels")
    assert list(captions) == ["training_curves", *expected]
    images, rows = drawn["images_by_label"]
    assert images.shape == (20, 10, *SHAPE) and list(rows) == list(range(20))
    assert captions["labels"].endswith("3 more labels are not shown.")
    one_z = jax.jit(lambda label, key: sample(given(model, label), params, key))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(1), 1), 10)
    np.testing.assert_allclose(images[4, 7], one_z(4, keys[7]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(images[19, 7], one_z(19, keys[7]), rtol=1e-5, atol=1e-6)
    back = jax.jit(lambda x, label: reconstruct(given(model, label), params, x))
    np.testing.assert_allclose(drawn["reconstructions"][1][5], back(XS[5], labels[5]), rtol=1e-5, atol=1e-6)
    # Both images of a pair have the label of the first.
    np.testing.assert_allclose(drawn["interpolations"][0][1, 0], back(XS[1], labels[1]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(drawn["interpolations"][0][1, -1], back(XS[4], labels[1]), rtol=1e-4, atol=1e-5)
    assert "labels 0 to 22 in turn" in captions["samples"] and captions["manifold"].endswith(
        "the first test image, 20."
    )
