import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats

from evaluation.linear_gaussian_of import examples_of, model_of, wrong_params_of
from models.matrix_products import matrix_products
from vae_jax.distributions import Normal
from vae_jax.evaluation import (
    annealed_importance_sampling,
    importance_sampling,
    mean_over_samples,
    sigmoid_temperatures,
)
from vae_jax.models import VAE, gaussian_vae, hierarchical_vae, mlp_vae, with_mixture_prior, with_vamp_prior
from vae_jax.networks import mlp_decoder, mlp_encoder
from vae_jax.objectives import elbo, negative_sampled_elbo, sampled_elbo
from vae_jax.training import init_train_state, make_train_step

IMAGE = (3, 3, 1)
BASE = mlp_vae(IMAGE, 2, hidden=(7,))
EMPTY = BASE._replace(init=lambda key: {})  # for tests that need only the parameters of the prior
WIDER = np.random.default_rng(0).uniform(-0.3, 1.3, (4, *IMAGE)).astype(np.float32)  # some pixels outside [0, 1]


def fitted(model, steps, batch, learning_rate=1e-2):
    """Parameters after the given number of steps on one batch, in one compiled loop, and the initial parameters."""
    optimizer = optax.adam(learning_rate)
    step = make_train_step(model, negative_sampled_elbo, optimizer)
    start = jax.jit(lambda key: init_train_state(model, optimizer, key))(jax.random.key(0))
    key = jax.random.key(1)
    run = jax.jit(lambda s: jax.lax.scan(lambda s, _: (step(s, key, batch)[0], None), s, length=steps)[0])
    return run(start).params, start.params


def mean_elbo(model, params, xs, num_samples=200):
    return float(jnp.mean(mean_over_samples(sampled_elbo, model, params, jax.random.key(9), xs, num_samples)))


@pytest.mark.parametrize("add", [lambda m: with_mixture_prior(m, 2, 3), lambda m: with_vamp_prior(m, 3, IMAGE)])
def test_a_prior_replaces_init_and_prior_only(add):
    model = add(BASE)
    assert (model.encode, model.decode) == (BASE.encode, BASE.decode)
    params, base = (jax.eval_shape(m.init, jax.random.key(0)) for m in (model, BASE))
    assert jax.tree.map(jnp.shape, {k: v for k, v in params.items() if k != "prior"}) == jax.tree.map(jnp.shape, base)
    # The message of elbo, which has no closed form for a mixture, names the alternative.
    with pytest.raises(TypeError, match=r"from Normal to Mixture; use the sampled estimate .*negative_sampled_elbo"):
        jax.eval_shape(lambda p: elbo(model, p, jax.random.key(0), WIDER[0]), params)


# --------------------------------------------------------------------------------------------------------- VampPrior


def test_the_vamp_prior_is_the_mean_density_of_the_posteriors_of_the_clipped_pseudo_inputs():
    model = with_vamp_prior(BASE, 4, IMAGE)
    params = {**jax.jit(model.init)(jax.random.key(0)), "prior": {"pseudo_inputs": jnp.asarray(WIDER)}}
    z = np.array([0.3, -1.0], np.float32)
    log_prob, q = jax.jit(
        lambda p: (model.prior(p).log_prob(z), jax.vmap(lambda u: BASE.encode(p, u))(np.clip(WIDER, 0.0, 1.0)))
    )(params)
    deviations = np.exp(np.asarray(q.log_variance, np.float64) / 2)
    log_probs = scipy.stats.norm.logpdf(z, np.asarray(q.mean, np.float64), deviations).sum(axis=1)
    expected = scipy.special.logsumexp(log_probs) - np.log(4)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    assert (WIDER < 0).any() and (WIDER > 1).any()


