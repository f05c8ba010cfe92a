"""Conditional models bound to a context, with known values; priors common to all contexts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import linear_gaussian_family as lg
from models.small_family import KEY, loss, loss_by_loop
from vae_jax.distributions import Mixture
from vae_jax.models import (
    Example,
    bind,
    for_each_context,
    with_mixture_prior,
)
from vae_jax.models._model import common_prior
from vae_jax.objectives import elbo, negative_elbo, sampled_elbo


@pytest.mark.slow
def test_the_loss_of_a_batch_is_the_mean_over_the_models_of_the_examples():
    params, (xs, ys) = lg.wrong_params(), lg.examples(7)
    value = loss(negative_elbo, lg.FAMILY, params, xs, ys)
    np.testing.assert_allclose(value, loss_by_loop(elbo, lg.FAMILY.given, params, xs, ys), rtol=1e-5)
    draws = jax.jit(jax.vmap(lambda key: negative_elbo(lg.FAMILY, params, key, Example(xs, ys))[0]))(
        jax.random.split(KEY, 4000)
    )
    assert abs(np.mean(draws) + lg.elbo_value(params, xs, ys).mean()) < 4 * np.std(draws) / np.sqrt(4000)
    vae, x = bind(lg.FAMILY, Example(xs[1], ys[1]))
    posterior, (mean, variance) = vae.encode(lg.exact_params(), x), lg.posterior(params, xs[1:2], ys[1:2])
    np.testing.assert_allclose(posterior.mean, mean[0], rtol=1e-5)
    np.testing.assert_allclose(np.exp(posterior.log_variance), variance, rtol=1e-5)


def test_common_prior_is_a_single_prior_or_none_if_it_depends_on_the_context():
    params, ys = lg.exact_params(), jnp.arange(3)
    assert common_prior(lg.FAMILY, params, ys) is None
    prior = common_prior(lg.COMMON_PRIOR_FAMILY, params, ys)
    np.testing.assert_array_equal(prior.mean, np.zeros(2))  # without an axis of contexts
    np.testing.assert_array_equal(common_prior(lg.FAMILY.given(1), params, None).mean, lg.PRIOR_MEANS[1])


def test_errors_of_the_prior_itself_are_raised_by_common_prior():
    def given(context):
        def prior(params):
            raise ValueError("my prior: out_axes")

        return lg.FAMILY.given(context)._replace(prior=prior)

    params = lg.exact_params()
    with pytest.raises(ValueError, match="my prior: out_axes"):
        common_prior(lg.FAMILY._replace(given=given), params, np.arange(3))
    with pytest.raises(ValueError, match="contexts must have a leading axis"):
        common_prior(lg.COMMON_PRIOR_FAMILY, params, 1)
    unknown = lg.FAMILY._replace(given=lambda y: lg.FAMILY.given(y)._replace(prior=lambda params: object()))
    assert common_prior(unknown, params, np.arange(3)) is None  # not a pytree


def test_for_each_context_gives_the_parameters_and_values_of_the_transformed_models():
    family = for_each_context(lambda vae: with_mixture_prior(vae, 2, 4), lg.FAMILY)
    params = family.init(jax.random.key(0))
    assert set(params) == {*lg.exact_params(), "prior"}
    np.testing.assert_array_equal(params["offsets"], lg.OFFSETS)
    xs, ys = lg.examples(2)
    for x, y in zip(xs, ys, strict=True):
        vae = with_mixture_prior(lg.FAMILY.given(y), 2, 4)
        np.testing.assert_allclose(
            sampled_elbo(family.given(y), params, KEY, x), sampled_elbo(vae, params, KEY, x), rtol=1e-6
        )
    assert isinstance(common_prior(family, params, jnp.asarray(ys)), Mixture)
    encodes = lambda vae: vae._replace(init=lambda key: vae.encode(vae.init(key), xs[0]))
    with pytest.raises(TypeError, match=r"the init of transform\(vae\) must not call encode, prior or decode"):
        for_each_context(encodes, lg.FAMILY).init(KEY)
