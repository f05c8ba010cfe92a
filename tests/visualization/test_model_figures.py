"""Which figures a model gets: none that it has no meaning for, and none missing that it has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fresh import some_params
from vae_jax.distributions import Bernoulli, Categorical, Normal
from vae_jax.models import VAE, hierarchical_vae, mlp_vae, with_vamp_prior
from vae_jax.networks import mlp_decoder, mlp_encoder
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
    """Of a code that is one of four letters: no mean stands for an image, and there is no path between codes."""
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
def test_a_model_gets_the_figures_that_it_has_a_meaning_for(model, means, kl, expected):
    assert names(model, means, kl) == ["training_curves", *expected]


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


def test_the_surgery_is_drawn_of_the_parts_that_are_defined():
    assert surgery()[0] == [10.0, 4.0, 5.0, 1.0]
    assert surgery(dimension_wise_kl=None)[0] == [10.0, 4.0, 6.0]
    assert surgery(dimension_wise_kl=None, total_correlation=None)[0] == [10.0, 4.0, 6.0]
    assert list(surgery_figures({"rate": 10.0})) == []


def test_a_mutual_information_at_its_limit_is_called_so():
    assert "near its limit" not in surgery()[1]
    assert "near its limit" in surgery(mutual_information=6.8)[1]