def test_only_pixels_inside_the_range_of_the_clip_have_a_gradient():
    model = with_vamp_prior(BASE, 4, IMAGE)
    params = {**jax.jit(model.init)(jax.random.key(0)), "prior": {"pseudo_inputs": jnp.asarray(WIDER)}}
    log_prob = lambda params: model.prior(params).log_prob(jnp.array([0.3, -1.0]))
    gradient = np.asarray(jax.jit(jax.grad(log_prob))(params)["prior"]["pseudo_inputs"])
    np.testing.assert_array_equal(gradient != 0, (WIDER > 0) & (WIDER < 1))


def test_initial_pseudo_inputs_are_narrow_normal_draws_or_clipped_images():
    params = jax.jit(with_vamp_prior(EMPTY, 2000, IMAGE).init)(jax.random.key(0))
    inputs = np.asarray(params["prior"]["pseudo_inputs"], np.float64)
    # N(0.05, 0.01^2), within five standard errors of the mean and of the standard deviation of 18,000 pixels.
    assert abs(inputs.mean() - 0.05) < 5 * 0.01 / np.sqrt(inputs.size)
    assert abs(inputs.std() - 0.01) < 5 * 0.01 / np.sqrt(2 * inputs.size)
    images = np.zeros((2, *IMAGE), np.float32)
    images[0, 1], images[1, 2] = 1.0, 0.6
    params = jax.jit(with_vamp_prior(EMPTY, 2, IMAGE, images).init)(jax.random.key(0))
    np.testing.assert_allclose(params["prior"]["pseudo_inputs"], np.clip(images, 0.01, 0.99), rtol=1e-6)


def test_given_images_are_copied_since_training_donates_its_parameters():
    model = with_vamp_prior(EMPTY, 4, IMAGE, np.clip(WIDER, 0.0, 1.0))
    jax.jit(lambda params: jax.tree.map(lambda a: a + 1.0, params), donate_argnums=0)(model.init(jax.random.key(0)))
    again = model.init(jax.random.key(1))["prior"]["pseudo_inputs"]
    np.testing.assert_allclose(again, np.clip(WIDER, 0.01, 0.99), rtol=1e-6)


def test_a_batch_encodes_the_pseudo_inputs_once():
    # Distinct sizes: batch 11, 5 pseudo-inputs, hidden layer 7.
    model = with_vamp_prior(BASE, 5, IMAGE)
    params = jax.eval_shape(model.init, jax.random.key(0))
    loss = lambda params, key, batch: negative_sampled_elbo(model, params, key, batch)[0]
    batch = jax.ShapeDtypeStruct((11, *IMAGE), jnp.float32)
    for function in (loss, jax.grad(loss)):
        shapes = list(matrix_products(jax.make_jaxpr(function)(params, jax.random.key(0), batch).jaxpr))
        assert (5, 7) in shapes and (11, 7) in shapes
        assert not [shape for shape in shapes if 5 in shape and 11 in shape and 7 in shape]


def prototypes():
    """Batch of eight different images, each eight times."""
    return np.tile((np.random.default_rng(3).random((8, *IMAGE)) < 0.5).astype(np.float32), (8, 1, 1, 1))


def small_vae():
    return gaussian_vae(mlp_encoder(IMAGE, 4, (16,), jnp.tanh), mlp_decoder(2, (*IMAGE, 1), (16,)), 2)


@pytest.mark.slow
def test_training_pseudo_inputs_raises_the_bound_above_that_of_the_standard_prior():
    xs = prototypes()
    standard = small_vae()
    networks, _ = fitted(standard, 800, xs)
    vamp = with_vamp_prior(standard, 8, IMAGE)
    # First only the pseudo-inputs are trained, with the networks of the standard prior; then all parameters.
    frozen = lambda params: {**jax.lax.stop_gradient(params), "prior": params["prior"]}
    prior_only = vamp._replace(
        init=lambda key: {**networks, "prior": vamp.init(key)["prior"]},
        encode=lambda params, x: vamp.encode(frozen(params), x),
        prior=lambda params: vamp.prior(frozen(params)),
        decode=lambda params, z: vamp.decode(frozen(params), z),
    )
    params, start = fitted(prior_only, 800, xs)
    moved = np.abs(params["prior"]["pseudo_inputs"] - start["prior"]["pseudo_inputs"])
    assert np.median(moved) > 0.1
    jax.tree.map(np.testing.assert_array_equal, {**params, "prior": {}}, {**networks, "prior": {}})
    assert mean_elbo(vamp, params, xs) > mean_elbo(vamp, start, xs) + 1.0
    jointly, _ = fitted(vamp, 800, xs)
    assert mean_elbo(vamp, jointly, xs) > mean_elbo(standard, networks, xs) + 0.1


