"""`has_closed_form_kl` is True exactly for the models for which `elbo_terms` is defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.models_table import IMAGE_SHAPE, MODELS
from models.small_family import FAMILY, IMAGE
from vae_jax.distributions import Laplace, Normal, UndefinedError
from vae_jax.models import VAE, Example, for_each_context, with_mixture_prior, with_vamp_prior
from vae_jax.objectives import elbo_terms, has_closed_form_kl, sampled_elbo_terms

KEY = jax.random.key(0)
WITHOUT = {
    "autoencoder",
    "conditional",
    "hierarchical_vae",
    "with_missing_process",
    "with_mixture_prior",
    "with_vamp_prior",
}
# One example of a conditional model, with an integer label as its context.
EXAMPLE = Example(jax.ShapeDtypeStruct(IMAGE, jnp.float32), jax.ShapeDtypeStruct((), jnp.int32))


def shapes(model, image_shape=IMAGE_SHAPE):
    return jax.eval_shape(model.init, KEY), jax.ShapeDtypeStruct(image_shape, jnp.float32)


def is_defined(terms_of, model, params, x):
    try:
        jax.eval_shape(lambda params, x: terms_of(model, params, KEY, x), params, x)
    except UndefinedError:
        return False
    return True


@pytest.mark.parametrize(("name", "row"), MODELS.items(), ids=MODELS)
def test_it_says_for_every_model_if_its_elbo_is_defined(name, row):
    params, x = shapes(row.model)
    x = x if row.examples is None else jax.tree.map(lambda leaf: leaf[0], row.examples)
    found = has_closed_form_kl(row.model, params, x)
    assert found == is_defined(elbo_terms, row.model, params, x) == (name not in WITHOUT)
    # Those without one have a sampled estimate, except the autoencoder, whose codes have no density.
    assert is_defined(sampled_elbo_terms, row.model, params, x) == (name != "autoencoder")


def test_the_pair_decides_and_not_the_posterior_alone():
    def of(posterior, prior):
        return VAE(lambda key: {}, lambda params, x: posterior, lambda params: prior, lambda params, z: Normal(z, z))

    normal, laplace = (cls(jnp.zeros(2), jnp.zeros(2)) for cls in (Normal, Laplace))
    x = jnp.zeros(2)
    assert has_closed_form_kl(of(normal, normal), {}, x) and has_closed_form_kl(of(laplace, laplace), {}, x)
    assert not has_closed_form_kl(of(normal, laplace), {}, x) and not has_closed_form_kl(of(laplace, normal), {}, x)


def test_of_a_family_its_examples_are_bound_to_their_contexts():
    mixed = for_each_context(lambda vae: with_mixture_prior(vae, 2, 3), FAMILY)
    vamp = with_vamp_prior(FAMILY, 3, IMAGE, contexts=np.arange(3))
    for family, expected in ((FAMILY, True), (mixed, False), (vamp, False)):
        assert has_closed_form_kl(family, jax.eval_shape(family.init, KEY), EXAMPLE) is expected
    params = jax.eval_shape(FAMILY.init, KEY)
    with pytest.raises(TypeError, match="model is a Conditional and needs a context"):
        has_closed_form_kl(FAMILY, params, EXAMPLE.x)


def test_it_is_known_while_a_program_is_traced_and_nothing_is_computed():
    model = MODELS["gaussian_vae"].model
    params, x = shapes(model)
    answers = []

    def traced(params, x):
        answers.append(has_closed_form_kl(model, params, x))
        return x

    assert jax.make_jaxpr(traced)(params, x).eqns == []
    assert answers == [True]


def test_mistakes_of_the_caller_are_not_taken_for_an_answer():
    model = MODELS["gaussian_vae"].model
    params, x = shapes(model)
    with pytest.raises(ValueError, match=r"expected one example of shape \(4, 4, 1\), got a batch of shape"):
        has_closed_form_kl(model, params, jax.ShapeDtypeStruct((3, *IMAGE_SHAPE), jnp.float32))
    with pytest.raises(TypeError, match="x holds raw uint8 pixels"):
        has_closed_form_kl(model, params, jax.ShapeDtypeStruct(IMAGE_SHAPE, jnp.uint8))
    with pytest.raises(TypeError, match="model takes no context"):
        has_closed_form_kl(model, params, Example(x, jnp.zeros(1)))