@pytest.mark.slow
def test_with_the_data_as_pseudo_inputs_the_prior_is_the_aggregate_posterior_and_optimal():
    # p(z) = mean_x q(z|x) minimizes E_x KL(q(z|x) || p(z)), so that it is better than the standard prior untrained.
    xs = prototypes()
    networks, _ = fitted(small_vae(), 800, xs)
    vamp = with_vamp_prior(small_vae(), 8, IMAGE, xs[:8])
    params = {**networks, "prior": vamp.init(jax.random.key(0))["prior"]}
    assert mean_elbo(vamp, params, xs) > mean_elbo(small_vae(), networks, xs) + 0.1


@pytest.mark.slow
def test_over_two_layers_the_vamp_prior_is_a_mixture_of_chains():
    encoders = [mlp_encoder(IMAGE, 6, (7,)), mlp_encoder((3,), 4, (5,))]
    base = hierarchical_vae(encoders, [mlp_encoder((2,), 6, (5,))], mlp_decoder(3, (*IMAGE, 1), (7,)), 2)
    model = with_vamp_prior(base, 4, IMAGE, np.clip(WIDER, 0.01, 0.99))
    params = jax.jit(model.init)(jax.random.key(0))

    @jax.jit
    def prior_and_posteriors(params):
        z, log_prob = model.prior(params).sample_and_log_prob(jax.random.key(1))
        return log_prob, jax.vmap(lambda u: base.encode(params, u).log_prob(z))(np.clip(WIDER, 0.01, 0.99))

    log_prob, log_probs = prior_and_posteriors(params)
    np.testing.assert_allclose(log_prob, scipy.special.logsumexp(log_probs) - np.log(4), rtol=1e-4)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: with_vamp_prior(BASE, 0, IMAGE), ValueError, "num_pseudo_inputs must be at least 1, got 0"),
        (lambda: with_mixture_prior(BASE, 2, 0), ValueError, "num_components must be at least 1, got 0"),
        (lambda: with_mixture_prior(BASE, 0, 2), ValueError, "latent_dim must be at least 1, got 0"),
        (
            lambda: with_vamp_prior(BASE, 3, IMAGE, WIDER),
            ValueError,
            r"initial_images must have shape \[K, \*image_shape\] = \(3, 3, 3, 1\), got \(4, 3, 3, 1\)",
        ),
        (
            lambda: with_vamp_prior(BASE, 4, IMAGE, 255.0 * np.ones((4, *IMAGE), np.float32)),
            ValueError,
            r"initial_images must be in \[0, 1\], got values from 255 to 255",
        ),
        (
            lambda: with_vamp_prior(BASE, 4, IMAGE, np.zeros((4, *IMAGE), np.uint8)),
            TypeError,
            r"initial_images must be floating-point pixels in \[0, 1\], got dtype uint8",
        ),
    ],
)
def test_bad_arguments_are_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


# ------------------------------------------------------------------------------------------------ mixture of Normals


def test_the_mixture_prior_starts_with_equal_weights_unit_variances_and_normal_means():
    model = with_mixture_prior(EMPTY, 2, 3)
    params = jax.jit(model.init)(jax.random.key(0))
    means = np.asarray(params["prior"]["mean"], np.float64)
    assert len(np.unique(means)) == 6
    z = np.array([0.5, 1.0], np.float32)
    expected = scipy.special.logsumexp(scipy.stats.norm.logpdf(z, means).sum(axis=1)) - np.log(3)
    np.testing.assert_allclose(jax.jit(lambda p: model.prior(p).log_prob(z))(params), expected, rtol=1e-5)
    many = jax.jit(with_mixture_prior(EMPTY, 2, 10_000).init)(jax.random.key(0))["prior"]["mean"]
    assert scipy.stats.kstest(np.ravel(many), "norm").pvalue > 1e-4


@pytest.mark.slow
def test_a_mixture_prior_trained_on_fixed_codes_learns_their_density():
    # The encoder is the identity almost without noise, and the bound the log-density of the data under the prior.
    identity = VAE(
        init=lambda key: {},
        encode=lambda params, x: Normal(x, jnp.full(1, -20.0)),
        prior=lambda params: None,
        decode=lambda params, z: Normal(jax.lax.stop_gradient(z), jnp.zeros(1)),
    )
    rng = np.random.default_rng(0)
    right = rng.random(2000) < 0.25
    xs = np.where(right, rng.normal(3.0, 0.5, 2000), rng.normal(-1.0, 1.0, 2000)).astype(np.float32)[:, None]
    model = with_mixture_prior(identity, 1, 2)
    params, _ = fitted(model, 1500, xs, learning_rate=5e-2)
    truth = scipy.special.logsumexp(np.log([0.25, 0.75]) + scipy.stats.norm.logpdf(xs, [3.0, -1.0], [0.5, 1.0]), axis=1)
    log_probs = np.asarray(jax.vmap(model.prior(params).log_prob)(xs), np.float64)
    # A fit of five parameters to 2,000 points is better than the truth by about 5 / 2 / 2000 nats per point.
    assert -0.005 < log_probs.mean() - truth.mean() < 0.01
    weights = np.sort(scipy.special.softmax(np.asarray(params["prior"]["logits"])))
    np.testing.assert_allclose(weights, [right.mean(), 1 - right.mean()], atol=0.02)


@pytest.mark.slow
def test_importance_sampling_and_annealing_agree_with_log_p_for_a_mixture_prior():
    # For a mixture of Normals, x = W z + b + noise is a mixture of Normals N(W m_k + b, W S_k W^T + s^2 I).
    model, exact = with_mixture_prior(model_of(2), 2, 3), wrong_params_of(2)
    means, variances = np.array([[1.0, 0.0], [-1.0, 1.5], [0.0, -2.0]]), np.array([[0.5, 1.0], [0.8, 0.3], [1.0, 1.0]])
    logits = np.array([0.3, -0.5, 0.0])
    mixture = {"logits": logits, "mean": means, "log_variance": np.log(variances)}
    params = {**exact, "prior": jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), mixture)}
    weights, offset = np.asarray(exact["weights"], np.float64), np.asarray(exact["offset"], np.float64)
    noise = np.exp(np.float64(exact["noise_log_variance"])) * np.eye(len(offset))
    xs = examples_of(2, 60)
    log_probs = [
        scipy.stats.multivariate_normal.logpdf(xs, weights @ mean + offset, (weights * variance) @ weights.T + noise)
        for mean, variance in zip(means, variances, strict=True)
    ]
    truth = scipy.special.logsumexp(np.log(scipy.special.softmax(logits))[:, None] + log_probs, axis=0)
    sampled = importance_sampling(model, params, jax.random.key(0), xs, 5000).log_likelihood
    np.testing.assert_allclose(np.mean(sampled), truth.mean(), atol=0.02)
    annealed = annealed_importance_sampling(
        model, params, jax.random.key(1), xs, temperatures=sigmoid_temperatures(60), num_chains=32
    )
    standardized = (annealed.log_likelihood - truth) / annealed.standard_error
    assert abs(np.mean(standardized)) < 5 / np.sqrt(60)
    assert np.median(annealed.standard_error) < 0.25
